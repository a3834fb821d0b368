/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vCPU's loop and its exits, with a guest that is a C function: when it enters, what it brings
 * in, when it waits and wakes and parks, and what each exit does to the guest.
 */
/* SOURCES: vmm/vcpu.c vmm/exit.c arch/nested.c arch/vcpu_state.c kernel/page.c kernel/page_map.c kernel/heap.c
 * kernel/panic.c kernel/log.c kernel/fmt.c kernel/clock.c kernel/str.c tests/host/fake/hv_fake.c */
#include "tests/host/fake/machine.h"
#include "tests/host/fake/memory.h"
#include "tests/host/fake/hv_fake.h"
#include "vmm/insn.h"
#include "vmm/irq.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

static struct vm vm;

/* --- what surrounds the two files, as variables --- */

static int pending_vector, blocked_vector, accepted_vector;
static u8 lapic_tpr;
static bool should_yield;
static unsigned wakes, service_wakes, tsc_loads;
static bool was_killed;
static u64 last_port_value;

int irq_pending_vector(struct vcpu *vcpu)
{
	(void)vcpu;
	return pending_vector;
}

int irq_blocked_vector(struct vcpu *vcpu)
{
	(void)vcpu;
	return blocked_vector;
}

void irq_accept(struct vcpu *vcpu, int vector)
{
	(void)vcpu;
	accepted_vector = vector;
	pending_vector = -1;
}

u8 irq_get_tpr(struct vcpu *vcpu)
{
	(void)vcpu;
	return lapic_tpr;
}

void irq_set_tpr(struct vcpu *vcpu, u8 cr8)
{
	(void)vcpu;
	lapic_tpr = cr8;
}

void sched_add(struct runnable *runnable) { runnable->cpu = 1; }
void sched_remove(struct runnable *runnable) { (void)runnable; }
void sched_wake(struct runnable *runnable)
{
	(void)runnable;
	wakes++;
}
bool sched_should_yield(void) { return should_yield; }
void service_wake(void) { service_wakes++; }

void vtime_load_tsc(struct vcpu *vcpu)
{
	(void)vcpu;
	tsc_loads++;
}

u64 vtime_tsc_now(const struct vm *which)
{
	(void)which;
	return 0x1234567890;
}

void vm_kill(struct vm *which, const char *why, u64 value)
{
	(void)why, (void)value;
	was_killed = true;
	which->vcpu[0]->want_park = true;
}

u64 bus_port_read(struct vcpu *vcpu, u16 port, u8 size)
{
	(void)vcpu, (void)size;
	return port == 0x60 ? 0xa1b2c3d4 & BITS(size * 8u - 1, 0) : 0;
}

void bus_port_write(struct vcpu *vcpu, u16 port, u8 size, u64 value)
{
	(void)vcpu, (void)port;
	last_port_value = value & BITS(size * 8u - 1, 0);
}

enum bus_msr_result bus_msr_read(struct vcpu *vcpu, u32 index, u64 *value)
{
	(void)vcpu;
	*value = 0x1122334455667788;
	return index == 1 ? BUS_MSR_DONE : index == 2 ? BUS_MSR_FAULT : BUS_MSR_UNCLAIMED;
}

enum bus_msr_result bus_msr_write(struct vcpu *vcpu, u32 index, u64 value)
{
	return bus_msr_read(vcpu, index, &value);
}

bool gmem_is_ram(const struct gmem *gmem, gpa_t gpa, u64 bytes)
{
	(void)gmem, (void)bytes;
	return gpa.value < MIB;
}

void cpuid_exit(struct vcpu *vcpu) { vcpu->hv->gpr[RAX] = 0xc0de; }

bool cpuid_allows_xcr0(const struct cpuid_policy *policy, u64 xcr0)
{
	(void)policy;
	return !(xcr0 & ~7ull);
}

static u64 mmio_gpa;

void insn_mmio(struct vcpu *vcpu, u64 gpa, bool is_write)
{
	(void)is_write;
	mmio_gpa = gpa;
	vcpu->hv->rip += 3;
}

void insn_string_io(struct vcpu *vcpu) { vcpu->hv->rip += 2; }

bool insn_cr8_write(struct vcpu *vcpu, u64 *value, u8 *length)
{
	*value = vcpu->hv->gpr[RBX];
	*length = 4;
	return true;
}

bool insn_is_rdtscp(struct vcpu *vcpu)
{
	(void)vcpu;
	return false;
}

u8 insn_length(struct vcpu *vcpu)
{
	(void)vcpu;
	return 2;
}

/* --- the guest: a list of exits, then HLT --- */

static struct hv_exit script[8];
static unsigned script_count, script_at;
static void (*on_enter)(struct fake_vcpu *guest);

static void guest(struct fake_vcpu *vcpu, struct hv_exit *exit)
{
	if (on_enter)
		on_enter(vcpu);
	vcpu->hv.is_event_queued = false; /* it was delivered */
	if (script_at < script_count)
		*exit = script[script_at++];
	else
		*exit = (struct hv_exit){ .reason = HV_EXIT_HLT, .insn_len = 1 };
}

static struct nested nested;
static struct vcpu *vcpu;

static int setup(void **state)
{
	(void)state;
	fake_memory_init(16 * MIB);
	fake_hv_init();
	memset(&vm, 0, sizeof(vm));
	memset(&nested, 0, sizeof(nested));
	vm.config.vcpu_count = 1;
	pending_vector = blocked_vector = accepted_vector = -1;
	lapic_tpr = 0;
	should_yield = was_killed = false;
	wakes = service_wakes = tsc_loads = 0;
	script_count = script_at = 0;
	on_enter = NULL;
	fake_guest = guest;
	fake.cpu = 1;
	assert_int_equal(vcpu_create(&vm, 0), 0);
	vcpu = vm.vcpu[0];
	vcpu->hv->rip = 0x1000;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vcpu_park(vcpu);
	vcpu->runnable.run(&vcpu->runnable);
	vcpu_destroy(vcpu);
	assert_int_equal(fake_vcpu_count, 0);
	return 0;
}

static enum run_result run(void) { return vcpu->runnable.run(&vcpu->runnable); }
static struct fake_vcpu *inside(void) { return fake_vcpu(vcpu->hv); }

static void play(struct hv_exit exit)
{
	script[0] = exit;
	script_count = 1;
	script_at = 0;
	vcpu->activity = VCPU_ACTIVE;
	vcpu_unpark(vcpu);
	vcpu->hv->rip = 0x1000;
	inside()->inject_count = 0;
	should_yield = true;
	run();
	should_yield = false;
}

/* --- the loop --- */

static void a_new_vcpu_stays_parked(void **state)
{
	(void)state;
	assert_true(vcpu->is_parked);
	assert_int_equal(run(), RUN_BLOCKED);
	assert_int_equal(inside()->enter_count, 0);
}

static void hlt_blocks_until_an_interrupt(void **state)
{
	(void)state;
	vcpu_unpark(vcpu);
	assert_int_equal(run(), RUN_BLOCKED);
	assert_int_equal(vcpu->activity, VCPU_HALTED);
	assert_int_equal(vcpu->hv->rip, 0x1001);
	assert_int_equal(tsc_loads, 1);
	/* Woken for nothing: it sleeps on without entering. */
	assert_int_equal(run(), RUN_BLOCKED);
	assert_int_equal(inside()->enter_count, 1);
	/* With IF clear an interrupt does not end HLT. */
	pending_vector = 0x30;
	assert_int_equal(run(), RUN_BLOCKED);
	assert_int_equal(inside()->enter_count, 1);
	vcpu->hv->rflags |= RFLAGS_IF;
	assert_int_equal(run(), RUN_BLOCKED);
	assert_int_equal(inside()->enter_count, 2);
	assert_int_equal(accepted_vector, 0x30);
	assert_int_equal(inside()->injected.vector, 0x30);
	assert_int_equal(inside()->injected.type, EVENT_EXTERNAL);
	assert_int_equal(tsc_loads, 1);
}

static void window_is_wanted(struct fake_vcpu *g) { assert_true(g->hv.want_irq_window); }

static void an_interrupt_waits_for_its_window(void **state)
{
	(void)state;
	pending_vector = 0x41;
	on_enter = window_is_wanted;
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_int_equal(accepted_vector, -1);
	vcpu->hv->rflags |= RFLAGS_IF;
	vcpu->hv->has_shadow = true;
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_int_equal(accepted_vector, -1);
	vcpu->hv->has_shadow = false;
	on_enter = NULL;
	play((struct hv_exit){ .reason = HV_EXIT_IRQ_WINDOW });
	assert_int_equal(accepted_vector, 0x41);
	assert_false(vcpu->hv->want_irq_window);
}

static void what_cr8_holds_back_is_watched(void **state)
{
	(void)state;
	blocked_vector = 0x41;
	lapic_tpr = 5;
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_true(vcpu->hv->want_cr8_exit);
	assert_int_equal(vcpu->hv->tpr, 5);
	vcpu->hv->gpr[RBX] = 3;
	play((struct hv_exit){ .reason = HV_EXIT_CR8_WRITE });
	assert_int_equal(lapic_tpr, 3);
	assert_int_equal(vcpu->hv->rip, 0x1004);
	vcpu->hv->gpr[RBX] = 0x10;
	play((struct hv_exit){ .reason = HV_EXIT_CR8_WRITE });
	assert_int_equal(inside()->injected.vector, 13);
	assert_int_equal(lapic_tpr, 3);
	blocked_vector = -1;
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_false(vcpu->hv->want_cr8_exit);
}

static void guest_sets_cr8(struct fake_vcpu *g) { g->hv.tpr = 7; }

static void cr8_written_in_the_guest_reaches_the_apic(void **state)
{
	(void)state;
	on_enter = guest_sets_cr8;
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_int_equal(lapic_tpr, 7);
}

static void nmis_come_one_at_a_time(void **state)
{
	(void)state;
	vcpu_nmi(vcpu);
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_int_equal(inside()->injected.type, EVENT_NMI);
	assert_false(vcpu->nmi_pending);
	vcpu->hv->is_nmi_blocked = true;
	vcpu_nmi(vcpu);
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_true(vcpu->nmi_pending);
	assert_true(vcpu->hv->want_nmi_window);
	vcpu->hv->is_nmi_blocked = false;
	play((struct hv_exit){ .reason = HV_EXIT_NMI_WINDOW });
	assert_false(vcpu->nmi_pending);
}

static void parking_answers_once_it_is_out(void **state)
{
	(void)state;
	vcpu_unpark(vcpu);
	vcpu_park(vcpu);
	assert_false(vcpu_is_quiet(vcpu));
	assert_int_equal(run(), RUN_BLOCKED);
	assert_true(vcpu_is_quiet(vcpu));
	assert_int_equal(inside()->enter_count, 0);
	assert_int_equal(inside()->park_count, 1);
	assert_true(service_wakes > 0);
}

/* A kick that was under way when the vCPU parked: what others do with the parked one is not disturbed. */
static void a_late_wake_does_not_touch_a_parked_vcpu(void **state)
{
	struct vcpu_state saved;

	(void)state;
	vcpu_unpark(vcpu);
	vcpu_park(vcpu);
	run();
	service_wakes = 0;
	vcpu_init_signal(vcpu);
	assert_int_equal(run(), RUN_BLOCKED);
	assert_true(vcpu_is_quiet(vcpu));
	assert_true(vcpu->init_pending);
	assert_int_equal(inside()->park_count, 1);
	assert_int_equal(service_wakes, 0);
	vcpu->index = 1; /* INIT of the boot CPU would be a reset */
	vcpu_settle(vcpu);
	vcpu_save(vcpu, &saved);
	vcpu->index = 0;
	assert_false(vcpu->init_pending);
	assert_int_equal(saved.activity, VCPU_WAIT_FOR_SIPI);
}

static void ask_to_park(struct fake_vcpu *g)
{
	(void)g;
	vcpu_park(vcpu);
}

static void parking_while_inside(void **state)
{
	(void)state;
	on_enter = ask_to_park;
	vcpu_unpark(vcpu);
	script[0] = script[1] = (struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT };
	script_count = 2;
	assert_int_equal(run(), RUN_BLOCKED);
	assert_int_equal(inside()->enter_count, 1);
	assert_true(vcpu->is_parked);
}

static void the_own_cpu_parks_at_once(void **state)
{
	(void)state;
	vcpu_unpark(vcpu);
	fake.cpu = 0;
	vcpu_park_here(vcpu);
	assert_false(vcpu->is_parked);
	fake.cpu = 1;
	vcpu_park_here(vcpu);
	assert_true(vcpu->is_parked);
}

static void a_kick_from_its_own_exit_is_none(void **state)
{
	(void)state;
	wakes = 0;
	vcpu->runnable.is_running = true;
	vcpu_kick(vcpu);
	assert_int_equal(wakes, 0);
	fake.cpu = 0;
	vcpu_kick(vcpu);
	assert_int_equal(wakes, 1);
	vcpu->runnable.is_running = false;
	fake.cpu = 1;
	vcpu_kick(vcpu);
	assert_int_equal(wakes, 2);
}

static void is_odd_inside(struct fake_vcpu *g)
{
	assert_true(vcpu->entry_count & 1);
	assert_int_equal(g->flush_count, 1);
	assert_false(vcpu->want_flush);
}

static void a_flush_comes_before_the_entry(void **state)
{
	(void)state;
	vcpu->want_flush = true;
	on_enter = is_odd_inside;
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_int_equal(vcpu->entry_count, 2);
}

static void it_yields_when_asked_and_on_pause(void **state)
{
	(void)state;
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_int_equal(inside()->enter_count, 1);
	script[0] = (struct hv_exit){ .reason = HV_EXIT_PAUSE, .insn_len = 2 };
	script_at = 0;
	assert_int_equal(run(), RUN_AGAIN);
	assert_int_equal(vcpu->hv->rip, 0x1002);
}

/* --- other vCPUs' signals --- */

static void init_and_sipi_start_a_second_vcpu(void **state)
{
	struct vcpu *second;
	struct vcpu_state saved;

	(void)state;
	vm.config.vcpu_count = 2;
	assert_int_equal(vcpu_create(&vm, 1), 0);
	second = vm.vcpu[1];
	vcpu_unpark(second);
	assert_int_equal(second->runnable.run(&second->runnable), RUN_BLOCKED);
	assert_int_equal(fake_vcpu(second->hv)->enter_count, 0);
	vcpu_init_signal(second);
	vcpu_sipi(second, 0x9a);
	second->runnable.run(&second->runnable);
	assert_int_equal(fake_vcpu(second->hv)->enter_count, 1);
	vcpu_save(second, &saved);
	assert_int_equal(saved.segment[SEG_CS].base, 0x9a000);
	assert_int_equal(saved.segment[SEG_CS].selector, 0x9a00);
	assert_int_equal(saved.rip, 1); /* the HLT there was carried out */
	/* Running: a SIPI is ignored. */
	vcpu_sipi(second, 0x11);
	second->runnable.run(&second->runnable);
	vcpu_save(second, &saved);
	assert_int_equal(saved.segment[SEG_CS].base, 0x9a000);
	/* A signal that comes with a park is in the state that is saved. */
	vcpu_init_signal(second);
	vcpu_park(second);
	second->runnable.run(&second->runnable);
	vcpu_save(second, &saved);
	assert_int_equal(saved.activity, VCPU_WAIT_FOR_SIPI);
	vcpu_destroy(second);
	vm.config.vcpu_count = 1;
}

static void init_of_the_boot_cpu_resets_the_machine(void **state)
{
	(void)state;
	vcpu_init_signal(vcpu);
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_true(vm.want_reset);
}

static void state_goes_through_save_and_load(void **state)
{
	struct vcpu_state one, two;

	(void)state;
	vcpu->tsc_adjust = 77;
	vcpu->nmi_pending = true;
	vcpu->activity = VCPU_HALTED;
	memset(&one, 0, sizeof(one));
	memset(&two, 0, sizeof(two));
	vcpu_save(vcpu, &one);
	vcpu->tsc_adjust = 0;
	vcpu->nmi_pending = false;
	vcpu->activity = VCPU_ACTIVE;
	vcpu_load(vcpu, &one);
	assert_true(vcpu->want_tsc_load);
	vcpu_save(vcpu, &two);
	assert_memory_equal(&one, &two, sizeof(one));
	assert_int_equal(two.activity, VCPU_HALTED);
}

/* --- exits --- */

static void port_exits(void **state)
{
	(void)state;
	vcpu->hv->gpr[RAX] = 0xffffffffffffffff;
	play((struct hv_exit){ .reason = HV_EXIT_IO, .insn_len = 1, .io = { .port = 0x60, .size = 1, .is_in = true } });
	assert_true(vcpu->hv->gpr[RAX] == 0xffffffffffffffd4);
	assert_int_equal(vcpu->hv->rip, 0x1001);
	play((struct hv_exit){ .reason = HV_EXIT_IO, .insn_len = 1, .io = { .port = 0x60, .size = 2, .is_in = true } });
	assert_true(vcpu->hv->gpr[RAX] == 0xffffffffffffc3d4);
	play((struct hv_exit){ .reason = HV_EXIT_IO, .insn_len = 1, .io = { .port = 0x60, .size = 4, .is_in = true } });
	assert_true(vcpu->hv->gpr[RAX] == 0xa1b2c3d4);
	play((struct hv_exit){ .reason = HV_EXIT_IO, .insn_len = 2, .io = { .port = 0x70, .size = 1 } });
	assert_int_equal(last_port_value, 0xd4);
}

static void msr_exits(void **state)
{
	(void)state;
	play((struct hv_exit){ .reason = HV_EXIT_MSR_READ, .insn_len = 2, .msr = { .index = 1 } });
	assert_int_equal(vcpu->hv->gpr[RAX], 0x55667788);
	assert_int_equal(vcpu->hv->gpr[RDX], 0x11223344);
	assert_int_equal(vcpu->hv->rip, 0x1002);
	for (u32 index = 2; index <= 3; index++) {
		play((struct hv_exit){ .reason = HV_EXIT_MSR_READ, .insn_len = 2, .msr = { .index = index } });
		assert_int_equal(inside()->injected.vector, 13);
		assert_int_equal(vcpu->hv->rip, 0x1000);
		play((struct hv_exit){ .reason = HV_EXIT_MSR_WRITE, .insn_len = 2, .msr = { .index = index } });
		assert_int_equal(inside()->inject_count, 1);
	}
}

static void xsetbv_takes_what_the_cpu_takes(void **state)
{
	static const struct {
		u32 index;
		u64 value;
		bool is_good;
	} cases[] = {
		{ 0, 1, true }, { 0, 3, true }, { 0, 7, true }, { 0, 0, false }, { 0, 2, false }, { 0, 5, false },
		{ 0, 0x27, false }, { 0, 0xe7, false }, { 1, 3, false }, { 0, BIT(63) | 1, false },
	};

	(void)state;
	hv->limits.xcr0 = 0xe7;
	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		play((struct hv_exit){ .reason = HV_EXIT_XSETBV, .insn_len = 3,
				       .xsetbv = { cases[i].index, cases[i].value } });
		assert_int_equal(inside()->inject_count, !cases[i].is_good);
		if (cases[i].is_good)
			assert_int_equal(inside()->state.xcr0, cases[i].value);
	}
}

static void hypercalls_and_odd_instructions(void **state)
{
	(void)state;
	vcpu->hv->gpr[RAX] = 12345;
	play((struct hv_exit){ .reason = HV_EXIT_HYPERCALL, .insn_len = 3 });
	assert_true(vcpu->hv->gpr[RAX] == (u64)-1000);
	assert_int_equal(vcpu->hv->rip, 0x1003);
	play((struct hv_exit){ .reason = HV_EXIT_CPUID, .insn_len = 2 });
	assert_int_equal(vcpu->hv->gpr[RAX], 0xc0de);
	play((struct hv_exit){ .reason = HV_EXIT_RDTSC, .insn_len = 2 });
	assert_int_equal(vcpu->hv->gpr[RAX], 0x34567890);
	assert_int_equal(vcpu->hv->gpr[RDX], 0x12);
	play((struct hv_exit){ .reason = HV_EXIT_WBINVD });
	assert_int_equal(vcpu->hv->rip, 0x1002); /* measured, since the back end did not know */
	play((struct hv_exit){ .reason = HV_EXIT_MWAIT, .insn_len = 3 });
	assert_int_equal(inside()->injected.vector, 6);
	assert_int_equal(vcpu->hv->rip, 0x1000);
	assert_false(was_killed);
}

static void nested_faults(void **state)
{
	unsigned flushes = (unsigned)inside()->flush_count;

	(void)state;
	play((struct hv_exit){ .reason = HV_EXIT_NESTED_FAULT, .nested = { .gpa = GPA(0xfee00020) } });
	assert_int_equal(mmio_gpa, 0xfee00020);
	play((struct hv_exit){ .reason = HV_EXIT_NESTED_FAULT, .nested = { .gpa = GPA(0x5000) } });
	assert_int_equal(vcpu->hv->rip, 0x1000);
	assert_int_equal(inside()->flush_count, flushes + 1);
	assert_false(was_killed);
	play((struct hv_exit){ .reason = HV_EXIT_NESTED_FAULT, .nested = { .gpa = GPA(0xfee00020), .is_fetch = true } });
	assert_true(was_killed);
}

static void what_has_no_answer_ends_the_vm(void **state)
{
	static const enum hv_exit_reason reasons[] = { HV_EXIT_TRIPLE_FAULT, HV_EXIT_ENTRY_FAILED, HV_EXIT_UNKNOWN };

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(reasons); i++) {
		was_killed = false;
		play((struct hv_exit){ .reason = reasons[i] });
		assert_true(was_killed);
		assert_int_equal(run(), RUN_BLOCKED);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_vcpu_stays_parked),
		TEST(hlt_blocks_until_an_interrupt),
		TEST(an_interrupt_waits_for_its_window),
		TEST(what_cr8_holds_back_is_watched),
		TEST(cr8_written_in_the_guest_reaches_the_apic),
		TEST(nmis_come_one_at_a_time),
		TEST(parking_answers_once_it_is_out),
		TEST(a_late_wake_does_not_touch_a_parked_vcpu),
		TEST(parking_while_inside),
		TEST(the_own_cpu_parks_at_once),
		TEST(a_kick_from_its_own_exit_is_none),
		TEST(a_flush_comes_before_the_entry),
		TEST(it_yields_when_asked_and_on_pause),
		TEST(init_and_sipi_start_a_second_vcpu),
		TEST(init_of_the_boot_cpu_resets_the_machine),
		TEST(state_goes_through_save_and_load),
		TEST(port_exits),
		TEST(msr_exits),
		TEST(xsetbv_takes_what_the_cpu_takes),
		TEST(hypercalls_and_odd_instructions),
		TEST(nested_faults),
		TEST(what_has_no_answer_ends_the_vm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
