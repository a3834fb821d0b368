/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The intercepted MSRs whose truth lies in the VMCB or in the CPU: EFER, PAT, DEBUGCTL and
 * SPEC_CTRL. All others that are intercepted are vmm's.
 */
#include "arch/svm/svm.h"

#include "arch/regs.h"

/* APM 2 3.1.7. SVME is set in the VMCB because VMRUN asks for it, and hidden from the guest. */
static bool efer_write(struct svm_vcpu *vcpu, u64 value)
{
	struct vmcb *vmcb = vcpu->vmcb;
	u64 old = vmcb->efer;

	if (value & ~svm_ops.limits.efer)
		return false;
	if (((value ^ old) & EFER_LME) && (vmcb->cr0 & CR0_PG))
		return false;
	vmcb->efer = (value & ~EFER_LMA) | (old & EFER_LMA) | EFER_SVME;
	vcpu->clean &= ~(u32)CLEAN_CRX;
	/* APM 2 15.16: bits that steer paging were changed on the guest's behalf. */
	vcpu->want_flush = true;
	return true;
}

static bool pat_write(struct svm_vcpu *vcpu, u64 value)
{
	if (!vcpu_pat_is_valid(value))
		return false;
	vcpu->vmcb->g_pat = value;
	vcpu->clean &= ~(u32)CLEAN_NP;
	return true;
}

/* Branch-step traps work where VMRUN switches DEBUGCTL; branch records are not offered. */
static bool debugctl_write(struct svm_vcpu *vcpu, u64 value)
{
	bool has_btf = svm_features.has_lbr_virtualization && (value & DEBUGCTL_BTF);

	vcpu->vmcb->dbgctl = has_btf ? DEBUGCTL_BTF : 0;
	vcpu->vmcb->lbr_control = has_btf ? LBR_VIRTUALIZATION : 0;
	vcpu->clean &= ~(u32)CLEAN_LBR;
	return true;
}

static bool spec_ctrl_write(struct svm_vcpu *vcpu, u64 value)
{
	if (value & ~svm_ops.limits.spec_ctrl)
		return false;
	vcpu->spec_ctrl = value;
	return true;
}

bool svm_msr_read(struct svm_vcpu *vcpu, u32 index)
{
	const struct vmcb *vmcb = vcpu->vmcb;
	u64 value;

	switch (index) {
	case MSR_EFER:
		value = vmcb->efer & ~EFER_SVME;
		break;
	case MSR_PAT:
		value = vmcb->g_pat;
		break;
	case MSR_DEBUGCTL:
		value = vmcb->dbgctl;
		break;
	case MSR_SPEC_CTRL:
		if (!svm_ops.limits.spec_ctrl)
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

bool svm_msr_write(struct svm_vcpu *vcpu, u32 index, u64 value, bool *is_valid)
{
	switch (index) {
	case MSR_EFER:
		*is_valid = efer_write(vcpu, value);
		return true;
	case MSR_PAT:
		*is_valid = pat_write(vcpu, value);
		return true;
	case MSR_DEBUGCTL:
		*is_valid = debugctl_write(vcpu, value);
		return true;
	case MSR_SPEC_CTRL:
		*is_valid = spec_ctrl_write(vcpu, value);
		return svm_ops.limits.spec_ctrl != 0;
	default:
		return false;
	}
}
