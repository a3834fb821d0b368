/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which vCPU or service runs on which CPU.
 *
 * No threads: every CPU runs one loop. CPU 0's loop first polls the services (network,
 * console, migration), then gives a slice to a runnable; the others only run
 * runnables. A runnable is a vCPU: run() enters the guest again and again until it
 * blocks, its slice ends, or sched_should_yield() says that the loop has other work
 * (due timers, service work, another runnable, a kick).
 */
#pragma once

#include "kernel/list.h"

enum run_result { RUN_BLOCKED, RUN_AGAIN };

struct runnable {
	struct list link;
	const char *name;
	/* On its CPU, no locks held. RUN_BLOCKED: not called again before sched_wake. */
	enum run_result (*run)(struct runnable *runnable);
	unsigned cpu;
	bool is_ready;   /* internal */
	bool is_running; /* run() is on the CPU now; read by any CPU */
	u64 run_ns;      /* total time inside run() */
};

struct service {
	struct list link;
	const char *name;
	/* On CPU 0. Does a bounded piece of work; true if there is more to do at once. */
	bool (*poll)(struct service *service);
	u64 run_ns;
};

/* Chooses the CPU with the fewest runnables; CPU 0 only when it is the only one. */
void sched_add(struct runnable *runnable);
/* The runnable must be blocked; waits for a run() that a late wake-up has begun: not to be called in it. */
void sched_remove(struct runnable *runnable);
/*
 * Any CPU, any context but NMI: run() will be called (again) soon; kicks the CPU. A wake
 * during run() is not lost.
 */
void sched_wake(struct runnable *runnable);

void service_add(struct service *service);
/* Any CPU, interrupt handlers too: the services get a round soon. */
void service_wake(void);

/*
 * Any CPU, any context but NMI: that CPU's loop has something to look at (a timer, a wake) and
 * makes a turn soon; it is kicked when it is another CPU. The timer's interrupt handler calls it.
 */
void sched_note(unsigned cpu);
/* True until the calling CPU's loop has begun the turn that sched_note asked for. */
bool sched_is_turn_wanted(void);

/* Asked by run() after each guest exit: true when the CPU's loop must get the CPU now. */
bool sched_should_yield(void);

/* The loop of the calling CPU; entered once after start. */
NORETURN void sched_loop(void);
/* One turn of that loop, true if anything was done (the host tests drive it). */
bool sched_turn(void);
