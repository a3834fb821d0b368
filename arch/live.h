/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers of a guest that entries and exits do not switch and Tern itself does not use: they
 * stay live in the CPU across exits, and go to memory when another vCPU needs the CPU or this one
 * parks. All functions run with interrupts off.
 */
#pragma once

#include "arch/percpu.h"

#define NO_CPU (~0u)

/* Embedded in each back end's vCPU. In the CPU's registers while cpu is one, here while it is NO_CPU. */
struct live {
	unsigned cpu;
	u64 serial;             /* of the vCPU; never used twice */
	u64 xcr0;               /* always true */
	u64 dr[4];
	u64 tsc_aux;
	u8 *xsave;              /* a page, standard format */

	/* Only where the extension leaves them to software (live_setup); unused elsewhere. */
	u64 dr6;
	u64 cr2;
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
};

/* Facts of this machine, by a back end's probe. xcr0: all components that a guest may enable. */
void live_setup(u64 xcr0, bool has_system_registers);

/* 0 or -ENOMEM. */
int live_init(struct live *live);
/* Forgets and frees; harmless after a live_init that failed, and on zeroes. */
void live_fini(struct live *live);

/* Makes it live on this CPU in place of whatever is; only if it is live nowhere. */
void live_acquire(struct live *live);
/* To memory; harmless if nothing is live here. Panics if it is live on another CPU. */
void live_release(struct live *live);
/* What is live is forgotten; memory counts. */
void live_drop(struct live *live);
/* Is nothing of any guest in this CPU? */
bool live_is_nothing(void);

static inline bool live_is_here(const struct live *live) { return live->cpu == this_cpu(); }

/* Of system registers (live_setup). */
void live_set_cr2(struct live *live, u64 cr2);
u64 live_dr6(const struct live *live);
void live_set_dr6(struct live *live, u64 dr6);

void live_set_xcr0(struct live *live, u64 xcr0);
u64 live_tsc_aux(const struct live *live);
