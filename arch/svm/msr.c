/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the MSRs of arch/guest_msr.h are: EFER, PAT and DEBUGCTL in the VMCB, SPEC_CTRL in the
 * vCPU, for the next run.
 */
#include "arch/svm/svm.h"

#include "arch/guest_msr.h"

/* SVME is set in the VMCB because VMRUN asks for it, and hidden from the guest. */
static bool efer_write(struct svm_vcpu *vcpu, u64 value)
{
	struct vmcb *vmcb = vcpu->vmcb;

	if (!guest_efer_may_be(&svm_ops.limits, vmcb->cr0, vmcb->efer, value))
		return false;
	vmcb->efer = guest_efer_after(vmcb->efer, value) | EFER_SVME;
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

/* Only where VMRUN switches DEBUGCTL. */
static void debugctl_write(struct svm_vcpu *vcpu, u64 value)
{
	struct vmcb *vmcb = vcpu->vmcb;

	vmcb->dbgctl = svm_features.has_lbr_virtualization ? guest_debugctl_after(value) : 0;
	vmcb->lbr_control = vmcb->dbgctl ? LBR_VIRTUALIZATION : 0;
	vcpu->clean &= ~(u32)CLEAN_LBR;
}

static bool spec_ctrl_write(struct svm_vcpu *vcpu, u64 value)
{
	if (!guest_spec_ctrl_may_be(&svm_ops.limits, value))
		return false;
	vcpu->spec_ctrl = value;
	return true;
}

u64 svm_msr_read(const struct svm_vcpu *vcpu, u32 index)
{
	switch (index) {
	case MSR_EFER:
		return vcpu->vmcb->efer & ~EFER_SVME;
	case MSR_PAT:
		return vcpu->vmcb->g_pat;
	case MSR_DEBUGCTL:
		return vcpu->vmcb->dbgctl;
	default: /* SPEC_CTRL: no other is left to us */
		return vcpu->spec_ctrl;
	}
}

bool svm_msr_write(struct svm_vcpu *vcpu, u32 index, u64 value)
{
	switch (index) {
	case MSR_EFER:
		return efer_write(vcpu, value);
	case MSR_PAT:
		return pat_write(vcpu, value);
	case MSR_DEBUGCTL:
		debugctl_write(vcpu, value);
		return true;
	default:
		return spec_ctrl_write(vcpu, value);
	}
}
