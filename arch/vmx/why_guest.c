/* SPDX-License-Identifier: BSD-2-Clause */
/* The rules of VM entry about the guest's state, SDM 3C 27.3. */
#include "arch/vmx/why_rules.h"

#define DEBUGCTL_VALID (BITS(15, 6) | BITS(1, 0)) /* SDM 3B 18.4.1 */
#define RFLAGS_VM BIT(17)
#define CR4_CET BIT(23)

/* SDM 3C 25.4.2 */
enum { ACTIVE, HALTED, SHUTDOWN, WAIT_FOR_SIPI };
#define BLOCKING_BY_SMI BIT(2)

static bool is_long(const struct vmx_entry_fields *f) { return f->entry & ENTRY_GUEST_LMA; }

static bool is_injecting(const struct vmx_entry_fields *f, u32 type)
{
	return (f->entry_info & EVENT_VALID) && info_type(f) == type;
}

/* --- 27.3.1.1: control registers, debug registers, MSRs --- */

/* With unrestricted guest PE and PG are the guest's; NW and CD are never looked at. */
static bool is_cr0_good(const struct vmx_entry_fields *f)
{
	u64 free = CR0_NW | CR0_CD | (has(f, SECONDARY_UNRESTRICTED) ? CR0_PE | CR0_PG : 0);

	return is_fixed(f->guest.cr0, f->cr0_fixed0 & ~free, f->cr0_fixed1 | free);
}

static const char *why_control(const struct vmx_entry_fields *f)
{
	const u64 cr0 = f->guest.cr0, cr4 = f->guest.cr4;
	const struct rule rules[] = {
		{ !is_cr0_good(f), "guest CR0 has a bit that VMX operation does not allow" SDM_GUEST_CONTROL },
		{ (cr0 & CR0_PG) && !(cr0 & CR0_PE), "guest CR0.PG without CR0.PE" SDM_GUEST_CONTROL },
		{ !is_fixed(cr4, f->cr4_fixed0, f->cr4_fixed1),
		  "guest CR4 has a bit that VMX operation does not allow" SDM_GUEST_CONTROL },
		{ (cr4 & CR4_CET) && !(cr0 & CR0_WP), "guest CR4.CET without CR0.WP" SDM_GUEST_CONTROL },
		{ (f->entry & ENTRY_LOAD_DEBUG) && (f->guest.debugctl & ~DEBUGCTL_VALID),
		  "guest DEBUGCTL has reserved bits" SDM_GUEST_CONTROL },
		{ is_long(f) && !(cr0 & CR0_PG), "IA-32e mode without guest CR0.PG" SDM_GUEST_CONTROL },
		{ is_long(f) && !(cr4 & CR4_PAE), "IA-32e mode without guest CR4.PAE" SDM_GUEST_CONTROL },
		{ !is_long(f) && (cr4 & CR4_PCIDE), "guest CR4.PCIDE outside IA-32e mode" SDM_GUEST_CONTROL },
		{ !is_physical(f, f->guest.cr3), "guest CR3 is beyond this CPU's addresses" SDM_GUEST_CONTROL },
		{ (f->entry & ENTRY_LOAD_DEBUG) && f->guest.dr7 >> 32,
		  "guest DR7 has bits above 31" SDM_GUEST_CONTROL },
	};

	return first_broken(rules, ARRAY_COUNT(rules));
}

static const char *why_msrs(const struct vmx_entry_fields *f)
{
	const bool has_efer = f->entry & ENTRY_LOAD_EFER;
	const u64 efer = f->guest.efer;
	const struct rule rules[] = {
		{ !is_canonical(f, f->guest.sysenter_esp),
		  "guest SYSENTER_ESP is not canonical" SDM_GUEST_CONTROL },
		{ !is_canonical(f, f->guest.sysenter_eip),
		  "guest SYSENTER_EIP is not canonical" SDM_GUEST_CONTROL },
		{ (f->entry & ENTRY_LOAD_PAT) && !vcpu_pat_is_valid(f->guest.pat),
		  "guest PAT has a reserved memory type" SDM_GUEST_CONTROL },
		{ has_efer && (efer & ~f->efer_offered),
		  "guest EFER has bits that this CPU has not" SDM_GUEST_CONTROL },
		{ has_efer && !(efer & EFER_LMA) != !is_long(f),
		  "guest EFER.LMA is not what the entry control says" SDM_GUEST_CONTROL },
		{ has_efer && (f->guest.cr0 & CR0_PG) && !(efer & EFER_LMA) != !(efer & EFER_LME),
		  "guest EFER.LMA and EFER.LME differ with paging on" SDM_GUEST_CONTROL },
	};

	return first_broken(rules, ARRAY_COUNT(rules));
}

/* --- 27.3.1.2: segments --- */

/* A rule that is asked of several segments has its words once for each. */
struct segment_rule {
	bool is_broken;
	const char *why[SEG_COUNT];
};
#define OF(name, text) "guest " name ": " text SDM_GUEST_SEGMENTS
#define EACH(text) \
	{ OF("ES", text), OF("CS", text), OF("SS", text), OF("DS", text), OF("FS", text), OF("GS", text), \
	  OF("LDTR", text), OF("TR", text) }

#define RIGHTS_RESERVED (BITS(11, 8) | BITS(31, 17))
#define RIGHTS_VIRTUAL_8086 0xf3u
#define TYPE_READABLE 2u
#define TYPE_CODE 8u

static const char *first_broken_of(const struct segment_rule *rules, unsigned count, unsigned n)
{
	for (unsigned i = 0; i < count; i++) {
		if (rules[i].is_broken)
			return rules[i].why[n];
	}
	return NULL;
}

static u32 type_of(const struct vcpu_segment *segment) { return segment->attributes & SEG_ATTR_TYPE; }
static u32 dpl_of(const struct vcpu_segment *segment)
{
	return (segment->attributes & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT;
}

/* CS and TR are always usable: for them bit 16 is a reserved one or a rule of its own. */
static bool is_usable(const struct vmx_entry_fields *f, unsigned n)
{
	return n == SEG_CS || n == SEG_TR || !(f->guest.segment[n].attributes & SEG_ATTR_UNUSABLE);
}

/* G clear: no limit above 20 bits; G set: the low 12 bits are 1. */
static bool is_granularity_good(const struct vcpu_segment *segment)
{
	if (segment->attributes & SEG_ATTR_G)
		return (segment->limit & 0xfff) == 0xfff;
	return !(segment->limit >> 20);
}

static const char *why_virtual_8086(const struct vmx_entry_fields *f, unsigned n)
{
	const struct vcpu_segment *segment = &f->guest.segment[n];
	const struct segment_rule rules[] = {
		{ segment->base != (u64)segment->selector << 4,
		  EACH("the base is not 16 times the selector in virtual-8086 mode") },
		{ segment->limit != 0xffff, EACH("the limit is not FFFFH in virtual-8086 mode") },
		{ segment->attributes != RIGHTS_VIRTUAL_8086,
		  EACH("the access rights are not F3H in virtual-8086 mode") },
	};

	return first_broken_of(rules, ARRAY_COUNT(rules), n);
}

/* What all code and data segments have in common. */
static const char *why_segment(const struct vmx_entry_fields *f, unsigned n)
{
	const struct vcpu_segment *segment = &f->guest.segment[n];
	const u32 type = type_of(segment);
	const bool is_data = n != SEG_CS && n != SEG_SS;
	const bool is_wide = n == SEG_FS || n == SEG_GS;
	const struct segment_rule rules[] = {
		{ !is_wide && segment->base >> 32, EACH("the base has bits above 31") },
		{ is_data && !(type & SEG_ATTR_ACCESSED), EACH("the type is not \"accessed\"") },
		{ is_data && (type & TYPE_CODE) && !(type & TYPE_READABLE), EACH("code that is not readable") },
		{ !(segment->attributes & SEG_ATTR_S), EACH("S is clear") },
		{ is_data && !has(f, SECONDARY_UNRESTRICTED) && type <= 11 &&
			  dpl_of(segment) < (segment->selector & 3u), EACH("DPL is below RPL") },
		{ !(segment->attributes & SEG_ATTR_P), EACH("P is clear") },
		{ segment->attributes & RIGHTS_RESERVED, EACH("the access rights have reserved bits") },
		{ !is_granularity_good(segment), EACH("limit and G do not fit each other") },
	};

	return first_broken_of(rules, ARRAY_COUNT(rules), n);
}

static const char *why_code_and_stack(const struct vmx_entry_fields *f)
{
	const struct vcpu_segment *cs = &f->guest.segment[SEG_CS], *ss = &f->guest.segment[SEG_SS];
	const bool is_free = has(f, SECONDARY_UNRESTRICTED), has_ss = is_usable(f, SEG_SS);
	const u32 type = type_of(cs), stack = type_of(ss);
	const u32 long_and_big = SEG_ATTR_L | SEG_ATTR_DB;
	const struct rule rules[] = {
		{ !is_free && (ss->selector & 3) != (cs->selector & 3),
		  "guest SS and CS have different RPLs" SDM_GUEST_SEGMENTS },
		{ (type & 9) != 9 && !(type == 3 && is_free),
		  "guest CS: the type is not accessed code" SDM_GUEST_SEGMENTS },
		{ has_ss && stack != 3 && stack != 7, "guest SS: the type is not writable data" SDM_GUEST_SEGMENTS },
		{ type == 3 && dpl_of(cs), "guest CS: a data segment with a DPL other than 0" SDM_GUEST_SEGMENTS },
		{ (type == 9 || type == 11) && dpl_of(cs) != dpl_of(ss),
		  "guest CS: the DPL is not that of SS" SDM_GUEST_SEGMENTS },
		{ (type == 13 || type == 15) && dpl_of(cs) > dpl_of(ss),
		  "guest CS: the DPL is above that of SS" SDM_GUEST_SEGMENTS },
		{ !is_free && dpl_of(ss) != (ss->selector & 3u),
		  "guest SS: the DPL is not the RPL" SDM_GUEST_SEGMENTS },
		{ (type == 3 || !(f->guest.cr0 & CR0_PE)) && dpl_of(ss),
		  "guest SS: the DPL is not 0 in real mode" SDM_GUEST_SEGMENTS },
		{ is_long(f) && (cs->attributes & long_and_big) == long_and_big,
		  "guest CS: both L and D in IA-32e mode" SDM_GUEST_SEGMENTS },
	};

	return first_broken(rules, ARRAY_COUNT(rules));
}

static const char *why_system_segments(const struct vmx_entry_fields *f)
{
	const struct vcpu_segment *tr = &f->guest.segment[SEG_TR], *ldtr = &f->guest.segment[SEG_LDTR];
	const bool has_ldtr = is_usable(f, SEG_LDTR);
	const struct rule rules[] = {
		{ tr->selector & 4, "guest TR: the selector is of the LDT" SDM_GUEST_SEGMENTS },
		{ has_ldtr && (ldtr->selector & 4), "guest LDTR: the selector is of the LDT" SDM_GUEST_SEGMENTS },
		{ !is_canonical(f, tr->base), "guest TR: the base is not canonical" SDM_GUEST_SEGMENTS },
		{ has_ldtr && !is_canonical(f, ldtr->base),
		  "guest LDTR: the base is not canonical" SDM_GUEST_SEGMENTS },
		{ type_of(tr) != 11 && !(type_of(tr) == 3 && !is_long(f)),
		  "guest TR: the type is not a busy TSS" SDM_GUEST_SEGMENTS },
		{ tr->attributes & SEG_ATTR_S, "guest TR: S is set" SDM_GUEST_SEGMENTS },
		{ !(tr->attributes & SEG_ATTR_P), "guest TR: P is clear" SDM_GUEST_SEGMENTS },
		{ tr->attributes & RIGHTS_RESERVED, "guest TR: the access rights have reserved bits" SDM_GUEST_SEGMENTS },
		{ tr->attributes & SEG_ATTR_UNUSABLE, "guest TR is unusable" SDM_GUEST_SEGMENTS },
		{ !is_granularity_good(tr), "guest TR: limit and G do not fit each other" SDM_GUEST_SEGMENTS },
		{ has_ldtr && type_of(ldtr) != 2, "guest LDTR: the type is not an LDT" SDM_GUEST_SEGMENTS },
		{ has_ldtr && (ldtr->attributes & SEG_ATTR_S), "guest LDTR: S is set" SDM_GUEST_SEGMENTS },
		{ has_ldtr && !(ldtr->attributes & SEG_ATTR_P), "guest LDTR: P is clear" SDM_GUEST_SEGMENTS },
		{ has_ldtr && (ldtr->attributes & RIGHTS_RESERVED),
		  "guest LDTR: the access rights have reserved bits" SDM_GUEST_SEGMENTS },
		{ has_ldtr && !is_granularity_good(ldtr),
		  "guest LDTR: limit and G do not fit each other" SDM_GUEST_SEGMENTS },
	};

	return first_broken(rules, ARRAY_COUNT(rules));
}

static const char *why_segments(const struct vmx_entry_fields *f)
{
	const bool is_virtual_8086 = f->guest.rflags & RFLAGS_VM;
	const char *why = is_virtual_8086 ? NULL : why_code_and_stack(f);

	for (unsigned n = SEG_ES; !why && n <= SEG_GS; n++) {
		if (is_virtual_8086)
			why = why_virtual_8086(f, n);
		else if (is_usable(f, n))
			why = why_segment(f, n);
	}
	for (unsigned n = SEG_FS; !why && n <= SEG_GS; n++) {
		if (!is_canonical(f, f->guest.segment[n].base))
			why = n == SEG_FS ? "guest FS: the base is not canonical" SDM_GUEST_SEGMENTS :
					    "guest GS: the base is not canonical" SDM_GUEST_SEGMENTS;
	}
	return why ? why : why_system_segments(f);
}

/* --- 27.3.1.3, 27.3.1.4: descriptor tables, RIP, RFLAGS --- */

static const char *why_tables_and_rip(const struct vmx_entry_fields *f)
{
	const u64 rflags = f->guest.rflags;
	const bool is_64bit = is_long(f) && (f->guest.segment[SEG_CS].attributes & SEG_ATTR_L);
	const struct rule rules[] = {
		{ !is_canonical(f, f->guest.gdtr.base), "guest GDTR: the base is not canonical" SDM_GUEST_TABLES },
		{ !is_canonical(f, f->guest.idtr.base), "guest IDTR: the base is not canonical" SDM_GUEST_TABLES },
		{ f->guest.gdtr.limit >> 16, "guest GDTR: the limit has bits above 15" SDM_GUEST_TABLES },
		{ f->guest.idtr.limit >> 16, "guest IDTR: the limit has bits above 15" SDM_GUEST_TABLES },
		{ !is_64bit && f->guest.rip >> 32, "guest RIP has bits above 31 outside 64-bit mode" SDM_GUEST_RIP },
		/* The manual asks for bits above the linear width to be equal, not for a canonical form. */
		{ is_64bit && f->linear_bits < 64 && f->guest.rip >> f->linear_bits &&
			  ~f->guest.rip >> f->linear_bits, "guest RIP is not canonical" SDM_GUEST_RIP },
		{ rflags & (BITS(63, 22) | BIT(15) | BIT(5) | BIT(3)), "guest RFLAGS has reserved bits" SDM_GUEST_RIP },
		{ !(rflags & RFLAGS_FIXED), "guest RFLAGS bit 1 is clear" SDM_GUEST_RIP },
		{ (rflags & RFLAGS_VM) && (is_long(f) || !(f->guest.cr0 & CR0_PE)),
		  "guest RFLAGS.VM in IA-32e or real mode" SDM_GUEST_RIP },
		{ is_injecting(f, INFO_EXTERNAL) && !(rflags & RFLAGS_IF),
		  "an interrupt is injected while guest RFLAGS.IF is clear" SDM_GUEST_RIP },
	};

	return first_broken(rules, ARRAY_COUNT(rules));
}

/* --- 27.3.1.5: what is no register --- */

static bool may_inject(const struct vmx_entry_fields *f)
{
	const u32 type = info_type(f), vector = info_vector(f);
	const bool is_machine_check = type == INFO_EXCEPTION && vector == 18;

	if (!(f->entry_info & EVENT_VALID))
		return true;
	switch (f->guest.activity) {
	case HALTED:
		return type == INFO_EXTERNAL || type == INFO_NMI || is_machine_check ||
		       (type == INFO_EXCEPTION && vector == 1) || type == INFO_OTHER;
	case SHUTDOWN:
		return type == INFO_NMI || is_machine_check;
	case WAIT_FOR_SIPI:
		return false;
	default:
		return true;
	}
}

/* SDM 3D A.6, bits 8:6: which states other than "active" the CPU has. */
static bool has_activity(const struct vmx_entry_fields *f, u32 activity)
{
	return activity == ACTIVE || (activity <= WAIT_FOR_SIPI && (f->misc & BIT(5 + activity)));
}

static const char *why_activity(const struct vmx_entry_fields *f)
{
	const u32 blocked = f->guest.interruptibility, by_insn = BLOCKING_BY_STI | BLOCKING_BY_MOV_SS;
	const struct rule rules[] = {
		{ !has_activity(f, f->guest.activity), "this CPU has no such activity state" SDM_GUEST_OTHER },
		{ f->guest.activity == HALTED && dpl_of(&f->guest.segment[SEG_SS]),
		  "the guest halts at a CPL other than 0" SDM_GUEST_OTHER },
		{ f->guest.activity != ACTIVE && (blocked & by_insn),
		  "STI or MOV SS blocks events while the guest is not active" SDM_GUEST_OTHER },
		{ !may_inject(f), "the activity state does not let this event in" SDM_GUEST_OTHER },
		{ blocked >> 5, "the interruptibility state has reserved bits" SDM_GUEST_OTHER },
		{ (blocked & by_insn) == by_insn, "both STI and MOV SS block events" SDM_GUEST_OTHER },
		{ (blocked & BLOCKING_BY_STI) && !(f->guest.rflags & RFLAGS_IF),
		  "STI blocks events while guest RFLAGS.IF is clear" SDM_GUEST_OTHER },
		{ is_injecting(f, INFO_EXTERNAL) && (blocked & by_insn),
		  "an interrupt is injected while STI or MOV SS blocks it" SDM_GUEST_OTHER },
		{ is_injecting(f, INFO_NMI) && (blocked & BLOCKING_BY_MOV_SS),
		  "an NMI is injected while MOV SS blocks it" SDM_GUEST_OTHER },
		/* Not on all CPUs, says the manual; Tern never does it. */
		{ is_injecting(f, INFO_NMI) && (blocked & BLOCKING_BY_STI),
		  "an NMI is injected while STI blocks it" SDM_GUEST_OTHER },
		{ blocked & BLOCKING_BY_SMI, "SMIs are blocked outside SMM" SDM_GUEST_OTHER },
		{ is_injecting(f, INFO_NMI) && (f->pin & PIN_VIRTUAL_NMIS) && (blocked & BLOCKING_BY_NMI),
		  "an NMI is injected while NMIs are blocked" SDM_GUEST_OTHER },
		{ blocked & BIT(4), "an enclave was interrupted where there are none" SDM_GUEST_OTHER },
	};

	return first_broken(rules, ARRAY_COUNT(rules));
}

static const char *why_pending(const struct vmx_entry_fields *f)
{
	const u64 pending = f->guest.pending_debug;
	const bool is_stepping = (f->guest.rflags & RFLAGS_TF) && !(f->guest.debugctl & BIT(1));
	const bool is_waiting = (f->guest.interruptibility & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS)) ||
				f->guest.activity == HALTED;
	const struct rule rules[] = {
		{ pending & (BITS(63, 17) | BIT(15) | BIT(13) | BITS(10, 4)),
		  "the pending debug exceptions have reserved bits" SDM_GUEST_OTHER },
		{ is_waiting && is_stepping && !(pending & PENDING_DEBUG_BS),
		  "a single step is due but not pending" SDM_GUEST_OTHER },
		{ is_waiting && !is_stepping && (pending & PENDING_DEBUG_BS),
		  "a single step is pending but not due" SDM_GUEST_OTHER },
		{ ~f->guest.link_pointer, "the VMCS link pointer is not all ones" SDM_GUEST_OTHER },
	};

	return first_broken(rules, ARRAY_COUNT(rules));
}

/* --- 27.3.1.6: PDPTEs, with EPT only --- */

static const char *why_pdptes(const struct vmx_entry_fields *f)
{
	const u64 reserved = BITS(2, 1) | BITS(8, 5) | ~BITS(f->physical_bits - 1u, 0);
	const u64 pae = CR4_PAE;

	if (!(f->guest.cr0 & CR0_PG) || !(f->guest.cr4 & pae) || is_long(f) || !has(f, SECONDARY_EPT))
		return NULL;
	for (unsigned i = 0; i < ARRAY_COUNT(f->guest.pdpte); i++) {
		if ((f->guest.pdpte[i] & 1) && (f->guest.pdpte[i] & reserved))
			return "a PDPTE of the guest has reserved bits" SDM_GUEST_PDPTES;
	}
	return NULL;
}

const char *why_guest(const struct vmx_entry_fields *fields)
{
	static const char *(*const chapters[])(const struct vmx_entry_fields *f) = {
		why_control, why_msrs, why_segments, why_tables_and_rip, why_activity, why_pending, why_pdptes,
	};
	const char *why = NULL;

	for (unsigned i = 0; !why && i < ARRAY_COUNT(chapters); i++)
		why = chapters[i](fields);
	return why;
}
