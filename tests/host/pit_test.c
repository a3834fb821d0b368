/* SPDX-License-Identifier: BSD-2-Clause */
/* The 8254 and port 61h: modes, latches, gates, and interrupts at the right times (Intel 8254 data sheet). */
/* SOURCES: kernel/timer.c kernel/clock.c vmm/bus.c vmm/device.c vmm/irq.c vmm/vtime.c vmm/platform.c
 * vmm/dev/acpi_pm.c vmm/dev/apic_bus.c vmm/dev/calendar.c vmm/dev/device_timer.c vmm/dev/ioapic.c
 * vmm/dev/kvmclock.c vmm/dev/lapic.c vmm/dev/lapic_timer.c vmm/dev/pci.c vmm/dev/pic.c vmm/dev/pit.c
 * vmm/dev/reset.c vmm/dev/rtc.c vmm/dev/uart.c */
#include "tests/host/fake/vm.h"
#include "vmm/dev/pit.h"

#define TICK_NS(n) ((n) * 88000ull / 105)
#define TIMER_VECTOR 0x52

static struct fake_vm *f;

static int setup(void **state)
{
	(void)state;
	fake_time_init(1000000);
	f = fake_vm_new(1);
	fake_enable_apic(f, 0);
	fake_ioapic_write(f, 0x10 + 2 * IRQ_TIMER_PIN, TIMER_VECTOR);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_destroy(f);
	return timer_armed_count() != 0;
}

static u8 in(u16 port) { return guest_in8(f, port); }
static void out(u16 port, u8 value) { guest_out8(f, port, value); }

static void program(u8 control, u16 count)
{
	u16 port = 0x40 + (control >> 6);

	out(0x43, control);
	out(port, (u8)count);
	out(port, (u8)(count >> 8));
}

static u16 read16(u16 port)
{
	u8 low = in(port);

	return (u16)(in(port) << 8 | low);
}

static u16 latched(unsigned channel)
{
	out(0x43, (u8)(channel << 6));
	return read16((u16)(0x40 + channel));
}

static void serve(void *context)
{
	(void)context;
	if (guest_take(f, 0) == TIMER_VECTOR)
		fake_eoi(f, 0);
}

static u32 interrupts_in(u64 ns)
{
	u32 before = fake_count(f, EVENT_VECTOR, 0);

	serve(NULL);
	before = fake_count(f, EVENT_VECTOR, 0);
	fake_run_until(fake_now_ns() + ns, serve, NULL);
	return fake_count(f, EVENT_VECTOR, 0) - before;
}

static void nothing_ticks_before_it_is_asked_to(void **state)
{
	(void)state;
	assert_int_equal(timer_armed_count(), 0);
	assert_int_equal(interrupts_in(NS_PER_SEC), 0);
}

static void rate_generator_ticks_for_ever(void **state)
{
	(void)state;
	program(0x34, 11932); /* 100 Hz */
	assert_in_range(interrupts_in(10 * NS_PER_SEC), 999, 1001);
	program(0x34, 0); /* 65536: 18.2 Hz */
	assert_in_range(interrupts_in(10 * NS_PER_SEC), 181, 183);
	program(0x30, 100); /* stops with one last */
	assert_int_equal(interrupts_in(NS_PER_SEC), 1);
}

static void interrupts_keep_their_phase(void **state)
{
	u64 start;

	(void)state;
	program(0x34, 1000);
	start = vtime_now_ns(&f->vm);
	serve(NULL);
	f->event_count = 0;
	fake_run_until(fake_now_ns() + 100 * TICK_NS(1000), serve, NULL);
	for (u32 i = 0; i < f->event_count; i++) {
		u64 due = start + TICK_NS((i + 1) * 1000);

		assert_in_range(f->event[i].time_ns, due, due + 5);
	}
	assert_in_range(f->event_count, 99, 100);
}

static void a_mad_rate_does_not_take_the_host(void **state)
{
	(void)state;
	program(0x34, 2);
	assert_in_range(interrupts_in(10 * NS_PER_MS), 400, 520);
}

static void one_shot_interrupts_once(void **state)
{
	(void)state;
	program(0x30, 1193);
	assert_int_equal(interrupts_in(900 * NS_PER_US), 0);
	assert_int_equal(interrupts_in(200 * NS_PER_US), 1);
	assert_int_equal(interrupts_in(NS_PER_SEC), 0);
	assert_int_equal(timer_armed_count(), 0);
}

static void counters_run_down(void **state)
{
	(void)state;
	program(0x34, 10000);
	fake_tsc += TICK_NS(2500) + 1;
	assert_int_equal(latched(0), 7500);
	fake_tsc += TICK_NS(8000);
	assert_in_range(latched(0), 9499, 9500);
	/* Square wave: by two. */
	program(0x76, 10000);
	fake_tsc += TICK_NS(2500) + 1;
	assert_int_equal(latched(1), 5000);
	fake_tsc += TICK_NS(5000);
	assert_in_range(latched(1), 4998, 5000);
	/* One-shot goes on below 0. */
	program(0xb0, 100);
	out(0x61, 1);
	fake_tsc += TICK_NS(110) + 1;
	assert_in_range(latched(2), 0xfff5, 0xfff7);
}

static void latch_holds_until_read(void **state)
{
	u16 first;

	(void)state;
	program(0x34, 10000);
	fake_tsc += TICK_NS(100) + 1;
	out(0x43, 0x00);
	fake_tsc += TICK_NS(1000);
	out(0x43, 0x00); /* ignored: the first was not read */
	first = read16(0x40);
	assert_int_equal(first, 9900);
	assert_in_range(read16(0x40), 8898, 8900);
	/* Read-back of status and count: status first. */
	out(0x43, 0xc2);
	assert_int_equal(in(0x40), 0xb4); /* out high, both bytes, mode 2 */
	assert_in_range(read16(0x40), 8898, 8900);
	/* Null count until a count is written. */
	out(0x43, 0x34);
	out(0x43, 0xe2);
	assert_int_equal(in(0x40) & 0x40, 0x40);
}

static void single_byte_accesses(void **state)
{
	(void)state;
	out(0x43, 0x14); /* low byte only, mode 2 */
	out(0x40, 200);
	fake_tsc += TICK_NS(50) + 1;
	assert_int_equal(in(0x40), 150);
	out(0x43, 0x24); /* high byte only */
	out(0x40, 0x20);
	fake_tsc += TICK_NS(0x100) + 1;
	assert_int_equal(in(0x40), 0x1f);
}

static void bcd_counts_in_decimal(void **state)
{
	(void)state;
	program(0x35, 0x1000);
	fake_tsc += TICK_NS(1) + 1;
	assert_int_equal(latched(0), 0x0999);
	program(0x35, 0); /* 10000 */
	fake_tsc += TICK_NS(1) + 1;
	assert_int_equal(latched(0), 0x9999);
	program(0x35, 0xffff); /* no decimal number: whatever it counts, the guest can still move */
	assert_int_equal(pit_type.check(vm_device(&f->vm, &pit_type, 0)->state), 0);
}

/* As Linux' pit_calibrate_tsc(): gate on, count down, wait for OUT2. */
static void channel_2_times_a_delay(void **state)
{
	u64 start;

	(void)state;
	out(0x61, (u8)((in(0x61) & ~2) | 1));
	program(0xb0, 11932);
	start = vtime_now_ns(&f->vm);
	while (!(in(0x61) & 0x20))
		fake_tsc += 500;
	assert_in_range(vtime_now_ns(&f->vm) - start, 9999 * NS_PER_US, 10003 * NS_PER_US);
	assert_int_equal(timer_armed_count(), 0);
}

static void gate_stops_and_restarts(void **state)
{
	(void)state;
	out(0x61, 1);
	program(0xb0, 1000);
	fake_tsc += TICK_NS(300) + 1;
	out(0x61, 0);
	fake_tsc += NS_PER_SEC;
	assert_int_equal(latched(2), 700);
	out(0x61, 1);
	fake_tsc += TICK_NS(100);
	assert_in_range(latched(2), 599, 601);
	/* Mode 1: each rising gate starts it; until then OUT is high. */
	program(0xb2, 100);
	assert_int_equal(in(0x61) & 0x20, 0x20);
	out(0x61, 0);
	out(0x61, 1);
	assert_int_equal(in(0x61) & 0x20, 0);
	fake_tsc += TICK_NS(50);
	out(0x61, 0);
	out(0x61, 1); /* again */
	fake_tsc += TICK_NS(60);
	assert_int_equal(in(0x61) & 0x20, 0);
	fake_tsc += TICK_NS(50);
	assert_int_equal(in(0x61) & 0x20, 0x20);
}

static void square_wave_on_the_speaker(void **state)
{
	(void)state;
	out(0x61, 3);
	program(0xb6, 1000);
	assert_int_equal(in(0x61) & 0x2f, 0x23);
	fake_tsc += TICK_NS(501) + 1;
	assert_int_equal(in(0x61) & 0x20, 0);
	fake_tsc += TICK_NS(500);
	assert_int_equal(in(0x61) & 0x20, 0x20);
}

static void refresh_toggles(void **state)
{
	u32 changes = 0;
	u8 last;

	(void)state;
	last = in(0x61) & 0x10;
	for (u32 i = 0; i < 1000; i++) {
		fake_tsc += 1000;
		changes += (in(0x61) & 0x10) != last;
		last = in(0x61) & 0x10;
	}
	assert_in_range(changes, 65, 67); /* each 15.085 us */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(nothing_ticks_before_it_is_asked_to),
		TEST(rate_generator_ticks_for_ever),
		TEST(interrupts_keep_their_phase),
		TEST(a_mad_rate_does_not_take_the_host),
		TEST(one_shot_interrupts_once),
		TEST(counters_run_down),
		TEST(latch_holds_until_read),
		TEST(single_byte_accesses),
		TEST(bcd_counts_in_decimal),
		TEST(channel_2_times_a_delay),
		TEST(gate_stops_and_restarts),
		TEST(square_wave_on_the_speaker),
		TEST(refresh_toggles),
	};

	return cmocka_run_group_tests_name("pit", tests, NULL, NULL);
}
