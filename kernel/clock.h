/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Host monotonic time in ns since start, from the TSC. Same on all CPUs. Any CPU, any context.
 */
#pragma once

#include "kernel/types.h"

/* TSC ticks per ms, as measured at start (arch/tsc.c); never 0 after clock_init. */
extern u64 tsc_khz;

void clock_init(u64 khz);
/* 0 before clock_init. */
u64 clock_now_ns(void);
/* The TSC at a time of this clock (saturating). */
u64 clock_tsc_at(u64 ns);
/* Spans: exact, rounded down, without overflow for centuries; clock_ns_to_tsc saturates. */
u64 clock_tsc_to_ns(u64 ticks);
u64 clock_ns_to_tsc(u64 ns);
