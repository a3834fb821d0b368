/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of a CPU after reset, and the rules that a state must keep so that every
 * vendor's CPU can enter it: those of SDM 3C 27.3.1 and of APM 2 15.5.1 together. Names
 * of bits are the manuals'.
 */
#include "arch/hv.h"

#include "arch/regs.h"
#include "kernel/errno.h"
#include "kernel/string.h"

/* The XSAVE area in its standard format, SDM 1 13.4. */
#define XSAVE_FCW 0
#define XSAVE_FTW 4
#define XSAVE_MXCSR 24
#define XSAVE_XSTATE_BV 512
#define XSAVE_HEADER_REST 520
#define XSAVE_HEADER_END 576
#define MXCSR_RESET 0x1f80
#define XCR0_X87 BIT(0)
#define XCR0_SSE BIT(1)
#define XCR0_AVX BIT(2)
#define XCR0_AVX512 BITS(7, 5)

#define RFLAGS_RESERVED (BITS(63, 22) | BIT(15) | BIT(5) | BIT(3))
#define RFLAGS_VM BIT(17)
#define CR0_DEFINED \
	(CR0_PE | CR0_MP | CR0_EM | CR0_TS | CR0_ET | CR0_NE | CR0_WP | CR0_AM | CR0_NW | CR0_CD | CR0_PG)
#define SEG_ATTR_RESERVED (~0x1f0ffu)
#define TYPE_LDT 2
#define TYPE_TSS16_BUSY 3
#define TYPE_TSS_BUSY 11
#define TYPE_DATA_RW 3
#define TYPE_CODE 8
#define TYPE_WRITABLE_OR_READABLE 2

static u64 load_u64(const u8 *at)
{
	u64 value;

	memcpy(&value, at, sizeof(value));
	return value;
}

static u32 load_u32(const u8 *at)
{
	u32 value;

	memcpy(&value, at, sizeof(value));
	return value;
}

void vcpu_state_reset(struct vcpu_state *state)
{
	const u32 mxcsr = MXCSR_RESET;

	memset(state, 0, sizeof(*state));
	state->rip = 0xfff0;
	state->rflags = RFLAGS_FIXED;
	state->cr0 = CR0_CD | CR0_NW | CR0_ET;
	state->xcr0 = XCR0_X87;
	state->dr6 = 0xffff0ff0;
	state->dr7 = 0x400;
	state->pat = 0x0007040600070406;
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		state->segment[i].limit = 0xffff;
		state->segment[i].attributes = SEG_ATTR_P | SEG_ATTR_S | TYPE_DATA_RW;
	}
	state->segment[SEG_CS].selector = 0xf000;
	state->segment[SEG_CS].base = 0xffff0000;
	state->segment[SEG_CS].attributes |= TYPE_CODE;
	state->segment[SEG_LDTR].attributes = SEG_ATTR_P | TYPE_LDT;
	state->segment[SEG_TR].attributes = SEG_ATTR_P | TYPE_TSS_BUSY;
	state->gdtr.limit = 0xffff;
	state->idtr.limit = 0xffff;
	/* SDM 3A table 10-1: FCW 40h, all x87 registers hold zero (abridged tag: not empty). */
	state->xsave[XSAVE_FCW] = 0x40;
	state->xsave[XSAVE_FTW] = 0xff;
	memcpy(state->xsave + XSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
	state->xsave[XSAVE_XSTATE_BV] = XCR0_X87;
}

bool vcpu_pat_is_valid(u64 pat)
{
	for (unsigned i = 0; i < 8; i++) {
		u8 type = (u8)(pat >> (8 * i));

		if (type == 2 || type == 3 || type > 7)
			return false;
	}
	return true;
}

bool vcpu_is_64bit(const struct vcpu_state *state)
{
	return (state->efer & EFER_LMA) && (state->segment[SEG_CS].attributes & SEG_ATTR_L);
}

static bool is_canonical(u64 address) { return (u64)((s64)(address << 16) >> 16) == address; }

/* A rule is a sentence that holds. The first that does not is the answer. */
struct rule {
	bool holds;
	const char *why; /* what it means that it does not */
};

static const char *first_broken(const struct rule *rule, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!rule[i].holds)
			return rule[i].why;
	}
	return NULL;
}
#define FIRST_BROKEN(rules) first_broken(rules, ARRAY_COUNT(rules))

/* SDM 3C 27.3.1.1 */
static const char *check_controls(const struct vcpu_state *s, const struct hv_limits *limits)
{
	bool is_lma = s->efer & EFER_LMA;
	bool is_pg = s->cr0 & CR0_PG;
	const struct rule rules[] = {
		{ !(s->cr0 & ~CR0_DEFINED), "CR0 has reserved bits" },
		{ !(s->cr0 & CR0_NW) || (s->cr0 & CR0_CD), "CR0.NW without CR0.CD" },
		{ !is_pg || (s->cr0 & CR0_PE), "CR0.PG without CR0.PE" },
		{ !(s->cr4 & ~limits->cr4), "CR4 has bits that this host cannot give" },
		{ !(s->efer & ~limits->efer), "EFER has bits that this host cannot give" },
		{ is_lma == (is_pg && (s->efer & EFER_LME)), "EFER.LMA is not LME and CR0.PG" },
		{ !is_lma || (s->cr4 & CR4_PAE), "long mode without CR4.PAE" },
		{ is_lma || !(s->cr4 & CR4_PCIDE), "CR4.PCIDE outside long mode" },
		{ s->cr3 >> limits->physical_bits == 0, "CR3 is above the physical address width" },
		{ s->dr6 >> 32 == 0, "DR6 has bits above 31" },
		{ s->dr7 >> 32 == 0, "DR7 has bits above 31" },
		{ s->rflags & RFLAGS_FIXED, "RFLAGS bit 1 is clear" },
		{ !(s->rflags & RFLAGS_RESERVED), "RFLAGS has reserved bits" },
		{ !(s->rflags & RFLAGS_VM) || (!is_lma && (s->cr0 & CR0_PE)),
		  "RFLAGS.VM in real or long mode" },
		{ vcpu_is_64bit(s) ? is_canonical(s->rip) : s->rip >> 32 == 0, "rip is not an address of its mode" },
	};

	return FIRST_BROKEN(rules);
}

static const char *check_msrs(const struct vcpu_state *s, const struct hv_limits *limits)
{
	const struct rule rules[] = {
		{ is_canonical(s->lstar), "LSTAR is not canonical" },
		{ is_canonical(s->cstar), "CSTAR is not canonical" },
		{ is_canonical(s->kernel_gs_base), "KERNEL_GS_BASE is not canonical" },
		{ s->sysenter_cs >> 32 == 0, "SYSENTER_CS has bits above 31" },
		{ is_canonical(s->sysenter_esp), "SYSENTER_ESP is not canonical" },
		{ is_canonical(s->sysenter_eip), "SYSENTER_EIP is not canonical" },
		{ vcpu_pat_is_valid(s->pat), "PAT has a reserved memory type" },
		{ !(s->debugctl & ~DEBUGCTL_BTF), "DEBUGCTL has bits that are not offered" },
		{ s->tsc_aux >> 32 == 0, "TSC_AUX has bits above 31" },
		{ !(s->spec_ctrl & ~limits->spec_ctrl), "SPEC_CTRL has bits that this host cannot give" },
	};

	return FIRST_BROKEN(rules);
}

/* What each usable segment keeps, SDM 3C 27.3.1.2. */
static const char *check_segment(const struct vcpu_segment *seg, bool is_wide)
{
	u32 attr = seg->attributes;
	bool is_usable = !(attr & SEG_ATTR_UNUSABLE);
	const struct rule rules[] = {
		{ !(attr & SEG_ATTR_RESERVED), "a segment has reserved attributes" },
		{ is_usable == !!(attr & SEG_ATTR_P), "a segment is usable without P, or the reverse" },
		{ !seg->reserved[0] && !seg->reserved[1] && !seg->reserved[2], "reserved bytes are not zero" },
		{ is_wide ? is_canonical(seg->base) : seg->base >> 32 == 0, "a segment's base is not canonical" },
		{ !is_usable || !(attr & SEG_ATTR_G) || (seg->limit & 0xfff) == 0xfff,
		  "a segment's limit does not fit its G" },
		{ !is_usable || (attr & SEG_ATTR_G) || seg->limit >> 20 == 0,
		  "a segment's limit does not fit its G" },
	};

	return FIRST_BROKEN(rules);
}

static const char *check_code_and_stack(const struct vcpu_state *s)
{
	u32 cs = s->segment[SEG_CS].attributes;
	u32 ss = s->segment[SEG_SS].attributes;
	u32 type = cs & SEG_ATTR_TYPE;
	bool is_code = (type & TYPE_CODE) && (type & SEG_ATTR_ACCESSED);
	bool is_real = !(s->cr0 & CR0_PE);
	bool is_v86 = s->rflags & RFLAGS_VM;
	const struct rule rules[] = {
		{ !(cs & SEG_ATTR_UNUSABLE) && (cs & SEG_ATTR_S), "CS is not usable" },
		{ is_code || ((is_real || is_v86) && type == TYPE_DATA_RW), "CS is not a code segment" },
		{ !(s->efer & EFER_LMA) || (cs & (SEG_ATTR_L | SEG_ATTR_DB)) != (SEG_ATTR_L | SEG_ATTR_DB),
		  "CS has both L and D in long mode" },
		{ is_v86 || (cs & SEG_ATTR_DPL) <= (ss & SEG_ATTR_DPL), "CS has a lower privilege than SS" },
		{ !is_v86 || (ss & SEG_ATTR_DPL) == SEG_ATTR_DPL, "virtual-8086 mode outside CPL 3" },
		{ (ss & SEG_ATTR_UNUSABLE) ||
			  ((ss & SEG_ATTR_S) && (ss & SEG_ATTR_ACCESSED) && !(ss & TYPE_CODE) &&
			   (ss & TYPE_WRITABLE_OR_READABLE)), "SS is not a writable data segment" },
	};

	return FIRST_BROKEN(rules);
}

static const char *check_data_segment(const struct vcpu_segment *seg)
{
	u32 attr = seg->attributes;

	if (attr & SEG_ATTR_UNUSABLE)
		return NULL;
	if (!(attr & SEG_ATTR_S) || !(attr & SEG_ATTR_ACCESSED) ||
	    ((attr & TYPE_CODE) && !(attr & TYPE_WRITABLE_OR_READABLE)))
		return "a data segment cannot be read";
	return NULL;
}

static const char *check_system_segments(const struct vcpu_state *s)
{
	u32 tr = s->segment[SEG_TR].attributes;
	u32 ldtr = s->segment[SEG_LDTR].attributes;
	u32 type = tr & SEG_ATTR_TYPE;
	const struct rule rules[] = {
		{ !(tr & (SEG_ATTR_UNUSABLE | SEG_ATTR_S)), "TR is not usable" },
		{ type == TYPE_TSS_BUSY || (type == TYPE_TSS16_BUSY && !(s->efer & EFER_LMA)),
		  "TR is not a busy TSS" },
		{ (ldtr & SEG_ATTR_UNUSABLE) || (ldtr & (SEG_ATTR_TYPE | SEG_ATTR_S)) == TYPE_LDT,
		  "LDTR is not an LDT" },
		{ is_canonical(s->gdtr.base) && is_canonical(s->idtr.base),
		  "the base of GDTR or IDTR is not canonical" },
		{ s->gdtr.limit <= 0xffff && s->idtr.limit <= 0xffff, "the limit of GDTR or IDTR is above 16 bits" },
		{ !s->gdtr.reserved && !s->idtr.reserved, "reserved bytes are not zero" },
	};

	return FIRST_BROKEN(rules);
}

static const char *check_segments(const struct vcpu_state *s)
{
	const char *why = NULL;

	for (unsigned i = 0; !why && i < SEG_COUNT; i++)
		why = check_segment(&s->segment[i], i >= SEG_FS);
	if (!why)
		why = check_code_and_stack(s);
	for (unsigned i = 0; !why && i <= SEG_GS; i++) {
		if (i != SEG_CS && i != SEG_SS)
			why = check_data_segment(&s->segment[i]);
	}
	return why ? why : check_system_segments(s);
}

/* What makes XSETBV or XRSTOR fault in the host, SDM 1 13.3 and 13.8.1. */
static const char *check_fpu(const struct vcpu_state *s, const struct hv_limits *limits)
{
	u64 avx512 = s->xcr0 & XCR0_AVX512;
	bool is_header_zero = true;

	for (unsigned i = XSAVE_HEADER_REST; i < XSAVE_HEADER_END; i++)
		is_header_zero &= s->xsave[i] == 0;

	const struct rule rules[] = {
		{ !(s->xcr0 & ~limits->xcr0), "XCR0 has bits that this host cannot give" },
		{ s->xcr0 & XCR0_X87, "XCR0 lacks x87" },
		{ !(s->xcr0 & XCR0_AVX) || (s->xcr0 & XCR0_SSE), "XCR0 has AVX without SSE" },
		{ !avx512 || (avx512 == XCR0_AVX512 && (s->xcr0 & XCR0_AVX)), "XCR0 has a part of AVX-512" },
		{ !(load_u64(s->xsave + XSAVE_XSTATE_BV) & ~limits->xcr0),
		  "the XSAVE area has components that this host cannot give" },
		{ is_header_zero, "the XSAVE header is not in the standard format" },
		{ !(load_u32(s->xsave + XSAVE_MXCSR) & ~limits->mxcsr_mask), "MXCSR has reserved bits" },
	};

	return FIRST_BROKEN(rules);
}

/* Exceptions that push an error code, SDM 3A table 6-1, APM 2 table 8-1. */
#define HAS_ERROR_CODE \
	(BIT(8) | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14) | BIT(17) | BIT(21) | BIT(29) | BIT(30))
#define SOFTWARE_EXCEPTIONS (BIT(3) | BIT(4))
#define NMI_VECTOR 2

/* SDM 3C 27.2.1.3 */
static const char *check_event(const struct vcpu_state *s)
{
	const struct vcpu_event *event = &s->event;
	const struct vcpu_event none = { 0 };
	bool is_exception = event->type == EVENT_EXCEPTION;
	bool pushes_code = is_exception && event->vector < 32 && (HAS_ERROR_CODE & BIT(event->vector)) &&
			   (s->cr0 & CR0_PE);

	if (!event->is_valid)
		return memcmp(event, &none, sizeof(none)) == 0 ? NULL : "an event that is not valid is not empty";

	const struct rule rules[] = {
		{ event->is_valid == 1 && event->has_error_code <= 1, "a flag is neither 0 nor 1" },
		{ is_exception || event->type == EVENT_EXTERNAL || event->type == EVENT_NMI,
		  "an event of a type that cannot wait" },
		{ event->type != EVENT_EXTERNAL || (s->rflags & RFLAGS_IF), "an interrupt while interrupts are off" },
		{ event->type != EVENT_NMI || event->vector == NMI_VECTOR, "an NMI without vector 2" },
		{ !is_exception || (event->vector < 32 && event->vector != NMI_VECTOR &&
				    !(SOFTWARE_EXCEPTIONS & BIT(event->vector))), "an exception with a wrong vector" },
		{ !!event->has_error_code == pushes_code, "an event with a wrong error code" },
		{ event->error_code == 0 || event->has_error_code, "an event with a wrong error code" },
		{ event->error_code >> 16 == 0, "an event with a wrong error code" },
		{ event->insn_len == 0, "an event with an instruction" },
		{ !s->interrupt_shadow, "an event in an interrupt shadow" },
		{ event->type != EVENT_NMI || !s->nmi_blocked, "an NMI while NMIs are blocked" },
	};

	return FIRST_BROKEN(rules);
}

static const char *check_activity(const struct vcpu_state *s)
{
	const struct rule rules[] = {
		{ s->activity <= VCPU_WAIT_FOR_SIPI, "an unknown activity state" },
		{ s->interrupt_shadow <= 1 && s->nmi_pending <= 1 && s->nmi_blocked <= 1,
		  "a flag is neither 0 nor 1" },
		{ s->reserved[0] == 0, "reserved bytes are not zero" },
	};

	return FIRST_BROKEN(rules);
}

int vcpu_state_check(const struct vcpu_state *state, const struct hv_limits *limits, const char **why)
{
	*why = check_controls(state, limits);
	if (!*why)
		*why = check_msrs(state, limits);
	if (!*why)
		*why = check_segments(state);
	if (!*why)
		*why = check_fpu(state, limits);
	if (!*why)
		*why = check_event(state);
	if (!*why)
		*why = check_activity(state);
	return *why ? -EINVAL : 0;
}
