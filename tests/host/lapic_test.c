/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC: priorities, timer modes, the two windows, IPIs and destinations (SDM 3A 11). */
/* SOURCES: kernel/timer.c kernel/clock.c vmm/bus.c vmm/device.c vmm/irq.c vmm/vtime.c vmm/msr.c
 * arch/guest_cpu.c vmm/platform.c
 * vmm/dev/acpi_pm.c vmm/dev/apic_bus.c vmm/dev/calendar.c vmm/dev/device_timer.c vmm/dev/ioapic.c
 * vmm/dev/kvmclock.c vmm/dev/lapic.c vmm/dev/lapic_timer.c vmm/dev/pci.c vmm/dev/pic.c vmm/dev/pit.c
 * vmm/dev/reset.c vmm/dev/rtc.c vmm/dev/uart.c */
#include "tests/host/fake/vm.h"
#include "vmm/dev/lapic.h"

#define X2APIC(offset) (0x800u + (offset) / 16)
#define APIC_BASE 0x1b
#define TSC 0x10
#define TSC_ADJUST 0x3b
#define TSC_DEADLINE 0x6e0

static struct fake_vm *f;

static int setup(void **state)
{
	(void)state;
	fake_time_init(1000000);
	f = fake_vm_new(3);
	for (u32 i = 0; i < 3; i++)
		fake_enable_apic(f, i);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_destroy(f);
	return timer_armed_count() != 0;
}

static u32 rd(u32 offset) { return guest_read32(f, 0, XAPIC(offset)); }
static void wr(u32 offset, u32 value) { guest_write32(f, 0, XAPIC(offset), value); }
static void run(u64 ns) { fake_run_until(fake_now_ns() + ns, NULL, NULL); }

static void self_ipi(u8 vector) { wr(0x300, 0x40000 | vector); }

static void enter_x2apic(u32 vcpu)
{
	assert_true(guest_wrmsr(f, vcpu, APIC_BASE, 0xfee00c00 | (vcpu ? 0 : 0x100)));
}

static void power_on_values(void **state)
{
	u64 base;

	(void)state;
	assert_true(guest_rdmsr(f, 0, APIC_BASE, &base));
	assert_int_equal(base, 0xfee00900);
	assert_true(guest_rdmsr(f, 1, APIC_BASE, &base));
	assert_int_equal(base, 0xfee00800);
	assert_int_equal(rd(0x20), 0);
	assert_int_equal(guest_read32(f, 2, XAPIC(0x20)), 2u << 24);
	assert_int_equal(rd(0x30), 0x50014);
	assert_int_equal(rd(0xe0), 0xffffffff);
	for (u32 lvt = 0x320; lvt <= 0x370; lvt += 0x10) {
		assert_int_equal(guest_read32(f, 1, XAPIC(lvt)), 0x10000);
		/* The boot processor is in virtual wire mode, as after firmware. */
		assert_int_equal(rd(lvt), lvt == 0x350 ? 0x700 : lvt == 0x360 ? 0x400 : 0x10000);
	}
}

static void higher_class_preempts_and_equal_class_waits(void **state)
{
	(void)state;
	self_ipi(0x41);
	assert_int_equal(guest_take(f, 0), 0x41);
	self_ipi(0x45);
	assert_int_equal(guest_take(f, 0), -1);
	assert_int_equal(rd(0xa0), 0x40);
	self_ipi(0x51);
	assert_int_equal(guest_take(f, 0), 0x51);
	assert_int_equal(rd(0x120), 0x20002); /* ISR 95:64 has 0x41 and 0x51 */
	fake_eoi(f, 0);
	assert_int_equal(guest_take(f, 0), -1);
	fake_eoi(f, 0);
	assert_int_equal(guest_take(f, 0), 0x45);
	fake_eoi(f, 0);
	assert_int_equal(rd(0xa0), 0);
}

static void task_priority_and_cr8_are_one(void **state)
{
	(void)state;
	lock_take(&f->vm.lock);
	irq_set_tpr(&f->vcpus[0], 5);
	lock_give(&f->vm.lock);
	assert_int_equal(rd(0x80), 0x50);
	self_ipi(0x5f);
	assert_int_equal(guest_take(f, 0), -1);
	assert_int_equal(irq_blocked_vector(&f->vcpus[0]), 0x5f);
	/* What an interrupt in service holds back is none of CR8's business. */
	self_ipi(0xf1);
	assert_int_equal(guest_take(f, 0), 0xf1);
	assert_int_equal(irq_blocked_vector(&f->vcpus[0]), -1);
	fake_eoi(f, 0);
	wr(0x80, 0x4c);
	assert_int_equal(irq_get_tpr(&f->vcpus[0]), 4);
	assert_int_equal(guest_take(f, 0), 0x5f);
	/* The same class again is no write: the low bits stay. */
	irq_set_tpr(&f->vcpus[0], 4);
	assert_int_equal(rd(0x80), 0x4c);
}

static void one_shot_timer_counts_down_once(void **state)
{
	(void)state;
	wr(0x320, 0x60);
	wr(0x3e0, 0xb); /* by 1 */
	wr(0x380, 5000);
	run(2000);
	assert_int_equal(rd(0x390), 3000);
	assert_int_equal(guest_take(f, 0), -1);
	run(3010);
	assert_int_equal(guest_take(f, 0), 0x60);
	assert_int_equal(rd(0x390), 0);
	run(100000);
	fake_eoi(f, 0);
	assert_int_equal(guest_take(f, 0), -1);
	assert_int_equal(timer_armed_count(), 0);
}

static void divider_slows_the_count_and_keeps_it(void **state)
{
	(void)state;
	wr(0x320, 0x60);
	wr(0x3e0, 0x0); /* by 2 */
	wr(0x380, 1000000);
	run(1000000);
	assert_int_equal(rd(0x390), 500000);
	wr(0x3e0, 0xa); /* by 128 */
	assert_int_equal(rd(0x390), 500000);
	run(64 * 128);
	assert_int_equal(rd(0x390), 500000 - 64);
}

static void periodic_timer_keeps_its_phase(void **state)
{
	u32 count = 0;

	(void)state;
	wr(0x320, 0x20060);
	wr(0x3e0, 0xb);
	wr(0x380, 100000);
	for (u32 i = 0; i < 100; i++) {
		run(50000);
		if (guest_take(f, 0) == 0x60) {
			count++;
			fake_eoi(f, 0);
		}
	}
	assert_in_range(count, 49, 50);
	/* 5 ms have passed, a multiple of the period: the count is where it began. */
	assert_in_range(rd(0x390), 1, 100000);
	wr(0x380, 0);
	assert_int_equal(timer_armed_count(), 0);
}

static void missed_periods_are_one_interrupt(void **state)
{
	(void)state;
	wr(0x320, 0x20060);
	wr(0x3e0, 0xb);
	wr(0x380, 30000);
	fake_tsc += 3000000;
	timer_run();
	assert_int_equal(guest_take(f, 0), 0x60);
	fake_eoi(f, 0);
	assert_int_equal(guest_take(f, 0), -1);
	assert_in_range(rd(0x390), 1, 30000);
}

static void a_mad_period_does_not_take_the_host(void **state)
{
	u32 stops;

	(void)state;
	wr(0x320, 0x20060);
	wr(0x3e0, 0xb);
	wr(0x380, 1);
	stops = fake_run_until(fake_now_ns() + 10 * NS_PER_MS, NULL, NULL);
	assert_in_range(stops, 100, 600);
}

static void masked_timer_costs_nothing_and_counts(void **state)
{
	(void)state;
	wr(0x320, 0x30060);
	wr(0x3e0, 0xb);
	wr(0x380, 50000);
	assert_int_equal(timer_armed_count(), 0);
	run(170000);
	assert_int_equal(rd(0x390), 30000);
	assert_int_equal(guest_take(f, 0), -1);
	wr(0x320, 0x20060);
	assert_int_equal(guest_take(f, 0), -1);
	assert_int_equal(timer_armed_count(), 1);
}

static void deadline_timer_follows_the_guests_tsc(void **state)
{
	u64 value;

	(void)state;
	/* Ignored while the mode is another. */
	assert_true(guest_wrmsr(f, 0, TSC_DEADLINE, 5000));
	assert_true(guest_rdmsr(f, 0, TSC_DEADLINE, &value));
	assert_int_equal(value, 0);
	wr(0x320, 0x40060);
	f->vcpus[0].tsc_adjust = 1000000;
	assert_true(guest_wrmsr(f, 0, TSC_DEADLINE, 1000000 + 7000));
	assert_true(guest_rdmsr(f, 0, TSC_DEADLINE, &value));
	assert_int_equal(value, 1007000);
	run(6900);
	assert_int_equal(guest_take(f, 0), -1);
	run(200);
	assert_int_equal(guest_take(f, 0), 0x60);
	fake_eoi(f, 0);
	assert_true(guest_rdmsr(f, 0, TSC_DEADLINE, &value));
	assert_int_equal(value, 0);
	/* A deadline in the past fires at once, without the host's timer. */
	assert_true(guest_wrmsr(f, 0, TSC_DEADLINE, 1));
	assert_int_equal(guest_take(f, 0), 0x60);
	fake_eoi(f, 0);
	/* One that is never reached, and disarming by a change of mode. */
	assert_true(guest_wrmsr(f, 0, TSC_DEADLINE, ~0ull));
	assert_int_equal(timer_armed_count(), 1);
	run(3 * 86400 * NS_PER_SEC);
	assert_int_equal(guest_take(f, 0), -1);
	assert_true(guest_rdmsr(f, 0, TSC_DEADLINE, &value));
	assert_int_equal(value, ~0ull);
	wr(0x320, 0x60);
	assert_int_equal(timer_armed_count(), 0);
	f->vcpus[0].tsc_adjust = 0;
}

/* A move stops the guest when no interrupt is under way and none will come for a while. */
static void due_while_an_interrupt_is_near(void **state)
{
	(void)state;
	assert_false(vm_is_due(&f->vm, NS_PER_SEC));
	wr(0x320, 0x40060);
	assert_true(guest_wrmsr(f, 0, TSC_DEADLINE, 7000));
	assert_false(vm_is_due(&f->vm, 6000));
	assert_true(vm_is_due(&f->vm, 8000));
	run(7100);
	assert_true(vm_is_due(&f->vm, 0)); /* pending */
	assert_int_equal(guest_take(f, 0), 0x60);
	assert_true(vm_is_due(&f->vm, 0)); /* in service */
	fake_eoi(f, 0);
	assert_false(vm_is_due(&f->vm, NS_PER_SEC));
}

/* SDM 3A 11.5.4.1: the deadline is reached when the TSC says so, whoever set the TSC. */
static void a_written_tsc_moves_the_deadline(void **state)
{
	u64 now;

	(void)state;
	wr(0x320, 0x40060);
	assert_true(guest_rdmsr(f, 0, TSC, &now));
	assert_true(guest_wrmsr(f, 0, TSC_DEADLINE, now + 7000));
	assert_true(guest_wrmsr(f, 0, TSC, now + 5000));
	run(1900);
	assert_int_equal(guest_take(f, 0), -1);
	run(200);
	assert_int_equal(guest_take(f, 0), 0x60);
	fake_eoi(f, 0);
	/* Set back: later than armed. Set beyond the deadline: at once. */
	assert_true(guest_wrmsr(f, 0, TSC, 0));
	assert_true(guest_wrmsr(f, 0, TSC_DEADLINE, 3000));
	assert_true(guest_wrmsr(f, 0, TSC, 0));
	run(2900);
	assert_int_equal(guest_take(f, 0), -1);
	run(200);
	assert_int_equal(guest_take(f, 0), 0x60);
	fake_eoi(f, 0);
	assert_true(guest_wrmsr(f, 0, TSC_DEADLINE, NS_PER_SEC));
	assert_true(guest_rdmsr(f, 0, TSC_ADJUST, &now));
	assert_true(guest_wrmsr(f, 0, TSC_ADJUST, now + NS_PER_SEC));
	assert_int_equal(guest_take(f, 0), 0x60);
	fake_eoi(f, 0);
	assert_true(guest_wrmsr(f, 0, TSC_ADJUST, 0));
}

static void software_disable_masks_and_refuses(void **state)
{
	(void)state;
	wr(0x350, 0x700);
	wr(0xf0, 0xff);
	assert_int_equal(rd(0x350), 0x10700);
	wr(0x350, 0x700);
	assert_int_equal(rd(0x350), 0x10700);
	self_ipi(0x41);
	assert_int_equal(guest_take(f, 0), -1);
	/* INIT, NMI and SIPI still arrive. */
	guest_write32(f, 1, XAPIC(0x310), 0);
	guest_write32(f, 1, XAPIC(0x300), 0x4400);
	assert_int_equal(fake_count(f, EVENT_NMI_SIGNAL, 0), 1);
}

static void errors_gather_until_latched(void **state)
{
	(void)state;
	wr(0x370, 0xe1);
	self_ipi(3);
	assert_int_equal(rd(0x280), 0);
	wr(0x280, 0);
	assert_int_equal(rd(0x280), 0x20);
	assert_int_equal(guest_take(f, 0), 0xe1);
	fake_eoi(f, 0);
	rd(0x40);
	assert_int_equal(guest_take(f, 0), 0xe1);
	wr(0x280, 0);
	assert_int_equal(rd(0x280), 0x80);
	wr(0x280, 0);
	assert_int_equal(rd(0x280), 0);
	/* An error entry with an illegal vector does not ring itself. */
	wr(0x370, 0x05);
	fake_eoi(f, 0);
	self_ipi(3);
	assert_int_equal(guest_take(f, 0), -1);
}

static void init_and_sipi_start_another_cpu(void **state)
{
	(void)state;
	wr(0x310, 2u << 24);
	wr(0x300, 0x4500);
	wr(0x300, 0x8500); /* de-assert: nothing */
	wr(0x300, 0x4609);
	assert_int_equal(fake_count(f, EVENT_INIT_SIGNAL, 0), 1);
	assert_int_equal(fake_count(f, EVENT_SIPI_SIGNAL, 0), 1);
	assert_int_equal(f->event[0].vcpu, 2);
	assert_int_equal(f->event[1].value, 9);
	/* INIT leaves the APIC as at power-on. */
	assert_int_equal(guest_read32(f, 2, XAPIC(0xf0)), 0xff);
}

static void shorthands(void **state)
{
	(void)state;
	wr(0x300, 0x80000 | 0x71); /* all including self */
	for (u32 i = 0; i < 3; i++)
		assert_int_equal(guest_take(f, i), 0x71);
	wr(0x300, 0xc0000 | 0x81); /* all but self */
	assert_int_equal(guest_take(f, 0), -1);
	assert_int_equal(guest_take(f, 1), 0x81);
	assert_int_equal(guest_take(f, 2), 0x81);
}

static void logical_destinations(void **state)
{
	(void)state;
	for (u32 i = 0; i < 3; i++)
		guest_write32(f, i, XAPIC(0xd0), 1u << (24 + i));
	wr(0x310, 5u << 24);
	wr(0x300, 0x800 | 0x61);
	assert_int_equal(guest_take(f, 0), 0x61);
	assert_int_equal(guest_take(f, 1), -1);
	assert_int_equal(guest_take(f, 2), 0x61);
	/* Clusters: 0x12 is the second of cluster 1. */
	for (u32 i = 0; i < 3; i++) {
		guest_write32(f, i, XAPIC(0xe0), 0x0fffffff);
		guest_write32(f, i, XAPIC(0xd0), (0x10u | 1u << i) << 24);
	}
	wr(0x310, 0x12u << 24);
	wr(0x300, 0x800 | 0x91);
	assert_int_equal(guest_take(f, 0), -1);
	assert_int_equal(guest_take(f, 1), 0x91);
	wr(0x310, 0x22u << 24);
	wr(0x300, 0x800 | 0xa1);
	assert_int_equal(guest_take(f, 1), -1);
	/* All clusters. */
	wr(0x310, 0xf4u << 24);
	wr(0x300, 0x800 | 0xa1);
	assert_int_equal(guest_take(f, 2), 0xa1);
}

static void lowest_priority_goes_to_the_idlest(void **state)
{
	(void)state;
	guest_write32(f, 0, XAPIC(0x80), 0x30);
	guest_write32(f, 1, XAPIC(0x80), 0x10);
	guest_write32(f, 2, XAPIC(0x80), 0x20);
	wr(0x310, 0xffu << 24);
	wr(0x300, 0x900 | 0x61);
	assert_int_equal(guest_take(f, 0), -1);
	assert_int_equal(guest_take(f, 2), -1);
	assert_int_equal(guest_take(f, 1), 0x61);
}

static void mode_transitions_that_hardware_allows(void **state)
{
	(void)state;
	assert_false(guest_wrmsr(f, 0, APIC_BASE, 0xfee00500)); /* x2APIC without enable */
	assert_false(guest_wrmsr(f, 0, APIC_BASE, 0xfed00900)); /* the window stays */
	assert_false(guest_wrmsr(f, 0, APIC_BASE, 0xfee00b00)); /* reserved bit */
	wr(0x350, 0x8700);
	enter_x2apic(0);
	assert_int_equal(rd(0x350), 0xffffffff);               /* no MMIO now */
	assert_false(guest_wrmsr(f, 0, APIC_BASE, 0xfee00900)); /* no way back */
	assert_true(guest_wrmsr(f, 0, APIC_BASE, 0xfee00100));
	assert_false(guest_wrmsr(f, 0, APIC_BASE, 0xfee00d00)); /* disabled to x2APIC */
	assert_true(guest_wrmsr(f, 0, APIC_BASE, 0xfee00900));
	assert_int_equal(rd(0x350), 0x10000);
}

static void x2apic_rules(void **state)
{
	u64 value;

	(void)state;
	assert_false(guest_rdmsr(f, 0, X2APIC(0x20), &value)); /* in xAPIC mode */
	enter_x2apic(0);
	enter_x2apic(2);
	assert_true(guest_rdmsr(f, 2, X2APIC(0x20), &value));
	assert_int_equal(value, 2);
	assert_true(guest_rdmsr(f, 2, X2APIC(0xd0), &value));
	assert_int_equal(value, 4);
	assert_false(guest_wrmsr(f, 0, X2APIC(0x20), 0));      /* read-only */
	assert_false(guest_rdmsr(f, 0, X2APIC(0xb0), &value)); /* write-only */
	assert_false(guest_wrmsr(f, 0, X2APIC(0xb0), 1));      /* only 0 */
	assert_false(guest_wrmsr(f, 0, X2APIC(0x80), 0x100));  /* reserved bits */
	assert_false(guest_rdmsr(f, 0, X2APIC(0x310), &value));
	assert_false(guest_rdmsr(f, 0, X2APIC(0xe0), &value));
	assert_true(guest_wrmsr(f, 0, X2APIC(0x300), 2ull << 32 | 0x4071));
	assert_int_equal(guest_take(f, 2), 0x71);
	assert_true(guest_rdmsr(f, 0, X2APIC(0x300), &value));
	assert_int_equal(value, 2ull << 32 | 0x4071);
	assert_true(guest_wrmsr(f, 0, X2APIC(0x3f0), 0x99));
	assert_int_equal(guest_take(f, 0), 0x99);
	assert_true(guest_wrmsr(f, 0, X2APIC(0xb0), 0));
	/* Logical: cluster 0, members 0 and 2; broadcast is all 32 bits. */
	assert_true(guest_wrmsr(f, 0, X2APIC(0x300), 5ull << 32 | 0x48a1));
	assert_int_equal(guest_take(f, 0), 0xa1);
	assert_int_equal(guest_take(f, 2), 0xa1);
	assert_true(guest_wrmsr(f, 0, X2APIC(0x300), 0xffffffffull << 32 | 0x40b1));
	for (u32 i = 0; i < 3; i++)
		assert_int_equal(guest_take(f, i), 0xb1);
}

static void narrow_and_misplaced_accesses_are_harmless(void **state)
{
	(void)state;
	lock_take(&f->vm.lock);
	assert_int_equal(bus_mmio_read(&f->vcpus[0], XAPIC(0x30), 1), 0x14);
	assert_int_equal(bus_mmio_read(&f->vcpus[0], XAPIC(0x32), 2), 0x5);
	assert_int_equal(bus_mmio_read(&f->vcpus[0], XAPIC(0x34), 4), 0);
	bus_mmio_write(&f->vcpus[0], XAPIC(0x80), 1, 0x50);
	bus_mmio_write(&f->vcpus[0], XAPIC(0x84), 4, 0x50);
	lock_give(&f->vm.lock);
	assert_int_equal(rd(0x80), 0);
}

static void bad_states_are_refused(void **state)
{
	const struct lapic_state good = *(struct lapic_state *)f->vm.lapic[0]->state;
	struct lapic_state bad;

	(void)state;
#define REFUSED(change) \
	do { \
		bad = good; \
		bad.change; \
		assert_true(lapic_type.check(&bad) < 0); \
	} while (0)
	assert_int_equal(lapic_type.check(&good), 0);
	REFUSED(base = 0xfee00500);
	REFUSED(base = 0xfed00900);
	REFUSED(irr[0] = 1u << 15);
	REFUSED(isr[0] = 1);
	REFUSED(lvt[LVT_ERROR] = 1u << 12);
	REFUSED(tpr = 0x100);
	REFUSED(timer_next_ns = ~0ull);
	REFUSED(timer_divide = 4);
	REFUSED(is_lint0_high = 2);
	REFUSED(reserved[5] = 1);
#undef REFUSED
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(power_on_values),
		TEST(higher_class_preempts_and_equal_class_waits),
		TEST(task_priority_and_cr8_are_one),
		TEST(one_shot_timer_counts_down_once),
		TEST(divider_slows_the_count_and_keeps_it),
		TEST(periodic_timer_keeps_its_phase),
		TEST(missed_periods_are_one_interrupt),
		TEST(a_mad_period_does_not_take_the_host),
		TEST(masked_timer_costs_nothing_and_counts),
		TEST(deadline_timer_follows_the_guests_tsc),
		TEST(due_while_an_interrupt_is_near),
		TEST(a_written_tsc_moves_the_deadline),
		TEST(software_disable_masks_and_refuses),
		TEST(errors_gather_until_latched),
		TEST(init_and_sipi_start_another_cpu),
		TEST(shorthands),
		TEST(logical_destinations),
		TEST(lowest_priority_goes_to_the_idlest),
		TEST(mode_transitions_that_hardware_allows),
		TEST(x2apic_rules),
		TEST(narrow_and_misplaced_accesses_are_harmless),
		TEST(bad_states_are_refused),
	};

	return cmocka_run_group_tests_name("lapic", tests, NULL, NULL);
}
