/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The AMD-V back end's own structures. All functions run on the vCPU's CPU with
 * interrupts off, unless they say otherwise.
 */
#pragma once

#include "arch/hv.h"
#include "arch/live.h"
#include "arch/svm/vmcb.h"

/* CPUID Fn8000_000A EDX and others: what this machine's AMD-V can do beyond the needed. */
struct svm_features {
	bool has_clean_bits;
	bool has_flush_by_asid;
	bool has_pause_filter;
	bool has_pause_threshold;
	bool has_tsc_ratio;
	bool has_lbr_virtualization;
	bool has_virtual_spec_ctrl; /* VMRUN switches IA32_SPEC_CTRL */
	u32 asid_count;
};
extern struct svm_features svm_features;
extern struct hv_ops svm_ops;

/* One instruction run with TF set by us, to see an NMI window open. */
enum svm_step { SVM_STEP_NONE, SVM_STEP_IRET, SVM_STEP_OTHER };

struct svm_vcpu {
	struct hv_vcpu hv;      /* first: the contract's part */
	struct vmcb *vmcb;
	hpa_t vmcb_pa;
	const struct nested *nested;
	struct live live;
	u64 spec_ctrl;
	u64 tsc_ratio;          /* 32.32 */

	/* tlb.c */
	unsigned asid_cpu;
	u64 asid_generation;
	u64 nested_generation;
	bool want_flush;        /* set by any CPU */

	/* events.c */
	u64 event;              /* to inject, as EVENTINJ; meaningful while hv.is_event_queued */
	bool is_iret_met;       /* IRET was intercepted at iret_rip and has not retired yet */
	u64 iret_rip;
	enum svm_step step;
	u64 step_tf;            /* the guest's own TF meanwhile */
	u64 entry_rip;
	bool entry_shadow;
	bool is_shadow_kept;    /* put back at the last exit */

	u32 clean;              /* CLEAN_ bits that hold at the next entry */
	/* Rule broken by the state that was loaded: a failed entry may change the VMCB. */
	const char *invalid_since_load;
};

static inline struct svm_vcpu *svm_vcpu(struct hv_vcpu *hv) { return container_of(hv, struct svm_vcpu, hv); }

/* What each CPU keeps for the back end. */
struct svm_cpu {
	hpa_t hsave;            /* VM_HSAVE_PA */
	hpa_t host_vmcb;        /* Tern's own VMSAVE state */
	u64 tsc_ratio;
	u64 asid_generation;
	u32 asid_next;
	bool want_flush_all;
};
extern struct svm_cpu svm_cpus[CPU_MAX];
static inline struct svm_cpu *svm_this_cpu(void) { return &svm_cpus[this_cpu()]; }

/* controls.c: the permission maps, once on the boot CPU; -ENOMEM. */
int svm_controls_init(void);
/* The parts of a VMCB that never change, and first values of the others. */
void svm_controls_setup(struct svm_vcpu *vcpu);
void svm_trap_tsc(struct svm_vcpu *vcpu, bool trap);
/* Which rule of APM 2 15.5.1 the VMCB breaks, in words; NULL: none of those known. Pure. */
const char *svm_why_invalid(const struct svm_vcpu *vcpu);

/* tlb.c: chooses ASID and TLB_CONTROL for the entry that follows. */
void svm_tlb_prepare(struct svm_vcpu *vcpu, struct svm_cpu *cpu);

/* events.c: around each run. */
void svm_events_prepare(struct svm_vcpu *vcpu);
void svm_events_collect(struct svm_vcpu *vcpu);
void svm_inject(struct hv_vcpu *hv, const struct hv_event *event);
void svm_inject_exception(struct svm_vcpu *vcpu, u8 vector, bool has_error_code, u32 error_code);
void svm_skip(struct hv_vcpu *hv, u8 insn_len);
/* IRET, #DB, #AC exits. */
void svm_exit_iret(struct svm_vcpu *vcpu, struct hv_exit *exit);
void svm_exit_db(struct svm_vcpu *vcpu, struct hv_exit *exit);

/* exit.c: VMCB to struct hv_exit. */
void svm_exit_decode(struct svm_vcpu *vcpu, struct hv_exit *exit);

/* msr.c: the MSRs that guest_msr_exit leaves to the back end. False: the value asks for #GP. */
u64 svm_msr_read(const struct svm_vcpu *vcpu, u32 index);
bool svm_msr_write(struct svm_vcpu *vcpu, u32 index, u64 value);

/* state.c: memory only; what is live must have been released. */
void svm_state_save(struct svm_vcpu *vcpu, struct vcpu_state *state);
void svm_state_load(struct svm_vcpu *vcpu, const struct vcpu_state *state);
void svm_mode(const struct hv_vcpu *hv, struct hv_mode *mode);
u8 svm_code_bits(const struct vmcb *vmcb);

/* The index-th link or named function of state.c, or false at the end. */
bool svm_state_cover(unsigned index, struct state_cover *cover);

/* npt.c */
extern const struct nested_format svm_nested_format;

/*
 * entry.S: one VMRUN. gpr is hv_vcpu.gpr, of which RAX and RSP are in the VMCB. Interrupts
 * are off before and after; NMIs that came meanwhile have been handled. guest_spec_ctrl is the
 * guest's IA32_SPEC_CTRL; 0 where VMRUN switches it.
 */
void svm_run(u64 *gpr, u64 vmcb_pa, u64 host_vmcb_pa, u64 guest_spec_ctrl);
