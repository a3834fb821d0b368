/* SPDX-License-Identifier: BSD-2-Clause */
/* The TSC's frequency and whether it can be trusted. */
#pragma once

#include "kernel/types.h"

/* Finds the frequency, in kHz. pm_timer_port is the ACPI PM timer's, or 0. Never 0. */
u64 tsc_find_khz(u16 pm_timer_port);
/* Where the frequency came from: "cpuid", "hypervisor", "pm-timer", "pit", "none". */
const char *tsc_source(void);
/* CPUID 80000007h EDX bit 8: runs at one rate in all power states. */
bool tsc_is_invariant(void);
