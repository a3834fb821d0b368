/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hardening against what a guest could learn or steer through a CPU's speculation: which steps
 * this CPU needs, decided once from what it says of itself (arch/harden.c, pure), and the steps
 * themselves: two for C here, the others as instructions in arch/harden_steps.h.
 *
 * Tern is compiled without retpolines. They are needed where neither IBRS nor a barrier keeps a
 * guest's branch history from Tern's indirect branches, and every CPU with the microcode of 2018
 * or later has one of the two; on CPUs with enhanced IBRS a retpoline would protect less. A CPU
 * with neither is named by `host cpu`.
 *
 * Not done, and why: no switch of hyper-threads (`host cpu` warns where the CPU needs them off);
 * no splitting of large pages that a guest executes (CVE-2018-12207: `host cpu` warns); no
 * clearing for MMIO stale data, since no guest has a device's registers; no SSBD for Tern
 * itself, since it runs nobody's code in its address space. Nothing here can be seen to work in
 * an emulator, which has no speculation; the tests see that the right steps are in the right order.
 */
#pragma once

#include "arch/harden_steps.h"
#include "kernel/bits.h"

struct shell;

enum harden_vendor { HARDEN_OTHER, HARDEN_INTEL, HARDEN_AMD };

/* What a CPU says of itself; absent leaves and MSRs are 0. */
struct harden_profile {
	enum harden_vendor vendor;
	u32 family, model;
	u32 leaf7_ebx, leaf7_edx;      /* CPUID 7.0 */
	u32 leaf7_2_edx;               /* CPUID 7.2 */
	u32 ext8_ebx;                  /* CPUID 80000008H */
	u32 ext21_eax, ext21_ecx;      /* CPUID 80000021H */
	u64 capabilities;              /* IA32_ARCH_CAPABILITIES */
	bool has_virtual_spec_ctrl;    /* the extension switches IA32_SPEC_CTRL by itself */
	bool has_threads;              /* two hyper-threads a core, or more */
};

struct harden_plan {
	u32 steps;                     /* bit n: step n */
	u64 spec_ctrl;                 /* IA32_SPEC_CTRL while Tern runs */
	const char *why[HARDEN_STEP_COUNT]; /* it is on, or is not */
	const char *exposed;           /* what no step covers, and what to do; or NULL */
	const char *threads;           /* why hyper-threads should be off, or NULL */
	const char *pages;             /* what a guest may do to the machine by a change of page size, or NULL */
};

/* Pure. */
void harden_decide(const struct harden_profile *profile, struct harden_plan *plan);

/* Boot CPU, before the first guest and before the other CPUs enable virtualization: decides, and
 * takes out of the image what this CPU does not need. */
void harden_init(void);
/* Each CPU, after harden_init: what is set once. */
void harden_cpu_init(void);
/* On the CPU: a vCPU that is not the last one here will run next. Also between vCPUs of one
 * guest: to that guest they are different CPUs, which share no branch history. */
void harden_vcpu_switch(void);

/* After harden_init. */
const struct harden_plan *harden_get(void);
/* For `host cpu`. */
void harden_show(struct shell *shell);

/* What macros of harden_steps.h leave behind: a sequence of instructions, for one step. */
struct harden_site {
	u8 *start;
	u32 bytes;
	u32 step;
};
/* Overwrites the sequence with as many bytes that do nothing. */
void harden_site_clear(u8 *start, u32 bytes);
