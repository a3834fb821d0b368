/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM entry that failed: everything that its rules look at is read back from the VMCS, and
 * why.c says which rule is broken. One table says where each field comes from.
 */
#include "arch/vmx/vmx.h"

#include "arch/cpu.h"
#include "arch/vmx/why.h"
#include "kernel/string.h"

#define INSN_ERROR_CONTROLS 7
#define INSN_ERROR_HOST_STATE 8

static const struct source {
	u16 offset, bytes;
	u16 field; /* enum vmcs_field */
} sources[] = {
#define SOURCE(member, field) \
	{ offsetof(struct vmx_entry_fields, member), sizeof(((struct vmx_entry_fields *)0)->member), field }
	SOURCE(pin, PIN_CONTROLS),
	SOURCE(primary, PRIMARY_CONTROLS),
	SOURCE(secondary, SECONDARY_CONTROLS),
	SOURCE(exit, EXIT_CONTROLS),
	SOURCE(entry, ENTRY_CONTROLS),
	SOURCE(cr3_target_count, CR3_TARGET_COUNT),
	SOURCE(msr_bitmap, MSR_BITMAP),
	SOURCE(virtual_apic, VIRTUAL_APIC),
	SOURCE(tpr_threshold, TPR_THRESHOLD),
	SOURCE(eptp, EPT_POINTER),
	SOURCE(exit_msr_store_count, EXIT_MSR_STORE_COUNT),
	SOURCE(exit_msr_load_count, EXIT_MSR_LOAD_COUNT),
	SOURCE(entry_msr_load_count, ENTRY_MSR_LOAD_COUNT),
	SOURCE(entry_info, ENTRY_EVENT),
	SOURCE(entry_error_code, ENTRY_EVENT_ERROR),
	SOURCE(entry_insn_len, ENTRY_INSN_LEN),
	SOURCE(host.cr0, HOST_CR0),
	SOURCE(host.cr3, HOST_CR3),
	SOURCE(host.cr4, HOST_CR4),
	SOURCE(host.efer, HOST_EFER),
	SOURCE(host.pat, HOST_PAT),
	SOURCE(host.sysenter_esp, HOST_SYSENTER_ESP),
	SOURCE(host.sysenter_eip, HOST_SYSENTER_EIP),
	SOURCE(host.fs_base, HOST_FS_BASE),
	SOURCE(host.gs_base, HOST_GS_BASE),
	SOURCE(host.tr_base, HOST_TR_BASE),
	SOURCE(host.gdtr_base, HOST_GDTR_BASE),
	SOURCE(host.idtr_base, HOST_IDTR_BASE),
	SOURCE(host.rip, HOST_RIP),
	SOURCE(host.es, HOST_ES),
	SOURCE(host.cs, HOST_CS),
	SOURCE(host.ss, HOST_SS),
	SOURCE(host.ds, HOST_DS),
	SOURCE(host.fs, HOST_FS),
	SOURCE(host.gs, HOST_GS),
	SOURCE(host.tr, HOST_TR),
	SOURCE(guest.cr0, GUEST_CR0),
	SOURCE(guest.cr3, GUEST_CR3),
	SOURCE(guest.cr4, GUEST_CR4),
	SOURCE(guest.dr7, GUEST_DR7),
	SOURCE(guest.efer, GUEST_EFER),
	SOURCE(guest.pat, GUEST_PAT),
	SOURCE(guest.debugctl, GUEST_DEBUGCTL),
	SOURCE(guest.sysenter_esp, GUEST_SYSENTER_ESP),
	SOURCE(guest.sysenter_eip, GUEST_SYSENTER_EIP),
	SOURCE(guest.gdtr.base, GUEST_GDTR_BASE),
	SOURCE(guest.gdtr.limit, GUEST_GDTR_LIMIT),
	SOURCE(guest.idtr.base, GUEST_IDTR_BASE),
	SOURCE(guest.idtr.limit, GUEST_IDTR_LIMIT),
	SOURCE(guest.rip, GUEST_RIP),
	SOURCE(guest.rflags, GUEST_RFLAGS),
	SOURCE(guest.activity, GUEST_ACTIVITY),
	SOURCE(guest.interruptibility, GUEST_INTERRUPTIBILITY),
	SOURCE(guest.pending_debug, GUEST_PENDING_DEBUG),
	SOURCE(guest.link_pointer, VMCS_LINK),
	SOURCE(guest.pdpte[0], GUEST_PDPTE),
	SOURCE(guest.pdpte[1], GUEST_PDPTE + 2),
	SOURCE(guest.pdpte[2], GUEST_PDPTE + 4),
	SOURCE(guest.pdpte[3], GUEST_PDPTE + 6),
};

static void read_segments(struct vmx_entry_fields *fields)
{
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		fields->guest.segment[i] = (struct vcpu_segment){
			.base = vmread(vmcs_of_segment(GUEST_BASE, i)),
			.limit = (u32)vmread(vmcs_of_segment(GUEST_LIMIT, i)),
			.attributes = (u32)vmread(vmcs_of_segment(GUEST_ATTRIBUTES, i)),
			.selector = (u16)vmread(vmcs_of_segment(GUEST_SELECTOR, i)),
		};
	}
}

/* Of what this CPU does not have there is no field to read. */
static void read_optional(const struct vmx_vcpu *vcpu, struct vmx_entry_fields *fields)
{
	fields->virtual_tpr = vcpu->virtual_apic[VIRTUAL_APIC_TPR];
	if (vmx_controls.has_vpid)
		fields->vpid = (u16)vmread(VPID);
	if (vmx_controls.has_log)
		fields->pml_address = vmread(PML_ADDRESS);
	if (vmx_controls.has_tsc_scaling)
		fields->tsc_multiplier = vmread(TSC_MULTIPLIER);
}

static void read_caps(struct vmx_entry_fields *fields)
{
	u32 widths = cpuid(0x80000008, 0).eax;

	fields->allowed_pin = vmx_caps.pin;
	fields->allowed_primary = vmx_caps.primary;
	fields->allowed_secondary = vmx_caps.secondary;
	fields->allowed_exit = vmx_caps.exit;
	fields->allowed_entry = vmx_caps.entry;
	fields->basic = vmx_caps.basic;
	fields->misc = vmx_caps.misc;
	fields->cr0_fixed0 = vmx_caps.cr0_fixed0;
	fields->cr0_fixed1 = vmx_caps.cr0_fixed1;
	fields->cr4_fixed0 = vmx_caps.cr4_fixed0;
	fields->cr4_fixed1 = vmx_caps.cr4_fixed1;
	fields->ept_vpid_cap = vmx_caps.ept_vpid;
	fields->efer_offered = vmx_ops.limits.efer;
	fields->physical_bits = (u8)FIELD(widths, 7, 0);
	fields->linear_bits = (u8)FIELD(widths, 15, 8);
}

static const char *broken_rule(const struct vmx_vcpu *vcpu)
{
	struct vmx_entry_fields fields = { 0 };
	const char *why;

	for (unsigned i = 0; i < ARRAY_COUNT(sources); i++) {
		u64 value = vmread((enum vmcs_field)sources[i].field);

		memcpy((u8 *)&fields + sources[i].offset, &value, sources[i].bytes);
	}
	read_segments(&fields);
	read_optional(vcpu, &fields);
	read_caps(&fields);
	why = vmx_why_invalid(&fields);
	return why ? why : "none of the rules of SDM 3C 27.2 and 27.3 that Tern knows is broken";
}

static void failed(struct hv_exit *exit, u64 code, u64 info)
{
	exit->reason = HV_EXIT_ENTRY_FAILED;
	exit->insn_len = 0;
	exit->unknown.code = code;
	exit->unknown.info[0] = info;
	exit->unknown.info[1] = 0;
}

/* SDM 3C 31.2: the instruction itself failed. */
void vmx_exit_not_entered(struct vmx_vcpu *vcpu, enum vmx_result result, struct hv_exit *exit)
{
	u32 number = result == VMX_FAIL_VALID ? (u32)vmread(INSN_ERROR) : 0;

	failed(exit, number, 0);
	if (result == VMX_FAIL_INVALID)
		exit->why = "there is no current VMCS";
	else if (number == INSN_ERROR_CONTROLS || number == INSN_ERROR_HOST_STATE)
		exit->why = broken_rule(vcpu);
	else
		exit->why = vmx_instruction_error(number);
}

/* SDM 3C 27.8: the guest's state was not accepted; the host's was loaded as by an exit. */
void vmx_exit_entry_failed(struct vmx_vcpu *vcpu, u32 reason, struct hv_exit *exit)
{
	failed(exit, reason, vmread(EXIT_QUALIFICATION));
	exit->why = reason == EXIT_INVALID_STATE ? broken_rule(vcpu) : vmx_exit_reason_name(reason);
	if (reason == EXIT_MACHINE_CHECK)
		__asm__ volatile("int $18" : : : "memory");
}
