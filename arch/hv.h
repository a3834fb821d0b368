/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The contract of a virtualization extension. Back ends report facts and obey;
 * decisions are taken in vmm/. Nothing outside arch/ knows a vendor's name.
 */
#pragma once

#include "arch/nested.h"
#include "arch/vcpu_state.h"

/*
 * What vmm/ may touch between two exits, on the vCPU's CPU. The back end embeds it as
 * the first member of its own structure and keeps it true at every exit.
 */
struct hv_vcpu {
	u64 gpr[GPR_COUNT];
	u64 rip;
	u64 rflags;
	u8 tpr;                 /* CR8 (4 bits), both ways: the local APIC's task priority class */
	bool has_shadow;        /* STI or MOV SS blocks interrupts for one instruction */
	bool is_nmi_blocked;
	bool is_event_queued;   /* an event will be injected at the next entry; no other may be */
	bool want_irq_window;   /* exit as HV_EXIT_IRQ_WINDOW when an external interrupt could be taken */
	bool want_nmi_window;
	bool want_cr8_exit;     /* exit as HV_EXIT_CR8_WRITE at a MOV to CR8 (or as HV_EXIT_IRQ_WINDOW after it) */
	u64 exit_count;
};

/* EDX:EAX, the operand of RDMSR, WRMSR, XSETBV and RDTSC. */
static inline u64 hv_edx_eax(const struct hv_vcpu *hv) { return (u32)hv->gpr[RAX] | hv->gpr[RDX] << 32; }

static inline void hv_set_edx_eax(struct hv_vcpu *hv, u64 value)
{
	hv->gpr[RAX] = (u32)value;
	hv->gpr[RDX] = value >> 32;
}

enum hv_exit_reason {
	HV_EXIT_NONE,            /* handled inside the back end: enter again */
	HV_EXIT_HOST_INTERRUPT,  /* and the host's handlers have run */
	HV_EXIT_IRQ_WINDOW,
	HV_EXIT_NMI_WINDOW,
	HV_EXIT_HLT,
	HV_EXIT_PAUSE,
	HV_EXIT_IO,
	HV_EXIT_NESTED_FAULT,    /* not mapped, or not for writes: MMIO. If it is mapped, enter again */
	HV_EXIT_CPUID,
	HV_EXIT_MSR_READ,
	HV_EXIT_MSR_WRITE,
	HV_EXIT_XSETBV,
	HV_EXIT_HYPERCALL,       /* VMCALL or VMMCALL */
	HV_EXIT_RDTSC,           /* only after set_tsc asked for it; is_rdtscp says which, if insn_len is not 0 */
	HV_EXIT_CR8_WRITE,       /* only while want_cr8_exit; not carried out */
	HV_EXIT_WBINVD,          /* INVD, WBINVD, WBNOINVD */
	HV_EXIT_MWAIT,           /* MONITOR, MWAIT: guest CPUID does not offer them */
	HV_EXIT_UNDEFINED,       /* an instruction that the guest has no right to: inject #UD */
	HV_EXIT_TRIPLE_FAULT,
	HV_EXIT_INIT,
	HV_EXIT_LOG_FULL,        /* the hardware's log of dirtied pages: log_drain, enter again */
	HV_EXIT_ENTRY_FAILED,    /* why says which rule; the host is unharmed */
	HV_EXIT_UNKNOWN,
};

struct hv_exit {
	enum hv_exit_reason reason;
	u8 insn_len;             /* of the intercepted instruction; 0 where vmm must decode */
	union {
		struct {
			u16 port;
			u8 size;             /* 1, 2, 4 */
			bool is_in;
			bool is_string;      /* INS, OUTS: vmm emulates with insn.c */
			bool is_rep;
		} io;
		struct {
			gpa_t gpa;
			bool is_write;
			bool is_fetch;
			bool is_table_walk;  /* the guest's own page-table access */
		} nested;
		struct {
			u32 index;
			u64 value;           /* writes */
		} msr;
		struct {
			u32 index;
			u64 value;
		} xsetbv;
		bool is_rdtscp;
		struct {
			u64 code;            /* the vendor's exit code, for logs */
			u64 info[2];
		} unknown;
	};
	const char *why;             /* HV_EXIT_ENTRY_FAILED, HV_EXIT_UNKNOWN: words for the operator */
};

/* The mode that instruction decoding and page walks need. */
struct hv_mode {
	u64 cr0, cr3, cr4, efer, xcr0;
	u64 base[SEG_COUNT];
	u8 cpl;
	u8 code_bits;            /* 16, 32, 64 */
};

struct hv_limits {
	u64 xcr0;                /* bits that this host can give */
	u64 cr4;                 /* bits that a guest may set */
	u64 efer;
	u64 tsc_ratio_max;       /* 0: no hardware TSC scaling */
	u8 physical_bits;        /* guest-physical address width */
	u32 mxcsr_mask;          /* MXCSR bits that XRSTOR accepts, SDM 1 11.6.6 */
	u64 spec_ctrl;           /* bits of IA32_SPEC_CTRL that a guest may set */
	bool has_nrip;           /* insn_len is exact; without it prefixes are not counted */
	bool has_huge_pages;     /* 1 GiB leaves in nested tables */
	bool has_dirty_bits;     /* accessed and dirty bits in nested tables are kept by hardware */
	bool has_dirty_log;      /* log_start and its fellows exist; needs has_dirty_bits */
};

struct hv_event {
	enum event_type type;
	u8 vector;
	bool has_error_code;
	u32 error_code;
	u64 address;             /* CR2, of a page fault */
};

/* What a back end's inject does to the flags. True: event->address goes to CR2. */
static inline bool hv_queue_event(struct hv_vcpu *hv, const struct hv_event *event)
{
	hv->is_event_queued = true;
	if (event->type == EVENT_NMI)
		hv->is_nmi_blocked = true;
	return event->type == EVENT_EXCEPTION && event->vector == EXCEPTION_PF;
}

struct hv_ops {
	const char *name;        /* "AMD-V", "VT-x" */
	/*
	 * 0, -ENODEV if this CPU does not have it, or another negative errno with *why: a sentence that
	 * says what stands in the way and what to do. Boot CPU.
	 */
	int (*probe)(const char **why);
	/* On each CPU once. 0 or negative errno with *why. */
	int (*cpu_enable)(const char **why);
	void (*cpu_disable)(void);

	int (*vcpu_init)(struct hv_vcpu **out, const struct nested *nested);
	void (*vcpu_fini)(struct hv_vcpu *hv);

	/* Runs the guest until an exit. On the vCPU's CPU with interrupts disabled, no lock held. */
	void (*enter)(struct hv_vcpu *hv, struct hv_exit *exit);
	/* Queues an event for the next entry; the caller has checked is_event_queued and interruptibility. */
	void (*inject)(struct hv_vcpu *hv, const struct hv_event *event);
	/* Moves rip past the instruction of the last exit and ends the interrupt shadow. */
	void (*skip)(struct hv_vcpu *hv, u8 insn_len);
	void (*mode)(const struct hv_vcpu *hv, struct hv_mode *mode);
	/* After an XSETBV that vmm has checked. */
	void (*set_xcr0)(struct hv_vcpu *hv, u64 xcr0);

	/*
	 * The vCPU stops running on this CPU for a while: what is live in the CPU's registers (FPU,
	 * debug registers, ...) goes to memory. On the vCPU's CPU; before save, load or fini on
	 * another one and before it runs on another one. Harmless if nothing is live.
	 */
	void (*park)(struct hv_vcpu *hv);
	/*
	 * Whole state, vCPU not inside the guest: on the vCPU's CPU, or on any once it is parked.
	 * Not tsc_adjust, activity and nmi_pending, which are vmm's: save leaves them as they are.
	 * load() expects a state that vcpu_state_check accepts.
	 */
	void (*save)(struct hv_vcpu *hv, struct vcpu_state *state);
	void (*load)(struct hv_vcpu *hv, const struct vcpu_state *state);

	/* What RDTSCP gives in ECX, for HV_EXIT_RDTSC. */
	u64 (*tsc_aux)(const struct hv_vcpu *hv);
	/*
	 * Guest TSC = host TSC x ratio + offset. ratio is 32.32 fixed point; other than 1.0 only
	 * if limits.tsc_ratio_max allows. trap asks for HV_EXIT_RDTSC instead.
	 */
	void (*set_tsc)(struct hv_vcpu *hv, u64 offset, u64 ratio, bool trap);
	/* The next entry drops this guest's cached translations (nested ones too). Any CPU. */
	void (*flush)(struct hv_vcpu *hv);

	/*
	 * The hardware's log of dirtied pages; NULL without limits.has_dirty_log. While logging, the gfn
	 * written to is noted when it sets a dirty bit in the nested tables that was clear. start and
	 * stop take effect at the next entry, and start begins with an empty log; any CPU, and the vCPU
	 * may be inside the guest meanwhile.
	 */
	void (*log_start)(struct hv_vcpu *hv);
	void (*log_stop)(struct hv_vcpu *hv);
	/*
	 * Calls found for each entry and empties the log. On the vCPU's CPU after an exit, before park()
	 * and the next entry. Cheap when the log is empty or was never started: vmm calls it after
	 * every exit while logging.
	 */
	void (*log_drain)(struct hv_vcpu *hv, void (*found)(void *context, u64 gfn), void *context);

	const struct nested_format *nested;
	struct hv_limits limits; /* filled by probe */
};

/* The extension of this machine, chosen by hv_init; NULL before and on machines without one. */
extern struct hv_ops *hv;
/* Why hv is NULL: a sentence for the console. */
extern const char *hv_missing;
/* Boot CPU, once. Probes and enables on every CPU. 0 or -ENODEV. */
int hv_init(void);
