/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which vCPU or service runs on which CPU: one loop per CPU, no threads.
 *
 * Every reason for a CPU to look around sets its is_turn_wanted and, from another CPU,
 * kicks it. The loop clears the flag *before* it looks, and the machine's idle checks
 * it with interrupts off; so a wake-up is never lost, only sometimes one too many.
 *
 * The policy of the shared CPU, all of it:
 *   - services have SERVICE_BUDGET_NS a turn if they say that there is more to do;
 *   - then one runnable gets SLICE_NS, or LONE_SLICE_NS if no other one is ready, and less
 *     when something wants the loop before;
 *   - but if the services used up their budget, the runnable has BUSY_SLICE_NS for
 *     itself, whatever comes in: so a bulk transfer cannot starve the guest;
 *   - a runnable alone on a CPU other than 0 has no slice: nothing waits for it.
 */
#include "kernel/sched.h"
#include "kernel/clock.h"
#include "kernel/lock.h"
#include "kernel/machine.h"
#include "kernel/panic.h"
#include "kernel/timer.h"

#define SERVICE_CPU 0
#define SERVICE_BUDGET_NS (300 * NS_PER_US)
#define SLICE_NS (1 * NS_PER_MS)
#define LONE_SLICE_NS (10 * NS_PER_MS)
#define BUSY_SLICE_NS (300 * NS_PER_US)

struct sched_cpu {
	struct lock lock;       /* guards runnables and count */
	struct list runnables;  /* all of this CPU, ready or not; who has run goes to the tail */
	unsigned count;
	u32 is_turn_wanted;     /* atomic */
	u64 undisturbed_until_ns; /* of its own CPU: no yield before, 0: none */
} ALIGNED(64);

static struct sched_cpu cpus[CPU_MAX];
static struct list services = LIST_HEAD_INIT(services); /* CPU 0 only */

unsigned cpu_count = 1;

static struct sched_cpu *this_sched_cpu(void) { return &cpus[machine->cpu_id()]; }

/* With cpu->lock held. */
static struct list *cpu_runnables(struct sched_cpu *cpu)
{
	if (!cpu->runnables.next)
		list_init(&cpu->runnables);
	return &cpu->runnables;
}

static unsigned choose_cpu(void)
{
	unsigned best = cpu_count > 1 ? 1 : 0;

	for (unsigned cpu = best + 1; cpu < cpu_count; cpu++) {
		if (cpus[cpu].count < cpus[best].count)
			best = cpu;
	}
	return best;
}

void sched_add(struct runnable *runnable)
{
	struct sched_cpu *cpu;

	runnable->cpu = choose_cpu();
	runnable->is_ready = false;
	runnable->is_running = false;
	cpu = &cpus[runnable->cpu];
	lock_take(&cpu->lock);
	list_add_tail(cpu_runnables(cpu), &runnable->link);
	cpu->count++;
	lock_give(&cpu->lock);
}

void sched_remove(struct runnable *runnable)
{
	struct sched_cpu *cpu = &cpus[runnable->cpu];

	/* A wake-up that was under way calls run() once more; under the lock none begins. */
	lock_take(&cpu->lock);
	while (__atomic_load_n(&runnable->is_running, __ATOMIC_ACQUIRE)) {
		lock_give(&cpu->lock);
		assert_or_panic(runnable->cpu != machine->cpu_id());
		__builtin_ia32_pause();
		lock_take(&cpu->lock);
	}
	list_remove(&runnable->link);
	cpu->count--;
	lock_give(&cpu->lock);
}

void sched_note(unsigned cpu)
{
	/* Who sees the flag set already may rely on the kick of him who set it. */
	if (__atomic_exchange_n(&cpus[cpu].is_turn_wanted, 1, __ATOMIC_SEQ_CST))
		return;
	if (cpu != machine->cpu_id())
		machine->kick(cpu);
}

bool sched_is_turn_wanted(void)
{
	return __atomic_load_n(&this_sched_cpu()->is_turn_wanted, __ATOMIC_SEQ_CST);
}

void sched_wake(struct runnable *runnable)
{
	__atomic_store_n(&runnable->is_ready, true, __ATOMIC_SEQ_CST);
	sched_note(runnable->cpu);
}

void service_add(struct service *service)
{
	list_add_tail(&services, &service->link);
	service_wake();
}

void service_wake(void) { sched_note(SERVICE_CPU); }

bool sched_should_yield(void)
{
	const struct sched_cpu *cpu = this_sched_cpu();

	if (!__atomic_load_n(&cpu->is_turn_wanted, __ATOMIC_RELAXED)) {
		if (!timer_is_overdue())
			return false;
		timer_interrupt();
	}
	if (!cpu->undisturbed_until_ns || clock_now_ns() >= cpu->undisturbed_until_ns)
		return true;
	/* What came may have been the only interrupt that was programmed; a guest need not exit by itself. */
	timer_interrupt_by(cpu->undisturbed_until_ns);
	return false;
}

/* One call of each service; true if any has more to do. */
static bool services_round(u64 *now_ns)
{
	bool has_more = false;

	list_for_each_safe(service, &services, struct service, link) {
		u64 start_ns = *now_ns;

		if (service->poll(service))
			has_more = true;
		*now_ns = clock_now_ns();
		service->run_ns += *now_ns - start_ns;
	}
	return has_more;
}

/* Rounds until nothing is left or the budget is gone; true if there is more. */
static bool services_run(void)
{
	u64 now_ns = clock_now_ns(), end_ns = now_ns + SERVICE_BUDGET_NS;

	while (services_round(&now_ns)) {
		if (now_ns >= end_ns)
			return true;
	}
	return false;
}

/* The next ready runnable in turn, or NULL. *is_alone: no other one is ready. */
static struct runnable *choose_runnable(struct sched_cpu *cpu, bool *is_alone)
{
	struct runnable *chosen = NULL;

	*is_alone = true;
	lock_take(&cpu->lock);
	list_for_each(runnable, cpu_runnables(cpu), struct runnable, link) {
		if (!__atomic_load_n(&runnable->is_ready, __ATOMIC_SEQ_CST))
			continue;
		if (chosen) {
			*is_alone = false;
			break;
		}
		chosen = runnable;
	}
	if (chosen) {
		list_remove(&chosen->link);
		list_add_tail(&cpu->runnables, &chosen->link);
		__atomic_store_n(&chosen->is_running, true, __ATOMIC_SEQ_CST);
	}
	lock_give(&cpu->lock);
	return chosen;
}

static u64 slice_end(const struct sched_cpu *cpu, u64 now_ns, bool is_alone)
{
	if (!is_alone)
		return now_ns + SLICE_NS;
	return cpu == &cpus[SERVICE_CPU] ? now_ns + LONE_SLICE_NS : ~0ull;
}

static void run_slice(struct sched_cpu *cpu, struct runnable *runnable, bool is_alone,
		      bool are_services_busy)
{
	u64 start_ns = clock_now_ns();

	if (are_services_busy) {
		cpu->undisturbed_until_ns = start_ns + BUSY_SLICE_NS;
		timer_interrupt_by(cpu->undisturbed_until_ns);
	} else {
		timer_program(slice_end(cpu, start_ns, is_alone));
	}

	/* Before run(), so that a wake during run() is seen after it. */
	__atomic_store_n(&runnable->is_ready, false, __ATOMIC_SEQ_CST);
	if (runnable->run(runnable) == RUN_AGAIN)
		__atomic_store_n(&runnable->is_ready, true, __ATOMIC_SEQ_CST);
	runnable->run_ns += clock_now_ns() - start_ns;
	cpu->undisturbed_until_ns = 0;
	__atomic_store_n(&runnable->is_running, false, __ATOMIC_RELEASE);
}

bool sched_turn(void)
{
	struct sched_cpu *cpu = this_sched_cpu();
	bool has_more = false, is_alone, any;
	struct runnable *runnable;

	machine->irq_window();
	__atomic_store_n(&cpu->is_turn_wanted, 0, __ATOMIC_SEQ_CST);
	any = timer_run();
	if (cpu == &cpus[SERVICE_CPU])
		has_more = services_run();
	runnable = choose_runnable(cpu, &is_alone);
	if (runnable)
		run_slice(cpu, runnable, is_alone, has_more);
	else
		timer_program(~0ull);
	return any || has_more || runnable;
}

void sched_loop(void)
{
	for (;;) {
		if (!sched_turn())
			machine->idle();
	}
}
