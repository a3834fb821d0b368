/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MOV to CR0 and CR4 that would change a bit that is not the guest's (vmx_cr0_owned,
 * vmx_cr4_owned). What the guest is to read there is in a shadow; so for a value that the CPU would
 * accept it is enough to change the shadow and let the instruction run again: now that nothing owned
 * changes it does not exit, and the CPU does the rest (LMA, PDPTEs, flushes) as without us.
 */
#include "arch/vmx/vmx.h"

#include "arch/regs.h"

#define CR_OF(qualification) FIELD(qualification, 3, 0)
#define TYPE_OF(qualification) FIELD(qualification, 5, 4)
#define GPR_OF(qualification) FIELD(qualification, 11, 8)
#define TYPE_MOV_TO_CR 0

/* What makes MOV to CR0 #GP(0), SDM 2B "MOV - move to/from control registers". */
static bool is_cr0_refused(u64 value)
{
	u64 cr4 = vmx_guest_cr4();
	bool is_on = value & CR0_PG, was_on = vmread(GUEST_CR0) & CR0_PG;
	bool is_long = vmread(GUEST_EFER) & EFER_LME;

	if (value >> 32 || (is_on && !(value & CR0_PE)) || ((value & CR0_NW) && !(value & CR0_CD)))
		return true;
	if (is_on && !was_on && is_long)
		return !(cr4 & CR4_PAE) ||
		       (vmread(vmcs_of_segment(GUEST_ATTRIBUTES, SEG_CS)) & SEG_ATTR_L);
	if (!is_on && was_on)
		return (cr4 & CR4_PCIDE) || vmx_code_bits() == 64;
	return false;
}

/* Bits that are not offered are reserved (SDM 2B); of the others, only MCE brings us here. */
static bool is_cr4_refused(u64 value) { return value & ~vmx_ops.limits.cr4; }

static void shadow_change(enum vmcs_field shadow, u64 owned, u64 value)
{
	vmwrite(shadow, (vmread(shadow) & ~owned) | (value & owned));
}

void vmx_exit_cr(struct vmx_vcpu *vcpu, struct hv_exit *exit)
{
	u64 what = vmread(EXIT_QUALIFICATION);
	u64 value = vcpu->hv.gpr[GPR_OF(what)];
	u64 cr = CR_OF(what);
	bool is_move = TYPE_OF(what) == TYPE_MOV_TO_CR;

	exit->reason = HV_EXIT_NONE;
	if (is_move && cr == 0 && !is_cr0_refused(value)) {
		shadow_change(CR0_SHADOW, vmx_cr0_owned(), value);
	} else if (is_move && cr == 4 && !is_cr4_refused(value)) {
		shadow_change(CR4_SHADOW, vmx_cr4_owned(), value);
	} else if (is_move && (cr == 0 || cr == 4)) {
		vmx_inject_exception(vcpu, EXCEPTION_GP, true, 0);
	} else {
		exit->reason = HV_EXIT_UNKNOWN;
		exit->unknown.code = EXIT_CR_ACCESS;
		exit->unknown.info[0] = what;
		exit->unknown.info[1] = value;
		exit->why = "an access to a control register that was not asked for";
	}
}
