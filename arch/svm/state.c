/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AMD-V's part of the links to struct vcpu_state (arch/state_link.h). tests/host/vcpu_state_test.c
 * checks that each byte is covered exactly once.
 */
#include "arch/svm/svm.h"

#include "arch/regs.h"
#include "arch/state_link.h"
#include "kernel/string.h"

/* IN_HARDWARE: here is an offset in the VMCB. */
static const struct state_link links[] = {
#define VMCB_LINK(member, here) STATE_LINK(IN_HARDWARE, struct vmcb, member, here)
	STATE_LINK(IN_VCPU, struct svm_vcpu, spec_ctrl, spec_ctrl),
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

static void field_get(struct hv_vcpu *hv, const struct state_link *link, void *to)
{
	memcpy(to, (const u8 *)svm_vcpu(hv)->vmcb + link->here, link->bytes);
}

static void field_set(struct hv_vcpu *hv, const struct state_link *link, const void *from)
{
	memcpy((u8 *)svm_vcpu(hv)->vmcb + link->here, from, link->bytes);
}

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

static void segments_save(struct hv_vcpu *hv, struct vcpu_state *state)
{
	struct vmcb *vmcb = svm_vcpu(hv)->vmcb;

	for (unsigned i = 0; i < SEG_COUNT; i++) {
		const struct vmcb_segment *from = segment_at(vmcb, i);
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
	state->segment[SEG_SS].attributes |= (u32)vmcb->cpl << SEG_ATTR_DPL_SHIFT;
}

static void segments_load(struct hv_vcpu *hv, const struct vcpu_state *state)
{
	struct vmcb *vmcb = svm_vcpu(hv)->vmcb;

	for (unsigned i = 0; i < SEG_COUNT; i++) {
		const struct vcpu_segment *from = &state->segment[segment_links[i].segment];

		*segment_at(vmcb, i) = (struct vmcb_segment){
			.selector = from->selector,
			.attributes = attributes_to_vmcb(from->attributes),
			.limit = from->limit,
			.base = from->base,
		};
	}
	vmcb->cpl = (state->segment[SEG_SS].attributes & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT;
}

static void tables_save(struct hv_vcpu *hv, struct vcpu_state *state)
{
	const struct vmcb *vmcb = svm_vcpu(hv)->vmcb;

	state->gdtr = (struct vcpu_table){ vmcb->gdtr.base, (u16)vmcb->gdtr.limit, 0 };
	state->idtr = (struct vcpu_table){ vmcb->idtr.base, (u16)vmcb->idtr.limit, 0 };
}

static void tables_load(struct hv_vcpu *hv, const struct vcpu_state *state)
{
	struct vmcb *vmcb = svm_vcpu(hv)->vmcb;

	vmcb->gdtr = (struct vmcb_segment){ .limit = state->gdtr.limit, .base = state->gdtr.base };
	vmcb->idtr = (struct vmcb_segment){ .limit = state->idtr.limit, .base = state->idtr.base };
}

/* SVME is ours (msr.c). */
static void efer_save(struct hv_vcpu *hv, struct vcpu_state *state)
{
	state->efer = svm_vcpu(hv)->vmcb->efer & ~EFER_SVME;
}

static void efer_load(struct hv_vcpu *hv, const struct vcpu_state *state)
{
	svm_vcpu(hv)->vmcb->efer = state->efer | EFER_SVME;
}

/* The format of EVENTINJ to the contract's. */
static struct hv_event queued_event(const struct svm_vcpu *vcpu)
{
	return (struct hv_event){
		.type = FIELD(vcpu->event, 10, 8),
		.vector = (u8)(vcpu->event & EVENT_VECTOR),
		.has_error_code = vcpu->event & EVENT_EV,
		.error_code = (u32)(vcpu->event >> EVENT_ERROR_SHIFT),
	};
}

static void event_save(struct hv_vcpu *hv, struct vcpu_state *state)
{
	struct hv_event queued = queued_event(svm_vcpu(hv));

	state_save_event(hv, &queued, state);
}

static void event_load(struct hv_vcpu *hv, const struct vcpu_state *state)
{
	struct svm_vcpu *vcpu = svm_vcpu(hv);
	struct hv_event event;

	vcpu->is_iret_met = false;
	vcpu->step = SVM_STEP_NONE;
	if (state_load_event(hv, state, &event))
		svm_inject(hv, &event);
}

static const struct state_pair pairs[] = {
	{ "segments", segments_save, segments_load, { { STATE_MEMBER(segment) } } },
	{ "tables", tables_save, tables_load, { { STATE_MEMBER(gdtr) }, { STATE_MEMBER(idtr) } } },
	{ "efer", efer_save, efer_load, { { STATE_MEMBER(efer) } } },
	{ "event", event_save, event_load,
	  { { STATE_MEMBER(event) }, { STATE_MEMBER(interrupt_shadow) }, { STATE_MEMBER(nmi_blocked) } } },
};

static const struct state_table table = {
	.link = links,
	.link_count = ARRAY_COUNT(links),
	.pair = pairs,
	.pair_count = ARRAY_COUNT(pairs),
	.live = offsetof(struct svm_vcpu, live),
	.get = field_get,
	.set = field_set,
};

void svm_state_save(struct svm_vcpu *vcpu, struct vcpu_state *state)
{
	state_table_save(&table, &vcpu->hv, state);
}

void svm_state_load(struct svm_vcpu *vcpu, const struct vcpu_state *state)
{
	state_table_load(&table, &vcpu->hv, state);
	vcpu->vmcb->lbr_control = vcpu->vmcb->dbgctl ? LBR_VIRTUALIZATION : 0;
	vcpu->clean = 0;
	vcpu->want_flush = true;
}

bool svm_state_cover(unsigned index, struct state_cover *cover)
{
	return state_table_cover(&table, index, cover);
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
