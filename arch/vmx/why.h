/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why a VM entry failed, in words. The CPU only says that one of about a hundred rules was
 * broken (SDM 3C 27.2, 27.3); here the same rules are asked in C, in the manual's order.
 * Pure functions, so that each rule has a host test.
 */
#pragma once

#include "arch/vcpu_state.h"
#include "kernel/types.h"

/* All that the rules look at: fields of the VMCS by the manual's names, and what the CPU can. */
struct vmx_entry_fields {
	/* Capability MSRs (SDM 3D A.3 to A.5); the TRUE ones where the CPU has them. Low half: bits
	 * that must be 1, high half: bits that may be. 0 for secondary if there is no such MSR. */
	u64 allowed_pin, allowed_primary, allowed_secondary, allowed_exit, allowed_entry;
	u64 basic, misc;            /* A.1, A.6 */
	u64 cr0_fixed0, cr0_fixed1; /* A.7 */
	u64 cr4_fixed0, cr4_fixed1; /* A.8 */
	u64 ept_vpid_cap;           /* A.10; 0 if there is no such MSR */
	u64 efer_offered;           /* bits that EFER has on this CPU, LME and LMA too */
	u8 physical_bits;           /* CPUID 80000008H EAX 7:0 */
	u8 linear_bits;             /* and 15:8 */

	/* Controls */
	u32 pin, primary, secondary, exit, entry;
	u32 cr3_target_count;
	u64 io_bitmap_a, io_bitmap_b, msr_bitmap;
	u64 virtual_apic;
	u32 tpr_threshold;
	u8 virtual_tpr;             /* byte 80H of the page at virtual_apic; 0 without TPR shadow */
	u64 apic_access;
	u16 vpid;
	u64 eptp, pml_address;
	u64 tsc_multiplier;         /* ignored unless used */
	u32 exit_msr_store_count, exit_msr_load_count, entry_msr_load_count;
	u64 exit_msr_store, exit_msr_load, entry_msr_load;
	u32 entry_info, entry_error_code, entry_insn_len;

	struct {
		u64 cr0, cr3, cr4;
		u64 efer, pat;
		u64 sysenter_esp, sysenter_eip;
		u64 fs_base, gs_base, tr_base, gdtr_base, idtr_base;
		u64 rip;
		u16 es, cs, ss, ds, fs, gs, tr;
	} host;

	struct {
		u64 cr0, cr3, cr4, dr7;
		u64 efer, pat, debugctl;
		u64 sysenter_esp, sysenter_eip;
		struct vcpu_segment segment[SEG_COUNT]; /* attributes: the access-rights field */
		struct vcpu_table gdtr, idtr;
		u64 rip, rflags;
		u32 activity, interruptibility;
		u64 pending_debug;
		u64 link_pointer;
		u64 pdpte[4];               /* looked at in PAE paging without IA-32e mode only */
	} guest;
};

/* The first rule that the fields break, with its section of the SDM; NULL: none of those known. */
const char *vmx_why_invalid(const struct vmx_entry_fields *fields);

/* VM-instruction error field, SDM 3C 31.4: what VMfailValid means. Never NULL. */
const char *vmx_instruction_error(u32 number);
/* Basic exit reason (bits 15:0), SDM 3D appendix C: "EPT violation". Never NULL. */
const char *vmx_exit_reason_name(u32 reason);
