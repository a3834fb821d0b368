/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Callbacks at a deadline, a sorted queue per CPU.
 *
 * A callback runs in the loop of the CPU it was armed on (never in an interrupt
 * handler), with no lock held, and may arm its timer again. Arming and cancelling
 * are allowed from any CPU. timer_cancel returns only when the callback is not
 * running on another CPU; do not call it with a lock held that the callback takes:
 * use timer_disarm there, which does not wait.
 */
#pragma once

#include "kernel/list.h"

struct timer {
	struct list link;
	u64 deadline_ns;
	void (*callback)(struct timer *timer);
	unsigned cpu;
	bool is_armed;
};

void timer_setup(struct timer *timer, void (*callback)(struct timer *timer));
/* Arms or re-arms; a deadline in the past fires at once. */
void timer_arm(struct timer *timer, unsigned cpu, u64 deadline_ns);
void timer_disarm(struct timer *timer);
void timer_cancel(struct timer *timer);

/* Called by each CPU's loop: runs what is due on this CPU; true if anything was. */
bool timer_run(void);
/*
 * Programs this CPU's next timer interrupt: for its first timer or not_later_than_ns (~0: no
 * limit), whichever is earlier. It may come somewhat too early, never too late.
 */
void timer_program(u64 not_later_than_ns);
/* As timer_program, for the deadline alone: this CPU's timers may wait until then. */
void timer_interrupt_by(u64 deadline_ns);
/*
 * The interrupt that this CPU programmed should have come by now. QEMU's emulation of #VMEXIT (7.2) can
 * lose one: it changes the CPU's interrupt requests without the lock under which its other threads make
 * them. Whoever lets a guest run looks here at each exit; else a lost one would be the last.
 */
bool timer_is_overdue(void);
/* The machine's timer interrupt has come; called by its handler. */
void timer_interrupt(void);

/* Timers armed now, over all CPUs: a leak counter. */
u64 timer_armed_count(void);
