/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Run a vCPU: take signals, park or wait if asked, bring interrupts in, enter, answer the exit.
 *
 * vcpu_run() holds vm->lock from the exit to the next entry and never inside the guest; so
 * whoever changes interrupt state under the lock and then kicks is seen before the next entry
 * or makes the guest exit. A wake-up while the vCPU runs is kept by the scheduler, and what
 * the vCPU does to itself in an exit (a self IPI, an EOI) needs none.
 *
 * want_park is set by any CPU and answered by is_parked from the vCPU's own, under vm->lock and after
 * what was live in the CPU's registers has gone to memory. A wake-up that was under way still calls run()
 * once more: it finds is_parked and touches nothing, so who sees is_parked has the vCPU to
 * himself. Signals of a parked vCPU are taken by vcpu_settle(), so that no saved state misses one.
 */
#include "vmm/vcpu.h"
#include "arch/cpu.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/machine.h"
#include "kernel/panic.h"
#include "vmm/exit.h"
#include "vmm/irq.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

enum { FAULT_UD = 6, FAULT_GP = 13, FAULT_PF = 14 };

/* --- signals from other vCPUs --- */

static void vcpu_take_init(struct vcpu *vcpu)
{
	struct vcpu_state state;

	/* The boot CPU would run the firmware again: here that is a reset of the machine. */
	if (vcpu->index == 0) {
		vcpu->vm->want_reset = true;
		service_wake();
		return;
	}
	vcpu_state_reset(&state);
	state.tsc_adjust = vcpu->tsc_adjust;
	state.activity = VCPU_WAIT_FOR_SIPI;
	vcpu_load(vcpu, &state);
}

/* SDM 3A 9.4.4: starts at vector * 4 KiB in real mode. */
static void vcpu_take_sipi(struct vcpu *vcpu)
{
	struct vcpu_state state;

	if (vcpu->activity != VCPU_WAIT_FOR_SIPI)
		return;
	vcpu_save(vcpu, &state);
	state.segment[SEG_CS].selector = (u16)(vcpu->sipi_vector << 8);
	state.segment[SEG_CS].base = (u64)vcpu->sipi_vector << 12;
	state.rip = 0;
	state.activity = VCPU_ACTIVE;
	vcpu_load(vcpu, &state);
}

static void vcpu_take_signals(struct vcpu *vcpu)
{
	if (vcpu->init_pending) {
		vcpu->init_pending = false;
		vcpu_take_init(vcpu);
	}
	if (vcpu->sipi_pending) {
		vcpu->sipi_pending = false;
		vcpu_take_sipi(vcpu);
	}
}

/* --- interrupts --- */

/* HLT ends with an interrupt that would be taken, or an NMI (SDM 2A HLT). */
static bool vcpu_is_awake(struct vcpu *vcpu)
{
	const struct hv_vcpu *hv_vcpu = vcpu->hv;

	if (vcpu->activity == VCPU_HALTED &&
	    ((vcpu->nmi_pending && !hv_vcpu->is_nmi_blocked) || hv_vcpu->is_event_queued ||
	     ((hv_vcpu->rflags & RFLAGS_IF) && irq_pending_vector(vcpu) >= 0)))
		vcpu->activity = VCPU_ACTIVE;
	return vcpu->activity == VCPU_ACTIVE;
}

static void vcpu_inject_nmi(struct vcpu *vcpu)
{
	struct hv_vcpu *hv_vcpu = vcpu->hv;

	hv_vcpu->want_nmi_window = false;
	if (!vcpu->nmi_pending)
		return;
	if (hv_vcpu->is_event_queued || hv_vcpu->has_shadow || hv_vcpu->is_nmi_blocked) {
		hv_vcpu->want_nmi_window = true;
		return;
	}
	vcpu->nmi_pending = false;
	hv->inject(hv_vcpu, &(struct hv_event){ .type = EVENT_NMI, .vector = 2 });
}

static void vcpu_inject_interrupt(struct vcpu *vcpu)
{
	struct hv_vcpu *hv_vcpu = vcpu->hv;
	int vector = irq_pending_vector(vcpu);

	hv_vcpu->want_irq_window = false;
	/* The guest may lower CR8 without an exit; what that would let through must be seen then. */
	hv_vcpu->want_cr8_exit = vector < 0 && irq_blocked_vector(vcpu) >= 0;
	if (vector < 0)
		return;
	if (hv_vcpu->is_event_queued || hv_vcpu->has_shadow || !(hv_vcpu->rflags & RFLAGS_IF)) {
		hv_vcpu->want_irq_window = true;
		return;
	}
	irq_accept(vcpu, vector);
	hv->inject(hv_vcpu, &(struct hv_event){ .type = EVENT_EXTERNAL, .vector = (u8)vector });
}

/* --- the loop --- */

/* With vm->lock held. False: blocked, want_park is to be looked at. */
static bool vcpu_prepare(struct vcpu *vcpu)
{
	vcpu_take_signals(vcpu);
	if (__atomic_load_n(&vcpu->want_park, __ATOMIC_SEQ_CST) || !vcpu_is_awake(vcpu))
		return false;
	vcpu_inject_nmi(vcpu);
	vcpu_inject_interrupt(vcpu);
	vcpu->hv->tpr = vcpu->tpr_given = irq_get_tpr(vcpu);
	return true;
}

static void vcpu_enter(struct vcpu *vcpu)
{
	if (vcpu->want_tsc_load) {
		vcpu->want_tsc_load = false;
		vtime_load_tsc(vcpu);
	}
	/* This order is the other half of gmem_flush_vcpus. */
	__atomic_store_n(&vcpu->entry_count, vcpu->entry_count + 1, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&vcpu->want_flush, __ATOMIC_SEQ_CST)) {
		__atomic_store_n(&vcpu->want_flush, false, __ATOMIC_SEQ_CST);
		hv->flush(vcpu->hv);
	}
	hv->enter(vcpu->hv, &vcpu->exit);
	track_left_guest(vcpu);
	__atomic_store_n(&vcpu->entry_count, vcpu->entry_count + 1, __ATOMIC_RELEASE);
	/*
	 * What is pending now would end the next entry at once: it is taken here, without one. Bochs
	 * (2.7 to 3.0, both vendors) needs it: there no host interrupt ends a run that began with the
	 * guest's IF clear, and a guest that polls a port like that would keep the CPU for ever.
	 */
	machine->irq_window();
}

static void vcpu_answer_park(struct vcpu *vcpu)
{
	hv->park(vcpu->hv);
	__atomic_store_n(&vcpu->is_parked, true, __ATOMIC_RELEASE);
	service_wake();
}

static enum run_result vcpu_run(struct runnable *runnable)
{
	struct vcpu *vcpu = container_of(runnable, struct vcpu, runnable);
	struct vm *vm = vcpu->vm;

	if (__atomic_load_n(&vcpu->is_parked, __ATOMIC_ACQUIRE))
		return RUN_BLOCKED;
	lock_take(&vm->lock);
	while (vcpu_prepare(vcpu)) {
		lock_give(&vm->lock);
		vcpu_enter(vcpu);
		lock_take(&vm->lock);
		if (vcpu->hv->tpr != vcpu->tpr_given)
			irq_set_tpr(vcpu, vcpu->hv->tpr);
		if (exit_handle(vcpu) == EXIT_YIELD || sched_should_yield()) {
			lock_give(&vm->lock);
			return RUN_AGAIN;
		}
	}
	if (__atomic_load_n(&vcpu->want_park, __ATOMIC_SEQ_CST))
		vcpu_answer_park(vcpu);
	lock_give(&vm->lock);
	return RUN_BLOCKED;
}

/* --- life --- */

int vcpu_create(struct vm *vm, u32 index)
{
	struct vcpu *vcpu = heap_alloc(sizeof(*vcpu));
	int err;

	if (!vcpu)
		return -ENOMEM;
	*vcpu = (struct vcpu){
		.runnable = { .name = vm->config.name, .run = vcpu_run },
		.vm = vm, .index = index, .want_park = true, .is_parked = true, .want_tsc_load = true,
		.activity = index ? VCPU_WAIT_FOR_SIPI : VCPU_ACTIVE,
	};
	err = hv->vcpu_init(&vcpu->hv, &vm->gmem.nested);
	if (err) {
		heap_free(vcpu);
		return err;
	}
	sched_add(&vcpu->runnable);
	vm->vcpu[index] = vcpu;
	return 0;
}

void vcpu_destroy(struct vcpu *vcpu)
{
	assert_or_panic(vcpu->is_parked);
	sched_remove(&vcpu->runnable);
	hv->vcpu_fini(vcpu->hv);
	vcpu->vm->vcpu[vcpu->index] = NULL;
	heap_free(vcpu);
}

void vcpu_park(struct vcpu *vcpu)
{
	if (vcpu->is_parked)
		return;
	__atomic_store_n(&vcpu->want_park, true, __ATOMIC_SEQ_CST);
	sched_wake(&vcpu->runnable);
}

void vcpu_park_here(struct vcpu *vcpu)
{
	if (vcpu->is_parked || vcpu->runnable.cpu != machine->cpu_id() || vcpu->runnable.is_running)
		return;
	vcpu_answer_park(vcpu);
}

void vcpu_settle(struct vcpu *vcpu)
{
	assert_or_panic(vcpu->is_parked);
	vcpu_take_signals(vcpu);
}

/*
 * Who gave up waiting for the vCPU may come while its CPU answers the old wish: the lock makes that answer
 * come whole before this, or not at all. In this order, since run() reads is_parked without the lock.
 */
void vcpu_unpark(struct vcpu *vcpu)
{
	lock_take(&vcpu->vm->lock);
	__atomic_store_n(&vcpu->want_park, false, __ATOMIC_SEQ_CST);
	__atomic_store_n(&vcpu->is_parked, false, __ATOMIC_SEQ_CST);
	lock_give(&vcpu->vm->lock);
	sched_wake(&vcpu->runnable);
}

bool vcpu_is_quiet(const struct vcpu *vcpu)
{
	return __atomic_load_n(&vcpu->is_parked, __ATOMIC_ACQUIRE);
}

/* --- what others ask of a vCPU --- */

void vcpu_kick(struct vcpu *vcpu)
{
	/* From its own exit handler: it looks before it enters again. */
	if (vcpu->runnable.cpu == machine->cpu_id() &&
	    __atomic_load_n(&vcpu->runnable.is_running, __ATOMIC_RELAXED))
		return;
	sched_wake(&vcpu->runnable);
}

void vcpu_init_signal(struct vcpu *vcpu)
{
	vcpu->init_pending = true;
	vcpu->sipi_pending = false;
	vcpu_kick(vcpu);
}

void vcpu_sipi(struct vcpu *vcpu, u8 vector)
{
	vcpu->sipi_pending = true;
	vcpu->sipi_vector = vector;
	vcpu_kick(vcpu);
}

void vcpu_nmi(struct vcpu *vcpu)
{
	vcpu->nmi_pending = true;
	vcpu_kick(vcpu);
}

void vcpu_inject_gp(struct vcpu *vcpu, u32 error_code)
{
	hv->inject(vcpu->hv, &(struct hv_event){
		.type = EVENT_EXCEPTION, .vector = FAULT_GP, .has_error_code = true, .error_code = error_code });
}

void vcpu_inject_ud(struct vcpu *vcpu)
{
	hv->inject(vcpu->hv, &(struct hv_event){ .type = EVENT_EXCEPTION, .vector = FAULT_UD });
}

void vcpu_inject_pf(struct vcpu *vcpu, u64 address, u32 error_code)
{
	hv->inject(vcpu->hv, &(struct hv_event){
		.type = EVENT_EXCEPTION, .vector = FAULT_PF, .has_error_code = true, .error_code = error_code,
		.address = address });
}

void vcpu_save(struct vcpu *vcpu, struct vcpu_state *state)
{
	hv->save(vcpu->hv, state);
	state->tsc_adjust = vcpu->tsc_adjust;
	state->activity = vcpu->activity;
	state->nmi_pending = vcpu->nmi_pending;
}

void vcpu_load(struct vcpu *vcpu, const struct vcpu_state *state)
{
	hv->load(vcpu->hv, state);
	vcpu->tsc_adjust = state->tsc_adjust;
	vcpu->activity = state->activity;
	vcpu->nmi_pending = state->nmi_pending;
	vcpu->want_tsc_load = true;
}
