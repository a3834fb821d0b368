/* SPDX-License-Identifier: BSD-2-Clause */
/* The VMs of the two hosts, their memory and devices, the guest in them, and the oracle. */
#include "tests/host/fake/two_hosts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/hv.h"
#include "kernel/bits.h"
#include "kernel/errno.h"
#include "tests/host/fake/heap_fake.h"
#include "vmm/cpuid.h"
#include "vmm/device.h"
#include "vmm/vtime.h"

#define CHUNK_PAGES 512
#define ALPHA_BYTES 48
#define BETA_BYTES 3001 /* odd: records are padded */

struct oracle oracle;

/* --- memory of guests --- */

/* Buffers are used again: giving 16 MiB back to the system a thousand times costs more than the
 * tests. */
static struct ram {
	u8 *bytes;
	u64 size;
	bool is_used;
} rams[8];

static u8 *ram_alloc(u64 size)
{
	for (u32 i = 0; i < ARRAY_COUNT(rams); i++)
		if (!rams[i].is_used && (!rams[i].bytes || rams[i].size == size)) {
			if (!rams[i].bytes)
				rams[i].bytes = aligned_alloc(PAGE_BYTES, size);
			rams[i].size = size;
			rams[i].is_used = true;
			return rams[i].bytes;
		}
	return NULL;
}

static void ram_free(const u8 *bytes)
{
	for (u32 i = 0; i < ARRAY_COUNT(rams); i++)
		if (rams[i].bytes == bytes)
			rams[i].is_used = false;
}

/* --- devices: a few bytes of state, and a rule that check() enforces --- */

static int check_first_byte(const void *state) { return *(const u8 *)state == 0xee ? -EINVAL : 0; }
static void reset_device(struct device *dev) { memset(dev->state, 0, dev->type->state_bytes); }

static const struct device_type alpha_type = {
	.name = "alpha",
	.version = 1,
	.state_bytes = ALPHA_BYTES,
	.check = check_first_byte,
	.reset = reset_device,
};
static const struct device_type beta_type = {
	.name = "beta",
	.version = 3,
	.state_bytes = BETA_BYTES,
	.check = check_first_byte,
	.reset = reset_device,
};
LINKER_SET(".device_types") static const struct device_type *const alpha_entry = &alpha_type;
LINKER_SET(".device_types") static const struct device_type *const beta_entry = &beta_type;

static void attach(struct vm *vm, const struct device_type *type, u32 instance)
{
	struct device *dev = calloc(1, sizeof(*dev));

	*dev = (struct device){
		.type = type, .vm = vm, .instance = instance, .state = malloc(type->state_bytes)
	};
	type->reset(dev);
	list_add_tail(&vm->devices, &dev->link);
}

/* --- VMs --- */

static struct fake_vm *fake_of(const struct vm *vm) { return container_of(vm, struct fake_vm, vm); }

/* VM time lives in the first device's state, as everything that moves does. */
static u64 *time_of(struct fake_vm *f)
{
	return (u64 *)list_first(&f->vm.devices, struct device, link)->state + 4;
}

struct vm *vm_find(const char *name)
{
	list_for_each(vm, &vm_list, struct vm, link)
		if (!strcmp(vm->config.name, name))
			return vm;
	return NULL;
}

int vm_create_incoming(struct vm **out, const struct vm_config *config, const char **why)
{
	struct fake_host *h = &fake_hosts[fake_current_host()];
	u64 chunks = config->ram_bytes / LARGE_PAGE_BYTES, pages = config->ram_bytes / PAGE_BYTES;
	struct fake_vm *f;

	*why = "not that much memory is free";
	if (h->free_chunks < chunks)
		return -ENOMEM;
	h->free_chunks -= chunks;
	f = calloc(1, sizeof(*f));
	f->host = fake_current_host();
	f->vm.config = *config;
	f->vm.state = VM_INCOMING;
	f->vm.gmem.ram_bytes = config->ram_bytes;
	f->vm.gmem.page_count = pages;
	f->ram = ram_alloc(config->ram_bytes);
	memset(f->ram, 0xa5, config->ram_bytes);
	f->written = calloc(pages / 64, 8);
	f->armed = calloc(BITMAP_WORDS(chunks), 8);
	f->armed_flushed = calloc(BITMAP_WORDS(chunks), 8);
	list_init(&f->vm.devices);
	attach(&f->vm, &alpha_type, 0);
	for (u32 i = 0; i < config->vcpu_count; i++) {
		f->vm.vcpu[i] = &f->vcpus[i];
		f->vcpus[i].vm = &f->vm;
		f->vcpus[i].index = i;
		attach(&f->vm, &beta_type, i);
	}
	f->vm.cpuid.count = 1;
	f->vm.cpuid.leaf[0] =
		(struct cpuid_entry){ .function = 0x80000008, .eax = 40, .ebx = h->cpuid_key };
	f->is_settled = true;
	list_add_tail(&vm_list, &f->vm.link);
	*out = &f->vm;
	return 0;
}

void vm_destroy(struct vm *vm)
{
	struct fake_vm *f = fake_of(vm);

	f->runs = false;
	if (vm_on_destroy)
		vm_on_destroy(vm);
	list_remove(&vm->link);
	list_for_each_safe(dev, &vm->devices, struct device, link) {
		free(dev->state);
		free(dev);
	}
	fake_hosts[f->host].free_chunks += vm->gmem.ram_bytes / LARGE_PAGE_BYTES;
	ram_free(f->ram);
	free(f->written);
	free(f->armed);
	free(f->armed_flushed);
	free(f);
}

void vm_halt(struct vm *vm) { fake_of(vm)->is_halting = true; }

bool vm_is_halted(const struct vm *vm)
{
	struct fake_vm *f = fake_of(vm);

	if (!f->is_halting || f->halt_delay) {
		f->halt_delay -= f->halt_delay > 0;
		return false;
	}
	f->runs = false;
	return true;
}

void vm_settle(struct vm *vm)
{
	assert_false(fake_of(vm)->runs);
	fake_of(vm)->is_settled = true;
}

unsigned fake_busy_polls, fake_due_polls;

bool vm_is_busy(struct vm *vm)
{
	(void)vm;
	return fake_busy_polls && fake_busy_polls--;
}

bool vm_is_due(struct vm *vm, u64 ns)
{
	(void)vm;
	return ns && fake_due_polls && fake_due_polls--;
}

bool vm_wants_attention(const struct vm *vm) { return fake_of(vm)->wants_attention; }

static void for_all_vms(void (*body)(struct fake_vm *f, void *context), void *context)
{
	list_for_each(vm, &vm_list, struct vm, link)
		body(fake_of(vm), context);
	list_for_each(vm, &fake_hosts[!fake_current_host()].vms, struct vm, link)
		body(fake_of(vm), context);
}

static void assert_same_guest_is_stopped(struct fake_vm *f, void *context)
{
	const struct vm *vm = context;

	if (&f->vm != vm && !memcmp(f->vm.id, vm->id, sizeof(vm->id)))
		assert_false(f->runs); /* I1 */
}

static void compare_with_oracle(struct fake_vm *f)
{
	list_for_each(dev, &f->vm.devices, struct device, link)
		assert_int_equal(((u32 *)dev->state)[1 + dev->instance], (u32)oracle.ticks);
	for (u32 i = 0; i < f->vm.config.vcpu_count; i++)
		assert_int_equal(f->state[i].rip, oracle.ticks * 16 + i);
	assert_memory_equal(f->ram, oracle.ram, oracle.ram_bytes);
	assert_int_equal(f->vm.cpuid.leaf[0].ebx, 0x1234);
}

void vm_go(struct vm *vm)
{
	struct fake_vm *f = fake_of(vm);

	assert_int_equal(vm->state, VM_RUNNING);
	for_all_vms(assert_same_guest_is_stopped, vm);
	oracle.starts++;
	if (f->is_settled && !strcmp(vm->config.name, "web1")) {
		compare_with_oracle(f); /* I2 */
		assert_true(*time_of(f) >= oracle.time_ns);
	}
	f->is_halting = f->is_settled = false;
	f->runs = true;
}

void vcpu_save(struct vcpu *vcpu, struct vcpu_state *state)
{
	assert_false(fake_of(vcpu->vm)->runs);
	*state = fake_of(vcpu->vm)->state[vcpu->index];
}

void vcpu_load(struct vcpu *vcpu, const struct vcpu_state *state)
{
	assert_false(fake_of(vcpu->vm)->runs);
	fake_of(vcpu->vm)->state[vcpu->index] = *state;
}

int vcpu_state_check(const struct vcpu_state *state, const struct hv_limits *limits,
		     const char **why)
{
	(void)limits;
	*why = "RFLAGS bit 1 is 0";
	return state->rflags & 2 ? 0 : -EINVAL;
}

int cpuid_policy_check(const struct cpuid_policy *policy, char *why, size_t why_bytes)
{
	u32 key = fake_hosts[fake_current_host()].cpuid_key;

	snprintf(why, why_bytes, "avx2");
	if (policy->count != 1)
		return -EINVAL;
	if (policy->leaf[0].ebx >> 16 != key >> 16) {
		snprintf(why, why_bytes, "vendor %u, here %u", policy->leaf[0].ebx >> 16, key >> 16);
		return -ENODEV;
	}
	return policy->leaf[0].ebx == key ? 0 : -EOPNOTSUPP;
}

u64 vtime_tsc_khz(const struct vm *vm) { (void)vm; return 2000000; }
bool vtime_would_trap(u64 guest_khz) { return guest_khz != 2000000; }

void vtime_add(struct vm *vm, u64 ns)
{
	assert_true(fake_of(vm)->is_settled && !fake_of(vm)->runs);
	*time_of(fake_of(vm)) += ns;
}

/* --- guest memory --- */

void *gmem_page(const struct gmem *gmem, u64 index)
{
	struct fake_vm *f = fake_of(container_of(gmem, struct vm, gmem));

	assert_true(index < gmem->page_count);
	return f->ram + index * PAGE_BYTES;
}

int track_start(struct vm *vm)
{
	assert_false(vm->gmem.track.is_on);
	vm->gmem.track.is_on = true;
	return 0;
}

int track_arm(struct vm *vm, u64 chunk)
{
	assert_true(vm->gmem.track.is_on && chunk < vm->gmem.page_count / CHUNK_PAGES);
	if (fake_heap.fail_in == 1)
		return -ENOMEM;
	bitmap_set(fake_of(vm)->armed, chunk);
	return 0;
}

void gmem_flush_vcpus(struct vm *vm)
{
	struct fake_vm *f = fake_of(vm);

	memcpy(f->armed_flushed, f->armed, BITMAP_WORDS(vm->gmem.page_count / CHUNK_PAGES) * 8);
}

u64 track_collect(struct vm *vm, u64 *map)
{
	struct fake_vm *f = fake_of(vm);
	u64 added = 0;

	for (u64 i = 0; i < vm->gmem.page_count / 64; i++) {
		added += (u64)__builtin_popcountll(f->written[i] & ~map[i]);
		map[i] |= f->written[i];
		f->written[i] = 0;
	}
	return added;
}

const char *track_method_name(const struct track *track)
{
	(void)track;
	return "bits";
}

void track_stop(struct vm *vm)
{
	struct fake_vm *f = fake_of(vm);

	assert_true(vm->gmem.track.is_on);
	vm->gmem.track.is_on = false;
	memset(f->written, 0, vm->gmem.page_count / 8);
	memset(f->armed, 0, BITMAP_WORDS(vm->gmem.page_count / CHUNK_PAGES) * 8);
	memset(f->armed_flushed, 0, BITMAP_WORDS(vm->gmem.page_count / CHUNK_PAGES) * 8);
}

/* --- the guest --- */

void fake_oracle_init(void) { oracle = (struct oracle){ .writes_per_turn = 1, .working_set = 20 }; }

void fake_oracle_fini(void)
{
	ram_free(oracle.ram);
	oracle.ram = NULL;
}

static void guest_write(struct fake_vm *f, u64 page, u32 offset, u64 value)
{
	memcpy(f->ram + page * PAGE_BYTES + offset, &value, sizeof(value));
	memcpy(oracle.ram + page * PAGE_BYTES + offset, &value, sizeof(value));
	if (f->vm.gmem.track.is_on && bitmap_test(f->armed_flushed, page / CHUNK_PAGES))
		bitmap_set(f->written, page);
}

static void guest_turn(struct fake_vm *f, void *context)
{
	(void)context;
	if (!f->runs || strcmp(f->vm.config.name, "web1"))
		return;
	oracle.ticks++;
	*time_of(f) += fake_turn_ns;
	oracle.time_ns = *time_of(f);
	for (u32 i = 0; i < oracle.writes_per_turn; i++)
		guest_write(f, (u64)rand() % oracle.working_set * 37 % f->vm.gmem.page_count,
			    (u32)(rand() % 512) * 8, rand() % 8 ? (u64)rand() : 0);
	list_for_each(dev, &f->vm.devices, struct device, link)
		((u32 *)dev->state)[1 + dev->instance] = (u32)oracle.ticks;
	for (u32 i = 0; i < f->vm.config.vcpu_count; i++)
		f->state[i].rip = oracle.ticks * 16 + i;
}

void fake_guests_turn(void) { for_all_vms(guest_turn, NULL); }

struct fake_vm *fake_guest_start(u32 host, const char *name, u64 ram_bytes)
{
	struct vm_config config = {
		.ram_bytes = ram_bytes, .vcpu_count = 2, .console = "com2", .cmdline = "quiet"
	};
	const char *why;
	struct vm *vm = NULL;
	struct fake_vm *f;

	fake_enter(host);
	snprintf(config.name, sizeof(config.name), "%s", name);
	assert_int_equal(vm_create_incoming(&vm, &config, &why), 0);
	f = fake_of(vm);
	memset(f->ram, 0, ram_bytes);
	for (u64 page = 0; page < 40; page++)
		for (u32 i = 0; i < 512; i++)
			((u64 *)(f->ram +
				 (page * 97 % vm->gmem.page_count) * PAGE_BYTES))[i] = (u64)rand();
	for (u32 i = 0; i < config.vcpu_count; i++)
		f->state[i] = (struct vcpu_state){ .rflags = 2, .rip = i };
	if (!strcmp(name, "web1")) {
		oracle.ram_bytes = ram_bytes;
		if (!oracle.ram)
			oracle.ram = ram_alloc(ram_bytes);
		memcpy(oracle.ram, f->ram, ram_bytes);
		oracle.ticks = oracle.time_ns = 0;
	}
	vm->epoch = 1;
	vm->state = VM_RUNNING;
	f->runs = true;
	f->is_settled = false;
	return f;
}

struct fake_vm *fake_vm_on(u32 host, const char *name)
{
	u32 before = fake_current_host();
	struct vm *vm;

	fake_enter(host);
	vm = vm_find(name);
	fake_enter(before);
	return vm ? fake_of(vm) : NULL;
}

static void count_running(struct fake_vm *f, void *context)
{
	u32 *count = context;

	if (f->runs && !strcmp(f->vm.config.name, "web1")) {
		count[0]++;
		count[1] = f->host;
	}
}

u32 fake_running_count(u32 *where)
{
	u32 count[2] = { 0, 0 };

	for_all_vms(count_running, count);
	if (where)
		*where = count[1];
	return count[0];
}

void fake_check_guest(void)
{
	u32 where;

	assert_int_equal(fake_running_count(&where), 1);
	compare_with_oracle(fake_vm_on(where, "web1"));
}
