/* SPDX-License-Identifier: BSD-2-Clause */
/* Differences: what is gathered and scattered makes the same page, whatever the history of the
 * slots. */
/* SOURCES: migrate/delta.c migrate/pace.c tests/host/fake/heap_fake.c kernel/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "migrate/delta.h"
#include "migrate/pace.h"
#include "tests/host/fake/heap_fake.h"

#define PAGES 400

static struct delta delta;

static int setup(void **state)
{
	(void)state;
	srand(1);
	return delta_init(&delta);
}

static int teardown(void **state)
{
	(void)state;
	delta_fini(&delta);
	return fake_heap.objects != 0;
}

/* A source and a destination; some pages go another way, and the cache is told or emptied. */
static void the_destination_has_what_the_source_has(void **state)
{
	static u64 here[PAGES][512], there[PAGES][512];
	u64 gathered[512], sent = 0, whole = 0;

	(void)state;
	for (u32 step = 0; step < 20000; step++) {
		u64 page = (u64)(rand() % 4 ? rand() % 30 : rand() % PAGES);
		u64 lines;

		for (u32 n = (u32)rand() % 4; n; n--)
			here[page][rand() % 512] = (u64)rand();
		if (rand() % 50 == 0) {
			memset(here[page], 0, 4096);
			memset(there[page], 0, 4096);
			delta_drop(&delta, page);
			continue;
		}
		if (rand() % 500 == 0)
			delta_forget(&delta);
		lines = delta_lines(&delta, page, here[page]);
		if (lines == ~0ull) {
			memcpy(there[page], here[page], 4096);
			whole++;
		} else {
			assert_int_equal(delta_gather(gathered, here[page], lines),
					 DELTA_LINE_BYTES * (size_t)__builtin_popcountll(lines));
			delta_scatter(there[page], gathered, lines);
			sent += (u64)__builtin_popcountll(lines);
		}
		assert_memory_equal(there[page], here[page], 4096);
	}
	/* It was worth it. */
	assert_true(whole < 8000);
	assert_true(sent < 20000 * 4);
}

static void lines_are_exactly_those_that_differ(void **state)
{
	static u64 content[512];

	(void)state;
	assert_true(delta_lines(&delta, 5, content) == ~0ull);
	assert_true(delta_lines(&delta, 5, content) == 0);
	for (u32 word = 0; word < 512; word += 7) {
		content[word] ^= 1ull << (word % 64);
		assert_true(delta_lines(&delta, 5, content) == 1ull << (word / 8));
	}
	delta_drop(&delta, 6);
	assert_true(delta_lines(&delta, 5, content) == 0);
	delta_drop(&delta, 5);
	assert_true(delta_lines(&delta, 5, content) == ~0ull);
}

/* --- the rate limit: a bucket too --- */

/* Sends records when it may, and looks at each span of time. */
static void the_rate_is_kept_over_any_long_span(void **state)
{
	struct pace pace;
	u64 now = 1000 * NS_PER_SEC, begin = now, sent = 0;

	(void)state;
	pace_init(&pace, 10 * MIB, now);
	while (now - begin < 10 * NS_PER_SEC) {
		if (now >= pace_ready_ns(&pace, 0)) {
			pace_pay(&pace, 64 * KIB, now);
			sent += 64 * KIB;
		}
		now += 100 * NS_PER_US;
	}
	assert_in_range(sent, 99 * MIB, 101 * MIB);
}

static void credit_has_a_bottom(void **state)
{
	struct pace pace;
	u64 now = NS_PER_SEC;

	(void)state;
	pace_init(&pace, 10 * MIB, now);
	/* Nothing was sent for an hour: one bucket may go at once, not an hour's worth. */
	now += 3600 * NS_PER_SEC;
	assert_true(pace_ready_ns(&pace, PACE_DEPTH_BYTES) <= now);
	pace_pay(&pace, PACE_DEPTH_BYTES, now);
	assert_true(pace_ready_ns(&pace, 100 * KIB) > now);
	assert_true(pace_ready_ns(&pace, 100 * KIB) < now + 20 * NS_PER_MS);
	pace_init(&pace, 0, now);
	pace_pay(&pace, GIB, now);
	assert_int_equal(pace_ready_ns(&pace, GIB), 0);
}

static void no_memory_leaves_nothing(void **state)
{
	struct delta other;

	(void)state;
	for (u64 fail = 1; fail <= 2; fail++) {
		u64 before = fake_heap.objects;

		fake_heap_fail_after(fail);
		assert_int_not_equal(delta_init(&other), 0);
		assert_int_equal(fake_heap.objects, before);
	}
	fake_heap_fail_after(0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_destination_has_what_the_source_has),
		T(lines_are_exactly_those_that_differ),
		T(the_rate_is_kept_over_any_long_span),
		T(credit_has_a_bottom),
		T(no_memory_leaves_nothing),
	};

	return cmocka_run_group_tests_name("delta", tests, NULL, NULL);
}
