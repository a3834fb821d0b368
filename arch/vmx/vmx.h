/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VT-x back end's own structures. All functions run on the vCPU's CPU with interrupts
 * off and its VMCS current, unless they say otherwise.
 */
#pragma once

#include "arch/hv.h"
#include "arch/live.h"
#include "arch/vmx/insn.h"

/* The capability MSRs (SDM 3D appendix A) as this machine has them. */
struct vmx_caps {
	u64 basic;
	u64 pin, primary, secondary, exit, entry; /* allowed 0-settings 31:0, allowed 1-settings 63:32 */
	u64 ept_vpid, misc;
	u64 cr0_fixed0, cr0_fixed1, cr4_fixed0, cr4_fixed1;
	bool has_rdtscp, has_invpcid; /* CPUID: then the guest must be able to use them */
};

/* What the control fields are to be at first, and what of the optional there is. */
struct vmx_controls {
	u32 pin, primary, secondary, exit, entry;
	bool has_vpid;
	bool has_pause_loop;
	bool has_log;           /* page-modification log */
	bool has_tsc_scaling;
	bool has_dirty_bits;
	bool has_invept_single, has_invvpid_single;
};
extern struct vmx_caps vmx_caps;
extern struct vmx_controls vmx_controls;
extern struct hv_ops vmx_ops;

struct vmx_vcpu {
	struct hv_vcpu hv;      /* first: the contract's part */
	struct live live;
	const struct nested *nested;
	u64 spec_ctrl;

	/* vmcs.c: active on this CPU; NO_CPU: in memory only, launch state clear. */
	unsigned cpu;
	bool is_launched;
	unsigned host_cpu;      /* whose host state it has */
	hpa_t region;
	u64 host_rsp;           /* what HOST_RSP is (entry.S) */
	u8 *virtual_apic;       /* page of which the CPU uses the TPR */
	u64 *log;               /* page of the log; NULL without one */

	/* What fields of the VMCS are, so that only changes are written. */
	u32 primary, secondary;
	u64 rip, rsp, rflags;
	u32 interruptibility;
	u32 tpr_threshold;
	bool is_entry_event;    /* ENTRY_EVENT is valid */

	/* events.c: to inject, in the format of ENTRY_EVENT; meaningful while hv.is_event_queued */
	u32 event;
	u32 event_error;

	/* tlb.c */
	u16 vpid;
	unsigned vpid_cpu;
	u64 vpid_generation;
	u64 nested_generation;
	bool want_flush;        /* set by any CPU */

	/* log.c, set by any CPU */
	bool want_log;
	bool want_log_empty;
};

static inline struct vmx_vcpu *vmx_vcpu(struct hv_vcpu *hv) { return container_of(hv, struct vmx_vcpu, hv); }

/* What each CPU keeps for the back end. */
struct vmx_cpu {
	hpa_t vmxon;
	struct vmx_vcpu *current; /* whose VMCS VMREAD and VMWRITE mean */
	u64 vpid_generation;
	u32 vpid_next;
};
extern struct vmx_cpu vmx_cpus[CPU_MAX];
static inline struct vmx_cpu *vmx_this_cpu(void) { return &vmx_cpus[this_cpu()]; }

/* probe.c */
int vmx_probe(const char **why);
int vmx_cpu_enable(const char **why);
void vmx_cpu_disable(void);

/* controls.c: NULL, or the name of what this CPU cannot do and Tern needs. Pure. */
const char *vmx_controls_compute(const struct vmx_caps *caps, struct vmx_controls *controls);
/* The permission map, once on the boot CPU; -ENOMEM. */
int vmx_controls_init(void);
/* The parts of a VMCS that never change, and first values of the others. */
void vmx_controls_setup(struct vmx_vcpu *vcpu);
void vmx_set_primary(struct vmx_vcpu *vcpu, u32 primary);
void vmx_set_secondary(struct vmx_vcpu *vcpu, u32 secondary);
/* Bits of CR0 and CR4 that are not the guest's to change, or only seemingly. */
u64 vmx_cr0_owned(void);
u64 vmx_cr4_owned(void);

/* vmcs.c: makes the vCPU's VMCS current on this CPU. It must be active here or nowhere. */
void vmx_take(struct vmx_vcpu *vcpu);
/* To memory, so that another CPU can take it; harmless if it is active nowhere. */
void vmx_give(struct vmx_vcpu *vcpu);
/* Tern's own state, to which exits return; it is each CPU's own. */
void vmx_write_host_state(struct vmx_vcpu *vcpu);

/* tlb.c: nothing stale is used by the entry that follows. */
void vmx_tlb_prepare(struct vmx_vcpu *vcpu, struct vmx_cpu *cpu);
/* Forgets all that earlier owners of the CPU left; after VMXON. */
void vmx_tlb_reset(void);

/* events.c: around each run. */
void vmx_events_prepare(struct vmx_vcpu *vcpu);
void vmx_events_collect(struct vmx_vcpu *vcpu);
void vmx_inject(struct hv_vcpu *hv, const struct hv_event *event);
void vmx_inject_exception(struct vmx_vcpu *vcpu, u8 vector, bool has_error_code, u32 error_code);
void vmx_skip(struct hv_vcpu *hv, u8 insn_len);
void vmx_exit_exception(struct vmx_vcpu *vcpu, struct hv_exit *exit);

/* exit.c: VMCS to struct hv_exit. */
void vmx_exit_decode(struct vmx_vcpu *vcpu, struct hv_exit *exit);
/* failure.c: an entry that did not reach the guest: where result is not VMX_OK, or by its basic reason. */
void vmx_exit_not_entered(struct vmx_vcpu *vcpu, enum vmx_result result, struct hv_exit *exit);
void vmx_exit_entry_failed(struct vmx_vcpu *vcpu, u32 reason, struct hv_exit *exit);
/* cr.c: MOV to CR0 or CR4 that touches what is owned. */
void vmx_exit_cr(struct vmx_vcpu *vcpu, struct hv_exit *exit);

/* msr.c: the MSRs that guest_msr_exit leaves to the back end. False: the value asks for #GP. */
u64 vmx_msr_read(const struct vmx_vcpu *vcpu, u32 index);
bool vmx_msr_write(struct vmx_vcpu *vcpu, u32 index, u64 value);

/* log.c: the page-modification log. */
void vmx_log_prepare(struct vmx_vcpu *vcpu);
void vmx_log_start(struct hv_vcpu *hv);
void vmx_log_stop(struct hv_vcpu *hv);
void vmx_log_drain(struct hv_vcpu *hv, void (*found)(void *context, u64 gfn), void *context);

/* state.c: what is live must have been released. */
void vmx_state_save(struct vmx_vcpu *vcpu, struct vcpu_state *state);
void vmx_state_load(struct vmx_vcpu *vcpu, const struct vcpu_state *state);
void vmx_mode(const struct hv_vcpu *hv, struct hv_mode *mode);
u8 vmx_code_bits(void);
/* CR0 and CR4 as the guest sees them. */
u64 vmx_guest_cr0(void);
u64 vmx_guest_cr4(void);
/* The index-th link or named function of state.c, or false at the end. */
bool vmx_state_cover(unsigned index, struct state_cover *cover);

/* ept.c */
extern const struct nested_format vmx_nested_format;
u64 vmx_ept_pointer(const struct nested *nested);
/* The four entries that CR3 points to in PAE paging: VM entry takes them from the VMCS (SDM 3C 27.3.2.4). */
void vmx_load_pdptes(const struct vmx_vcpu *vcpu, u64 cr3);

/*
 * entry.S: one VMLAUNCH or VMRESUME. gpr is hv_vcpu.gpr, of which RSP is in the VMCS; *host_rsp is
 * what HOST_RSP is; guest_spec_ctrl is the guest's IA32_SPEC_CTRL. Interrupts are off before and
 * after. What came of it is an enum vmx_result; VMX_OK: there was an exit.
 */
int vmx_run(u64 *gpr, u64 *host_rsp, bool is_launched, u64 guest_spec_ctrl);
