/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other CPUs: start them by INIT-SIPI-SIPI, hand them work, stop them.
 */
#pragma once

#include "kernel/types.h"

struct boot_info;
struct percpu;

/* The loop's stack and those for #DF, NMI and #MC. 0 or -ENOMEM. */
int smp_alloc_stacks(struct percpu *percpu);

/* Starts every usable CPU of the MADT. They wait for smp_release. Sets cpu_count. */
void smp_init(const struct boot_info *info);
/* Runs fn on every CPU, the caller's first, one after the other. Only before smp_release. */
void smp_call_each(void (*fn)(void *), void *context);
/* Lets the other CPUs go on to sched_loop. */
void smp_release(void);
/* Makes all other CPUs stop for good (panic, power-off). */
void smp_stop_others(void);
/* For the NMI handler: whether this NMI was smp_stop_others; does not return then. */
void smp_stop_here_if_wanted(void);
