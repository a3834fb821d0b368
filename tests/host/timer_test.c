/* SPDX-License-Identifier: BSD-2-Clause */
/* Timers: order, re-arming, cancelling, and what is programmed when. */
/* SOURCES: kernel/timer.c kernel/clock.c kernel/sched.c kernel/panic.c kernel/fmt.c */
#include "tests/host/fake/machine.h"
#include "kernel/clock.h"
#include "kernel/sched.h"
#include "kernel/timer.h"

#define TIMERS 64

static unsigned fired_count;
static struct timer *fired[4 * TIMERS];

static void on_fire(struct timer *timer) { fired[fired_count++] = timer; }

static void set_time(u64 ns) { fake_tsc = clock_tsc_at(ns); }

static int setup(void **state)
{
	(void)state;
	memset(&fake, 0, sizeof(fake));
	cpu_count = 4;
	fake_tsc = 0;
	clock_init(1000000); /* one tick is one ns */
	fired_count = 0;
	/* Each CPU looks at what earlier tests noted. */
	for (fake.cpu = 0; fake.cpu < 4; fake.cpu++) {
		timer_interrupt();
		sched_turn();
	}
	memset(&fake, 0, sizeof(fake));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return timer_armed_count() != 0;
}

static void fires_once_when_due(void **state)
{
	struct timer timer;

	(void)state;
	timer_setup(&timer, on_fire);
	timer_arm(&timer, 0, 1000);
	set_time(999);
	assert_false(timer_run());
	set_time(1000);
	assert_true(timer_run());
	assert_int_equal(fired_count, 1);
	assert_false(timer.is_armed);
	set_time(5000);
	assert_false(timer_run());
}

static void fires_in_order_of_deadline(void **state)
{
	struct timer timers[TIMERS];
	u64 seed = 7;

	(void)state;
	for (unsigned i = 0; i < TIMERS; i++) {
		seed = seed * 6364136223846793005ull + 1442695040888963407ull;
		timer_setup(&timers[i], on_fire);
		timer_arm(&timers[i], 0, (seed >> 40) % 50); /* many are equal */
	}
	set_time(1000);
	timer_run();
	assert_int_equal(fired_count, TIMERS);
	for (unsigned i = 1; i < TIMERS; i++) {
		assert_true(fired[i - 1]->deadline_ns <= fired[i]->deadline_ns);
		/* Equal deadlines: in the order of arming. */
		if (fired[i - 1]->deadline_ns == fired[i]->deadline_ns)
			assert_true(fired[i - 1] < fired[i]);
	}
}

static void rearm_moves_it(void **state)
{
	struct timer timer;

	(void)state;
	timer_setup(&timer, on_fire);
	timer_arm(&timer, 0, 100);
	timer_arm(&timer, 1, 200);
	assert_int_equal(timer_armed_count(), 1);
	set_time(300);
	assert_false(timer_run());
	fake.cpu = 1;
	assert_true(timer_run());
	assert_int_equal(fired_count, 1);
}

static void disarm_and_cancel_take_it_away(void **state)
{
	struct timer timer;

	(void)state;
	timer_setup(&timer, on_fire);
	timer_disarm(&timer);
	timer_arm(&timer, 0, 100);
	timer_disarm(&timer);
	timer_arm(&timer, 0, 100);
	timer_cancel(&timer);
	timer_cancel(&timer);
	set_time(300);
	assert_false(timer_run());
	assert_int_equal(timer_armed_count(), 0);
}

static void rearm_at_once(struct timer *timer)
{
	on_fire(timer);
	if (fired_count < 3)
		timer_arm(timer, 0, 0);
}

/* A callback that arms itself for "now" must not keep the loop to itself. */
static void rearm_in_callback_waits_for_next_turn(void **state)
{
	struct timer timer;

	(void)state;
	timer_setup(&timer, rearm_at_once);
	timer_arm(&timer, 0, 1);
	set_time(10);
	for (unsigned turn = 1; turn <= 3; turn++) {
		set_time(10 * turn);
		timer_run();
		assert_true(fired_count >= turn);
	}
	assert_int_equal(fired_count, 3);
}

static struct timer other;

static void disarm_other(struct timer *timer)
{
	on_fire(timer);
	timer_disarm(&other);
}

static void callback_may_disarm_a_due_one(void **state)
{
	struct timer timer;

	(void)state;
	timer_setup(&timer, disarm_other);
	timer_setup(&other, on_fire);
	timer_arm(&timer, 0, 1);
	timer_arm(&other, 0, 2);
	set_time(10);
	timer_run();
	assert_int_equal(fired_count, 1);
}

static void programs_the_earliest(void **state)
{
	struct timer late, early;

	(void)state;
	timer_setup(&late, on_fire);
	timer_setup(&early, on_fire);
	timer_program(~0ull);
	assert_int_equal(fake.programmed, 0);

	timer_arm(&late, 0, 9000);
	timer_program(~0ull);
	assert_int_equal(fake.deadline_ns[0], 9000);
	timer_arm(&early, 0, 5000);
	timer_program(~0ull);
	assert_int_equal(fake.deadline_ns[0], 5000);
	/* A slice that ends earlier. */
	timer_program(3000);
	assert_int_equal(fake.deadline_ns[0], 3000);
	/* Later ones cost nothing: the early interrupt will do. */
	timer_program(~0ull);
	timer_program(4000);
	assert_int_equal(fake.programmed, 3);
	timer_disarm(&early);
	timer_disarm(&late);
}

/* An emulator may lose the interrupt: a running guest is ended all the same, and the next one is programmed. */
static void lost_interrupt_is_not_the_last(void **state)
{
	struct timer timer;

	(void)state;
	timer_setup(&timer, on_fire);
	timer_arm(&timer, 0, 1000);
	timer_program(~0ull);
	while (sched_is_turn_wanted())
		sched_turn();
	set_time(999);
	assert_false(sched_should_yield());
	set_time(1000);
	assert_true(timer_is_overdue());
	assert_true(sched_should_yield());
	assert_true(timer_run());

	timer_arm(&timer, 0, 2000);
	timer_program(~0ull);
	set_time(2500);
	timer_interrupt_by(4000);
	assert_int_equal(fake.deadline_ns[0], 4000);
	timer_disarm(&timer);
}

/* The interrupt may come a tick too early: then it is programmed again, or the timer is lost. */
static void early_interrupt_is_programmed_again(void **state)
{
	struct timer timer;

	(void)state;
	timer_setup(&timer, on_fire);
	timer_arm(&timer, 0, 1000);
	timer_program(~0ull);
	set_time(999);
	timer_interrupt();
	assert_true(sched_is_turn_wanted());
	assert_false(timer_run());
	timer_program(~0ull);
	assert_int_equal(fake.programmed, 2);
	set_time(1000);
	timer_interrupt();
	assert_true(timer_run());
}

static void arming_for_another_cpu_kicks_it(void **state)
{
	struct timer first, second;

	(void)state;
	timer_setup(&first, on_fire);
	timer_setup(&second, on_fire);
	timer_arm(&first, 2, 1000);
	assert_int_equal(fake.kicks[2], 1);
	fake.cpu = 2;
	sched_turn();
	assert_int_equal(fake.deadline_ns[2], 1000);
	/* A later one changes nothing for that CPU. */
	fake.cpu = 0;
	timer_arm(&second, 2, 2000);
	assert_int_equal(fake.kicks[2], 1);
	timer_disarm(&first);
	timer_disarm(&second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(fires_once_when_due, setup, teardown),
		cmocka_unit_test_setup_teardown(fires_in_order_of_deadline, setup, teardown),
		cmocka_unit_test_setup_teardown(rearm_moves_it, setup, teardown),
		cmocka_unit_test_setup_teardown(disarm_and_cancel_take_it_away, setup, teardown),
		cmocka_unit_test_setup_teardown(rearm_in_callback_waits_for_next_turn, setup, teardown),
		cmocka_unit_test_setup_teardown(callback_may_disarm_a_due_one, setup, teardown),
		cmocka_unit_test_setup_teardown(programs_the_earliest, setup, teardown),
		cmocka_unit_test_setup_teardown(early_interrupt_is_programmed_again, setup, teardown),
		cmocka_unit_test_setup_teardown(lost_interrupt_is_not_the_last, setup, teardown),
		cmocka_unit_test_setup_teardown(arming_for_another_cpu_kicks_it, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
