/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events into the guest: injection, what was interrupted in its delivery, the windows that
 * vmm asks for, and NMI blocking, which AMD-V does not keep for the guest: the IRET
 * intercept tells when the NMI handler ends, and a single step over that IRET when it has.
 */
#include "arch/svm/svm.h"

#include "arch/regs.h"
#include "kernel/clock.h"
#include "kernel/timer.h"

#define SHADOW_PATIENCE_NS (1 * NS_PER_MS) /* far above an entry, which takes 10 us under TCG */

void svm_inject(struct hv_vcpu *hv, const struct hv_event *event)
{
	struct svm_vcpu *vcpu = svm_vcpu(hv);

	vcpu->event = event->vector | (u64)event->type << EVENT_TYPE_SHIFT | EVENT_V;
	if (event->has_error_code)
		vcpu->event |= EVENT_EV | (u64)event->error_code << EVENT_ERROR_SHIFT;
	if (hv_queue_event(hv, event)) {
		vcpu->vmcb->cr2 = event->address;
		vcpu->clean &= ~(u32)CLEAN_CR2;
	}
}

void svm_inject_exception(struct svm_vcpu *vcpu, u8 vector, bool has_error_code, u32 error_code)
{
	struct hv_event event = { EVENT_EXCEPTION, vector, has_error_code, error_code, 0 };

	svm_inject(&vcpu->hv, &event);
}

/*
 * INT n, INT3 and INTO that met a fault: rip is still at the instruction, so it runs again
 * instead (APM 2 15.20: an injected software event would need the next rip).
 */
static bool is_software(u64 event)
{
	u8 vector = event & EVENT_VECTOR;

	switch (FIELD(event, 10, 8)) {
	case EVENT_SOFT_INT:
		return true;
	case EVENT_EXCEPTION:
		return vector == EXCEPTION_BP || vector == EXCEPTION_OF;
	default:
		return false;
	}
}

/* Sees to an exit as soon as an NMI could be taken. */
static void prepare_nmi_window(struct svm_vcpu *vcpu)
{
	struct hv_vcpu *hv = &vcpu->hv;

	if (hv->is_nmi_blocked && !vcpu->is_iret_met)
		return; /* the IRET intercept comes first */
	if (hv->is_event_queued) {
		/* A step would push our TF with the event's frame. An interrupt ends this run right after it. */
		machine->kick(this_cpu());
		return;
	}
	vcpu->step = vcpu->is_iret_met ? SVM_STEP_IRET : SVM_STEP_OTHER;
	vcpu->step_tf = hv->rflags & RFLAGS_TF;
	hv->rflags |= RFLAGS_TF;
}

/*
 * VMRUN loads the interrupt shadow (APM 2 15.5.1), but QEMU's emulation (7.2 and 10.0) does not, and
 * at an exit it may report the host's own: a window that opens between STI and HLT would be taken
 * there, and the guest would sleep through what it waits for. So no window is asked for in a shadow, and
 * where no instruction was executed since the entry, the shadow is what it was then. That is believed
 * once in a row: the guest may also be jumping on the spot.
 */
static void keep_shadow(struct svm_vcpu *vcpu)
{
	struct hv_vcpu *hv = &vcpu->hv;
	u64 code = vcpu->vmcb->exit_code;
	bool is_unmoved = hv->rip == vcpu->entry_rip && (code == VMEXIT_INTR || code == VMEXIT_NPF);

	vcpu->is_shadow_kept = is_unmoved && vcpu->entry_shadow && !hv->has_shadow && !vcpu->is_shadow_kept;
	if (is_unmoved)
		hv->has_shadow = vcpu->entry_shadow && (hv->has_shadow || vcpu->is_shadow_kept);
}

/*
 * The interrupt window is a virtual interrupt of highest priority that is intercepted at the
 * moment when the guest would take it (APM 2 15.21.4). QEMU 10.0's emulation aborts if a guest writes
 * CR8 while one is pending, so the window is asked for only while something waits.
 */
static void prepare_controls(struct svm_vcpu *vcpu)
{
	struct vmcb *vmcb = vcpu->vmcb;
	const struct hv_vcpu *hv = &vcpu->hv;
	u64 int_ctl = INT_CTL_INTR_MASKING | (hv->tpr & 0xf);
	u32 intercepts = vmcb->intercepts & ~(u32)(INTERCEPT_VINTR | INTERCEPT_IRET);
	u16 cr_write = hv->want_cr8_exit ? BIT(8) : 0;

	if (hv->want_irq_window && hv->has_shadow) {
		/* The next instruction comes first; if it is none that exits, we look again soon. */
		timer_interrupt_by(clock_now_ns() + SHADOW_PATIENCE_NS);
	} else if (hv->want_irq_window) {
		int_ctl |= INT_CTL_IRQ | INT_CTL_IGN_TPR | INT_CTL_PRIO_HIGHEST;
		intercepts |= INTERCEPT_VINTR;
	}
	if (hv->is_nmi_blocked && !vcpu->is_iret_met)
		intercepts |= INTERCEPT_IRET;
	if (cr_write != vmcb->intercept_cr_write) {
		vmcb->intercept_cr_write = cr_write;
		vcpu->clean &= ~(u32)CLEAN_INTERCEPTS;
	}
	if (int_ctl != vmcb->int_ctl) {
		vmcb->int_ctl = int_ctl;
		vcpu->clean &= ~(u32)CLEAN_TPR;
	}
	if (intercepts != vmcb->intercepts) {
		vmcb->intercepts = intercepts;
		vcpu->clean &= ~(u32)CLEAN_INTERCEPTS;
	}
}

void svm_events_prepare(struct svm_vcpu *vcpu)
{
	struct hv_vcpu *hv = &vcpu->hv;

	if (UNLIKELY(hv->want_nmi_window))
		prepare_nmi_window(vcpu);
	prepare_controls(vcpu);
	vcpu->vmcb->event_inj = hv->is_event_queued ? vcpu->event : 0;
	vcpu->vmcb->interrupt_shadow = hv->has_shadow ? INTERRUPT_SHADOW : 0;
	vcpu->entry_shadow = hv->has_shadow;
	vcpu->entry_rip = hv->rip;
}

void svm_events_collect(struct svm_vcpu *vcpu)
{
	struct vmcb *vmcb = vcpu->vmcb;
	struct hv_vcpu *hv = &vcpu->hv;
	u64 interrupted = vmcb->exit_int_info;

	hv->tpr = vmcb->int_ctl & 0xf;
	hv->has_shadow = vmcb->interrupt_shadow & INTERRUPT_SHADOW;
	keep_shadow(vcpu);

	/* An exit before the stepped instruction retired: the next entry tries again. */
	if (vcpu->step != SVM_STEP_NONE && vmcb->exit_code != VMEXIT_EXCP_DB) {
		vcpu->step = SVM_STEP_NONE;
		hv->rflags = (hv->rflags & ~RFLAGS_TF) | vcpu->step_tf;
	}
	if (vcpu->is_iret_met && hv->rip != vcpu->iret_rip) {
		vcpu->is_iret_met = false;
		hv->is_nmi_blocked = false;
	}

	/* APM 2 15.7.2: the event whose delivery this exit interrupted. */
	hv->is_event_queued = (interrupted & EVENT_V) && !is_software(interrupted);
	if (hv->is_event_queued)
		vcpu->event = interrupted & (EVENT_V | EVENT_EV | EVENT_TYPE | EVENT_VECTOR |
					     ~0ull << EVENT_ERROR_SHIFT);
}

void svm_exit_iret(struct svm_vcpu *vcpu, struct hv_exit *exit)
{
	vcpu->is_iret_met = true;
	vcpu->iret_rip = vcpu->hv.rip;
	exit->reason = HV_EXIT_NONE;
}

/*
 * #DB is intercepted, and given back, because a guest can make its delivery raise it for ever and
 * never leave the CPU (CVE-2015-8104). If it interrupted another event, it takes its place, as in a CPU
 * (APM 2 8.2.9: benign exceptions are handled one after the other).
 */
void svm_exit_db(struct svm_vcpu *vcpu, struct hv_exit *exit)
{
	struct vmcb *vmcb = vcpu->vmcb;
	struct hv_vcpu *hv = &vcpu->hv;
	enum svm_step step = vcpu->step;

	exit->reason = HV_EXIT_NONE;
	vcpu->step = SVM_STEP_NONE;
	if (step != SVM_STEP_NONE) {
		/* IRET has loaded the flags that count. */
		if (step == SVM_STEP_OTHER)
			hv->rflags = (hv->rflags & ~RFLAGS_TF) | vcpu->step_tf;
		hv->is_nmi_blocked = false;
		exit->reason = HV_EXIT_NMI_WINDOW;
		if (!vcpu->step_tf) {
			vmcb->dr6 &= ~DR6_BS;
			vcpu->clean &= ~(u32)CLEAN_DRX;
			if (!(vmcb->dr6 & DR6_B0_TO_B3))
				return;
		}
	}
	svm_inject_exception(vcpu, EXCEPTION_DB, false, 0);
}

void svm_skip(struct hv_vcpu *hv, u8 insn_len)
{
	struct svm_vcpu *vcpu = svm_vcpu(hv);

	hv->rip += insn_len;
	if (svm_code_bits(vcpu->vmcb) != 64)
		hv->rip = (u32)hv->rip;
	hv->has_shadow = false;
	hv->rflags &= ~RFLAGS_RF;
	/* A guest that steps itself sees its trap after an instruction of ours, too. */
	if (UNLIKELY(hv->rflags & RFLAGS_TF) && !hv->is_event_queued) {
		vcpu->vmcb->dr6 |= DR6_BS;
		vcpu->clean &= ~(u32)CLEAN_DRX;
		svm_inject_exception(vcpu, EXCEPTION_DB, false, 0);
	}
}
