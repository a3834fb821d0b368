/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM's life on the fake back end: what is refused, what each step leaves, how it ends, and that
 * whatever fails on the way gives everything back.
 */
/* SOURCES: vmm/vm.c vmm/vcpu.c vmm/exit.c vmm/gmem.c vmm/track.c vmm/device.c vmm/bus.c vmm/vtime.c vmm/msr.c
 * arch/guest_cpu.c vmm/cpuid.c
 * vmm/cpuid_words.c arch/nested.c arch/vcpu_state.c kernel/page.c kernel/page_map.c kernel/heap.c kernel/panic.c
 * kernel/log.c kernel/fmt.c kernel/clock.c kernel/sched.c kernel/timer.c kernel/str.c tests/host/fake/hv_fake.c */
#include "tests/host/fake/machine.h"
#include "tests/host/fake/memory.h"
#include "tests/host/fake/hv_fake.h"
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/timer.h"
#include "vmm/dev/kvmclock.h"
#include "vmm/dev/lapic.h"
#include "vmm/insn.h"
#include "vmm/irq.h"
#include "vmm/load.h"
#include "vmm/vm.h"
#include "vmm/vm_options.h"
#include "vmm/vtime.h"

#define ARENA (192 * MIB)

/* --- what is not under test --- */

static int platform_result, console_result, load_result;
static unsigned consoles, loads, destroys;
static u64 rtc_ns;

int platform_attach(struct vm *vm)
{
	(void)vm;
	return platform_result;
}
void platform_power_button(struct vm *vm) { vm->want_poweroff = true; }
int console_create(struct vm *vm)
{
	(void)vm;
	consoles += !console_result;
	return console_result;
}
void console_destroy(struct vm *vm)
{
	(void)vm;
	consoles--;
}
int console_check_port(const char *name) { return strcmp(name, "com9") ? 0 : -ENODEV; }
int load_check(const struct vm_config *config, const char **why)
{
	*why = "no such file";
	return strcmp(config->kernel, "missing") ? 0 : -ENOENT;
}
int load_guest(struct vm *vm, const char **why)
{
	struct vcpu_state state;

	*why = "does not fit";
	loads++;
	if (load_result)
		return load_result;
	vcpu_state_reset(&state);
	vcpu_load(vm->vcpu[0], &state);
	return 0;
}
void vm_create_configured(void) { }
const char *config_get(const char *section, const char *name, const char *key)
{
	(void)section, (void)name, (void)key;
	return NULL;
}
u64 rtc_now_ns(void) { return rtc_ns; }
int irq_pending_vector(struct vcpu *vcpu)
{
	(void)vcpu;
	return -1;
}
int irq_blocked_vector(struct vcpu *vcpu)
{
	(void)vcpu;
	return -1;
}
void irq_accept(struct vcpu *vcpu, int vector) { (void)vcpu, (void)vector; }
void kvmclock_update(struct vcpu *vcpu) { (void)vcpu; }
void lapic_timer_update(struct device *dev) { (void)dev; }
u8 irq_get_tpr(struct vcpu *vcpu)
{
	(void)vcpu;
	return 0;
}
void irq_set_tpr(struct vcpu *vcpu, u8 cr8) { (void)vcpu, (void)cr8; }
void insn_mmio(struct vcpu *vcpu, u64 gpa, bool is_write) { (void)vcpu, (void)gpa, (void)is_write; }
void insn_string_io(struct vcpu *vcpu) { (void)vcpu; }
bool insn_cr8_write(struct vcpu *vcpu, u64 *value, u8 *length)
{
	(void)vcpu, (void)value, (void)length;
	return false;
}
bool insn_is_rdtscp(struct vcpu *vcpu)
{
	(void)vcpu;
	return false;
}
u8 insn_length(struct vcpu *vcpu)
{
	(void)vcpu;
	return 0;
}

/* --- the guest: does one thing at every entry --- */

static enum hv_exit_reason next_reason;

static void guest(struct fake_vcpu *vcpu, struct hv_exit *exit)
{
	(void)vcpu;
	fake_tsc += 100000;
	*exit = (struct hv_exit){ .reason = next_reason, .insn_len = 1 };
	next_reason = HV_EXIT_HLT;
}

static struct page_stats pages_before;
static struct heap_stats heap_before;

static void on_destroy(struct vm *vm)
{
	(void)vm;
	destroys++;
}

/* Everything that was taken has come back. */
static void expect_nothing_left(void)
{
	struct page_stats pages;
	struct heap_stats heap;

	page_get_stats(&pages);
	heap_get_stats(&heap);
	assert_int_equal(pages.free_bytes, pages_before.free_bytes);
	assert_int_equal(heap.objects, heap_before.objects);
	assert_int_equal(heap.bytes, heap_before.bytes);
	assert_int_equal(consoles, 0);
	assert_int_equal(fake_vcpu_count, 0);
	assert_int_equal(timer_armed_count(), 0);
	assert_true(list_is_empty(&vm_list));
}

static int setup(void **state)
{
	(void)state;
	fake_memory_init(ARENA);
	fake_hv_init();
	fake_guest = guest;
	next_reason = HV_EXIT_HLT;
	platform_result = console_result = load_result = 0;
	loads = destroys = 0;
	rtc_ns = 1700000000 * NS_PER_SEC;
	fake.cpu = 0;
	if (!tsc_khz)
		clock_init(1000000);
	vm_on_destroy = on_destroy;
	page_get_stats(&pages_before);
	heap_get_stats(&heap_before);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	while (!list_is_empty(&vm_list))
		vm_destroy(list_first(&vm_list, struct vm, link));
	expect_nothing_left();
	return 0;
}

static struct vm_config config_of(const char *name)
{
	struct vm_config config = { .ram_bytes = 32 * MIB, .vcpu_count = 1, .kernel = "k" };

	str_copy(config.name, sizeof(config.name), name);
	return config;
}

static struct vm *create(const char *name)
{
	struct vm_config config = config_of(name);
	const char *why = "";
	struct vm *vm;

	assert_int_equal(vm_create(&vm, &config, &why), 0);
	return vm;
}

static void turns(void)
{
	for (unsigned i = 0; i < 40; i++)
		sched_turn();
}

static struct vm *running(const char *name)
{
	struct vm *vm = create(name);
	const char *why = "";

	assert_int_equal(vm_start(vm, &why), 0);
	assert_int_equal(vm->state, VM_RUNNING);
	return vm;
}

/* --- create --- */

static void bad_wishes_are_refused(void **state)
{
	static const struct {
		const char *name, *kernel, *console;
		u64 ram_bytes;
		u32 vcpus;
		int err;
	} cases[] = {
		{ "", "k", "", 32 * MIB, 1, -EINVAL }, { "-a", "k", "", 32 * MIB, 1, -EINVAL },
		{ "a b", "k", "", 32 * MIB, 1, -EINVAL }, { "a\n", "k", "", 32 * MIB, 1, -EINVAL },
		{ "a", "missing", "", 32 * MIB, 1, -ENOENT }, { "a", "k", "com9", 32 * MIB, 1, -EINVAL },
		{ "a", "k", "", 32 * MIB, 0, -EINVAL }, { "a", "k", "", 32 * MIB, 17, -EINVAL },
		{ "a", "k", "", 8 * MIB, 1, -EINVAL }, { "a", "k", "", 33 * MIB, 1, -EINVAL },
		{ "a", "k", "", 65 * GIB, 1, -EINVAL }, { "a", "k", "", 1 * GIB, 1, -ENOMEM },
		{ "one", "k", "", 32 * MIB, 1, -EEXIST },
	};

	(void)state;
	create("one");
	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		struct vm_config config = config_of(cases[i].name);
		const char *why = NULL;
		struct vm *vm;

		str_copy(config.kernel, sizeof(config.kernel), cases[i].kernel);
		str_copy(config.console, sizeof(config.console), cases[i].console);
		config.ram_bytes = cases[i].ram_bytes;
		config.vcpu_count = cases[i].vcpus;
		assert_int_equal(vm_create(&vm, &config, &why), cases[i].err);
		assert_true(why && why[0]);
	}
}

static void without_virtualization_there_is_a_sentence(void **state)
{
	struct vm_config config = config_of("a");
	struct hv_ops *before = hv;
	const char *why = "";
	struct vm *vm;

	(void)state;
	hv = NULL;
	hv_missing = "this CPU has no AMD-V";
	assert_int_equal(vm_create(&vm, &config, &why), -ENODEV);
	assert_string_equal(why, "this CPU has no AMD-V");
	hv = before;
}

/* Each step of building fails once; what the steps before took comes back. */
static void a_failure_on_the_way_gives_all_back(void **state)
{
	struct vm_config config = config_of("a");
	const char *why;
	struct vm *vm;

	(void)state;
	platform_result = -ENOMEM;
	assert_int_equal(vm_create(&vm, &config, &why), -ENOMEM);
	expect_nothing_left();
	platform_result = 0;
	console_result = -ENOMEM;
	assert_int_equal(vm_create(&vm, &config, &why), -ENOMEM);
	expect_nothing_left();
	console_result = 0;
	assert_int_equal(vm_create(&vm, &config, &why), 0);
}

/* And when memory ends at any point. */
static void memory_may_end_anywhere(void **state)
{
	struct vm_config config = config_of("a");
	hpa_t taken[ARENA / PAGE_BYTES];
	unsigned count = 0, successes = 0;
	const char *why;
	struct vm *vm;

	(void)state;
	config.ram_bytes = 16 * MIB;
	config.vcpu_count = 3;
	/* All but the VM's RAM and a few pages, which become more, one at a time. */
	while (!page_alloc(PAGE_4K, &taken[count]))
		count++;
	for (unsigned i = 0; i < 2 * 8 * 512 + 511; i++)
		page_free(taken[--count], PAGE_4K);
	for (unsigned i = 0; i < 60; i++) {
		struct page_stats before, after;
		struct heap_stats heap_after;

		page_get_stats(&before);
		if (!vm_create(&vm, &config, &why)) {
			successes++;
			vm_destroy(vm);
		}
		page_get_stats(&after);
		heap_get_stats(&heap_after);
		assert_int_equal(after.free_bytes, before.free_bytes);
		assert_int_equal(heap_after.objects, heap_before.objects);
		page_alloc(PAGE_4K, &taken[count++]);
		for (unsigned n = 0; n < 100 && !page_alloc(PAGE_4K, &taken[count]); n++)
			count++;
	}
	assert_in_range(successes, 1, 59);
	while (count)
		page_free(taken[--count], PAGE_4K);
}

static void memory_is_cleared_before_the_guest_runs(void **state)
{
	struct vm *vm;
	const char *why;

	(void)state;
	vm = create("a");
	assert_false(vm_is_prepared(vm));
	/* Somebody else's secrets. */
	for (u64 i = 0; i < vm->gmem.page_count; i++)
		memset(gmem_page(&vm->gmem, i), 0xee, PAGE_BYTES);
	turns();
	assert_int_equal(vm_start(vm, &why), 0);
	assert_true(vm_is_prepared(vm));
	for (u64 i = 0; i < vm->gmem.page_count; i++) {
		const u64 *page = gmem_page(&vm->gmem, i);

		for (unsigned n = 0; n < PAGE_BYTES / 8; n++)
			assert_int_equal(page[n], 0);
	}
}

/* --- run --- */

static void a_vm_runs_pauses_and_goes_on(void **state)
{
	struct vm *vm = running("a");
	u64 entries;

	(void)state;
	assert_int_equal(vtime_wall_base_ns(vm), rtc_ns);
	turns();
	entries = fake_vcpu(vm->vcpu[0]->hv)->enter_count;
	assert_true(entries > 0);
	assert_int_equal(vm_pause(vm), 0);
	assert_int_equal(vm->state, VM_PAUSED);
	assert_true(vm_is_halted(vm));
	assert_int_equal(vm_pause(vm), -EINVAL);
	turns();
	assert_int_equal(fake_vcpu(vm->vcpu[0]->hv)->enter_count, entries);
	assert_int_equal(vm_resume(vm), 0);
	assert_int_equal(vm_resume(vm), -EINVAL);
	vm->vcpu[0]->activity = VCPU_ACTIVE;
	turns();
	assert_true(fake_vcpu(vm->vcpu[0]->hv)->enter_count > entries);
}

static void power_off_stops_it_and_it_starts_again(void **state)
{
	struct vm *vm = running("a");
	const char *why = "";

	(void)state;
	turns();
	assert_int_equal(vm_power_button(vm), 0);
	service_wake();
	turns();
	assert_int_equal(vm->state, VM_STOPPED);
	assert_string_equal(vm->why, "powered off by the guest");
	assert_int_equal(vm_power_button(vm), -EINVAL);
	rtc_ns += 3600 * NS_PER_SEC;
	assert_int_equal(vm_start(vm, &why), 0);
	assert_int_equal(vm->state, VM_RUNNING);
	/* An hour went by while it was off. */
	assert_int_equal(vtime_wall_base_ns(vm) + vtime_now_ns(vm), rtc_ns);
	assert_int_equal(vm_start(vm, &why), -EINVAL);
}

static void reset_loads_the_guest_again(void **state)
{
	struct vm *vm = running("a");

	(void)state;
	vm->want_reset = true;
	service_wake();
	turns();
	assert_int_equal(vm->state, VM_RUNNING);
	assert_int_equal(loads, 2);
	assert_false(vm->want_reset);
	load_result = -EFAULT;
	vm->want_reset = true;
	service_wake();
	turns();
	assert_int_equal(vm->state, VM_STOPPED);
	assert_string_equal(vm->why, "does not fit");
}

static void a_triple_fault_ends_it_and_not_its_neighbour(void **state)
{
	struct vm *a = running("a"), *b;

	(void)state;
	next_reason = HV_EXIT_TRIPLE_FAULT;
	turns();
	assert_int_equal(a->state, VM_STOPPED);
	assert_non_null(strstr(a->why, "triple fault"));
	b = running("b");
	turns();
	assert_int_equal(b->state, VM_RUNNING);
	assert_true(fake_vcpu(b->vcpu[0]->hv)->enter_count > 0);
}

static void the_first_reason_counts(void **state)
{
	struct vm *vm = running("a");

	(void)state;
	vm_kill(vm, "first", 1);
	vm_kill(vm, "second", 2);
	turns();
	assert_string_equal(vm->why, "first (0x1)");
}

/* A move has it in its hands: nobody else acts, the wish stays. */
static void a_moving_vm_is_left_alone(void **state)
{
	struct vm *vm = running("a");

	(void)state;
	vm->migration = vm;
	vm->want_poweroff = true;
	service_wake();
	turns();
	assert_int_equal(vm->state, VM_RUNNING);
	assert_true(vm_wants_attention(vm));
	vm->migration = NULL;
	service_wake();
	turns();
	assert_int_equal(vm->state, VM_STOPPED);
}

static void an_incoming_vm_does_not_run_by_itself(void **state)
{
	struct vm_config config = config_of("a");
	const char *why = "";
	struct vm *vm;

	(void)state;
	str_copy(config.kernel, sizeof(config.kernel), "missing");
	assert_int_equal(vm_create_incoming(&vm, &config, &why), 0);
	assert_int_equal(vm->state, VM_INCOMING);
	turns();
	assert_int_equal(fake_vcpu(vm->vcpu[0]->hv)->enter_count, 0);
	assert_int_equal(vm_start(vm, &why), -EINVAL);
	vm->state = VM_RUNNING;
	vm_go(vm);
	turns();
	assert_true(fake_vcpu(vm->vcpu[0]->hv)->enter_count > 0);
}

static void destroying_a_running_vm_tells_first(void **state)
{
	(void)state;
	vm_destroy(running("a"));
	assert_int_equal(destroys, 1);
	expect_nothing_left();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bad_wishes_are_refused),
		TEST(without_virtualization_there_is_a_sentence),
		TEST(a_failure_on_the_way_gives_all_back),
		TEST(memory_may_end_anywhere),
		TEST(memory_is_cleared_before_the_guest_runs),
		TEST(a_vm_runs_pauses_and_goes_on),
		TEST(power_off_stops_it_and_it_starts_again),
		TEST(reset_loads_the_guest_again),
		TEST(a_triple_fault_ends_it_and_not_its_neighbour),
		TEST(the_first_reason_counts),
		TEST(a_moving_vm_is_left_alone),
		TEST(an_incoming_vm_does_not_run_by_itself),
		TEST(destroying_a_running_vm_tells_first),
	};

	vm_init();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
