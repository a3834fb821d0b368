/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The rules of VM entry about controls and about Tern's own state, SDM 3C 27.2; those about
 * the guest's are in why_guest.c. Left out are rules about what Tern never uses (SMM
 * monitors, VM functions, posted interrupts, shadow VMCS, processor trace, CET, PKRS, SPP):
 * vmx_why_invalid says NULL then, and the caller that none of the rules known is broken.
 */
#include "arch/vmx/why_rules.h"

/* --- 27.2.1.1: VM-execution controls --- */

static const char *why_exec_words(const struct vmx_entry_fields *f)
{
	const struct rule rules[] = {
		{ !is_allowed(f->pin, f->allowed_pin),
		  "the pin-based controls have a bit that this CPU does not allow" SDM_CONTROLS },
		{ !is_allowed(f->primary, f->allowed_primary),
		  "the primary controls have a bit that this CPU does not allow" SDM_CONTROLS },
		{ (f->primary & PRIMARY_SECONDARY) && !is_allowed(f->secondary, f->allowed_secondary),
		  "the secondary controls have a bit that this CPU does not allow" SDM_CONTROLS },
		{ f->cr3_target_count > FIELD(f->misc, 24, 16), "there are too many CR3 targets" SDM_CONTROLS },
		{ !(f->pin & PIN_NMI_EXITING) && (f->pin & PIN_VIRTUAL_NMIS),
		  "virtual NMIs without NMI exiting" SDM_CONTROLS },
		{ !(f->pin & PIN_VIRTUAL_NMIS) && (f->primary & PRIMARY_NMI_WINDOW),
		  "NMI-window exiting without virtual NMIs" SDM_CONTROLS },
	};

	return first_broken(rules, ARRAY_COUNT(rules));
}

static const char *why_exec_pages(const struct vmx_entry_fields *f)
{
	const bool has_ports = f->primary & PRIMARY_IO_BITMAPS;
	const struct rule rules[] = {
		{ has_ports && !is_page(f, f->io_bitmap_a), "I/O bitmap A is not at a page" SDM_CONTROLS },
		{ has_ports && !is_page(f, f->io_bitmap_b), "I/O bitmap B is not at a page" SDM_CONTROLS },
		{ (f->primary & PRIMARY_MSR_BITMAPS) && !is_page(f, f->msr_bitmap),
		  "the MSR bitmap is not at a page" SDM_CONTROLS },
		{ (f->primary & PRIMARY_TPR_SHADOW) && !is_page(f, f->virtual_apic),
		  "the virtual-APIC page is not at a page" SDM_CONTROLS },
		{ has(f, SECONDARY_APIC_ACCESSES) && !is_page(f, f->apic_access),
		  "the APIC-access page is not at a page" SDM_CONTROLS },
		{ has(f, SECONDARY_PML) && !is_page(f, f->pml_address),
		  "the page-modification log is not at a page" SDM_CONTROLS },
	};

	return first_broken(rules, ARRAY_COUNT(rules));
}

static const char *why_apic(const struct vmx_entry_fields *f)
{
	const bool has_shadow = f->primary & PRIMARY_TPR_SHADOW;
	const bool has_delivery = has(f, SECONDARY_INTERRUPT_DELIVERY);
	const u32 needs_shadow = SECONDARY_X2APIC | SECONDARY_APIC_REGISTERS | SECONDARY_INTERRUPT_DELIVERY;
	const struct rule rules[] = {
		{ has_shadow && !has_delivery && f->tpr_threshold >> 4,
		  "the TPR threshold is above 15" SDM_CONTROLS },
		{ has_shadow && !has_delivery && !has(f, SECONDARY_APIC_ACCESSES) &&
			  (f->tpr_threshold & 0xf) > f->virtual_tpr >> 4,
		  "the TPR threshold is above the virtual TPR" SDM_CONTROLS },
		{ !has_shadow && has(f, needs_shadow), "APIC virtualization without a TPR shadow" SDM_CONTROLS },
		{ has(f, SECONDARY_X2APIC) && has(f, SECONDARY_APIC_ACCESSES),
		  "x2APIC mode and APIC accesses are both virtualized" SDM_CONTROLS },
		{ has_delivery && !(f->pin & PIN_INTERRUPT_EXITING),
		  "virtual-interrupt delivery without external-interrupt exiting" SDM_CONTROLS },
	};

	return first_broken(rules, ARRAY_COUNT(rules));
}

/* 25.6.11: memory type 2:0, walk length less one 5:3, accessed and dirty flags 6. */
static const char *why_translation(const struct vmx_entry_fields *f)
{
	const bool has_ept = has(f, SECONDARY_EPT);
	const u64 type = FIELD(f->eptp, 2, 0);
	const struct rule rules[] = {
		{ has(f, SECONDARY_VPID) && !f->vpid, "VPID 0 is the host's" SDM_CONTROLS },
		{ has_ept && !((type == 0 && (f->ept_vpid_cap & BIT(8))) ||
			       (type == 6 && (f->ept_vpid_cap & BIT(14)))),
		  "the EPT pointer's memory type is not one of this CPU" SDM_CONTROLS },
		{ has_ept && !(FIELD(f->eptp, 5, 3) == 3 && (f->ept_vpid_cap & BIT(6))) &&
			  !(FIELD(f->eptp, 5, 3) == 4 && (f->ept_vpid_cap & BIT(7))),
		  "the EPT pointer's walk length is not one of this CPU" SDM_CONTROLS },
		{ has_ept && (f->eptp & BIT(6)) && !(f->ept_vpid_cap & BIT(21)),
		  "EPT accessed and dirty flags are not there on this CPU" SDM_CONTROLS },
		{ has_ept && ((f->eptp & BITS(11, 7)) || !is_physical(f, f->eptp)),
		  "the EPT pointer has reserved bits" SDM_CONTROLS },
		{ has(f, SECONDARY_PML) && !has_ept, "page-modification logging without EPT" SDM_CONTROLS },
		{ has(f, SECONDARY_UNRESTRICTED) && !has_ept, "unrestricted guest without EPT" SDM_CONTROLS },
		{ has(f, SECONDARY_TSC_SCALING) && !f->tsc_multiplier, "the TSC multiplier is 0" SDM_CONTROLS },
	};

	return first_broken(rules, ARRAY_COUNT(rules));
}

/* --- 27.2.1.2, 27.2.1.3: VM-exit and VM-entry controls --- */

/* 16-byte entries; the last byte of the last one counts too. */
static bool is_msr_list(const struct vmx_entry_fields *f, u64 address, u32 count)
{
	return !count || (!(address & 15) && is_physical(f, address) &&
			  is_physical(f, address + 16ull * count - 1));
}

static const char *why_exit_and_entry(const struct vmx_entry_fields *f)
{
	const struct rule rules[] = {
		{ !is_allowed(f->exit, f->allowed_exit),
		  "the VM-exit controls have a bit that this CPU does not allow" SDM_EXITS },
		{ !(f->pin & PIN_PREEMPTION_TIMER) && (f->exit & EXIT_SAVE_PREEMPTION_TIMER),
		  "the preemption timer is saved but not used" SDM_EXITS },
		{ !is_msr_list(f, f->exit_msr_store, f->exit_msr_store_count),
		  "the VM-exit MSR-store list is not at an address that can be" SDM_EXITS },
		{ !is_msr_list(f, f->exit_msr_load, f->exit_msr_load_count),
		  "the VM-exit MSR-load list is not at an address that can be" SDM_EXITS },
		{ !is_allowed(f->entry, f->allowed_entry),
		  "the VM-entry controls have a bit that this CPU does not allow" SDM_ENTRIES },
		{ !is_msr_list(f, f->entry_msr_load, f->entry_msr_load_count),
		  "the VM-entry MSR-load list is not at an address that can be" SDM_ENTRIES },
		{ f->entry & (ENTRY_TO_SMM | ENTRY_DEACTIVATE_DUAL),
		  "an entry to SMM is only possible from SMM" SDM_ENTRIES },
	};

	return first_broken(rules, ARRAY_COUNT(rules));
}

/* 25.8.3: what is injected. */
static const char *why_injection(const struct vmx_entry_fields *f)
{
	const u32 type = info_type(f), vector = info_vector(f);
	const bool has_error_code = f->entry_info & EVENT_HAS_ERROR;
	/* In real mode no exception has an error code; else #DF, #TS, #NP, #SS, #GP, #PF, #AC, or any if
	 * the CPU does not look. */
	const bool may_have_code = type == INFO_EXCEPTION &&
				   (!has(f, SECONDARY_UNRESTRICTED) || (f->guest.cr0 & CR0_PE));
	const bool is_any = f->basic & BASIC_ANY_ERROR_CODE;
	const bool has_usual_code = may_have_code && vector < 32 &&
				    ((BITS(14, 10) | BIT(8) | BIT(17)) & BIT(vector));
	const bool is_software = type == INFO_SOFTWARE_INTERRUPT || type == INFO_PRIVILEGED_EXCEPTION ||
				 type == INFO_SOFTWARE_EXCEPTION;
	const u32 length_min = f->misc & MISC_ZERO_LENGTH ? 0 : 1;
	const struct rule rules[] = {
		{ type == 1 || (type == INFO_OTHER && !(f->allowed_primary >> 32 & PRIMARY_TRAP_FLAG)),
		  "the injected event has a reserved type" SDM_ENTRIES },
		{ type == INFO_NMI && vector != 2, "an injected NMI has a vector other than 2" SDM_ENTRIES },
		{ type == INFO_EXCEPTION && vector > 31, "an injected exception has a vector above 31" SDM_ENTRIES },
		{ type == INFO_OTHER && vector, "an injected monitor trap has a vector" SDM_ENTRIES },
		{ has_error_code && !(is_any ? may_have_code : has_usual_code),
		  "the injected event has an error code that it must not have" SDM_ENTRIES },
		{ !has_error_code && has_usual_code && !is_any,
		  "the injected exception lacks its error code" SDM_ENTRIES },
		{ f->entry_info & INFO_RESERVED, "the injected event has reserved bits" SDM_ENTRIES },
		{ has_error_code && f->entry_error_code >> 16,
		  "the injected error code has more than 16 bits" SDM_ENTRIES },
		{ is_software && (f->entry_insn_len < length_min || f->entry_insn_len > 15),
		  "the injected software event has an impossible instruction length" SDM_ENTRIES },
	};

	if (!(f->entry_info & EVENT_VALID))
		return NULL;
	return first_broken(rules, ARRAY_COUNT(rules));
}

/* --- 27.2.2 to 27.2.4: Tern's own state --- */

static const char *why_host_registers(const struct vmx_entry_fields *f)
{
	const u64 long_mode = EFER_LME | EFER_LMA;
	const struct rule rules[] = {
		{ !is_fixed(f->host.cr0, f->cr0_fixed0, f->cr0_fixed1),
		  "host CR0 has a bit that VMX operation does not allow" SDM_HOST_CONTROL },
		{ !is_fixed(f->host.cr4, f->cr4_fixed0, f->cr4_fixed1),
		  "host CR4 has a bit that VMX operation does not allow" SDM_HOST_CONTROL },
		{ !is_physical(f, f->host.cr3), "host CR3 is beyond this CPU's addresses" SDM_HOST_CONTROL },
		{ !is_canonical(f, f->host.sysenter_esp), "host SYSENTER_ESP is not canonical" SDM_HOST_CONTROL },
		{ !is_canonical(f, f->host.sysenter_eip), "host SYSENTER_EIP is not canonical" SDM_HOST_CONTROL },
		{ (f->exit & EXIT_LOAD_PAT) && !vcpu_pat_is_valid(f->host.pat),
		  "host PAT has a reserved memory type" SDM_HOST_CONTROL },
		{ (f->exit & EXIT_LOAD_EFER) && (f->host.efer & ~f->efer_offered),
		  "host EFER has bits that this CPU has not" SDM_HOST_CONTROL },
		{ (f->exit & EXIT_LOAD_EFER) && (f->host.efer & long_mode) != long_mode,
		  "host EFER is not that of a 64-bit host" SDM_HOST_CONTROL },
		{ !(f->exit & EXIT_HOST_64), "a 64-bit host does not return to 64-bit mode" SDM_HOST_SIZE },
		{ !(f->host.cr4 & CR4_PAE), "a 64-bit host without CR4.PAE" SDM_HOST_SIZE },
		{ !is_canonical(f, f->host.rip), "host RIP is not canonical" SDM_HOST_SIZE },
	};

	return first_broken(rules, ARRAY_COUNT(rules));
}

static const char *why_host_segments(const struct vmx_entry_fields *f)
{
	const u16 any = (u16)(f->host.es | f->host.cs | f->host.ss | f->host.ds | f->host.fs | f->host.gs |
			      f->host.tr);
	const struct rule rules[] = {
		{ any & 7, "a host selector has RPL or TI bits" SDM_HOST_SEGMENTS },
		{ !f->host.cs, "host CS is null" SDM_HOST_SEGMENTS },
		{ !f->host.tr, "host TR is null" SDM_HOST_SEGMENTS },
		{ !is_canonical(f, f->host.fs_base), "host FS base is not canonical" SDM_HOST_SEGMENTS },
		{ !is_canonical(f, f->host.gs_base), "host GS base is not canonical" SDM_HOST_SEGMENTS },
		{ !is_canonical(f, f->host.gdtr_base), "host GDTR base is not canonical" SDM_HOST_SEGMENTS },
		{ !is_canonical(f, f->host.idtr_base), "host IDTR base is not canonical" SDM_HOST_SEGMENTS },
		{ !is_canonical(f, f->host.tr_base), "host TR base is not canonical" SDM_HOST_SEGMENTS },
	};

	return first_broken(rules, ARRAY_COUNT(rules));
}

const char *vmx_why_invalid(const struct vmx_entry_fields *fields)
{
	static const char *(*const chapters[])(const struct vmx_entry_fields *f) = {
		why_exec_words, why_exec_pages, why_apic, why_translation, why_exit_and_entry,
		why_injection, why_host_registers, why_host_segments, why_guest,
	};
	const char *why = NULL;

	for (unsigned i = 0; !why && i < ARRAY_COUNT(chapters); i++)
		why = chapters[i](fields);
	return why;
}
