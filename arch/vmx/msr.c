/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The intercepted MSRs whose truth lies in the VMCS or in the CPU: EFER, PAT, DEBUGCTL and
 * SPEC_CTRL. All others that are intercepted are vmm's.
 */
#include "arch/vmx/vmx.h"

#include "arch/regs.h"

/* SDM 3A 2.2.1: LMA follows LME and CR0.PG; LME does not change while paging is on. */
static bool efer_write(struct vmx_vcpu *vcpu, u64 value)
{
	u64 old = vmread(GUEST_EFER);

	if (value & ~vmx_ops.limits.efer)
		return false;
	if (((value ^ old) & EFER_LME) && (vmread(GUEST_CR0) & CR0_PG))
		return false;
	vmwrite(GUEST_EFER, (value & ~EFER_LMA) | (old & EFER_LMA));
	/* SDM 3A 4.10.4.1: translations were made with the old NXE. */
	__atomic_store_n(&vcpu->want_flush, true, __ATOMIC_SEQ_CST);
	return true;
}

static bool pat_write(u64 value)
{
	if (!vcpu_pat_is_valid(value))
		return false;
	vmwrite(GUEST_PAT, value);
	return true;
}

static bool spec_ctrl_write(struct vmx_vcpu *vcpu, u64 value)
{
	if (value & ~vmx_ops.limits.spec_ctrl)
		return false;
	vcpu->spec_ctrl = value;
	return true;
}

bool vmx_msr_read(struct vmx_vcpu *vcpu, u32 index)
{
	u64 value;

	switch (index) {
	case MSR_EFER:
		value = vmread(GUEST_EFER);
		break;
	case MSR_PAT:
		value = vmread(GUEST_PAT);
		break;
	case MSR_DEBUGCTL:
		value = vmread(GUEST_DEBUGCTL);
		break;
	case MSR_SPEC_CTRL:
		if (!vmx_ops.limits.spec_ctrl)
			return false;
		value = vcpu->spec_ctrl;
		break;
	default:
		return false;
	}
	vcpu->hv.gpr[RAX] = (u32)value;
	vcpu->hv.gpr[RDX] = value >> 32;
	return true;
}

bool vmx_msr_write(struct vmx_vcpu *vcpu, u32 index, u64 value, bool *is_valid)
{
	switch (index) {
	case MSR_EFER:
		*is_valid = efer_write(vcpu, value);
		return true;
	case MSR_PAT:
		*is_valid = pat_write(value);
		return true;
	case MSR_DEBUGCTL:
		/* Branch-step traps work; branch records are not offered. */
		vmwrite(GUEST_DEBUGCTL, value & DEBUGCTL_BTF);
		return true;
	case MSR_SPEC_CTRL:
		*is_valid = spec_ctrl_write(vcpu, value);
		return vmx_ops.limits.spec_ctrl != 0;
	default:
		return false;
	}
}
