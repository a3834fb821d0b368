/* SPDX-License-Identifier: BSD-2-Clause */
/* The limits of a move as an operator writes them: units, bounds, and that a refusal changes nothing. */
/* SOURCES: migrate/limits.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "migrate/limits.h"
#include "migrate/send.h"

static const struct send_options before = { .stun_limit_ns = 7, .rate_bytes = 9 };

static u64 stun_of(const char *text)
{
	struct send_options options = before;

	assert_null(limits_parse(&options, text, NULL));
	assert_int_equal(options.rate_bytes, 9);
	return options.stun_limit_ns;
}

static u64 rate_of(const char *text)
{
	struct send_options options = before;

	assert_null(limits_parse(&options, NULL, text));
	assert_int_equal(options.stun_limit_ns, 7);
	return options.rate_bytes;
}

static void assert_refused(const char *stun, const char *rate, const char *bad)
{
	struct send_options options = before;

	assert_string_equal(limits_parse(&options, stun, rate), bad);
	assert_memory_equal(&options, &before, sizeof(before));
}

static void units_count(void **state)
{
	(void)state;
	assert_int_equal(stun_of("100us"), 100 * NS_PER_US);
	assert_int_equal(stun_of("5ms"), 5 * NS_PER_MS);
	assert_int_equal(stun_of("5"), 5 * NS_PER_MS);
	assert_int_equal(stun_of("60s"), 60 * NS_PER_SEC);
	assert_int_equal(rate_of("1M"), 125000);
	assert_int_equal(rate_of("10G"), 1250000000);
	assert_int_equal(rate_of("2500k"), 312500);
	assert_int_equal(rate_of("8000000"), 1000000);
	assert_int_equal(rate_of("1000000000"), 125000000);
}

static void what_is_no_limit_is_refused(void **state)
{
	static const char *const no_stun[] = { "", "ms", "99us", "61s", "5min", "-1ms", "5 ms", "99999999999999999999s",
					       "18446744073709551615s" };
	static const char *const no_rate[] = { "", "G", "999k", "1T", "1.5G", "99999999999999999999G" };

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(no_stun); i++)
		assert_refused(no_stun[i], NULL, no_stun[i]);
	for (u32 i = 0; i < ARRAY_COUNT(no_rate); i++)
		assert_refused(NULL, no_rate[i], no_rate[i]);
}

/* Of a running move, too: not half of what was asked for. */
static void all_or_nothing(void **state)
{
	struct send_options options = before;

	(void)state;
	assert_refused("5ms", "fast", "fast");
	assert_refused("soon", "1G", "soon");
	assert_null(limits_parse(&options, "5ms", "1G"));
	assert_int_equal(options.stun_limit_ns, 5 * NS_PER_MS);
	assert_int_equal(options.rate_bytes, 125000000);
	assert_null(limits_parse(&options, NULL, NULL));
	assert_int_equal(options.rate_bytes, 125000000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(units_count),
		cmocka_unit_test(what_is_no_limit_is_refused),
		cmocka_unit_test(all_or_nothing),
	};

	return cmocka_run_group_tests_name("limits", tests, NULL, NULL);
}
