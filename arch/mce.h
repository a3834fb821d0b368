/* SPDX-License-Identifier: BSD-2-Clause */
/* Errors that the hardware itself reports: machine checks and NMIs. */
#pragma once

#include "kernel/types.h"

/* Switches reporting on, and logs what is left from before the start. On every CPU, once. */
void mce_cpu_init(void);
/*
 * Looks on every CPU from time to time for errors that the hardware corrected, and for NMIs, and logs
 * them. Once, after smp_init.
 */
void mce_watch(void);
/* A machine check has come: panics with what the banks say. On the #MC stack. */
NORETURN void mce_panic(u64 rip);
