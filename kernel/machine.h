/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What kernel/ asks of the machine. arch/ fills this table at start (and the host
 * tests fill it with a fake), since kernel/ does not include arch/.
 */
#pragma once

#include "kernel/types.h"

struct machine_ops {
	/* Number of the CPU that asks, 0..cpu_count-1. */
	unsigned (*cpu_id)(void);
	/* Makes the CPU leave idle or guest mode soon, without fail, even if it was about to enter. */
	void (*kick)(unsigned cpu);
	/* The calling CPU's next timer interrupt, in clock_now_ns() time; ~0 for none. */
	void (*set_deadline)(u64 deadline_ns);
	/* Sleeps until an interrupt or kick; returns at once when sched_is_turn_wanted() already. */
	void (*idle)(void);
	/* Writes to the console, at any time, even in panic; never blocks for ever. */
	void (*console_write)(const char *text, size_t bytes);
	/* Takes the interrupts that are pending now: their handlers only set flags. */
	void (*irq_window)(void);
	/* For panic: all other CPUs stop for good; registers and call chain of the calling CPU. */
	void (*stop_others)(void);
	void (*dump)(void);
	NORETURN void (*halt)(void);
};

extern const struct machine_ops *machine;

extern unsigned cpu_count; /* CPUs that run, set once by arch/smp.c */

#define CPU_MAX 64
