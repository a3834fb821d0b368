/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VT-x's state to struct vcpu_state and back. One table of links drives both directions; what needs
 * thought is in pairs of named functions, listed in named[] with the members that they
 * cover. tests/host/vmx_state_test.c checks that each byte is covered exactly once.
 */
#include "arch/vmx/vmx.h"

#include "arch/regs.h"
#include "kernel/string.h"

#define EXCEPTION_DB 1

/* IN_VMCS: here is a field's encoding, and the member is 64 bits wide. IN_VCPU: here is an offset. */
enum link_side { IN_VMCS, IN_VCPU };

static const struct link {
	u16 state, here, bytes;
	u8 side;
	const char *name;
} links[] = {
#define SAME_SIZE(a, b) (sizeof(char[sizeof(a) == sizeof(b) ? 1 : -1]) * sizeof(a))
#define STATE_MEMBER(member) (((struct vcpu_state *)0)->member)
#define VMCS_LINK(member, field) \
	{ offsetof(struct vcpu_state, member), field, SAME_SIZE(STATE_MEMBER(member), u64), IN_VMCS, #member }
#define VCPU_LINK(member, here) \
	{ offsetof(struct vcpu_state, member), offsetof(struct vmx_vcpu, here), \
	  SAME_SIZE(STATE_MEMBER(member), ((struct vmx_vcpu *)0)->here), IN_VCPU, #member }
	VCPU_LINK(gpr, hv.gpr),
	VCPU_LINK(rip, hv.rip),
	VCPU_LINK(rflags, hv.rflags),
	VCPU_LINK(xcr0, live.xcr0),
	VCPU_LINK(cr2, live.cr2),
	VCPU_LINK(dr, live.dr),
	VCPU_LINK(star, live.star),
	VCPU_LINK(lstar, live.lstar),
	VCPU_LINK(cstar, live.cstar),
	VCPU_LINK(sfmask, live.sfmask),
	VCPU_LINK(kernel_gs_base, live.kernel_gs_base),
	VCPU_LINK(tsc_aux, live.tsc_aux),
	VCPU_LINK(spec_ctrl, spec_ctrl),
	VMCS_LINK(cr3, GUEST_CR3),
	VMCS_LINK(dr7, GUEST_DR7),
	VMCS_LINK(sysenter_cs, GUEST_SYSENTER_CS),
	VMCS_LINK(sysenter_esp, GUEST_SYSENTER_ESP),
	VMCS_LINK(sysenter_eip, GUEST_SYSENTER_EIP),
	VMCS_LINK(pat, GUEST_PAT),
	VMCS_LINK(debugctl, GUEST_DEBUGCTL),
};

u64 vmx_guest_cr0(void)
{
	u64 owned = vmx_cr0_owned();

	return (vmread(GUEST_CR0) & ~owned) | (vmread(CR0_SHADOW) & owned);
}

u64 vmx_guest_cr4(void)
{
	u64 owned = vmx_cr4_owned();

	return (vmread(GUEST_CR4) & ~owned) | (vmread(CR4_SHADOW) & owned);
}

static void control_registers_save(struct vmx_vcpu *vcpu, struct vcpu_state *state)
{
	(void)vcpu;
	state->cr0 = vmx_guest_cr0();
	state->cr4 = vmx_guest_cr4();
}

/* What is owned has the value that VMX operation asks for (SDM 3C 24.8); PE and PG are free in it. */
static void control_registers_load(struct vmx_vcpu *vcpu, const struct vcpu_state *state)
{
	u64 cr0_fixed = vmx_caps.cr0_fixed0 & ~(CR0_PE | CR0_PG);

	(void)vcpu;
	vmwrite(CR0_SHADOW, state->cr0);
	vmwrite(CR4_SHADOW, state->cr4);
	vmwrite(GUEST_CR0, (state->cr0 & ~vmx_cr0_owned()) | cr0_fixed);
	vmwrite(GUEST_CR4, (state->cr4 & ~vmx_cr4_owned()) | vmx_caps.cr4_fixed0 | CR4_MCE);
}

/* The entry control "IA-32e mode guest" is LMA; exits of unrestricted guests keep it so (SDM 3C 28.2). */
static void efer_save(struct vmx_vcpu *vcpu, struct vcpu_state *state)
{
	(void)vcpu;
	state->efer = vmread(GUEST_EFER);
}

static void efer_load(struct vmx_vcpu *vcpu, const struct vcpu_state *state)
{
	u64 entry = vmread(ENTRY_CONTROLS) & ~ENTRY_GUEST_LMA;

	(void)vcpu;
	vmwrite(GUEST_EFER, state->efer);
	vmwrite(ENTRY_CONTROLS, entry | (state->efer & EFER_LMA ? ENTRY_GUEST_LMA : 0));
}

#define SEG_ATTR_DEFINED 0x1f0ffu

/* The CPU leaves attributes of an unusable segment as they like, but for the DPL of SS (SDM 3C 28.3.2). */
static u32 attributes_save(enum segment segment, u32 attr)
{
	if (!(attr & SEG_ATTR_UNUSABLE))
		return attr & SEG_ATTR_DEFINED;
	return SEG_ATTR_UNUSABLE | (segment == SEG_SS ? attr & SEG_ATTR_DPL : 0);
}

static void segments_save(struct vmx_vcpu *vcpu, struct vcpu_state *state)
{
	(void)vcpu;
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		state->segment[i] = (struct vcpu_segment){
			.base = vmread(vmcs_of_segment(GUEST_BASE, i)),
			.limit = (u32)vmread(vmcs_of_segment(GUEST_LIMIT, i)),
			.attributes = attributes_save(i, (u32)vmread(vmcs_of_segment(GUEST_ATTRIBUTES, i))),
			.selector = (u16)vmread(vmcs_of_segment(GUEST_SELECTOR, i)),
		};
		if (i < SEG_FS)
			state->segment[i].base = (u32)state->segment[i].base;
	}
}

static void segments_load(struct vmx_vcpu *vcpu, const struct vcpu_state *state)
{
	(void)vcpu;
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		const struct vcpu_segment *from = &state->segment[i];

		vmwrite(vmcs_of_segment(GUEST_BASE, i), from->base);
		vmwrite(vmcs_of_segment(GUEST_LIMIT, i), from->limit);
		vmwrite(vmcs_of_segment(GUEST_ATTRIBUTES, i), from->attributes);
		vmwrite(vmcs_of_segment(GUEST_SELECTOR, i), from->selector);
	}
}

static void tables_save(struct vmx_vcpu *vcpu, struct vcpu_state *state)
{
	(void)vcpu;
	state->gdtr = (struct vcpu_table){ vmread(GUEST_GDTR_BASE), (u16)vmread(GUEST_GDTR_LIMIT), 0 };
	state->idtr = (struct vcpu_table){ vmread(GUEST_IDTR_BASE), (u16)vmread(GUEST_IDTR_LIMIT), 0 };
}

static void tables_load(struct vmx_vcpu *vcpu, const struct vcpu_state *state)
{
	(void)vcpu;
	vmwrite(GUEST_GDTR_BASE, state->gdtr.base);
	vmwrite(GUEST_GDTR_LIMIT, state->gdtr.limit);
	vmwrite(GUEST_IDTR_BASE, state->idtr.base);
	vmwrite(GUEST_IDTR_LIMIT, state->idtr.limit);
}

/*
 * A trap that waits (SDM 3C 25.4.2) has no place of its own in the neutral form: behind a shadow, TF
 * says it; otherwise it is due at once, as an event.
 */
static void pending_debug_save(const struct vmx_vcpu *vcpu, struct vcpu_state *state)
{
	u64 pending = vmread(GUEST_PENDING_DEBUG) & (PENDING_DEBUG_B0_TO_B3 | PENDING_DEBUG_BS);

	if (!pending || vcpu->hv.has_shadow || vcpu->hv.is_event_queued)
		return;
	state->dr6 |= pending;
	state->event = (struct vcpu_event){ .is_valid = 1, .vector = EXCEPTION_DB, .type = EVENT_EXCEPTION };
}

/* Several members, because an injected NMI blocks NMIs, and the neutral form says only "injected". */
static void event_save(struct vmx_vcpu *vcpu, struct vcpu_state *state)
{
	const struct hv_vcpu *hv = &vcpu->hv;

	state->dr6 = vcpu->live.dr6;
	state->event = (struct vcpu_event){ 0 };
	state->interrupt_shadow = hv->has_shadow && !hv->is_event_queued;
	state->nmi_blocked = hv->is_nmi_blocked;
	pending_debug_save(vcpu, state);
	if (!hv->is_event_queued)
		return;
	state->event.is_valid = 1;
	state->event.vector = (u8)(vcpu->event & EVENT_VECTOR);
	state->event.type = (u8)EVENT_TYPE(vcpu->event);
	if (vcpu->event & EVENT_HAS_ERROR) {
		state->event.has_error_code = 1;
		state->event.error_code = vcpu->event_error;
	}
	if (state->event.type == EVENT_NMI)
		state->nmi_blocked = 0;
}

static void event_load(struct vmx_vcpu *vcpu, const struct vcpu_state *state)
{
	struct hv_vcpu *hv = &vcpu->hv;
	struct hv_event event = {
		.type = state->event.type,
		.vector = state->event.vector,
		.has_error_code = state->event.has_error_code,
		.error_code = state->event.error_code,
		.address = state->cr2,
	};

	vcpu->live.dr6 = state->dr6;
	hv->is_event_queued = false;
	hv->has_shadow = state->interrupt_shadow;
	hv->is_nmi_blocked = state->nmi_blocked;
	vmwrite(GUEST_PENDING_DEBUG, 0);
	if (state->event.is_valid)
		vmx_inject(hv, &event);
}

static void xsave_save(struct vmx_vcpu *vcpu, struct vcpu_state *state)
{
	memcpy(state->xsave, vcpu->live.xsave, sizeof(state->xsave));
}

static void xsave_load(struct vmx_vcpu *vcpu, const struct vcpu_state *state)
{
	memcpy(vcpu->live.xsave, state->xsave, sizeof(state->xsave));
}

#define MEMBER(name) offsetof(struct vcpu_state, name), sizeof(((struct vcpu_state *)0)->name)

static const struct named {
	const char *name;
	void (*save)(struct vmx_vcpu *vcpu, struct vcpu_state *state);
	void (*load)(struct vmx_vcpu *vcpu, const struct vcpu_state *state);
	struct {
		u32 offset, bytes;
	} member[4];
} named[] = {
	{ "control registers", control_registers_save, control_registers_load,
	  { { MEMBER(cr0) }, { MEMBER(cr4) } } },
	{ "efer", efer_save, efer_load, { { MEMBER(efer) } } },
	{ "segments", segments_save, segments_load, { { MEMBER(segment) } } },
	{ "tables", tables_save, tables_load, { { MEMBER(gdtr) }, { MEMBER(idtr) } } },
	{ "event", event_save, event_load,
	  { { MEMBER(dr6) }, { MEMBER(event) }, { MEMBER(interrupt_shadow) }, { MEMBER(nmi_blocked) } } },
	{ "xsave", xsave_save, xsave_load, { { MEMBER(xsave) } } },
	/* hv.h: what vmm keeps itself. */
	{ "vmm", NULL, NULL, { { MEMBER(tsc_adjust) }, { MEMBER(activity) }, { MEMBER(nmi_pending) } } },
	{ "reserved", NULL, NULL, { { MEMBER(reserved) } } },
};

static void link_save(struct vmx_vcpu *vcpu, const struct link *link, struct vcpu_state *state)
{
	u8 *to = (u8 *)state + link->state;

	if (link->side == IN_VMCS)
		*(u64 *)to = vmread(link->here);
	else
		memcpy(to, (u8 *)vcpu + link->here, link->bytes);
}

static void link_load(struct vmx_vcpu *vcpu, const struct link *link, const struct vcpu_state *state)
{
	const u8 *from = (const u8 *)state + link->state;

	if (link->side == IN_VMCS)
		vmwrite(link->here, *(const u64 *)from);
	else
		memcpy((u8 *)vcpu + link->here, from, link->bytes);
}

void vmx_state_save(struct vmx_vcpu *vcpu, struct vcpu_state *state)
{
	for (unsigned i = 0; i < ARRAY_COUNT(links); i++)
		link_save(vcpu, &links[i], state);
	for (unsigned i = 0; i < ARRAY_COUNT(named); i++) {
		if (named[i].save)
			named[i].save(vcpu, state);
	}
	if (!vcpu_is_64bit(state))
		state->rip = (u32)state->rip;
	memset(state->reserved, 0, sizeof(state->reserved));
}

void vmx_state_load(struct vmx_vcpu *vcpu, const struct vcpu_state *state)
{
	for (unsigned i = 0; i < ARRAY_COUNT(links); i++)
		link_load(vcpu, &links[i], state);
	for (unsigned i = 0; i < ARRAY_COUNT(named); i++) {
		if (named[i].load)
			named[i].load(vcpu, state);
	}
	/* SDM 3C 29.4.3.3: as software that emulates a load of CR0, CR3, CR4 or EFER must. */
	__atomic_store_n(&vcpu->want_flush, true, __ATOMIC_SEQ_CST);
}

bool vmx_state_cover(unsigned index, struct state_cover *cover)
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

u8 vmx_code_bits(void)
{
	u64 cs = vmread(vmcs_of_segment(GUEST_ATTRIBUTES, SEG_CS));

	if ((cs & SEG_ATTR_L) && (vmread(GUEST_EFER) & EFER_LMA))
		return 64;
	return cs & SEG_ATTR_DB ? 32 : 16;
}

void vmx_mode(const struct hv_vcpu *hv, struct hv_mode *mode)
{
	struct vmx_vcpu *vcpu = container_of(hv, struct vmx_vcpu, hv);
	u64 ss;

	vmx_take(vcpu);
	ss = vmread(vmcs_of_segment(GUEST_ATTRIBUTES, SEG_SS));
	mode->cr0 = vmx_guest_cr0();
	mode->cr3 = vmread(GUEST_CR3);
	mode->cr4 = vmx_guest_cr4();
	mode->xcr0 = vcpu->live.xcr0;
	mode->efer = vmread(GUEST_EFER);
	for (unsigned i = 0; i < SEG_COUNT; i++)
		mode->base[i] = vmread(vmcs_of_segment(GUEST_BASE, i));
	mode->cpl = (ss & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT;
	mode->code_bits = vmx_code_bits();
}
