/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the MSRs of arch/guest_msr.h are: EFER, PAT and DEBUGCTL in the VMCS, SPEC_CTRL in the
 * vCPU, for entry.S.
 */
#include "arch/vmx/vmx.h"

#include "arch/guest_msr.h"

static bool efer_write(struct vmx_vcpu *vcpu, u64 value)
{
	u64 old = vmread(GUEST_EFER);

	if (!guest_efer_may_be(&vmx_ops.limits, vmread(GUEST_CR0), old, value))
		return false;
	vmwrite(GUEST_EFER, guest_efer_after(old, value));
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
	if (!guest_spec_ctrl_may_be(&vmx_ops.limits, value))
		return false;
	vcpu->spec_ctrl = value;
	return true;
}

u64 vmx_msr_read(const struct vmx_vcpu *vcpu, u32 index)
{
	switch (index) {
	case MSR_EFER:
		return vmread(GUEST_EFER);
	case MSR_PAT:
		return vmread(GUEST_PAT);
	case MSR_DEBUGCTL:
		return vmread(GUEST_DEBUGCTL);
	default: /* SPEC_CTRL: no other is left to us */
		return vcpu->spec_ctrl;
	}
}

bool vmx_msr_write(struct vmx_vcpu *vcpu, u32 index, u64 value)
{
	switch (index) {
	case MSR_EFER:
		return efer_write(vcpu, value);
	case MSR_PAT:
		return pat_write(value);
	case MSR_DEBUGCTL:
		vmwrite(GUEST_DEBUGCTL, guest_debugctl_after(value));
		return true;
	default:
		return spec_ctrl_write(vcpu, value);
	}
}
