/* SPDX-License-Identifier: BSD-2-Clause */
/* Formatting against the host's printf, over all combinations of flags, widths and precisions. */
/* SOURCES: kernel/fmt.c kernel/errno.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/errno.h"
#include "kernel/fmt.h"

static char got[512], wanted[512];

/* The compiler must not see the format: it would warn of those that are here on purpose. */
#define COMPARE(format_text, ...) \
	do { \
		const char *volatile hidden = format_text; \
		int got_length = fmt_snprintf(got, sizeof(got), hidden, ##__VA_ARGS__); \
		int wanted_length = snprintf(wanted, sizeof(wanted), hidden, ##__VA_ARGS__); \
\
		assert_string_equal(got, wanted); \
		assert_int_equal(got_length, wanted_length); \
	} while (0)

static const char *const flags[] = { "", "-", "0", "+", " ", "#", "-0", "+0", "-#", "0#", "+ ", "-+ 0#" };
static const char *const widths[] = { "", "1", "5", "23" };
static const char *const precisions[] = { "", ".", ".0", ".1", ".4", ".21" };

/* All specifications with the conversion (and length) given at the end. */
#define FOR_ALL(format, conversion) \
	for (size_t f = 0; f < ARRAY_COUNT(flags); f++) \
		for (size_t w = 0; w < ARRAY_COUNT(widths); w++) \
			for (size_t p = 0; p < ARRAY_COUNT(precisions); p++) \
				if (snprintf(format, sizeof(format), "<%%%s%s%s%s>", flags[f], widths[w], \
					     precisions[p], conversion) > 0)

static void integers(void **state)
{
	static const s64 values[] = { 0, 1, -1, 9, 10, 255, -128, 32767, 65536, 2147483647, -2147483647 - 1,
				      0x123456789abcdef, INT64_MAX, INT64_MIN };
	static const char *const words[] = { "d", "i", "u", "x", "X", "hd", "hhd", "hu", "hhu", "hx", "hhX" };
	static const char *const longs[] = { "ld", "lld", "lu", "llu", "lx", "llX", "zu", "zx", "zd" };
	char format[32];

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
		for (size_t c = 0; c < ARRAY_COUNT(words); c++)
			FOR_ALL(format, words[c])
				COMPARE(format, (int)values[i]);
		for (size_t c = 0; c < ARRAY_COUNT(longs); c++)
			FOR_ALL(format, longs[c])
				COMPARE(format, values[i]);
	}
}

static void strings_and_characters(void **state)
{
	char format[32];

	(void)state;
	for (size_t w = 0; w < ARRAY_COUNT(widths); w++) {
		for (size_t p = 0; p < ARRAY_COUNT(precisions); p++) {
			snprintf(format, sizeof(format), "<%%%s%ss|%%-%s%ss>", widths[w], precisions[p], widths[w],
				 precisions[p]);
			COMPARE(format, "hello", "");
		}
	}
	COMPARE("%c%5c%-5c|", 'a', 'b', 'c');
	COMPARE("%s", (char *)NULL);
	COMPARE("100%%");
	COMPARE("");
	COMPARE("%p", (void *)0x1234);
	fmt_snprintf(got, sizeof(got), "%p", NULL);
	assert_string_equal(got, "0");
}

static void precision_bounds_unended_text(void **state)
{
	const char text[3] = { 'a', 'b', 'c' };

	(void)state;
	COMPARE("%.3s", text);
	COMPARE("%.*s", 2, text);
}

static void star_arguments(void **state)
{
	(void)state;
	COMPARE("%*d|%-*d|%*d", 6, 42, 6, 42, -6, 42);
	COMPARE("%.*d|%.*d|%*.*x", 4, 42, -1, 42, 8, 4, 0xab);
	COMPARE("%08llx %u %s", 0xabcdull, 7u, "end");
}

static void cuts_and_counts(void **state)
{
	const char *volatile format = "ab%dcd%8s";

	(void)state;
	for (size_t size = 0; size < 20; size++) {
		memset(got, 'x', sizeof(got));
		memset(wanted, 'x', sizeof(wanted));
		assert_int_equal(fmt_snprintf(got, size, format, 123, "ef"),
				 snprintf(wanted, size, format, 123, "ef"));
		assert_memory_equal(got, wanted, sizeof(got));
	}
	assert_int_equal(fmt_snprintf(NULL, 0, "%d", 12345), 5);
}

static void unknown_conversions_stay(void **state)
{
	const char *volatile unknown = "a %q b %";
	const char *volatile floating = "%5.2f";

	(void)state;
	fmt_snprintf(got, sizeof(got), unknown);
	assert_string_equal(got, "a %q b %");
	fmt_snprintf(got, sizeof(got), floating, 1.0);
	assert_string_equal(got, "%5.2f");
}

static void errno_words(void **state)
{
	(void)state;
	assert_string_equal(errno_name(-ENOMEM), "ENOMEM");
	assert_string_equal(errno_name(EHOSTUNREACH), "EHOSTUNREACH");
	assert_string_equal(errno_name(0), "success");
	assert_string_equal(errno_name(-4000), "unknown error");
	assert_string_equal(errno_name(INT32_MIN), "unknown error");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(integers),
		cmocka_unit_test(strings_and_characters),
		cmocka_unit_test(precision_bounds_unended_text),
		cmocka_unit_test(star_arguments),
		cmocka_unit_test(cuts_and_counts),
		cmocka_unit_test(unknown_conversions_stay),
		cmocka_unit_test(errno_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
