/* SPDX-License-Identifier: BSD-2-Clause */
/* Time from the TSC: exact conversions at all frequencies, for any span. */
/* SOURCES: kernel/clock.c */
#include "tests/host/fake/machine.h"
#include "kernel/clock.h"

typedef unsigned __int128 u128;

static const u64 rates_khz[] = { 1, 999, 1000, 1000000, 1999999, 2596137, 3000000, 5123457 };

static void is_zero_before_init(void **state)
{
	(void)state;
	fake_tsc = 123456789;
	assert_int_equal(clock_now_ns(), 0);
}

static void starts_at_zero(void **state)
{
	(void)state;
	fake_tsc = 1ull << 40;
	clock_init(2000000);
	assert_int_equal(clock_now_ns(), 0);
	fake_tsc += 2000000;
	assert_int_equal(clock_now_ns(), NS_PER_MS);
}

/* Against 128-bit arithmetic, which the core does not have. */
static void conversions_are_exact(void **state)
{
	u64 seed = 42;

	(void)state;
	for (unsigned r = 0; r < ARRAY_COUNT(rates_khz); r++) {
		u64 khz = rates_khz[r];

		clock_init(khz);
		for (unsigned i = 0; i < 20000; i++) {
			u64 value;

			seed = seed * 6364136223846793005ull + 1442695040888963407ull;
			value = seed >> (i % 64);
			if ((u128)value * 1000000 / khz <= ~0ull)
				assert_true(clock_tsc_to_ns(value) == (u64)((u128)value * 1000000 / khz));
			if ((u128)value * khz / 1000000 < ~0ull)
				assert_true(clock_ns_to_tsc(value) == (u64)((u128)value * khz / 1000000));
		}
	}
}

static void ns_to_tsc_saturates(void **state)
{
	(void)state;
	fake_tsc = 1000;
	clock_init(5000000);
	assert_true(clock_ns_to_tsc(~0ull) == ~0ull);
	assert_true(clock_tsc_at(~0ull) == ~0ull);
	assert_int_equal(clock_tsc_at(0), 1000);
}

/* When the TSC is what it will be at a time, it is that time, up to rounding, and never later. */
static void points_in_time_convert_back(void **state)
{
	(void)state;
	fake_tsc = 987654321;
	clock_init(2596137);
	for (u64 ns = 1; ns < 1000 * NS_PER_SEC; ns = ns * 3 + 1) {
		fake_tsc = clock_tsc_at(ns);
		assert_in_range(clock_now_ns(), ns - 1, ns);
	}
}

static void never_runs_backwards(void **state)
{
	u64 last = 0;

	(void)state;
	fake_tsc = 0;
	clock_init(2596137);
	for (unsigned i = 0; i < 100000; i++) {
		fake_tsc += i % 7;
		assert_true(clock_now_ns() >= last);
		last = clock_now_ns();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_zero_before_init),
		cmocka_unit_test(starts_at_zero),
		cmocka_unit_test(conversions_are_exact),
		cmocka_unit_test(ns_to_tsc_saturates),
		cmocka_unit_test(points_in_time_convert_back),
		cmocka_unit_test(never_runs_backwards),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
