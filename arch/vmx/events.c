/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events into the guest: injection, what was interrupted in its delivery, the interrupt shadow,
 * NMI blocking, and the windows that vmm asks for.
 */
#include "arch/vmx/vmx.h"

#include "arch/cpu.h"

void vmx_inject(struct hv_vcpu *hv, const struct hv_event *event)
{
	struct vmx_vcpu *vcpu = vmx_vcpu(hv);

	vmx_take(vcpu);
	vcpu->event = event->vector | (u32)event->type << EVENT_TYPE_SHIFT | (u32)EVENT_VALID;
	vcpu->event_error = 0;
	/* SDM 3C 27.2.1.3: no error code in real mode, where none is pushed. */
	if (event->has_error_code && (vmread(GUEST_CR0) & CR0_PE)) {
		vcpu->event |= EVENT_HAS_ERROR;
		vcpu->event_error = event->error_code;
	}
	if (hv_queue_event(hv, event))
		live_set_cr2(&vcpu->live, event->address);
}

void vmx_inject_exception(struct vmx_vcpu *vcpu, u8 vector, bool has_error_code, u32 error_code)
{
	struct hv_event event = { EVENT_EXCEPTION, vector, has_error_code, error_code, 0 };

	vmx_inject(&vcpu->hv, &event);
}

/*
 * INT n, INT1, INT3 and INTO that met a fault: rip is still at the instruction, so it runs again
 * instead (SDM 3C 28.2.4: types 4, 5 and 6).
 */
static bool is_software(u64 event) { return EVENT_TYPE(event) >= EVENT_SOFT_INT; }

static bool is_nmi(u32 event) { return EVENT_TYPE(event) == EVENT_NMI; }

/* By itself, after each instruction: with BTF, after branches only (SDM 3B 18.4.4). */
static bool is_stepped(const struct hv_vcpu *hv)
{
	return UNLIKELY(hv->rflags & RFLAGS_TF) && !(vmread(GUEST_DEBUGCTL) & DEBUGCTL_BTF);
}

/*
 * SDM 3C 27.3.1.5: STI's shadow only with IF, one kind at a time, and a trap that waits behind it
 * exactly if the guest steps itself. An event that is injected ends the shadow.
 */
static u32 shadow_prepare(const struct vmx_vcpu *vcpu)
{
	const struct hv_vcpu *hv = &vcpu->hv;
	u64 pending;

	if (LIKELY(!hv->has_shadow) || hv->is_event_queued)
		return 0;
	pending = vmread(GUEST_PENDING_DEBUG) & ~PENDING_DEBUG_BS;
	vmwrite(GUEST_PENDING_DEBUG, pending | (is_stepped(hv) ? PENDING_DEBUG_BS : 0));
	if ((vcpu->interruptibility & BLOCKING_BY_MOV_SS) || !(hv->rflags & RFLAGS_IF))
		return BLOCKING_BY_MOV_SS;
	return BLOCKING_BY_STI;
}

static void interruptibility_prepare(struct vmx_vcpu *vcpu)
{
	const struct hv_vcpu *hv = &vcpu->hv;
	u32 state = shadow_prepare(vcpu);

	/* 27.3.1.5: an NMI is not injected into its own blocking; its delivery begins it. */
	if (hv->is_nmi_blocked && !(hv->is_event_queued && is_nmi(vcpu->event)))
		state |= BLOCKING_BY_NMI;
	if (state != vcpu->interruptibility) {
		vcpu->interruptibility = state;
		vmwrite(GUEST_INTERRUPTIBILITY, state);
	}
}

/*
 * The guest reads and writes CR8 in the virtual APIC's page. A write that goes below the threshold
 * exits, after it (SDM 3C 30.1.2): as soon as that might let something through.
 */
static void tpr_prepare(struct vmx_vcpu *vcpu)
{
	const struct hv_vcpu *hv = &vcpu->hv;
	u32 threshold = hv->want_cr8_exit ? hv->tpr & 0xf : 0;

	vcpu->virtual_apic[VIRTUAL_APIC_TPR] = (u8)(hv->tpr << 4);
	if (threshold != vcpu->tpr_threshold) {
		vcpu->tpr_threshold = threshold;
		vmwrite(TPR_THRESHOLD, threshold);
	}
}

static void event_prepare(struct vmx_vcpu *vcpu)
{
	if (LIKELY(!vcpu->hv.is_event_queued)) {
		if (vcpu->is_entry_event) /* left by an entry that failed */
			vmwrite(ENTRY_EVENT, 0);
		vcpu->is_entry_event = false;
		return;
	}
	vmwrite(ENTRY_EVENT, vcpu->event);
	if (vcpu->event & EVENT_HAS_ERROR)
		vmwrite(ENTRY_EVENT_ERROR, vcpu->event_error);
	vcpu->is_entry_event = true;
}

void vmx_events_prepare(struct vmx_vcpu *vcpu)
{
	const struct hv_vcpu *hv = &vcpu->hv;
	u32 primary = vcpu->primary & ~(u32)(PRIMARY_INTERRUPT_WINDOW | PRIMARY_NMI_WINDOW);

	if (hv->want_irq_window)
		primary |= PRIMARY_INTERRUPT_WINDOW;
	if (hv->want_nmi_window)
		primary |= PRIMARY_NMI_WINDOW;
	vmx_set_primary(vcpu, primary);
	tpr_prepare(vcpu);
	interruptibility_prepare(vcpu);
	event_prepare(vcpu);
}

void vmx_events_collect(struct vmx_vcpu *vcpu)
{
	struct hv_vcpu *hv = &vcpu->hv;
	u32 interrupted = (u32)vmread(IDT_EVENT);

	vcpu->is_entry_event = false; /* 28.8: an exit clears the valid bit */
	hv->tpr = vcpu->virtual_apic[VIRTUAL_APIC_TPR] >> 4;
	vcpu->interruptibility = (u32)vmread(GUEST_INTERRUPTIBILITY);
	hv->has_shadow = vcpu->interruptibility & (BLOCKING_BY_STI | BLOCKING_BY_MOV_SS);
	hv->is_nmi_blocked = vcpu->interruptibility & BLOCKING_BY_NMI;

	/* 28.2.4: the event whose delivery this exit interrupted. */
	hv->is_event_queued = (interrupted & EVENT_VALID) && !is_software(interrupted);
	if (LIKELY(!hv->is_event_queued))
		return;
	vcpu->event = interrupted & (u32)(EVENT_VALID | EVENT_HAS_ERROR | BITS(10, 0));
	vcpu->event_error = interrupted & EVENT_HAS_ERROR ? (u32)vmread(IDT_EVENT_ERROR) : 0;
	if (is_nmi(vcpu->event))
		hv->is_nmi_blocked = true;
}

/*
 * #DB exits, and is given back, because a guest can make its delivery raise it for ever and never
 * leave the CPU (CVE-2015-8104). If it interrupted another event, it takes its place, as in a CPU
 * (SDM 3A 6.15: benign exceptions are handled one after the other). The exit leaves to us what
 * delivery does to DR6, DR7 and DEBUGCTL (SDM 3C 28.1).
 */
static void exit_db(struct vmx_vcpu *vcpu)
{
	u64 why = vmread(EXIT_QUALIFICATION);
	u64 dr6 = (live_dr6(&vcpu->live) & ~DR6_B0_TO_B3) | DR6_RTM | (why & QUALIFICATION_DEBUG);

	if (why & QUALIFICATION_DEBUG_RTM)
		dr6 &= ~DR6_RTM;
	live_set_dr6(&vcpu->live, dr6);
	vmwrite(GUEST_DR7, vmread(GUEST_DR7) & ~DR7_GD);
	vmwrite(GUEST_DEBUGCTL, vmread(GUEST_DEBUGCTL) & ~DEBUGCTL_BTF);
	vmx_inject_exception(vcpu, EXCEPTION_DB, false, 0);
}

void vmx_exit_exception(struct vmx_vcpu *vcpu, struct hv_exit *exit)
{
	u64 event = vmread(EXIT_EVENT);
	u8 vector = event & EVENT_VECTOR;

	exit->reason = HV_EXIT_NONE;
	/* 28.2.3: an IRET that faulted has unblocked NMIs, but it will run again. */
	if ((event & EVENT_NMI_UNBLOCKED) && vector != EXCEPTION_DF && !(vmread(IDT_EVENT) & EVENT_VALID))
		vcpu->hv.is_nmi_blocked = true;
	switch (vector) {
	case EXCEPTION_DB:
		exit_db(vcpu);
		return;
	case EXCEPTION_AC:
		/* Given back for the same reason as #DB (CVE-2015-5307). */
		vmx_inject_exception(vcpu, EXCEPTION_AC, true, (u32)vmread(EXIT_EVENT_ERROR));
		return;
	case EXCEPTION_NMI:
		/* 28.2.2: NMIs are blocked now, as in a handler; the host's IRET ends that. */
		__asm__ volatile("int $2" : : : "memory");
		exit->reason = HV_EXIT_HOST_INTERRUPT;
		return;
	case EXCEPTION_MC:
		/* It is not pending any more; the host's handler must see it. */
		__asm__ volatile("int $18" : : : "memory");
		exit->reason = HV_EXIT_HOST_INTERRUPT;
		return;
	default:
		exit->reason = HV_EXIT_UNKNOWN;
		exit->unknown.code = event;
		exit->unknown.info[0] = vmread(EXIT_QUALIFICATION);
		exit->unknown.info[1] = 0;
		exit->why = "an exception that was not asked for";
	}
}

void vmx_skip(struct hv_vcpu *hv, u8 insn_len)
{
	struct vmx_vcpu *vcpu = vmx_vcpu(hv);
	u64 next = hv->rip + insn_len;

	vmx_take(vcpu);
	/* Outside of 64-bit code rip wraps at 4 GiB. */
	if (UNLIKELY((next ^ hv->rip) >> 32) && vmx_code_bits() != 64)
		next = (u32)next;
	hv->rip = next;
	hv->has_shadow = false;
	hv->rflags &= ~RFLAGS_RF;
	/* A guest that steps itself sees its trap after an instruction of ours, too. */
	if (is_stepped(hv) && !hv->is_event_queued) {
		live_set_dr6(&vcpu->live, live_dr6(&vcpu->live) | DR6_BS);
		vmwrite(GUEST_PENDING_DEBUG, 0);
		vmx_inject_exception(vcpu, EXCEPTION_DB, false, 0);
	}
}
