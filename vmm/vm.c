/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM's life: create, start, pause, resume, destroy.
 *
 * All of it happens on CPU 0. What other CPUs want (a device asks for power-off, a vCPU met
 * the impossible) is a flag in the VM that the service here looks at. A VM that a move has
 * in its hands (VM_INCOMING, VM_STUNNED) is left alone until the hand-over is decided.
 */
#include "vmm/vm.h"
#include "arch/rtc.h"
#include "kernel/clock.h"
#include "kernel/config.h"
#include "kernel/errno.h"
#include "kernel/fmt.h"
#include "kernel/heap.h"
#include "kernel/log.h"
#include "kernel/machine.h"
#include "kernel/string.h"
#include "vmm/console.h"
#include "vmm/load.h"
#include "vmm/msr.h"
#include "vmm/platform.h"
#include "vmm/vm_options.h"
#include "vmm/vtime.h"

#define HALT_WAIT_NS (200 * NS_PER_MS) /* a vCPU leaves the guest within us; more means that a CPU is lost */

struct list vm_list = LIST_HEAD_INIT(vm_list);
void (*vm_on_destroy)(struct vm *vm);

static bool vm_poll(struct service *service);
static struct service vm_service = { .name = "vm", .poll = vm_poll };

void vm_init(void)
{
	track_init(config_get("host", NULL, "dirty_tracking"));
	service_add(&vm_service);
	vm_create_configured();
}

struct vm *vm_find(const char *name)
{
	list_for_each(vm, &vm_list, struct vm, link) {
		if (!strcmp(vm->config.name, name))
			return vm;
	}
	return NULL;
}

/* --- create --- */

static unsigned vm_count(void)
{
	unsigned count = 0;

	list_for_each(vm, &vm_list, struct vm, link)
		count++;
	return count;
}

static int refuse(int err, const char **why, const char *text)
{
	*why = text;
	return err;
}

/* What holds for a VM that is created here and for one that comes in. */
static int config_check(const struct vm_config *config, const char **why)
{
	struct page_stats stats;

	if (!hv)
		return refuse(-ENODEV, why, hv_missing ? hv_missing : "this machine cannot run guests");
	if (strnlen(config->name, VM_NAME_MAX) == VM_NAME_MAX || !str_is_name(config->name))
		return refuse(-EINVAL, why,
			      "a name has 1 to 31 letters, digits, '-', '_' or '.', none of '-.' first");
	if (vm_find(config->name))
		return refuse(-EEXIST, why, "a VM of this name exists");
	if (vm_count() == VM_MAX)
		return refuse(-ENOSPC, why, "there are 32 VMs already");
	if (!config->vcpu_count || config->vcpu_count > VM_VCPUS_MAX)
		return refuse(-EINVAL, why, "vcpus is 1 to 16");
	if (config->ram_bytes < GMEM_RAM_MIN || config->ram_bytes > GMEM_RAM_MAX)
		return refuse(-EINVAL, why, "mem is 16M to 64G");
	if (!IS_ALIGNED(config->ram_bytes, LARGE_PAGE_BYTES))
		return refuse(-EINVAL, why, "mem is a multiple of 2M");
	page_get_stats(&stats);
	if (config->ram_bytes / LARGE_PAGE_BYTES > stats.free_large_pages)
		return refuse(-ENOMEM, why, "not that much memory is free in whole 2 MiB pages");
	return 0;
}

static int vm_create_vcpus(struct vm *vm)
{
	int err = 0;

	for (u32 i = 0; !err && i < vm->config.vcpu_count; i++)
		err = vcpu_create(vm, i);
	return err;
}

static void vm_destroy_vcpus(struct vm *vm)
{
	for (u32 i = 0; i < vm->config.vcpu_count; i++) {
		if (vm->vcpu[i])
			vcpu_destroy(vm->vcpu[i]);
	}
}

/* Time first: every other device may ask for it when it starts. */
static int vm_attach_all(struct vm *vm)
{
	int err = vm_attach(vm, &vtime_type);

	if (!err)
		err = vm_attach(vm, &msr_type);
	if (!err)
		err = platform_attach(vm);
	return err;
}

/* A halted VM in state VM_INCOMING, not yet in the list. */
static int vm_build(struct vm **out, const struct vm_config *config, const char **why)
{
	struct vm *vm = heap_alloc(sizeof(*vm));
	int err = -ENOMEM;

	*why = "not enough memory";
	if (!vm)
		return err;
	vm->config = *config;
	vm->state = VM_INCOMING;
	list_init(&vm->link);
	list_init(&vm->devices);
	err = gmem_init(&vm->gmem, config->ram_bytes);
	if (err)
		goto free_vm;
	cpuid_policy_make(&vm->cpuid);
	err = vm_create_vcpus(vm);
	if (err)
		goto destroy_vcpus;
	err = console_create(vm);
	if (err)
		goto destroy_vcpus;
	err = vm_attach_all(vm);
	if (err)
		goto detach;
	*out = vm;
	return 0;

detach:
	vm_detach_all(vm);
	console_destroy(vm);
destroy_vcpus:
	vm_destroy_vcpus(vm);
	gmem_fini(&vm->gmem);
free_vm:
	heap_free(vm);
	return err;
}

int vm_create(struct vm **out, const struct vm_config *config, const char **why)
{
	int err = config_check(config, why);

	if (!err)
		err = load_check(config, why);
	if (!err && console_check_port(config->console))
		err = refuse(-EINVAL, why, "no such serial port, or it is Tern's own console");
	if (!err)
		err = vm_build(out, config, why);
	if (err)
		return err;
	(*out)->state = VM_CREATED;
	(*out)->epoch = 1;
	list_add_tail(&vm_list, &(*out)->link);
	service_wake();
	return 0;
}

int vm_create_incoming(struct vm **out, const struct vm_config *config, const char **why)
{
	int err = config_check(config, why);

	if (!err)
		err = vm_build(out, config, why);
	if (err)
		return err;
	/* Every page of it will come, or be told to be zero. */
	(*out)->gmem.scrubbed_chunks = config->ram_bytes / LARGE_PAGE_BYTES;
	list_add_tail(&vm_list, &(*out)->link);
	return 0;
}

/* --- stop and go --- */

void vm_halt(struct vm *vm)
{
	for (u32 i = 0; i < vm->config.vcpu_count; i++)
		vcpu_park(vm->vcpu[i]);
	/* Nothing runs on this CPU but us: no need to wait for a turn of the loop. */
	for (u32 i = 0; i < vm->config.vcpu_count; i++)
		vcpu_park_here(vm->vcpu[i]);
}

bool vm_is_halted(const struct vm *vm)
{
	for (u32 i = 0; i < vm->config.vcpu_count; i++) {
		if (!vcpu_is_quiet(vm->vcpu[i]))
			return false;
	}
	return true;
}

void vm_settle(struct vm *vm)
{
	lock_take(&vm->lock);
	vm_stop_devices(vm);
	for (u32 i = 0; i < vm->config.vcpu_count; i++)
		vcpu_settle(vm->vcpu[i]);
	lock_give(&vm->lock);
}

void vm_go(struct vm *vm)
{
	lock_take(&vm->lock);
	vm_start_devices(vm);
	lock_give(&vm->lock);
	for (u32 i = 0; i < vm->config.vcpu_count; i++)
		vcpu_unpark(vm->vcpu[i]);
}

/* Waits, since other CPUs leave the guest within us. */
static int vm_halt_wait(struct vm *vm)
{
	u64 end_ns = clock_now_ns() + HALT_WAIT_NS;

	vm_halt(vm);
	while (!vm_is_halted(vm)) {
		if (clock_now_ns() > end_ns)
			return -ETIMEDOUT;
		__builtin_ia32_pause();
	}
	return 0;
}

int vm_pause(struct vm *vm)
{
	int err;

	if (vm->state != VM_RUNNING)
		return -EINVAL;
	err = vm_halt_wait(vm);
	if (err) {
		vm_go(vm);
		return err;
	}
	vm_settle(vm);
	vm->state = VM_PAUSED;
	return 0;
}

int vm_resume(struct vm *vm)
{
	if (vm->state != VM_PAUSED)
		return -EINVAL;
	vm->state = VM_RUNNING;
	vm_go(vm);
	return 0;
}

/* --- start, stop --- */

/* Power-on state of everything but memory; halted and settled. */
static void vm_reset(struct vm *vm)
{
	struct vcpu_state state;

	vm->want_poweroff = vm->want_reset = false;
	vm->is_killed = vm->want_kill = false;
	vm->why[0] = 0;
	vm_reset_devices(vm);
	for (u32 i = 0; i < vm->config.vcpu_count; i++) {
		vcpu_state_reset(&state);
		state.activity = i ? VCPU_WAIT_FOR_SIPI : VCPU_ACTIVE;
		vcpu_load(vm->vcpu[i], &state);
	}
}

/* The guest's image in its place and everything else as after power-on: it goes. */
static int vm_boot(struct vm *vm, const char **why)
{
	int err;

	vm_reset(vm);
	err = load_guest(vm, why);
	if (err)
		return err;
	vm->state = VM_RUNNING;
	vm_go(vm);
	return 0;
}

int vm_start(struct vm *vm, const char **why)
{
	if (vm->state != VM_CREATED && vm->state != VM_STOPPED)
		return refuse(-EINVAL, why, "it runs already");
	gmem_scrub(&vm->gmem, ~0ull);
	/* VM time stood still since the VM was made or stopped; its wall clock is right all the same. */
	vtime_set_wall_base(vm, rtc_now_ns() - vtime_now_ns(vm));
	return vm_boot(vm, why);
}

int vm_power_button(struct vm *vm)
{
	if (vm->state != VM_RUNNING)
		return -EINVAL;
	lock_take(&vm->lock);
	platform_power_button(vm);
	lock_give(&vm->lock);
	return 0;
}

void vm_kill(struct vm *vm, const char *why, u64 value)
{
	/* The first reason is the one that counts. */
	if (__atomic_exchange_n(&vm->is_killed, true, __ATOMIC_SEQ_CST))
		return;
	fmt_snprintf(vm->why, sizeof(vm->why), "%s (0x%llx)", why, (unsigned long long)value);
	__atomic_store_n(&vm->want_kill, true, __ATOMIC_RELEASE);
	for (u32 i = 0; i < vm->config.vcpu_count; i++)
		vcpu_park(vm->vcpu[i]);
	service_wake();
}

void vm_destroy(struct vm *vm)
{
	if (vm_halt_wait(vm)) {
		log_error("vm %s: a vCPU does not leave the guest; its memory is lost", vm->config.name);
		list_remove(&vm->link);
		return;
	}
	vm_settle(vm);
	if (vm_on_destroy)
		vm_on_destroy(vm);
	list_remove(&vm->link);
	vm_detach_all(vm);
	console_destroy(vm);
	vm_destroy_vcpus(vm);
	gmem_fini(&vm->gmem);
	heap_free(vm);
}

/* --- the service --- */

bool vm_is_prepared(const struct vm *vm)
{
	return vm->gmem.scrubbed_chunks * LARGE_PAGE_BYTES == vm->gmem.ram_bytes;
}

bool vm_wants_attention(const struct vm *vm)
{
	return __atomic_load_n(&vm->want_kill, __ATOMIC_ACQUIRE) || vm->want_poweroff || vm->want_reset;
}

static void vm_stopped(struct vm *vm)
{
	bool is_killed = vm->want_kill;

	if (!is_killed)
		str_copy(vm->why, sizeof(vm->why), "powered off by the guest");
	vm->state = VM_STOPPED;
	log_write(is_killed ? LOG_ERROR : LOG_INFO, "vm %s: stopped: %s", vm->config.name, vm->why);
}

static void vm_restart(struct vm *vm)
{
	const char *why = "";

	log_info("vm %s: reset by the guest", vm->config.name);
	vm->state = VM_STOPPED;
	if (vm_boot(vm, &why)) {
		str_copy(vm->why, sizeof(vm->why), why);
		log_error("vm %s: cannot start again: %s", vm->config.name, why);
	}
}

static bool vm_poll(struct service *service)
{
	bool has_more = false;

	(void)service;
	list_for_each(vm, &vm_list, struct vm, link) {
		if (vm->state == VM_CREATED)
			has_more |= !gmem_scrub(&vm->gmem, 1);
		if (vm->migration || !vm_wants_attention(vm))
			continue;
		if (vm->state != VM_RUNNING && vm->state != VM_PAUSED)
			continue;
		vm_halt(vm);
		if (!vm_is_halted(vm))
			continue; /* parking wakes the services */
		vm_settle(vm);
		if (vm->want_reset && !vm->want_kill && !vm->want_poweroff)
			vm_restart(vm);
		else
			vm_stopped(vm);
	}
	return has_more;
}
