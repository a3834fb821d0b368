/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/guest_msr.h"

static bool is_back_ends(const struct hv_limits *limits, u32 index)
{
	switch (index) {
	case MSR_EFER:
	case MSR_PAT:
	case MSR_DEBUGCTL:
		return true;
	case MSR_SPEC_CTRL:
		return limits->spec_ctrl != 0;
	default:
		return false;
	}
}

bool guest_msr_exit(const struct hv_vcpu *hv, const struct hv_limits *limits, bool is_write,
		    struct hv_exit *exit)
{
	exit->msr.index = (u32)hv->gpr[RCX];
	exit->msr.value = is_write ? hv_edx_eax(hv) : 0;
	if (is_back_ends(limits, exit->msr.index)) {
		exit->reason = HV_EXIT_NONE;
		return true;
	}
	exit->reason = is_write ? HV_EXIT_MSR_WRITE : HV_EXIT_MSR_READ;
	return false;
}

void guest_xsetbv_exit(const struct hv_vcpu *hv, struct hv_exit *exit)
{
	exit->reason = HV_EXIT_XSETBV;
	exit->xsetbv.index = (u32)hv->gpr[RCX];
	exit->xsetbv.value = hv_edx_eax(hv);
}

/* SDM 3A 2.2.1, APM 2 3.1.7: LMA follows LME and CR0.PG; LME does not change while paging is on. */
bool guest_efer_may_be(const struct hv_limits *limits, u64 cr0, u64 old, u64 value)
{
	return !(value & ~limits->efer) && !(((value ^ old) & EFER_LME) && (cr0 & CR0_PG));
}
