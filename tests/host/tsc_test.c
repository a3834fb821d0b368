/* SPDX-License-Identifier: BSD-2-Clause */
/* The TSC's frequency against clocks that run, stand still, or are not there. */
/* SOURCES: arch/tsc.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "arch/cpu.h"
#include "arch/tsc.h"

#define TSC_KHZ 2500000ull
#define PM_PORT 0x608
#define READ_TICKS 2500 /* a port access takes a microsecond */

static bool has_pm_timer, has_pit;
static u32 pm_frozen_at;
static u16 latch;
static bool is_high_byte;

static u32 stated_hz; /* what CPUID leaf 15h says; 0: it has none */

struct cpuid_leaf fake_cpuid(u32 leaf, u32 subleaf)
{
	(void)subleaf;
	if (leaf == 0)
		return (struct cpuid_leaf){ .eax = stated_hz ? 0x15 : 1 };
	if (leaf == 0x15)
		return (struct cpuid_leaf){ .eax = 1, .ebx = 1, .ecx = stated_hz };
	return (struct cpuid_leaf){ 0 };
}

static u64 ticks_at(u64 hz) { return fake_tsc / 1000 * hz / TSC_KHZ; }

u32 fake_in(u16 port, unsigned bytes)
{
	fake_tsc += READ_TICKS;
	if (port == PM_PORT) {
		assert_int_equal(bytes, 4);
		return has_pm_timer ? (u32)ticks_at(3579545) & 0xffffff : pm_frozen_at;
	}
	assert_int_equal(bytes, 1);
	if (port != 0x42 || !has_pit)
		return 0xff;
	is_high_byte = !is_high_byte;
	return is_high_byte ? latch & 0xff : latch >> 8;
}

void fake_out(u16 port, unsigned bytes, u32 value)
{
	(void)bytes;
	fake_tsc += READ_TICKS;
	if (port == 0x43 && value == 0x80)
		latch = (u16)(0xffff - ticks_at(1193182));
}

static int setup(void **state)
{
	(void)state;
	has_pm_timer = has_pit = is_high_byte = false;
	pm_frozen_at = 0;
	stated_hz = 0;
	fake_tsc = 123456789;
	return 0;
}

/* Better than 100 ppm: what guests' clocks are held to. */
static void assert_is_right(u64 khz) { assert_in_range(khz, TSC_KHZ - TSC_KHZ / 10000, TSC_KHZ + TSC_KHZ / 10000); }

static void pm_timer_is_measured_against(void **state)
{
	(void)state;
	has_pm_timer = has_pit = true;
	assert_is_right(tsc_find_khz(PM_PORT));
	assert_string_equal(tsc_source(), "pm-timer");
}

static void standing_pm_timer_leaves_the_pit(void **state)
{
	(void)state;
	has_pit = true;
	pm_frozen_at = 77;
	assert_is_right(tsc_find_khz(PM_PORT));
	assert_string_equal(tsc_source(), "pit");
	assert_is_right(tsc_find_khz(0));
}

/* What CPUID says is taken as it is, though a measurement would differ a little. */
static void cpuid_is_finer_than_a_measurement(void **state)
{
	(void)state;
	has_pm_timer = true;
	stated_hz = TSC_KHZ * 1000 + 1000000;
	assert_int_equal(tsc_find_khz(PM_PORT), TSC_KHZ + 1000);
	assert_string_equal(tsc_source(), "cpuid");
}

static void cpuid_of_another_machine_is_not_believed(void **state)
{
	(void)state;
	has_pm_timer = true;
	stated_hz = 4000000000u;
	assert_is_right(tsc_find_khz(PM_PORT));
	assert_string_equal(tsc_source(), "pm-timer");
}

static void cpuid_is_all_there_is(void **state)
{
	(void)state;
	pm_frozen_at = 77;
	stated_hz = 4000000000u;
	assert_int_equal(tsc_find_khz(PM_PORT), 4000000);
}

/* It must come back at all: a machine without either clock still has a console. */
static void machine_without_clocks_starts(void **state)
{
	(void)state;
	pm_frozen_at = ~0u;
	assert_int_equal(tsc_find_khz(PM_PORT), 1000000);
	assert_string_equal(tsc_source(), "none");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(pm_timer_is_measured_against, setup),
		cmocka_unit_test_setup(standing_pm_timer_leaves_the_pit, setup),
		cmocka_unit_test_setup(cpuid_is_finer_than_a_measurement, setup),
		cmocka_unit_test_setup(cpuid_of_another_machine_is_not_believed, setup),
		cmocka_unit_test_setup(cpuid_is_all_there_is, setup),
		cmocka_unit_test_setup(machine_without_clocks_starts, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
