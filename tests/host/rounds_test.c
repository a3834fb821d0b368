/* SPDX-License-Identifier: BSD-2-Clause */
/* The choice of pages against a plain model, and the convergence rule against simulated guests and
 * links. */
/* SOURCES: migrate/rounds.c tests/host/fake/heap_fake.c kernel/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/bits.h"
#include "migrate/rounds.h"
#include "tests/host/fake/heap_fake.h"

#define PAGES 4096ull

static struct rounds rounds;

static int setup(void **state)
{
	(void)state;
	return rounds_init(&rounds, PAGES, 0);
}

static int teardown(void **state)
{
	(void)state;
	rounds_fini(&rounds);
	return fake_heap.objects != 0;
}

/* Takes the round to its end in runs of random length; marks what came. */
static void take_round(u8 *seen)
{
	u64 first;
	u32 count;

	while ((count = rounds_next(&rounds, 1 + (u32)rand() % 16, &first))) {
		u32 sent = 1 + (u32)rand() % count; /* the stream was full: the rest comes again */

		assert_int_equal(first / 512, (first + count - 1) / 512);
		for (u64 i = first; i < first + sent; i++)
			seen[i]++;
		rounds_sent(&rounds, first, sent);
	}
	assert_int_equal(rounds.todo_count, 0);
}

static void round_0_has_every_page_once(void **state)
{
	u8 seen[PAGES] = { 0 };

	(void)state;
	srand(1);
	take_round(seen);
	for (u64 i = 0; i < PAGES; i++)
		assert_int_equal(seen[i], 1);
}

static void later_rounds_have_what_was_collected(void **state)
{
	u8 seen[PAGES] = { 0 };

	(void)state;
	srand(2);
	take_round(seen);
	for (u32 round = 0; round < 50; round++) {
		u8 want[PAGES] = { 0 };
		u64 dirty = 0;

		for (u32 i = 0; i < 300; i++) {
			u64 page = (u64)rand() % PAGES;

			dirty += !want[page];
			want[page] = 1;
			bitmap_set(rounds.todo, page);
		}
		rounds_start(&rounds, dirty);
		memset(seen, 0, sizeof(seen));
		take_round(seen);
		assert_memory_equal(seen, want, sizeof(seen));
	}
}

/* A guest with a writable working set on a link: plays rounds until a decision; returns the number
 * of rounds. */
static u32 play(u64 bytes_per_sec, u64 pages_per_sec, u64 working_set,
		enum rounds_decision *decision)
{
	u64 now = 0, pages = PAGES;

	rounds.state_bytes = 16 * KIB;
	do {
		u64 bytes = pages * rounds.page_bytes;
		u64 span = bytes * NS_PER_MS / (bytes_per_sec / 1000) + 400 * NS_PER_US;

		now += span;
		rounds_learn_rate(&rounds, bytes, span - 400 * NS_PER_US);
		rounds_learn_rtt(&rounds, 400 * NS_PER_US);
		pages = MIN(working_set, pages_per_sec * span / NS_PER_SEC);
		*decision = rounds_decide(&rounds, pages, now);
	} while (*decision == ROUNDS_AGAIN && rounds.number < 1000000);
	return rounds.number;
}

static void an_idle_guest_converges_at_once(void **state)
{
	enum rounds_decision decision;

	(void)state;
	assert_true(play(100 * MIB, 50, 64, &decision) <= 2 + ROUNDS_POLISH_MAX);
	assert_int_equal(decision, ROUNDS_STOP);
	assert_true(rounds.predicted_ns <= rounds.limit_ns);
}

static void a_busy_guest_converges_over_rounds(void **state)
{
	enum rounds_decision decision;
	u32 count;

	(void)state;
	count = play(100 * MIB, 12000, 4000, &decision); /* half the link */
	assert_int_equal(decision, ROUNDS_STOP);
	assert_true(count >= 3 && count < 30);
	assert_true(rounds.predicted_ns <= rounds.limit_ns);
}

static void a_guest_faster_than_the_link_is_given_up(void **state)
{
	enum rounds_decision decision;

	(void)state;
	play(50 * MIB, 100000, 3000, &decision);
	assert_int_equal(decision, ROUNDS_HOPELESS);
	assert_true(rounds_are_stalled(&rounds));
	/* What it says is needed would do: 3000 pages in less than the limit. */
	assert_true(rounds_needed_rate(&rounds) > 3000ull * 4096 * 200);
}

static void a_higher_limit_ends_a_stalled_move(void **state)
{
	enum rounds_decision decision;

	(void)state;
	rounds.limit_ns = 300 * NS_PER_MS;
	play(50 * MIB, 100000, 3000, &decision);
	assert_int_equal(decision, ROUNDS_STOP);
	assert_true(rounds.predicted_ns > 5 * NS_PER_MS);
}

static void the_prediction_is_the_formula(void **state)
{
	(void)state;
	rounds.bytes_per_sec = 100 * MIB;
	rounds.rtt_ns = 1000000;
	rounds.fixed_ns = 400000;
	rounds.state_bytes = 100 * KIB;
	rounds.page_bytes = 4 * KIB;
	/* 100 + 400 KiB at 100 MiB/s, 1.5 round trips, 0.4 ms */
	assert_in_range(rounds_predict_ns(&rounds, 100), 4882812 + 1500000 + 400000 - 10000,
			4882812 + 1500000 + 400000 + 10000);
}

/* A handful of pages measures the round trip; it must not ruin the rate. */
static void small_rounds_do_not_set_the_rate(void **state)
{
	(void)state;
	rounds_learn_rate(&rounds, 64 * MIB, NS_PER_SEC);
	assert_in_range(rounds.bytes_per_sec, 63 * MIB, 64 * MIB);
	rounds_learn_rate(&rounds, 8 * KIB, NS_PER_MS);
	assert_in_range(rounds.bytes_per_sec, 63 * MIB, 64 * MIB);
	rounds_learn_rtt(&rounds, 5000);
	rounds_learn_rtt(&rounds, 9000);
	assert_int_equal(rounds.rtt_ns, 5000);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(round_0_has_every_page_once),
		T(later_rounds_have_what_was_collected),
		T(an_idle_guest_converges_at_once),
		T(a_busy_guest_converges_over_rounds),
		T(a_guest_faster_than_the_link_is_given_up),
		T(a_higher_limit_ends_a_stalled_move),
		T(the_prediction_is_the_formula),
		T(small_rounds_do_not_set_the_rate),
	};

	return cmocka_run_group_tests_name("rounds", tests, NULL, NULL);
}
