/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest CPU in the manuals' words, vendor-neutral: this is what migrates. The
 * local APIC, KVM clock and MSRs that Tern emulates are devices, not here.
 *
 * Attributes of a segment are those of a VMX access-rights field (SDM 3C 25.4.1):
 * type 3:0, S 4, DPL 6:5, P 7, AVL 12, L 13, D/B 14, G 15, unusable 16. A segment is
 * unusable exactly when its P is clear. The DPL of SS is the CPL.
 */
#pragma once

#include "kernel/state.h"
#include "kernel/types.h"

/* In the order of instruction encodings (SDM 2A 2.1.5, REX). */
enum gpr { RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, GPR_COUNT };
enum segment { SEG_ES, SEG_CS, SEG_SS, SEG_DS, SEG_FS, SEG_GS, SEG_LDTR, SEG_TR, SEG_COUNT };

#define SEG_ATTR_TYPE 0xfu
#define SEG_ATTR_ACCESSED (1u << 0)  /* in the type of a code or data segment */
#define SEG_ATTR_BUSY (1u << 1)      /* in the type of a TSS */
#define SEG_ATTR_S (1u << 4)
#define SEG_ATTR_DPL_SHIFT 5
#define SEG_ATTR_DPL (3u << SEG_ATTR_DPL_SHIFT)
#define SEG_ATTR_P (1u << 7)
#define SEG_ATTR_L (1u << 13)
#define SEG_ATTR_DB (1u << 14)
#define SEG_ATTR_G (1u << 15)
#define SEG_ATTR_UNUSABLE (1u << 16)

#define XSAVE_BYTES_MAX 4096

enum vcpu_activity {
	VCPU_ACTIVE,
	VCPU_HALTED,
	VCPU_WAIT_FOR_SIPI,
};

/* vcpu_event.type, as in SDM 3C 25.8.3 and APM 2 15.20. */
enum event_type { EVENT_EXTERNAL = 0, EVENT_NMI = 2, EVENT_EXCEPTION = 3, EVENT_SOFT_INT = 4 };

/* SDM 3A table 6-1: those that Tern raises or tells from others. */
#define EXCEPTION_DB 1
#define EXCEPTION_NMI 2
#define EXCEPTION_BP 3
#define EXCEPTION_OF 4
#define EXCEPTION_DF 8
#define EXCEPTION_GP 13
#define EXCEPTION_PF 14
#define EXCEPTION_AC 17
#define EXCEPTION_MC 18

STATE_BEGIN
struct vcpu_segment {
	u64 base;
	u32 limit;
	u32 attributes;
	u16 selector;
	u16 reserved[3];
};

struct vcpu_table {
	u64 base;
	u32 limit;
	u32 reserved;
};

/*
 * An event that was being delivered when the guest stopped and must be delivered again.
 * Never a software one (INT n, INT3, INTO): rip is still at the instruction, which runs again.
 */
struct vcpu_event {
	u8 is_valid;
	u8 vector;
	u8 type;
	u8 has_error_code;
	u32 error_code;
	u64 insn_len; /* 0: software events are not kept */
};

struct vcpu_state {
	u64 gpr[GPR_COUNT];
	u64 rip;
	u64 rflags;
	u64 cr0, cr2, cr3, cr4;
	u64 efer;
	u64 xcr0;
	u64 dr[4];
	u64 dr6, dr7;
	struct vcpu_segment segment[SEG_COUNT];
	struct vcpu_table gdtr, idtr;
	u64 star, lstar, cstar, sfmask;
	u64 kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 pat;
	u64 debugctl;
	u64 tsc_aux;
	u64 tsc_adjust;    /* what this vCPU's TSC is ahead of the VM's, modulo 2^64 (vmm/vtime.h) */
	u64 spec_ctrl;
	struct vcpu_event event;
	u32 activity;      /* enum vcpu_activity */
	u8 interrupt_shadow;
	u8 nmi_pending;
	u8 nmi_blocked;    /* between NMI delivery and IRET */
	u8 reserved[1];
	u8 xsave[XSAVE_BYTES_MAX]; /* standard format, SDM 1 13.4 */
};
STATE_END

/* After reset, SDM 3A 10.1.1. */
void vcpu_state_reset(struct vcpu_state *state);
/*
 * The peer may be lying: 0 if a CPU with the given limits can enter with this state without
 * a failed entry, else -EINVAL and *why says which rule is broken. Pure.
 */
struct hv_limits;
int vcpu_state_check(const struct vcpu_state *state, const struct hv_limits *limits, const char **why);

/* Each of the eight memory types of a PAT is one that exists (SDM 3A 12.12.2, APM 2 7.8.1). */
bool vcpu_pat_is_valid(u64 pat);
/* CR0, CR4, EFER and CS say so (SDM 1 3.1). */
bool vcpu_is_64bit(const struct vcpu_state *state);

/*
 * The bytes that one link or one named function of a back end covers: for the test that each
 * byte is covered exactly once by each.
 */
struct state_cover {
	const char *by;
	u32 offset, bytes;
};
