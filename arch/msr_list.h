/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSRs that a guest reads and writes without an exit: one list for every vendor, of which a back
 * end makes its permission map. All other MSRs exit.
 */
#pragma once

#include "kernel/types.h"

#define MSR_MAY_READ 1u
#define MSR_MAY_WRITE 2u

/* Calls pass for each MSR of the list that this CPU has. */
void msr_list_each(void (*pass)(void *map, u32 msr, u32 may), void *map);
