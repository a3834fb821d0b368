/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exits of RDMSR, WRMSR and XSETBV, and the rules of the MSRs whose truth is in a back end: EFER,
 * PAT, DEBUGCTL and SPEC_CTRL. What a guest may write is said here; where it goes, there.
 */
#pragma once

#include "arch/hv.h"
#include "arch/regs.h"

/*
 * Fills all of exit but insn_len. True: the MSR is the back end's; the reason is HV_EXIT_NONE then,
 * and index and value are in exit->msr. All other MSRs that exit are vmm's.
 */
bool guest_msr_exit(const struct hv_vcpu *hv, const struct hv_limits *limits, bool is_write,
		    struct hv_exit *exit);
void guest_xsetbv_exit(const struct hv_vcpu *hv, struct hv_exit *exit);

/* False: the write asks for #GP. For PAT there is vcpu_pat_is_valid; DEBUGCTL refuses nothing. */
bool guest_efer_may_be(const struct hv_limits *limits, u64 cr0, u64 old, u64 value);
static inline bool guest_spec_ctrl_may_be(const struct hv_limits *limits, u64 value)
{
	return !(value & ~limits->spec_ctrl);
}

/* What a write makes of EFER: LMA is not the guest's to set. */
static inline u64 guest_efer_after(u64 old, u64 value)
{
	return (value & ~EFER_LMA) | (old & EFER_LMA);
}

/* Branch-step traps work; branch records are not offered. */
static inline u64 guest_debugctl_after(u64 value) { return value & DEBUGCTL_BTF; }
