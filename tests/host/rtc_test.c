/* SPDX-License-Identifier: BSD-2-Clause */
/* The real-time clock: dates against the C library, formats, alarms, flags, and what it costs (MC146818A). */
/* SOURCES: kernel/timer.c kernel/clock.c vmm/bus.c vmm/device.c vmm/irq.c vmm/vtime.c vmm/platform.c
 * vmm/dev/acpi_pm.c vmm/dev/apic_bus.c vmm/dev/calendar.c vmm/dev/device_timer.c vmm/dev/ioapic.c
 * vmm/dev/kvmclock.c vmm/dev/lapic.c vmm/dev/lapic_timer.c vmm/dev/pci.c vmm/dev/pic.c vmm/dev/pit.c
 * vmm/dev/reset.c vmm/dev/rtc.c vmm/dev/uart.c */
#include <time.h>

#include "tests/host/fake/vm.h"
#include "vmm/dev/calendar.h"

#define RTC_VECTOR 0x58

static struct fake_vm *f;

static int setup(void **state)
{
	(void)state;
	fake_time_init(1000000);
	f = fake_vm_new(1);
	fake_enable_apic(f, 0);
	fake_ioapic_write(f, 0x10 + 2 * IRQ_RTC, RTC_VECTOR);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_destroy(f);
	return timer_armed_count() != 0;
}

static u8 get(u8 index)
{
	guest_out8(f, 0x70, index);
	return guest_in8(f, 0x71);
}

static void set(u8 index, u8 value)
{
	guest_out8(f, 0x70, index);
	guest_out8(f, 0x71, value);
}

static u32 served;

static void serve(void *context)
{
	(void)context;
	if (guest_take(f, 0) != RTC_VECTOR)
		return;
	assert_int_equal(get(0x0c) & 0x80, 0x80);
	fake_eoi(f, 0);
	served++;
}

static u32 interrupts_in(u64 ns)
{
	serve(NULL); /* what came before */
	served = 0;
	fake_run_until(fake_now_ns() + ns, serve, NULL);
	return served;
}

static void calendar_agrees_with_the_c_library(void **state)
{
	(void)state;
	for (u64 seconds = 0; seconds < 10000000000ull; seconds += 86400 * 3 + 4567) {
		time_t t = (time_t)seconds;
		struct tm tm;
		struct calendar date;

		gmtime_r(&t, &tm);
		calendar_from_seconds(&date, seconds);
		assert_int_equal(date.year, tm.tm_year + 1900);
		assert_int_equal(date.month, tm.tm_mon + 1);
		assert_int_equal(date.day, tm.tm_mday);
		assert_int_equal(date.hour, tm.tm_hour);
		assert_int_equal(date.minute, tm.tm_min);
		assert_int_equal(date.second, tm.tm_sec);
		assert_int_equal(date.weekday, tm.tm_wday);
		assert_int_equal(calendar_to_seconds(&date), seconds);
	}
}

/* 1700000000 is 2023-11-14 22:13:20, a Tuesday. */
static void time_of_day_in_bcd_and_binary(void **state)
{
	(void)state;
	assert_int_equal(get(0x0d), 0x80);
	assert_int_equal(get(0x32) << 8 | get(9), 0x2023);
	assert_int_equal(get(8), 0x11);
	assert_int_equal(get(7), 0x14);
	assert_int_equal(get(6), 3);
	assert_int_equal(get(4) << 16 | get(2) << 8 | get(0), 0x221320);
	set(0x0b, 0x06);
	assert_int_equal(get(4) << 16 | get(2) << 8 | get(0), 22 << 16 | 13 << 8 | 20);
	set(0x0b, 0x00); /* 12 hours */
	assert_int_equal(get(4), 0x90);
	fake_tsc += 2 * 3600 * NS_PER_SEC;
	assert_int_equal(get(4), 0x12);
	assert_int_equal(get(7), 0x15);
}

static void setting_the_time(void **state)
{
	(void)state;
	set(0x0b, 0x82); /* SET: stands still */
	fake_tsc += 5 * NS_PER_SEC;
	assert_int_equal(get(0), 0x20);
	set(0x32, 0x20);
	set(9, 0x24);
	set(8, 0x02);
	set(7, 0x28);
	set(4, 0x23);
	set(2, 0x59);
	set(0, 0x58);
	set(0x0b, 0x02);
	fake_tsc += 3 * NS_PER_SEC;
	assert_int_equal(get(8) << 8 | get(7), 0x0229); /* a leap year */
	assert_int_equal(get(4) << 16 | get(2) << 8 | get(0), 1);
	/* Without SET one register changes at once. */
	set(4, 0x05);
	assert_int_equal(get(4), 0x05);
	assert_int_equal(get(7), 0x29);
}

static void update_in_progress_comes_before_the_second(void **state)
{
	(void)state;
	assert_int_equal(get(0x0a), 0x26);
	fake_tsc += NS_PER_SEC - 200 * NS_PER_US;
	assert_int_equal(get(0x0a), 0xa6);
	assert_int_equal(get(0), 0x20);
	fake_tsc += 200 * NS_PER_US;
	assert_int_equal(get(0x0a), 0x26);
	assert_int_equal(get(0), 0x21);
}

static void idle_clock_costs_nothing(void **state)
{
	(void)state;
	assert_int_equal(timer_armed_count(), 0);
	fake_tsc += 3600 * NS_PER_SEC;
	assert_int_equal(get(0x0c), 0x50 | 0x00); /* periodic and update events were flagged all the same */
	assert_int_equal(get(0x0c), 0);
	assert_int_equal(timer_armed_count(), 0);
}

static void periodic_interrupts_at_the_rate(void **state)
{
	(void)state;
	set(0x0b, 0x42); /* 1024 Hz */
	assert_in_range(interrupts_in(NS_PER_SEC), 1023, 1025);
	set(0x0a, 0x2f); /* 2 Hz */
	assert_in_range(interrupts_in(10 * NS_PER_SEC), 19, 21);
	set(0x0b, 0x02);
	assert_int_equal(interrupts_in(NS_PER_SEC), 0);
	assert_int_equal(timer_armed_count(), 0);
}

static void unserved_interrupt_arms_no_timer(void **state)
{
	(void)state;
	set(0x0b, 0x42);
	fake_run_until(fake_now_ns() + 100 * NS_PER_MS, NULL, NULL);
	assert_int_equal(timer_armed_count(), 0); /* the flag stands until it is read */
	assert_int_equal(get(0x0c), 0xc0);
	assert_int_equal(timer_armed_count(), 1);
	set(0x0b, 0x02);
}

static void update_interrupts_each_second(void **state)
{
	(void)state;
	set(0x0b, 0x12);
	assert_in_range(interrupts_in(10 * NS_PER_SEC), 9, 10);
	set(0x0b, 0x82); /* SET takes the enable bit back */
	assert_int_equal(get(0x0b), 0x82);
}

static void alarm_at_a_time(void **state)
{
	(void)state;
	set(5, 0x22);
	set(3, 0x14);
	set(1, 0x05); /* in 45 s */
	set(0x0b, 0x22);
	assert_int_equal(interrupts_in(44 * NS_PER_SEC), 0);
	assert_int_equal(interrupts_in(2 * NS_PER_SEC), 1);
	assert_int_equal(interrupts_in(3600 * NS_PER_SEC), 0);
	assert_int_equal(interrupts_in(24 * 3600 * NS_PER_SEC), 1);
}

static void alarm_with_wildcards(void **state)
{
	(void)state;
	set(5, 0xff);
	set(3, 0xc0);
	set(1, 0x30); /* each minute at :30 */
	set(0x0b, 0x22);
	assert_int_equal(interrupts_in(600 * NS_PER_SEC), 10);
	/* An alarm that no time matches. */
	set(1, 0x99);
	assert_int_equal(interrupts_in(3600 * NS_PER_SEC), 0);
	assert_int_equal(timer_armed_count(), 0);
}

static void memory_keeps_what_is_written(void **state)
{
	(void)state;
	for (u8 i = 0x33; i < 0x80; i++)
		set(i, (u8)(i * 7));
	set(0x0c, 0xff);
	set(0x0d, 0x00);
	for (u8 i = 0x33; i < 0x80; i++)
		assert_int_equal(get(i), (u8)(i * 7));
	assert_int_equal(get(0x0d), 0x80);
	assert_int_equal(get(0x8b), 0x02); /* bit 7 of the index is NMI's */
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calendar_agrees_with_the_c_library),
		TEST(time_of_day_in_bcd_and_binary),
		TEST(setting_the_time),
		TEST(update_in_progress_comes_before_the_second),
		TEST(idle_clock_costs_nothing),
		TEST(periodic_interrupts_at_the_rate),
		TEST(unserved_interrupt_arms_no_timer),
		TEST(update_interrupts_each_second),
		TEST(alarm_at_a_time),
		TEST(alarm_with_wildcards),
		TEST(memory_keeps_what_is_written),
	};

	return cmocka_run_group_tests_name("rtc", tests, NULL, NULL);
}
