/* SPDX-License-Identifier: BSD-2-Clause */
/* The loops: nothing is lost, nobody starves. */
/* SOURCES: kernel/timer.c kernel/clock.c kernel/sched.c kernel/panic.c kernel/fmt.c */
#include "tests/host/fake/machine.h"
#include "kernel/clock.h"
#include "kernel/sched.h"
#include "kernel/timer.h"

struct worker {
	struct runnable runnable;
	unsigned runs;
	unsigned runs_left;      /* RUN_AGAIN while there are any */
	u64 step_ns;             /* time that one guest exit takes */
	u64 longest_ns;          /* the longest it was let run */
	bool wakes_itself;
	bool is_spinning;        /* leaves the guest by interrupts only */
};

struct work {
	struct service service;
	unsigned polls;
	unsigned polls_left;
	u64 step_ns;
};

/* The fake timer interrupt comes when its time has come: true then. */
static bool pass(u64 ns)
{
	fake_tsc += ns;
	if (!fake.deadline_ns[fake.cpu] || clock_now_ns() < fake.deadline_ns[fake.cpu])
		return false;
	fake.deadline_ns[fake.cpu] = 0;
	timer_interrupt();
	return true;
}

static enum run_result worker_run(struct runnable *runnable)
{
	struct worker *worker = container_of(runnable, struct worker, runnable);
	u64 start = clock_now_ns();

	worker->runs++;
	assert_true(runnable->is_running);
	if (worker->wakes_itself) {
		worker->wakes_itself = false;
		sched_wake(runnable);
		return RUN_BLOCKED;
	}
	if (!worker->runs_left)
		return RUN_BLOCKED;
	worker->runs_left--;
	do {
		while (!pass(worker->step_ns) && worker->is_spinning && clock_now_ns() - start < 100 * NS_PER_MS)
			;
	} while (!sched_should_yield() && clock_now_ns() - start < 100 * NS_PER_MS);
	worker->longest_ns = MAX(worker->longest_ns, clock_now_ns() - start);
	return RUN_AGAIN;
}

static bool work_poll(struct service *service)
{
	struct work *work = container_of(service, struct work, service);

	work->polls++;
	if (!work->polls_left)
		return false;
	work->polls_left--;
	pass(work->step_ns);
	return true;
}

/* Services stay for ever, so there is one for all tests. */
static struct work work = { .service = { .name = "work", .poll = work_poll } };

static int setup(void **state)
{
	static bool is_added;

	(void)state;
	memset(&fake, 0, sizeof(fake));
	cpu_count = 1;
	fake_tsc = 0;
	clock_init(1000000);
	if (!is_added)
		service_add(&work.service);
	is_added = true;
	for (fake.cpu = 0; fake.cpu < 4; fake.cpu++) {
		timer_interrupt();
		sched_turn();
	}
	memset(&fake, 0, sizeof(fake));
	work.polls = work.polls_left = 0;
	return 0;
}

static struct worker *worker_new(struct worker *worker)
{
	*worker = (struct worker){ .runnable = { .name = "vcpu", .run = worker_run }, .step_ns = 10000 };
	sched_add(&worker->runnable);
	return worker;
}

static void drain(void)
{
	for (unsigned i = 0; i < 1000 && sched_turn(); i++)
		;
}

static void does_nothing_when_there_is_nothing(void **state)
{
	(void)state;
	assert_false(sched_turn());
	assert_false(sched_is_turn_wanted());
	assert_int_equal(fake.programmed, 0);
}

static void runs_what_was_woken_until_it_blocks(void **state)
{
	struct worker worker;

	(void)state;
	worker_new(&worker)->runs_left = 3;
	assert_false(sched_turn());
	assert_int_equal(worker.runs, 0);
	sched_wake(&worker.runnable);
	assert_true(sched_is_turn_wanted());
	drain();
	assert_int_equal(worker.runs, 4);
	assert_false(worker.runnable.is_running);
	assert_true(worker.runnable.run_ns >= 3 * 10000);
	sched_remove(&worker.runnable);
}

static void wake_during_run_is_not_lost(void **state)
{
	struct worker worker;

	(void)state;
	worker_new(&worker)->wakes_itself = true;
	sched_wake(&worker.runnable);
	drain();
	assert_int_equal(worker.runs, 2);
	sched_remove(&worker.runnable);
}

/* An interrupt that comes in the window of a turn is served in that turn or the next. */
static void interrupt_in_window_is_not_lost(void **state)
{
	(void)state;
	fake.on_window = service_wake;
	sched_turn();
	assert_true(work.polls > 0);
	assert_int_equal(fake.windows, 1);
}

/* Set while the loop works: the next idle must not sleep. */
static struct worker *to_wake;

static void wake_callback(struct timer *timer)
{
	(void)timer;
	sched_wake(&to_wake->runnable);
}

static void timer_wakes_runnable_in_the_same_turn(void **state)
{
	struct worker worker;
	struct timer timer;

	(void)state;
	to_wake = worker_new(&worker);
	timer_setup(&timer, wake_callback);
	timer_arm(&timer, 0, 500);
	fake_tsc = 600;
	sched_turn();
	assert_int_equal(worker.runs, 1);
	assert_true(sched_is_turn_wanted());
	sched_remove(&worker.runnable);
}

static void spreads_over_cpus_but_not_the_first(void **state)
{
	struct worker workers[6];
	unsigned counts[4] = { 0 };

	(void)state;
	cpu_count = 4;
	for (unsigned i = 0; i < 6; i++)
		counts[worker_new(&workers[i])->runnable.cpu]++;
	assert_int_equal(counts[0], 0);
	for (unsigned cpu = 1; cpu < 4; cpu++)
		assert_int_equal(counts[cpu], 2);
	for (unsigned i = 0; i < 6; i++)
		sched_remove(&workers[i].runnable);
}

static void one_kick_for_many_notes(void **state)
{
	struct worker worker;

	(void)state;
	cpu_count = 2;
	worker_new(&worker);
	for (unsigned i = 0; i < 5; i++)
		sched_wake(&worker.runnable);
	assert_int_equal(fake.kicks[1], 1);
	fake.cpu = 1;
	sched_turn();
	assert_int_equal(worker.runs, 1);
	fake.cpu = 0;
	sched_wake(&worker.runnable);
	assert_int_equal(fake.kicks[1], 2);
	fake.cpu = 1;
	drain();
	sched_remove(&worker.runnable);
}

static void runnables_take_turns(void **state)
{
	struct worker a, b;

	(void)state;
	worker_new(&a)->runs_left = 50;
	worker_new(&b)->runs_left = 50;
	sched_wake(&a.runnable);
	sched_wake(&b.runnable);
	for (unsigned i = 0; i < 20; i++)
		sched_turn();
	assert_int_equal(a.runs, 10);
	assert_int_equal(b.runs, 10);
	assert_in_range(a.longest_ns, 900000, 1100000);
	a.runs_left = b.runs_left = 0;
	drain();
	sched_remove(&a.runnable);
	sched_remove(&b.runnable);
}

/* On its own CPU a lone vCPU is never interrupted for a slice. */
static void lone_vcpu_has_no_slice(void **state)
{
	struct worker worker;

	(void)state;
	cpu_count = 2;
	worker_new(&worker)->runs_left = 1;
	sched_wake(&worker.runnable);
	fake.cpu = 1;
	sched_turn();
	assert_true(worker.longest_ns >= 100 * NS_PER_MS);
	assert_int_equal(fake.programmed, 0);
	drain();
	sched_remove(&worker.runnable);
}

/* A service that always has more to do and a busy guest: both get on, at least a third each. */
static void neither_services_nor_guest_starve(void **state)
{
	struct worker worker;
	u64 service_ns = work.service.run_ns;

	(void)state;
	worker_new(&worker)->runs_left = 100000;
	sched_wake(&worker.runnable);
	work.polls_left = 1000000;
	work.step_ns = 20000;
	while (clock_now_ns() < 200 * NS_PER_MS) {
		/* And the card interrupts all the time. */
		fake.on_window = service_wake;
		sched_turn();
	}
	service_ns = work.service.run_ns - service_ns;
	assert_true(service_ns > 65 * NS_PER_MS);
	assert_true(worker.runnable.run_ns > 65 * NS_PER_MS);
	assert_true(worker.longest_ns < NS_PER_MS);
	worker.runs_left = work.polls_left = 0;
	drain();
	sched_remove(&worker.runnable);
}

static void nothing_to_do(struct timer *timer) { (void)timer; }

/*
 * A timer's interrupt within the time that a guest has for itself is used up; the guest, which
 * spins, must come out at the end of that time all the same.
 */
static void spinning_guest_gives_the_cpu_back(void **state)
{
	struct worker worker;
	struct timer timer;

	(void)state;
	worker_new(&worker)->runs_left = 1;
	worker.is_spinning = true;
	worker.step_ns = 1000;
	timer_setup(&timer, nothing_to_do);
	timer_arm(&timer, 0, 400 * NS_PER_US);
	timer_program(~0ull);
	sched_wake(&worker.runnable);
	work.polls_left = 1000000;
	work.step_ns = 310 * NS_PER_US; /* more than the services' share in one turn */
	sched_turn();
	assert_in_range(worker.longest_ns, 290 * NS_PER_US, 310 * NS_PER_US);
	work.polls_left = 0;
	timer_cancel(&timer);
	drain();
	sched_remove(&worker.runnable);
}

static void interrupt_ends_the_slice_when_services_are_quiet(void **state)
{
	struct worker worker;

	(void)state;
	worker_new(&worker)->runs_left = 1;
	sched_wake(&worker.runnable);
	worker.step_ns = 1000;
	fake.on_window = NULL;
	/* The flag is cleared at the start of the turn; a timer that is due soon stands for the card. */
	{
		struct timer timer;

		to_wake = &worker;
		timer_setup(&timer, wake_callback);
		timer_arm(&timer, 0, clock_now_ns() + 20000);
		sched_turn();
		assert_in_range(worker.longest_ns, 20000, 22000);
		timer_cancel(&timer);
	}
	drain();
	sched_remove(&worker.runnable);
}

static void removing_a_running_one_is_a_bug(void **state)
{
	struct worker worker;

	(void)state;
	worker_new(&worker);
	worker.runnable.is_running = true;
	expect_assert_failure(sched_remove(&worker.runnable));
	worker.runnable.is_running = false;
	sched_remove(&worker.runnable);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(does_nothing_when_there_is_nothing, setup),
		cmocka_unit_test_setup(runs_what_was_woken_until_it_blocks, setup),
		cmocka_unit_test_setup(wake_during_run_is_not_lost, setup),
		cmocka_unit_test_setup(interrupt_in_window_is_not_lost, setup),
		cmocka_unit_test_setup(timer_wakes_runnable_in_the_same_turn, setup),
		cmocka_unit_test_setup(spreads_over_cpus_but_not_the_first, setup),
		cmocka_unit_test_setup(one_kick_for_many_notes, setup),
		cmocka_unit_test_setup(runnables_take_turns, setup),
		cmocka_unit_test_setup(lone_vcpu_has_no_slice, setup),
		cmocka_unit_test_setup(neither_services_nor_guest_starve, setup),
		cmocka_unit_test_setup(spinning_guest_gives_the_cpu_back, setup),
		cmocka_unit_test_setup(interrupt_ends_the_slice_when_services_are_quiet, setup),
		cmocka_unit_test_setup(removing_a_running_one_is_a_bug, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
