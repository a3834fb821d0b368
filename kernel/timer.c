/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Callbacks at a deadline: a list per CPU, sorted by deadline.
 *
 * One lock guards all queues, since a timer may move from one CPU's to another's; it is
 * held for a walk of a short list, never while a callback runs.
 */
#include "kernel/timer.h"
#include "kernel/clock.h"
#include "kernel/lock.h"
#include "kernel/machine.h"
#include "kernel/panic.h"
#include "kernel/sched.h"

struct timer_queue {
	struct list timers;
	struct timer *running; /* its callback is on the CPU now */
	u64 programmed_ns;     /* used by its own CPU only: when the next interrupt comes; 0: none will */
};

static struct lock timer_lock; /* guards all queues, and the fields of armed timers */
static struct timer_queue queues[CPU_MAX];
static u64 armed_count;

/* With timer_lock held. */
static struct list *queue_timers(unsigned cpu)
{
	struct list *timers = &queues[cpu].timers;

	if (!timers->next)
		list_init(timers);
	return timers;
}

static void queue_insert(struct list *timers, struct timer *timer)
{
	list_for_each(later, timers, struct timer, link) {
		if (later->deadline_ns > timer->deadline_ns) {
			list_insert_before(&later->link, &timer->link);
			return;
		}
	}
	list_add_tail(timers, &timer->link);
}

static void queue_remove(struct timer *timer)
{
	if (!timer->is_armed)
		return;
	list_remove(&timer->link);
	timer->is_armed = false;
	armed_count--;
}

void timer_setup(struct timer *timer, void (*callback)(struct timer *timer))
{
	*timer = (struct timer){ .callback = callback };
	list_init(&timer->link);
}

void timer_arm(struct timer *timer, unsigned cpu, u64 deadline_ns)
{
	struct list *timers;
	bool is_first;

	assert_or_panic(cpu < CPU_MAX && timer->callback);
	lock_take(&timer_lock);
	queue_remove(timer);
	timers = queue_timers(cpu);
	timer->cpu = cpu;
	timer->deadline_ns = deadline_ns;
	timer->is_armed = true;
	armed_count++;
	queue_insert(timers, timer);
	is_first = timers->next == &timer->link;
	lock_give(&timer_lock);

	/* The interrupt that its CPU has programmed is for what was first before. */
	if (is_first)
		sched_note(cpu);
}

void timer_disarm(struct timer *timer)
{
	lock_take(&timer_lock);
	queue_remove(timer);
	lock_give(&timer_lock);
}

static bool is_running_elsewhere(const struct timer *timer)
{
	for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
		if (cpu != machine->cpu_id() &&
		    __atomic_load_n(&queues[cpu].running, __ATOMIC_ACQUIRE) == timer)
			return true;
	}
	return false;
}

void timer_cancel(struct timer *timer)
{
	timer_disarm(timer);
	while (is_running_elsewhere(timer)) {
		__builtin_ia32_pause();
		/* Its callback may have armed it again. */
		timer_disarm(timer);
	}
}

/* Takes the first timer that is due, or NULL. */
static struct timer *take_due(unsigned cpu, u64 now_ns)
{
	struct timer *timer;

	lock_take(&timer_lock);
	timer = list_first(queue_timers(cpu), struct timer, link);
	if (timer && timer->deadline_ns > now_ns)
		timer = NULL;
	if (timer) {
		queue_remove(timer);
		__atomic_store_n(&queues[cpu].running, timer, __ATOMIC_RELEASE);
	}
	lock_give(&timer_lock);
	return timer;
}

bool timer_run(void)
{
	unsigned cpu = machine->cpu_id();
	/* One reading for all: a timer that arms itself for "at once" waits for the next turn. */
	u64 now_ns = clock_now_ns();
	struct timer *timer;
	bool any = false;

	while ((timer = take_due(cpu, now_ns))) {
		timer->callback(timer);
		__atomic_store_n(&queues[cpu].running, NULL, __ATOMIC_RELEASE);
		any = true;
	}
	return any;
}

/* The earliest deadline of the queue; ~0: none. */
static u64 first_deadline(unsigned cpu)
{
	struct timer *timer;
	u64 deadline_ns = ~0ull;

	lock_take(&timer_lock);
	timer = list_first(queue_timers(cpu), struct timer, link);
	if (timer)
		deadline_ns = timer->deadline_ns;
	lock_give(&timer_lock);
	return deadline_ns;
}

bool timer_is_overdue(void)
{
	u64 programmed_ns = queues[machine->cpu_id()].programmed_ns;

	return programmed_ns && programmed_ns <= clock_now_ns();
}

void timer_interrupt_by(u64 deadline_ns)
{
	struct timer_queue *queue = &queues[machine->cpu_id()];

	/*
	 * Programming is dear (an exit, under another hypervisor): an earlier interrupt will do, if it is
	 * still to come. See timer_is_overdue for one that is not.
	 */
	if (deadline_ns == ~0ull ||
	    (queue->programmed_ns && queue->programmed_ns <= deadline_ns && !timer_is_overdue()))
		return;
	/* 0 says "none". */
	queue->programmed_ns = MAX(deadline_ns, 1ull);
	machine->set_deadline(queue->programmed_ns);
}

void timer_program(u64 not_later_than_ns)
{
	timer_interrupt_by(MIN(first_deadline(machine->cpu_id()), not_later_than_ns));
}

void timer_interrupt(void)
{
	unsigned cpu = machine->cpu_id();

	queues[cpu].programmed_ns = 0;
	sched_note(cpu);
}

u64 timer_armed_count(void) { return __atomic_load_n(&armed_count, __ATOMIC_RELAXED); }
