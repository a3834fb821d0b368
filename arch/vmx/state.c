/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VT-x's part of the links to struct vcpu_state (arch/state_link.h). tests/host/vmx_state_test.c
 * checks that each byte is covered exactly once.
 */
#include "arch/vmx/vmx.h"

#include "arch/regs.h"
#include "arch/state_link.h"

/* IN_HARDWARE: here is the encoding of a field of the VMCS, and the member is 64 bits wide. */
static const struct state_link links[] = {
#define VMCS_LINK(member, field) \
	{ offsetof(struct vcpu_state, member), field, SAME_SIZE(((struct vcpu_state *)0)->member, u64), \
	  IN_HARDWARE, #member }
#define LIVE_LINK(member) STATE_LINK(IN_LIVE, struct live, member, member)
	STATE_LINK(IN_VCPU, struct vmx_vcpu, spec_ctrl, spec_ctrl),
	LIVE_LINK(cr2),
	LIVE_LINK(star),
	LIVE_LINK(lstar),
	LIVE_LINK(cstar),
	LIVE_LINK(sfmask),
	LIVE_LINK(kernel_gs_base),
	VMCS_LINK(cr3, GUEST_CR3),
	VMCS_LINK(dr7, GUEST_DR7),
	VMCS_LINK(sysenter_cs, GUEST_SYSENTER_CS),
	VMCS_LINK(sysenter_esp, GUEST_SYSENTER_ESP),
	VMCS_LINK(sysenter_eip, GUEST_SYSENTER_EIP),
	VMCS_LINK(pat, GUEST_PAT),
	VMCS_LINK(debugctl, GUEST_DEBUGCTL),
};

static void field_get(struct hv_vcpu *hv, const struct state_link *link, void *to)
{
	(void)hv;
	*(u64 *)to = vmread(link->here);
}

static void field_set(struct hv_vcpu *hv, const struct state_link *link, const void *from)
{
	(void)hv;
	vmwrite(link->here, *(const u64 *)from);
}

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

static void control_registers_save(struct hv_vcpu *hv, struct vcpu_state *state)
{
	(void)hv;
	state->cr0 = vmx_guest_cr0();
	state->cr4 = vmx_guest_cr4();
}

/* What is owned has the value that VMX operation asks for (SDM 3C 24.8); PE and PG are free in it. */
static void control_registers_load(struct hv_vcpu *hv, const struct vcpu_state *state)
{
	u64 cr0_fixed = vmx_caps.cr0_fixed0 & ~(CR0_PE | CR0_PG);

	(void)hv;
	vmwrite(CR0_SHADOW, state->cr0);
	vmwrite(CR4_SHADOW, state->cr4);
	vmwrite(GUEST_CR0, (state->cr0 & ~vmx_cr0_owned()) | cr0_fixed);
	vmwrite(GUEST_CR4, (state->cr4 & ~vmx_cr4_owned()) | vmx_caps.cr4_fixed0 | CR4_MCE);
}

/* The entry control "IA-32e mode guest" is LMA; exits of unrestricted guests keep it so (SDM 3C 28.2). */
static void efer_save(struct hv_vcpu *hv, struct vcpu_state *state)
{
	(void)hv;
	state->efer = vmread(GUEST_EFER);
}

static void efer_load(struct hv_vcpu *hv, const struct vcpu_state *state)
{
	u64 entry = vmread(ENTRY_CONTROLS) & ~ENTRY_GUEST_LMA;

	(void)hv;
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

static void segments_save(struct hv_vcpu *hv, struct vcpu_state *state)
{
	(void)hv;
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

static void segments_load(struct hv_vcpu *hv, const struct vcpu_state *state)
{
	(void)hv;
	for (unsigned i = 0; i < SEG_COUNT; i++) {
		const struct vcpu_segment *from = &state->segment[i];

		vmwrite(vmcs_of_segment(GUEST_BASE, i), from->base);
		vmwrite(vmcs_of_segment(GUEST_LIMIT, i), from->limit);
		vmwrite(vmcs_of_segment(GUEST_ATTRIBUTES, i), from->attributes);
		vmwrite(vmcs_of_segment(GUEST_SELECTOR, i), from->selector);
	}
}

static void tables_save(struct hv_vcpu *hv, struct vcpu_state *state)
{
	(void)hv;
	state->gdtr = (struct vcpu_table){ vmread(GUEST_GDTR_BASE), (u16)vmread(GUEST_GDTR_LIMIT), 0 };
	state->idtr = (struct vcpu_table){ vmread(GUEST_IDTR_BASE), (u16)vmread(GUEST_IDTR_LIMIT), 0 };
}

static void tables_load(struct hv_vcpu *hv, const struct vcpu_state *state)
{
	(void)hv;
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

/* The format of ENTRY_EVENT to the contract's. */
static struct hv_event queued_event(const struct vmx_vcpu *vcpu)
{
	return (struct hv_event){
		.type = EVENT_TYPE(vcpu->event),
		.vector = (u8)(vcpu->event & EVENT_VECTOR),
		.has_error_code = vcpu->event & EVENT_HAS_ERROR,
		.error_code = vcpu->event_error,
	};
}

static void event_save(struct hv_vcpu *hv, struct vcpu_state *state)
{
	const struct vmx_vcpu *vcpu = vmx_vcpu(hv);
	struct hv_event queued = queued_event(vcpu);

	state_save_event(hv, &queued, state);
	state->dr6 = vcpu->live.dr6;
	pending_debug_save(vcpu, state);
}

static void event_load(struct hv_vcpu *hv, const struct vcpu_state *state)
{
	struct hv_event event;

	vmx_vcpu(hv)->live.dr6 = state->dr6;
	vmwrite(GUEST_PENDING_DEBUG, 0);
	if (state_load_event(hv, state, &event))
		vmx_inject(hv, &event);
}

static const struct state_pair pairs[] = {
	{ "control registers", control_registers_save, control_registers_load,
	  { { STATE_MEMBER(cr0) }, { STATE_MEMBER(cr4) } } },
	{ "efer", efer_save, efer_load, { { STATE_MEMBER(efer) } } },
	{ "segments", segments_save, segments_load, { { STATE_MEMBER(segment) } } },
	{ "tables", tables_save, tables_load, { { STATE_MEMBER(gdtr) }, { STATE_MEMBER(idtr) } } },
	{ "event", event_save, event_load,
	  { { STATE_MEMBER(dr6) }, { STATE_MEMBER(event) }, { STATE_MEMBER(interrupt_shadow) },
	    { STATE_MEMBER(nmi_blocked) } } },
};

static const struct state_table table = {
	.link = links,
	.link_count = ARRAY_COUNT(links),
	.pair = pairs,
	.pair_count = ARRAY_COUNT(pairs),
	.live = offsetof(struct vmx_vcpu, live),
	.get = field_get,
	.set = field_set,
};

void vmx_state_save(struct vmx_vcpu *vcpu, struct vcpu_state *state)
{
	state_table_save(&table, &vcpu->hv, state);
}

void vmx_state_load(struct vmx_vcpu *vcpu, const struct vcpu_state *state)
{
	state_table_load(&table, &vcpu->hv, state);
	/* SDM 3C 29.4.3.3: as software that emulates a load of CR0, CR3, CR4 or EFER must. */
	__atomic_store_n(&vcpu->want_flush, true, __ATOMIC_SEQ_CST);
}

bool vmx_state_cover(unsigned index, struct state_cover *cover)
{
	return state_table_cover(&table, index, cover);
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
