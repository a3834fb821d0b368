/* SPDX-License-Identifier: BSD-2-Clause */
/* The MSRs that are the guest's own affair, and why each is safe and migrates. */
#include "arch/msr_list.h"

#include "arch/limits.h"
#include "arch/regs.h"

#define MAY (MSR_MAY_READ | MSR_MAY_WRITE)

static const struct {
	u32 first, last;
	u32 may;
	bool (*only_if)(void);
} msr_list[] = {
	/* Switched by entry and exit, or live in the CPU like the FPU (live.c). */
	{ MSR_SYSENTER_CS, MSR_SYSENTER_EIP, MAY, NULL },
	{ MSR_STAR, MSR_SFMASK, MAY, NULL },
	{ MSR_FS_BASE, MSR_KERNEL_GS_BASE, MAY, NULL },
	{ MSR_TSC_AUX, MSR_TSC_AUX, MAY, cpu_has_tsc_aux },
	/* A command without state. */
	{ MSR_PRED_CMD, MSR_PRED_CMD, MSR_MAY_WRITE, cpu_has_ibpb },
};

void msr_list_each(void (*pass)(void *map, u32 msr, u32 may), void *map)
{
	for (unsigned i = 0; i < ARRAY_COUNT(msr_list); i++) {
		if (msr_list[i].only_if && !msr_list[i].only_if())
			continue;
		for (u32 msr = msr_list[i].first; msr <= msr_list[i].last; msr++)
			pass(map, msr, msr_list[i].may);
	}
}
