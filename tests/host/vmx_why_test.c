/* SPDX-License-Identifier: BSD-2-Clause */
/* Why a VM entry failed: a good state breaks no rule, and each rule, broken alone, is named. */
/* SOURCES: arch/vmx/why.c arch/vmx/why_guest.c arch/vmx/names.c
 * arch/vcpu_state.c kernel/str.c kernel/string.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "arch/regs.h"
#include "arch/vmx/why.h"
#include "kernel/string.h"

#define ALL 0xffffffff00000000ull /* a capability MSR of a CPU that allows everything */
#define PAT_RESET 0x0007040600070406ull
#define LOW ((u64)1 << 32)        /* the lowest bit above 31 */
#define ODD (1ull << 47)          /* the lowest address that is not canonical */

/* --- a CPU with everything, and a guest in 64-bit mode --- */

static void make_good(struct vmx_entry_fields *f)
{
	static const struct vcpu_segment code = { .attributes = 0xa09b, .limit = ~0u, .selector = 0x10 };
	static const struct vcpu_segment data = { .attributes = 0xc093, .limit = ~0u, .selector = 0x18 };

	*f = (struct vmx_entry_fields){
		.allowed_pin = ALL | 0x16, .allowed_primary = ALL | 0x0401e172 | BIT(27) << 32,
		.allowed_secondary = ALL, .allowed_exit = ALL | 0x36dff, .allowed_entry = ALL | 0x11ff,
		.misc = 0x7004c1e7 & ~BIT(30), .cr0_fixed0 = 0x80000021, .cr0_fixed1 = 0xffffffff,
		.cr4_fixed0 = 0x2000, .cr4_fixed1 = 0xf73fff, .ept_vpid_cap = 0xf0106f34141,
		.efer_offered = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE,
		.physical_bits = 46, .linear_bits = 48,
		.pin = 0x16 | 0x29, .primary = 0x0401e172 | BIT(28) | BIT(25) | BIT(21) | BIT(31),
		.secondary = BIT(1) | BIT(5) | BIT(7) | BIT(17) | BIT(25), .exit = 0x36dff | BIT(9) | BIT(19) | BIT(21),
		.entry = 0x11ff | BIT(2) | BIT(9) | BIT(14) | BIT(15),
		.io_bitmap_a = 0x1000, .io_bitmap_b = 0x2000, .msr_bitmap = 0x3000, .virtual_apic = 0x4000,
		.vpid = 1, .eptp = 0x5000 | 0x5e, .pml_address = 0x6000, .tsc_multiplier = BIT(48),
		.host = {
			.cr0 = 0x80050033, .cr3 = 0x7000, .cr4 = 0x20e0, .pat = PAT_RESET,
			.efer = EFER_LME | EFER_LMA | EFER_NXE, .rip = 0xffffffff80001000, .cs = 8, .tr = 0x28,
		},
		.guest = {
			.cr0 = 0x80050033, .cr3 = 0x8000, .cr4 = 0x20a0, .dr7 = 0x400, .pat = PAT_RESET,
			.efer = EFER_LME | EFER_LMA, .rip = 0xffffffff81000000, .rflags = 2 | RFLAGS_IF,
			.link_pointer = ~0ull,
		},
	};
	for (unsigned n = 0; n < SEG_LDTR; n++)
		f->guest.segment[n] = n == SEG_CS ? code : data;
	f->guest.segment[SEG_LDTR] = (struct vcpu_segment){ .attributes = 0x82, .limit = 0xffff };
	f->guest.segment[SEG_TR] = (struct vcpu_segment){ .attributes = 0x8b, .limit = 0x67, .selector = 0x40 };
}

struct change {
	u16 offset;
	u8 bytes;
	u64 value;
};
#define SET(field, to) \
	{ offsetof(struct vmx_entry_fields, field), sizeof(((struct vmx_entry_fields *)0)->field), to }
#define NOT_UNRESTRICTED SET(secondary, BIT(1) | BIT(5))
#define INJECT(info) SET(entry_info, BIT(31) | (info))

struct broken {
	const char *why;
	struct change change[4];
};

static void apply(struct vmx_entry_fields *f, const struct change *change, unsigned count)
{
	for (unsigned i = 0; i < count && change[i].bytes; i++)
		memcpy((u8 *)f + change[i].offset, &change[i].value, change[i].bytes);
}

static void expect_words(const char *why, const struct vmx_entry_fields *f)
{
	const char *said = vmx_why_invalid(f);

	if (!said || strncmp(said, why, strlen(why)) || strncmp(said + strlen(why), " (SDM 3C 27.", 12))
		fail_msg("expected \"%s\", got \"%s\"", why, said ? said : "nothing");
}

static void each_is_named(const struct broken *broken, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct vmx_entry_fields f;

		make_good(&f);
		apply(&f, broken[i].change, 4);
		expect_words(broken[i].why, &f);
	}
}

static void a_good_state_breaks_no_rule(void **state)
{
	static const struct change good[][4] = {
		{ INJECT(0x20) }, { INJECT(0x202) }, { INJECT(0xb0d), SET(entry_error_code, 0xffff) }, { INJECT(0x303) },
		{ INJECT(0x480), SET(entry_insn_len, 2) }, { INJECT(0x700) },
		{ SET(guest.activity, 1) }, { SET(guest.activity, 1), INJECT(0x301) }, { SET(guest.activity, 3) },
		{ SET(guest.activity, 2), INJECT(0x312) },
		{ SET(guest.interruptibility, 1) }, { SET(guest.interruptibility, 8) },
		{ SET(guest.interruptibility, 2), SET(guest.rflags, 0x302), SET(guest.pending_debug, BIT(14)) },
		/* real mode, by unrestricted guest */
		{ SET(guest.cr0, 0x20), SET(entry, 0x11ff | BIT(15)), SET(guest.efer, 0), SET(guest.rip, 0xfff0) },
		{ SET(guest.segment[SEG_CS].attributes, 0xc093), SET(guest.rip, 0x1000) },
		{ SET(guest.segment[SEG_DS].attributes, SEG_ATTR_UNUSABLE | 0xf00), SET(guest.segment[SEG_DS].base, ODD) },
		{ SET(guest.segment[SEG_LDTR].attributes, SEG_ATTR_UNUSABLE) },
		{ SET(basic, BIT(56)), INJECT(0xb03) }, { SET(basic, BIT(56)), INJECT(0x30d) },
		{ SET(misc, 0x7004c1e7), INJECT(0x480), SET(entry_insn_len, 0) },
		{ SET(eptp, 0x5018) }, { SET(guest.cr0, 0x80050033 | CR0_CD | CR0_NW) },
		{ SET(exit_msr_load, 0x9010), SET(exit_msr_load_count, 2) },
	};
	struct vmx_entry_fields f;

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(good); i++) {
		make_good(&f);
		assert_null(vmx_why_invalid(&f));
		apply(&f, good[i], 4);
		if (vmx_why_invalid(&f))
			fail_msg("good state %u: \"%s\"", i, vmx_why_invalid(&f));
	}
}

static void controls(void **state)
{
	static const struct broken broken[] = {
		{ "the pin-based controls have a bit that this CPU does not allow", { SET(pin, 0) } },
		{ "the primary controls have a bit that this CPU does not allow", { SET(primary, 0) } },
		{ "the secondary controls have a bit that this CPU does not allow", { SET(allowed_secondary, 0) } },
		{ "there are too many CR3 targets", { SET(cr3_target_count, 5) } },
		{ "virtual NMIs without NMI exiting", { SET(pin, 0x36) } },
		{ "NMI-window exiting without virtual NMIs", { SET(pin, 0x16), SET(primary, 0x0401e172 | BIT(22)) } },
		{ "I/O bitmap A is not at a page", { SET(io_bitmap_a, 0x1008) } },
		{ "I/O bitmap B is not at a page", { SET(io_bitmap_b, BIT(46)) } },
		{ "the MSR bitmap is not at a page", { SET(msr_bitmap, 1) } },
		{ "the virtual-APIC page is not at a page", { SET(virtual_apic, 0x4800) } },
		{ "the APIC-access page is not at a page", { SET(secondary, 0x83), SET(apic_access, 8) } },
		{ "the page-modification log is not at a page", { SET(pml_address, 0x6001) } },
		{ "the TPR threshold is above 15", { SET(tpr_threshold, 16) } },
		{ "the TPR threshold is above the virtual TPR", { SET(tpr_threshold, 3), SET(virtual_tpr, 0x2f) } },
		{ "APIC virtualization without a TPR shadow",
		  { SET(primary, 0x0401e172 | BIT(31)), SET(secondary, 0x82 | BIT(8)) } },
		{ "x2APIC mode and APIC accesses are both virtualized", { SET(secondary, 0x93) } },
		{ "virtual-interrupt delivery without external-interrupt exiting",
		  { SET(secondary, 0x82 | BIT(9)), SET(pin, 0x3e) } },
		{ "VPID 0 is the host's", { SET(vpid, 0) } },
		{ "the EPT pointer's memory type is not one of this CPU", { SET(eptp, 0x505d) } },
		{ "the EPT pointer's walk length is not one of this CPU", { SET(eptp, 0x5056) } },
		{ "EPT accessed and dirty flags are not there on this CPU", { SET(ept_vpid_cap, 0x6114141) } },
		{ "the EPT pointer has reserved bits", { SET(eptp, 0x585e) } },
		{ "page-modification logging without EPT", { SET(secondary, BIT(17)) } },
		{ "unrestricted guest without EPT", { SET(secondary, BIT(7)) } },
		{ "the TSC multiplier is 0", { SET(tsc_multiplier, 0) } },
		{ "the VM-exit controls have a bit that this CPU does not allow", { SET(exit, BIT(9)) } },
		{ "the preemption timer is saved but not used", { SET(exit, 0x36dff | BIT(9) | BIT(22)) } },
		{ "the VM-exit MSR-store list is not at an address that can be",
		  { SET(exit_msr_store, 8), SET(exit_msr_store_count, 1) } },
		{ "the VM-exit MSR-load list is not at an address that can be",
		  { SET(exit_msr_load, BIT(46) - 16), SET(exit_msr_load_count, 2) } },
		{ "the VM-entry controls have a bit that this CPU does not allow", { SET(entry, 0) } },
		{ "the VM-entry MSR-load list is not at an address that can be",
		  { SET(entry_msr_load, 4), SET(entry_msr_load_count, 1) } },
		{ "an entry to SMM is only possible from SMM", { SET(entry, 0x11ff | BIT(9) | BIT(10)) } },
	};

	(void)state;
	each_is_named(broken, ARRAY_COUNT(broken));
}

static void injection(void **state)
{
	static const struct broken broken[] = {
		{ "the injected event has a reserved type", { INJECT(0x120) } },
		{ "the injected event has a reserved type", { SET(allowed_primary, 0xf7f9fffe0401e172), INJECT(0x700) } },
		{ "an injected NMI has a vector other than 2", { INJECT(0x203) } },
		{ "an injected exception has a vector above 31", { INJECT(0x320) } },
		{ "an injected monitor trap has a vector", { INJECT(0x701) } },
		{ "the injected event has an error code that it must not have", { INJECT(0xb03) } },
		{ "the injected event has an error code that it must not have", { INJECT(0x820) } },
		{ "the injected event has an error code that it must not have",
		  { INJECT(0xb0d), SET(guest.cr0, 0x20), SET(basic, BIT(56)) } },
		{ "the injected exception lacks its error code", { INJECT(0x30e) } },
		{ "the injected event has reserved bits", { INJECT(0x1020) } },
		{ "the injected error code has more than 16 bits", { INJECT(0xb0e), SET(entry_error_code, 0x10000) } },
		{ "the injected software event has an impossible instruction length", { INJECT(0x480) } },
		{ "the injected software event has an impossible instruction length",
		  { INJECT(0x603), SET(entry_insn_len, 16) } },
	};

	(void)state;
	each_is_named(broken, ARRAY_COUNT(broken));
}

static void host(void **state)
{
	static const struct broken broken[] = {
		{ "host CR0 has a bit that VMX operation does not allow", { SET(host.cr0, 0x50033) } },
		{ "host CR4 has a bit that VMX operation does not allow", { SET(host.cr4, 0xe0) } },
		{ "host CR3 is beyond this CPU's addresses", { SET(host.cr3, BIT(46)) } },
		{ "host SYSENTER_ESP is not canonical", { SET(host.sysenter_esp, ODD) } },
		{ "host SYSENTER_EIP is not canonical", { SET(host.sysenter_eip, ODD) } },
		{ "host PAT has a reserved memory type", { SET(host.pat, 2) } },
		{ "host EFER has bits that this CPU has not", { SET(host.efer, 0x500 | BIT(12)) } },
		{ "host EFER is not that of a 64-bit host", { SET(host.efer, EFER_LME) } },
		{ "a 64-bit host does not return to 64-bit mode", { SET(exit, 0x36dff & ~BIT(9)), SET(allowed_exit, ALL) } },
		{ "a 64-bit host without CR4.PAE", { SET(host.cr4, 0x20c0) } },
		{ "host RIP is not canonical", { SET(host.rip, ODD) } },
		{ "a host selector has RPL or TI bits", { SET(host.gs, 3) } },
		{ "host CS is null", { SET(host.cs, 0) } },
		{ "host TR is null", { SET(host.tr, 0) } },
		{ "host FS base is not canonical", { SET(host.fs_base, ODD) } },
		{ "host GS base is not canonical", { SET(host.gs_base, ODD) } },
		{ "host GDTR base is not canonical", { SET(host.gdtr_base, ODD) } },
		{ "host IDTR base is not canonical", { SET(host.idtr_base, ODD) } },
		{ "host TR base is not canonical", { SET(host.tr_base, ODD) } },
	};

	(void)state;
	each_is_named(broken, ARRAY_COUNT(broken));
}

static void guest_control_registers(void **state)
{
	static const struct broken broken[] = {
		{ "guest CR0 has a bit that VMX operation does not allow", { SET(guest.cr0, 0x80050013) } },
		{ "guest CR0 has a bit that VMX operation does not allow", { NOT_UNRESTRICTED, SET(guest.cr0, 0x20) } },
		{ "guest CR0.PG without CR0.PE", { SET(guest.cr0, 0x80050032) } },
		{ "guest CR4 has a bit that VMX operation does not allow", { SET(guest.cr4, 0xa0) } },
		{ "guest CR4.CET without CR0.WP", { SET(guest.cr4, 0x8020a0), SET(guest.cr0, 0x80000033) } },
		{ "guest DEBUGCTL has reserved bits", { SET(guest.debugctl, BIT(3)) } },
		{ "IA-32e mode without guest CR0.PG", { SET(guest.cr0, 0x33) } },
		{ "IA-32e mode without guest CR4.PAE", { SET(guest.cr4, 0x2080) } },
		{ "guest CR4.PCIDE outside IA-32e mode", { SET(guest.cr4, 0x220a0), SET(entry, 0x11ff & ~BIT(9)) } },
		{ "guest CR3 is beyond this CPU's addresses", { SET(guest.cr3, BIT(63)) } },
		{ "guest DR7 has bits above 31", { SET(guest.dr7, LOW) } },
		{ "guest SYSENTER_ESP is not canonical", { SET(guest.sysenter_esp, ODD) } },
		{ "guest SYSENTER_EIP is not canonical", { SET(guest.sysenter_eip, ODD) } },
		{ "guest PAT has a reserved memory type", { SET(guest.pat, 3) } },
		{ "guest EFER has bits that this CPU has not", { SET(guest.efer, 0x500 | BIT(12)) } },
		{ "guest EFER.LMA is not what the entry control says", { SET(guest.efer, EFER_LME) } },
		{ "guest EFER.LMA and EFER.LME differ with paging on", { SET(guest.efer, EFER_LMA) } },
	};

	(void)state;
	each_is_named(broken, ARRAY_COUNT(broken));
}

static void guest_code_and_stack(void **state)
{
	static const struct broken broken[] = {
		{ "guest SS and CS have different RPLs", { NOT_UNRESTRICTED, SET(guest.segment[SEG_SS].selector, 0x1b) } },
		{ "guest CS: the type is not accessed code", { SET(guest.segment[SEG_CS].attributes, 0xa09a) } },
		{ "guest CS: the type is not accessed code",
		  { NOT_UNRESTRICTED, SET(guest.segment[SEG_CS].attributes, 0x8093) } },
		{ "guest SS: the type is not writable data", { SET(guest.segment[SEG_SS].attributes, 0xc091) } },
		{ "guest CS: a data segment with a DPL other than 0", { SET(guest.segment[SEG_CS].attributes, 0x80b3) } },
		{ "guest CS: the DPL is not that of SS", { SET(guest.segment[SEG_CS].attributes, 0xa0fb) } },
		{ "guest CS: the DPL is above that of SS", { SET(guest.segment[SEG_CS].attributes, 0xa0ff) } },
		{ "guest SS: the DPL is not the RPL",
		  { NOT_UNRESTRICTED, SET(guest.segment[SEG_SS].selector, 0x1b),
		    SET(guest.segment[SEG_CS].selector, 0x13) } },
		{ "guest SS: the DPL is not 0 in real mode",
		  { SET(guest.cr0, 0x20), SET(entry, 0x11ff & ~BIT(9)), SET(guest.segment[SEG_SS].attributes, 0xc0f3),
		    SET(guest.segment[SEG_CS].attributes, 0xc0fb) } },
		{ "guest CS: both L and D in IA-32e mode", { SET(guest.segment[SEG_CS].attributes, 0xe09b) } },
	};

	(void)state;
	each_is_named(broken, ARRAY_COUNT(broken));
}

/* Rules that several segments share are named with the segment. */
static void guest_segments(void **state)
{
	static const char *const name[] = { "ES", "CS", "SS", "DS", "FS", "GS" };
	static const struct {
		const char *why;
		u32 keep, set;      /* of the access rights */
		u64 base;
		u32 limit;
		u16 selector;
		u8 segments;        /* bit n: of segment n */
	} broken[] = {
		{ "the base has bits above 31", ~0u, 0, LOW, ~0u, 0x18, 0x0f },
		{ "the base is not canonical", ~0u, 0, ODD, ~0u, 0x18, 0x30 },
		{ "the type is not \"accessed\"", ~1u, 0, 0, ~0u, 0x18, 0x39 },
		{ "code that is not readable", ~2u, 8, 0, ~0u, 0x18, 0x39 },
		{ "S is clear", ~0x10u, 0, 0, ~0u, 0x18, 0x3f },
		{ "P is clear", ~0x80u, 0, 0, ~0u, 0x18, 0x3f },
		{ "the access rights have reserved bits", ~0u, 0x100, 0, ~0u, 0x18, 0x3f },
		{ "the access rights have reserved bits", ~0u, BIT(17), 0, ~0u, 0x18, 0x3f },
		{ "limit and G do not fit each other", ~0x8000u, 0, 0, ~0u, 0x18, 0x3f },
		{ "limit and G do not fit each other", ~0u, 0, 0, 0xffff0fff & ~1u, 0x18, 0x3f },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(broken); i++) {
		for (unsigned n = 0; n < SEG_LDTR; n++) {
			struct vmx_entry_fields f;
			struct vcpu_segment *segment = &f.guest.segment[n];
			char why[100];

			if (!(broken[i].segments & BIT(n)))
				continue;
			make_good(&f);
			segment->attributes = (segment->attributes & broken[i].keep) | broken[i].set;
			segment->base = broken[i].base;
			segment->limit = broken[i].limit;
			snprintf(why, sizeof(why), "guest %s: %s", name[n], broken[i].why);
			expect_words(why, &f);
		}
	}
}

static void guest_data_privilege(void **state)
{
	static const struct broken broken[] = {
		{ "guest DS: DPL is below RPL", { NOT_UNRESTRICTED, SET(guest.segment[SEG_DS].selector, 0x1b) } },
		{ "guest GS: DPL is below RPL", { NOT_UNRESTRICTED, SET(guest.segment[SEG_GS].selector, 0x19) } },
	};

	(void)state;
	each_is_named(broken, ARRAY_COUNT(broken));
}

static void guest_virtual_8086(void **state)
{
	struct vmx_entry_fields good, f;

	(void)state;
	make_good(&good);
	good.guest.rflags |= BIT(17);
	good.entry &= ~(u32)BIT(9);
	good.guest.efer = 0;
	good.guest.rip = 0x100;
	for (unsigned n = 0; n < SEG_LDTR; n++)
		good.guest.segment[n] = (struct vcpu_segment){ .base = 0x12340, .limit = 0xffff, .attributes = 0xf3,
							       .selector = 0x1234 };
	assert_null(vmx_why_invalid(&good));
	f = good;
	f.guest.segment[SEG_SS].base = 0;
	expect_words("guest SS: the base is not 16 times the selector in virtual-8086 mode", &f);
	f = good;
	f.guest.segment[SEG_GS].limit = 0xfffff;
	expect_words("guest GS: the limit is not FFFFH in virtual-8086 mode", &f);
	f = good;
	f.guest.segment[SEG_CS].attributes = 0x9b;
	expect_words("guest CS: the access rights are not F3H in virtual-8086 mode", &f);
}

static void guest_system_segments(void **state)
{
	static const struct broken broken[] = {
		{ "guest TR: the selector is of the LDT", { SET(guest.segment[SEG_TR].selector, 0x44) } },
		{ "guest LDTR: the selector is of the LDT", { SET(guest.segment[SEG_LDTR].selector, 4) } },
		{ "guest TR: the base is not canonical", { SET(guest.segment[SEG_TR].base, ODD) } },
		{ "guest LDTR: the base is not canonical", { SET(guest.segment[SEG_LDTR].base, ODD) } },
		{ "guest TR: the type is not a busy TSS", { SET(guest.segment[SEG_TR].attributes, 0x83) } },
		{ "guest TR: S is set", { SET(guest.segment[SEG_TR].attributes, 0x9b) } },
		{ "guest TR: P is clear", { SET(guest.segment[SEG_TR].attributes, 0x0b) } },
		{ "guest TR: the access rights have reserved bits", { SET(guest.segment[SEG_TR].attributes, 0x18b) } },
		{ "guest TR is unusable", { SET(guest.segment[SEG_TR].attributes, SEG_ATTR_UNUSABLE | 0x8b) } },
		{ "guest TR: limit and G do not fit each other", { SET(guest.segment[SEG_TR].limit, 0x100000) } },
		{ "guest LDTR: the type is not an LDT", { SET(guest.segment[SEG_LDTR].attributes, 0x83) } },
		{ "guest LDTR: S is set", { SET(guest.segment[SEG_LDTR].attributes, 0x92) } },
		{ "guest LDTR: P is clear", { SET(guest.segment[SEG_LDTR].attributes, 2) } },
		{ "guest LDTR: the access rights have reserved bits", { SET(guest.segment[SEG_LDTR].attributes, 0x882) } },
		{ "guest LDTR: limit and G do not fit each other", { SET(guest.segment[SEG_LDTR].attributes, 0x8082),
								     SET(guest.segment[SEG_LDTR].limit, 0xffe) } },
	};

	(void)state;
	each_is_named(broken, ARRAY_COUNT(broken));
}

static void guest_tables_and_rip(void **state)
{
	static const struct broken broken[] = {
		{ "guest GDTR: the base is not canonical", { SET(guest.gdtr.base, ODD) } },
		{ "guest IDTR: the base is not canonical", { SET(guest.idtr.base, ODD) } },
		{ "guest GDTR: the limit has bits above 15", { SET(guest.gdtr.limit, 0x10000) } },
		{ "guest IDTR: the limit has bits above 15", { SET(guest.idtr.limit, 0x10000) } },
		{ "guest RIP has bits above 31 outside 64-bit mode", { SET(guest.segment[SEG_CS].attributes, 0xc09b) } },
		{ "guest RIP is not canonical", { SET(guest.rip, BIT(48)) } },
		{ "guest RFLAGS has reserved bits", { SET(guest.rflags, 0xa) } },
		{ "guest RFLAGS bit 1 is clear", { SET(guest.rflags, 0) } },
		{ "an interrupt is injected while guest RFLAGS.IF is clear", { INJECT(0x20), SET(guest.rflags, 2) } },
	};

	(void)state;
	each_is_named(broken, ARRAY_COUNT(broken));
}

static void virtual_8086_in_ia32e_mode(void **state)
{
	struct vmx_entry_fields f;

	(void)state;
	make_good(&f);
	f.guest.rflags |= BIT(17);
	for (unsigned n = 0; n < SEG_LDTR; n++)
		f.guest.segment[n] = (struct vcpu_segment){ .limit = 0xffff, .attributes = 0xf3 };
	f.guest.rip = 0;
	expect_words("guest RFLAGS.VM in IA-32e or real mode", &f);
}

static void guest_activity(void **state)
{
	static const struct broken broken[] = {
		{ "this CPU has no such activity state", { SET(guest.activity, 4) } },
		{ "this CPU has no such activity state", { SET(guest.activity, 3), SET(misc, 0x7004c0c7) } },
		{ "the guest halts at a CPL other than 0",
		  { SET(guest.activity, 1), SET(guest.segment[SEG_SS].attributes, 0xc0f3),
		    SET(guest.segment[SEG_CS].attributes, 0xa0fb) } },
		{ "STI or MOV SS blocks events while the guest is not active",
		  { SET(guest.activity, 1), SET(guest.interruptibility, 1) } },
		{ "the activity state does not let this event in", { SET(guest.activity, 1), INJECT(0xb0d) } },
		{ "the activity state does not let this event in", { SET(guest.activity, 2), INJECT(0x20) } },
		{ "the activity state does not let this event in", { SET(guest.activity, 3), INJECT(0x202) } },
		{ "the interruptibility state has reserved bits", { SET(guest.interruptibility, 0x20) } },
		{ "both STI and MOV SS block events", { SET(guest.interruptibility, 3) } },
		{ "STI blocks events while guest RFLAGS.IF is clear",
		  { SET(guest.interruptibility, 1), SET(guest.rflags, 2) } },
		{ "an interrupt is injected while STI or MOV SS blocks it",
		  { SET(guest.interruptibility, 2), INJECT(0x20) } },
		{ "an NMI is injected while MOV SS blocks it", { SET(guest.interruptibility, 2), INJECT(0x202) } },
		{ "an NMI is injected while STI blocks it", { SET(guest.interruptibility, 1), INJECT(0x202) } },
		{ "SMIs are blocked outside SMM", { SET(guest.interruptibility, 4) } },
		{ "an NMI is injected while NMIs are blocked", { SET(guest.interruptibility, 8), INJECT(0x202) } },
		{ "an enclave was interrupted where there are none", { SET(guest.interruptibility, 16) } },
		{ "the pending debug exceptions have reserved bits", { SET(guest.pending_debug, BIT(4)) } },
		{ "a single step is due but not pending", { SET(guest.interruptibility, 1), SET(guest.rflags, 0x302) } },
		{ "a single step is pending but not due", { SET(guest.activity, 1), SET(guest.pending_debug, BIT(14)) } },
		{ "a single step is pending but not due",
		  { SET(guest.activity, 1), SET(guest.pending_debug, BIT(14)), SET(guest.rflags, 0x302),
		    SET(guest.debugctl, BIT(1)) } },
		{ "the VMCS link pointer is not all ones", { SET(guest.link_pointer, 0) } },
	};

	(void)state;
	each_is_named(broken, ARRAY_COUNT(broken));
}

static void guest_pdptes(void **state)
{
	struct vmx_entry_fields f;

	(void)state;
	make_good(&f);
	f.guest.pdpte[3] = 1 | BIT(46); /* in IA-32e mode nobody looks */
	assert_null(vmx_why_invalid(&f));
	f.entry &= ~(u32)BIT(9);
	f.guest.efer = 0;
	f.guest.rip = 0x1000;
	f.guest.segment[SEG_CS].attributes = 0xc09b;
	expect_words("a PDPTE of the guest has reserved bits", &f);
	f.guest.pdpte[3] = 3;
	expect_words("a PDPTE of the guest has reserved bits", &f);
	f.guest.pdpte[3] = BIT(46) | 2; /* not present */
	assert_null(vmx_why_invalid(&f));
}

static void numbers_have_names(void **state)
{
	(void)state;
	assert_string_equal(vmx_instruction_error(7), "VM entry with invalid control fields");
	assert_string_equal(vmx_instruction_error(28), "invalid operand to INVEPT or INVVPID");
	assert_string_equal(vmx_instruction_error(14), vmx_instruction_error(0));
	assert_string_equal(vmx_instruction_error(~0u), vmx_instruction_error(0));
	assert_string_equal(vmx_exit_reason_name(0), "exception or NMI");
	assert_string_equal(vmx_exit_reason_name(48), "EPT violation");
	assert_string_equal(vmx_exit_reason_name(62), "page-modification log full");
	assert_string_equal(vmx_exit_reason_name(BIT(31) | 33), "entry failure: invalid guest state");
	assert_string_equal(vmx_exit_reason_name(79), "WRMSRLIST");
	assert_string_equal(vmx_exit_reason_name(80), vmx_exit_reason_name(35));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_state_breaks_no_rule),
		cmocka_unit_test(controls),
		cmocka_unit_test(injection),
		cmocka_unit_test(host),
		cmocka_unit_test(guest_control_registers),
		cmocka_unit_test(guest_code_and_stack),
		cmocka_unit_test(guest_segments),
		cmocka_unit_test(guest_data_privilege),
		cmocka_unit_test(guest_virtual_8086),
		cmocka_unit_test(virtual_8086_in_ia32e_mode),
		cmocka_unit_test(guest_system_segments),
		cmocka_unit_test(guest_tables_and_rip),
		cmocka_unit_test(guest_activity),
		cmocka_unit_test(guest_pdptes),
		cmocka_unit_test(numbers_have_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
