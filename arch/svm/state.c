/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AMD-V's state to struct vcpu_state and back. One table of links drives both directions; what needs
 * thought is in pairs of named functions, listed in named[] with the members that they
 * cover. tests/host/vcpu_state_test.c checks that each byte is covered exactly once.
 */
#include "arch/svm/svm.h"

#include "arch/regs.h"
#include "kernel/string.h"

enum link_side { IN_VMCB, IN_VCPU };

static const struct link {
	u16 state, here, bytes;
	u8 side;
	const char *name;
} links[] = {
#define SAME_SIZE(a, b) (sizeof(char[sizeof(a) == sizeof(b) ? 1 : -1]) * sizeof(a))
#define LINK(side, type, member, here) \
	{ offsetof(struct vcpu_state, member), offsetof(type, here), \
	  SAME_SIZE(((struct vcpu_state *)0)->member, ((type *)0)->here), side, #member }
#define VMCB_LINK(member, here) LINK(IN_VMCB, struct vmcb, member, here)
#define VCPU_LINK(member, here) LINK(IN_VCPU, struct svm_vcpu, member, here)
	VCPU_LINK(gpr, hv.gpr),
	VCPU_LINK(rip, hv.rip),
	VCPU_LINK(rflags, hv.rflags),
	VCPU_LINK(xcr0, live.xcr0),
	VCPU_LINK(dr, live.dr),
	VCPU_LINK(tsc_aux, live.tsc_aux),
	VCPU_LINK(spec_ctrl, spec_ctrl),
	VMCB_LINK(cr0, cr0),
	VMCB_LINK(cr2, cr2),
	VMCB_LINK(cr3, cr3),
	VMCB_LINK(cr4, cr4),
	VMCB_LINK(dr6, dr6),
	VMCB_LINK(dr7, dr7),
	VMCB_LINK(star, star),
	VMCB_LINK(lstar, lstar),
	VMCB_LINK(cstar, cstar),
	VMCB_LINK(sfmask, sfmask),
	VMCB_LINK(kernel_gs_base, kernel_gs_base),
	VMCB_LINK(sysenter_cs, sysenter_cs),
	VMCB_LINK(sysenter_esp, sysenter_esp),
	VMCB_LINK(sysenter_eip, sysenter_eip),
	VMCB_LINK(pat, g_pat),
	VMCB_LINK(debugctl, dbgctl),
};

static const struct {
	enum segment segment;
	u16 here;
} segment_links[] = {
	{ SEG_ES, offsetof(struct vmcb, es) },	   { SEG_CS, offsetof(struct vmcb, cs) },
	{ SEG_SS, offsetof(struct vmcb, ss) },	   { SEG_DS, offsetof(struct vmcb, ds) },
	{ SEG_FS, offsetof(struct vmcb, fs) },	   { SEG_GS, offsetof(struct vmcb, gs) },
	{ SEG_LDTR, offsetof(struct vmcb, ldtr) }, { SEG_TR, offsetof(struct vmcb, tr) },
};

static struct vmcb_segment *segment_at(struct vmcb *vmcb, unsigned i)
{
	return (struct vmcb_segment *)((u8 *)vmcb + segment_links[i].here);
}

/* AMD packs bits 15:12 of the neutral form in 11:8, and has no bit for unusable: P says it. */
static u32 attributes_from_vmcb(u16 packed)
{
	u32 attr = (packed & 0xffu) | (packed & 0xf00u) << 4;

	return attr & SEG_ATTR_P ? attr : attr | SEG_ATTR_UNUSABLE;
}

static u16 attributes_to_vmcb(u32 attr)
{
	if (attr & SEG_ATTR_UNUSABLE)
		attr &= ~SEG_ATTR_P;
	return (u16)((attr & 0xff) | (attr >> 4 & 0xf00));
}

/*
 * AMD's CPUs leave some attributes as they like where they make no difference to them; others'
 * CPUs refuse to enter with them (SDM 3C 27.3.1.2). So the neutral form has them in order.
 */
static void segment_normalize(struct vcpu_segment *seg, enum segment which)
{
	if (which < SEG_FS)
		seg->base = (u32)seg->base;
	if (seg->attributes & SEG_ATTR_UNUSABLE)
		return;
	if (seg->limit >> 20)
		seg->attributes |= SEG_ATTR_G;
	else if ((seg->limit & 0xfff) != 0xfff)
		seg->attributes &= ~SEG_ATTR_G;
	if (seg->attributes & SEG_ATTR_S)
		seg->attributes |= SEG_ATTR_ACCESSED;
	else if (which == SEG_TR)
		seg->attributes |= SEG_ATTR_BUSY;
}

static void segments_save(const struct svm_vcpu *vcpu, struct vcpu_state *state)
{
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		const struct vmcb_segment *from = segment_at(vcpu->vmcb, i);
		struct vcpu_segment *to = &state->segment[segment_links[i].segment];

		*to = (struct vcpu_segment){
			.base = from->base,
			.limit = from->limit,
			.attributes = attributes_from_vmcb(from->attributes),
			.selector = from->selector,
		};
		segment_normalize(to, segment_links[i].segment);
	}
	/* APM 2 15.5.1: the CPL has a field of its own; the DPL of SS may be stale after SYSCALL. */
	state->segment[SEG_SS].attributes &= ~SEG_ATTR_DPL;
	state->segment[SEG_SS].attributes |= (u32)vcpu->vmcb->cpl << SEG_ATTR_DPL_SHIFT;
}

static void segments_load(struct svm_vcpu *vcpu, const struct vcpu_state *state)
{
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		const struct vcpu_segment *from = &state->segment[segment_links[i].segment];

		*segment_at(vcpu->vmcb, i) = (struct vmcb_segment){
			.selector = from->selector,
			.attributes = attributes_to_vmcb(from->attributes),
			.limit = from->limit,
			.base = from->base,
		};
	}
	vcpu->vmcb->cpl = (state->segment[SEG_SS].attributes & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT;
}

static void tables_save(const struct svm_vcpu *vcpu, struct vcpu_state *state)
{
	const struct vmcb *vmcb = vcpu->vmcb;

	state->gdtr = (struct vcpu_table){ vmcb->gdtr.base, (u16)vmcb->gdtr.limit, 0 };
	state->idtr = (struct vcpu_table){ vmcb->idtr.base, (u16)vmcb->idtr.limit, 0 };
}

static void tables_load(struct svm_vcpu *vcpu, const struct vcpu_state *state)
{
	vcpu->vmcb->gdtr = (struct vmcb_segment){ .limit = state->gdtr.limit, .base = state->gdtr.base };
	vcpu->vmcb->idtr = (struct vmcb_segment){ .limit = state->idtr.limit, .base = state->idtr.base };
}

/* SVME is ours (msr.c). */
static void efer_save(const struct svm_vcpu *vcpu, struct vcpu_state *state)
{
	state->efer = vcpu->vmcb->efer & ~EFER_SVME;
}

static void efer_load(struct svm_vcpu *vcpu, const struct vcpu_state *state)
{
	vcpu->vmcb->efer = state->efer | EFER_SVME;
}

/* Two members, because an injected NMI blocks NMIs, and the neutral form says only "injected". */
static void event_save(const struct svm_vcpu *vcpu, struct vcpu_state *state)
{
	const struct hv_vcpu *hv = &vcpu->hv;
	u64 event = vcpu->event;

	state->event = (struct vcpu_event){ 0 };
	state->interrupt_shadow = hv->has_shadow && !hv->is_event_queued;
	state->nmi_blocked = hv->is_nmi_blocked;
	if (!hv->is_event_queued)
		return;
	state->event.is_valid = 1;
	state->event.vector = (u8)(event & EVENT_VECTOR);
	state->event.type = (u8)FIELD(event, 10, 8);
	if (event & EVENT_EV) {
		state->event.has_error_code = 1;
		state->event.error_code = (u32)(event >> EVENT_ERROR_SHIFT);
	}
	if (state->event.type == EVENT_NMI)
		state->nmi_blocked = 0;
}

static void event_load(struct svm_vcpu *vcpu, const struct vcpu_state *state)
{
	struct hv_vcpu *hv = &vcpu->hv;
	struct hv_event event = {
		.type = state->event.type,
		.vector = state->event.vector,
		.has_error_code = state->event.has_error_code,
		.error_code = state->event.error_code,
		.address = state->cr2,
	};

	hv->is_event_queued = false;
	hv->has_shadow = state->interrupt_shadow;
	hv->is_nmi_blocked = state->nmi_blocked;
	vcpu->is_iret_met = false;
	vcpu->step = SVM_STEP_NONE;
	if (state->event.is_valid)
		svm_inject(hv, &event);
}

static void xsave_save(const struct svm_vcpu *vcpu, struct vcpu_state *state)
{
	memcpy(state->xsave, vcpu->live.xsave, sizeof(state->xsave));
}

static void xsave_load(struct svm_vcpu *vcpu, const struct vcpu_state *state)
{
	memcpy(vcpu->live.xsave, state->xsave, sizeof(state->xsave));
}

#define MEMBER(name) offsetof(struct vcpu_state, name), sizeof(((struct vcpu_state *)0)->name)

static const struct named {
	const char *name;
	void (*save)(const struct svm_vcpu *vcpu, struct vcpu_state *state);
	void (*load)(struct svm_vcpu *vcpu, const struct vcpu_state *state);
	struct {
		u32 offset, bytes;
	} member[3];
} named[] = {
	{ "segments", segments_save, segments_load, { { MEMBER(segment) } } },
	{ "tables", tables_save, tables_load, { { MEMBER(gdtr) }, { MEMBER(idtr) } } },
	{ "efer", efer_save, efer_load, { { MEMBER(efer) } } },
	{ "event", event_save, event_load,
	  { { MEMBER(event) }, { MEMBER(interrupt_shadow) }, { MEMBER(nmi_blocked) } } },
	{ "xsave", xsave_save, xsave_load, { { MEMBER(xsave) } } },
	/* hv.h: what vmm keeps itself. */
	{ "vmm", NULL, NULL, { { MEMBER(tsc_adjust) }, { MEMBER(activity) }, { MEMBER(nmi_pending) } } },
	{ "reserved", NULL, NULL, { { MEMBER(reserved) } } },
};

static u8 *link_here(const struct svm_vcpu *vcpu, const struct link *link)
{
	return (link->side == IN_VMCB ? (u8 *)vcpu->vmcb : (u8 *)vcpu) + link->here;
}

void svm_state_save(const struct svm_vcpu *vcpu, struct vcpu_state *state)
{
	for (unsigned i = 0; i < ARRAY_COUNT(links); i++)
		memcpy((u8 *)state + links[i].state, link_here(vcpu, &links[i]), links[i].bytes);
	for (unsigned i = 0; i < ARRAY_COUNT(named); i++) {
		if (named[i].save)
			named[i].save(vcpu, state);
	}
	if (!vcpu_is_64bit(state))
		state->rip = (u32)state->rip;
	memset(state->reserved, 0, sizeof(state->reserved));
}

void svm_state_load(struct svm_vcpu *vcpu, const struct vcpu_state *state)
{
	for (unsigned i = 0; i < ARRAY_COUNT(links); i++)
		memcpy(link_here(vcpu, &links[i]), (const u8 *)state + links[i].state, links[i].bytes);
	for (unsigned i = 0; i < ARRAY_COUNT(named); i++) {
		if (named[i].load)
			named[i].load(vcpu, state);
	}
	vcpu->vmcb->lbr_control = vcpu->vmcb->dbgctl ? LBR_VIRTUALIZATION : 0;
	vcpu->clean = 0;
	vcpu->want_flush = true;
}

bool svm_state_cover(unsigned index, struct state_cover *cover)
{
	if (index < ARRAY_COUNT(links)) {
		*cover = (struct state_cover){ links[index].name, links[index].state, links[index].bytes };
		return true;
	}
	index -= ARRAY_COUNT(links);
	if (index >= ARRAY_COUNT(named) * ARRAY_COUNT(named[0].member))
		return false;

	const struct named *by = &named[index / ARRAY_COUNT(by->member)];
	unsigned member = index % ARRAY_COUNT(by->member);

	*cover = (struct state_cover){ by->name, by->member[member].offset, by->member[member].bytes };
	return true;
}

u8 svm_code_bits(const struct vmcb *vmcb)
{
	u16 cs = vmcb->cs.attributes;

	if ((vmcb->efer & EFER_LMA) && (cs & VMCB_ATTR_L))
		return 64;
	return cs & VMCB_ATTR_DB ? 32 : 16;
}

void svm_mode(const struct hv_vcpu *hv, struct hv_mode *mode)
{
	struct vmcb *vmcb = container_of(hv, struct svm_vcpu, hv)->vmcb;

	mode->cr0 = vmcb->cr0;
	mode->cr3 = vmcb->cr3;
	mode->cr4 = vmcb->cr4;
	mode->xcr0 = container_of(hv, struct svm_vcpu, hv)->live.xcr0;
	mode->efer = vmcb->efer & ~EFER_SVME;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		mode->base[segment_links[i].segment] = segment_at(vmcb, i)->base;
	mode->cpl = vmcb->cpl;
	mode->code_bits = svm_code_bits(vmcb);
}
