/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Run a vCPU. struct vcpu is a runnable of kernel/sched.h.
 */
#pragma once

#include "arch/hv.h"
#include "kernel/sched.h"

struct vm;

struct vcpu {
	struct runnable runnable;
	struct vm *vm;
	u32 index;              /* also its APIC id */
	struct hv_vcpu *hv;
	struct hv_exit exit;    /* the last one */
	u32 activity;           /* enum vcpu_activity */
	bool is_parked;         /* outside the guest and will not enter before vm_resume; read by any CPU */
	bool want_park;         /* set by vm_pause */
	bool want_flush;        /* flush before the next entry; set by any CPU */
	bool want_tsc_load;
	/* Set by other vCPUs with vm->lock held, taken before the next entry or park. */
	bool nmi_pending;
	bool init_pending;
	bool sipi_pending;
	u8 sipi_vector;
	u64 tsc_adjust;
	u8 tpr_given;           /* task priority at the last entry */
	u64 entry_count;        /* odd while inside the guest: what gmem_flush_vcpus waits on */
	u64 exit_count[HV_EXIT_UNKNOWN + 1];
};

int vcpu_create(struct vm *vm, u32 index);
/* Parked. */
void vcpu_destroy(struct vcpu *vcpu);

/* Asks the vCPU to leave the guest and park; is_parked says when it has. */
void vcpu_park(struct vcpu *vcpu);
/* If the vCPU belongs to the calling CPU, which is not in its run(): parks it now. No lock held. */
void vcpu_park_here(struct vcpu *vcpu);
/* Of a parked vCPU, vm->lock held: INIT and SIPI that came since become part of its state. */
void vcpu_settle(struct vcpu *vcpu);
/* Lets a vCPU go on that is parked, or was asked to park. CPU 0, vm->lock not held. */
void vcpu_unpark(struct vcpu *vcpu);
/* Out of the guest, its state complete in memory, and its CPU does not touch it before vcpu_unpark. */
bool vcpu_is_quiet(const struct vcpu *vcpu);

/* Something happened that the vCPU must look at (interrupt, INIT, SIPI, park): wakes or kicks it. Any CPU. */
void vcpu_kick(struct vcpu *vcpu);
/* From the local APIC, vm->lock held. */
void vcpu_init_signal(struct vcpu *vcpu);
void vcpu_sipi(struct vcpu *vcpu, u8 vector);
void vcpu_nmi(struct vcpu *vcpu);
/* Faults for the exit being handled, on the vCPU's CPU. */
void vcpu_inject_gp(struct vcpu *vcpu, u32 error_code);
void vcpu_inject_ud(struct vcpu *vcpu);
void vcpu_inject_pf(struct vcpu *vcpu, u64 address, u32 error_code);

/* Whole state of a parked vCPU. */
void vcpu_save(struct vcpu *vcpu, struct vcpu_state *state);
/* The state was accepted by vcpu_state_check. */
void vcpu_load(struct vcpu *vcpu, const struct vcpu_state *state);
