/* SPDX-License-Identifier: BSD-2-Clause */
/* Machine checks: errors that the hardware itself reports. */
#pragma once

#include "kernel/types.h"

/* Switches reporting on, and logs what is left from before the start. On every CPU, once. */
void mce_cpu_init(void);
/* A machine check has come: panics with what the banks say. On the #MC stack. */
NORETURN void mce_panic(u64 rip);
