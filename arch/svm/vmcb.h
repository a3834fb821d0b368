/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AMD-V's virtual machine control block and its MSRs: AMD APM 2 (2023-06), appendix B
 * and C. Names are the manual's.
 */
#pragma once

#include "kernel/bits.h"

#define MSR_TSC_RATIO 0xc0000104
#define MSR_VM_CR 0xc0010114
#define MSR_VM_HSAVE_PA 0xc0010117

#define VM_CR_SVMDIS BIT(4)

/* 00Ch: intercept word 3 of the manual. */
#define INTERCEPT_INTR BIT(0)
#define INTERCEPT_NMI BIT(1)
#define INTERCEPT_SMI BIT(2)
#define INTERCEPT_INIT BIT(3)
#define INTERCEPT_VINTR BIT(4)
#define INTERCEPT_RDTSC BIT(14)
#define INTERCEPT_RDPMC BIT(15)
#define INTERCEPT_CPUID BIT(18)
#define INTERCEPT_IRET BIT(20)
#define INTERCEPT_INVD BIT(22)
#define INTERCEPT_PAUSE BIT(23)
#define INTERCEPT_HLT BIT(24)
#define INTERCEPT_INVLPGA BIT(26)
#define INTERCEPT_IOIO BIT(27)
#define INTERCEPT_MSR BIT(28)
#define INTERCEPT_SHUTDOWN BIT(31)

/* 010h: intercept word 4. */
#define INTERCEPT2_VMRUN BIT(0)
#define INTERCEPT2_VMMCALL BIT(1)
#define INTERCEPT2_VMLOAD BIT(2)
#define INTERCEPT2_VMSAVE BIT(3)
#define INTERCEPT2_STGI BIT(4)
#define INTERCEPT2_CLGI BIT(5)
#define INTERCEPT2_SKINIT BIT(6)
#define INTERCEPT2_RDTSCP BIT(7)
#define INTERCEPT2_WBINVD BIT(9)
#define INTERCEPT2_MONITOR BIT(10)
#define INTERCEPT2_MWAIT BIT(11)
#define INTERCEPT2_XSETBV BIT(13)
#define INTERCEPT2_RDPRU BIT(14)

/* 014h: intercept word 5. */
#define INTERCEPT3_INVLPGB_ILLEGAL BIT(1)
#define INTERCEPT3_MCOMMIT BIT(3)
#define INTERCEPT3_TLBSYNC BIT(4)

/* 05Ch */
enum tlb_control { TLB_KEEP = 0, TLB_FLUSH_ALL = 1, TLB_FLUSH_ASID = 3 };

/* 060h */
#define INT_CTL_TPR BITS(7, 0)
#define INT_CTL_IRQ BIT(8)
#define INT_CTL_PRIO_HIGHEST (15ull << 16)
#define INT_CTL_IGN_TPR BIT(20)
#define INT_CTL_INTR_MASKING BIT(24)

#define INTERRUPT_SHADOW BIT(0)     /* 068h */
#define NP_ENABLE BIT(0)            /* 090h */
#define LBR_VIRTUALIZATION BIT(0)   /* 0B8h */

/* EVENTINJ and EXITINTINFO, APM 2 15.20 */
#define EVENT_VECTOR BITS(7, 0)
#define EVENT_TYPE_SHIFT 8
#define EVENT_TYPE BITS(10, 8)
#define EVENT_EV BIT(11)            /* an error code comes with it */
#define EVENT_V BIT(31)
#define EVENT_ERROR_SHIFT 32

/* 0C0h, APM 2 15.15: what the CPU may keep from the last run of this VMCB. */
#define CLEAN_INTERCEPTS BIT(0)     /* all intercepts, TSC offset, pause filter */
#define CLEAN_ASID BIT(2)
#define CLEAN_TPR BIT(3)            /* 060h */
#define CLEAN_NP BIT(4)             /* NP_ENABLE, N_CR3, G_PAT */
#define CLEAN_CRX BIT(5)            /* CR0, CR3, CR4, EFER */
#define CLEAN_DRX BIT(6)
#define CLEAN_CR2 BIT(9)
#define CLEAN_LBR BIT(10)           /* DBGCTL */
#define CLEAN_ALL BITS(10, 0)

enum svm_exit_code {
	VMEXIT_CR8_WRITE = 0x18,
	VMEXIT_EXCP0 = 0x40,
	VMEXIT_EXCP_DB = 0x41,
	VMEXIT_EXCP_AC = 0x51,
	VMEXIT_EXCP_MC = 0x52,
	VMEXIT_INTR = 0x60,
	VMEXIT_NMI = 0x61,
	VMEXIT_SMI = 0x62,
	VMEXIT_INIT = 0x63,
	VMEXIT_VINTR = 0x64,
	VMEXIT_RDTSC = 0x6e,
	VMEXIT_RDPMC = 0x6f,
	VMEXIT_CPUID = 0x72,
	VMEXIT_IRET = 0x74,
	VMEXIT_INVD = 0x76,
	VMEXIT_PAUSE = 0x77,
	VMEXIT_HLT = 0x78,
	VMEXIT_INVLPGA = 0x7a,
	VMEXIT_IOIO = 0x7b,
	VMEXIT_MSR = 0x7c,
	VMEXIT_SHUTDOWN = 0x7f,
	VMEXIT_VMRUN = 0x80,
	VMEXIT_VMMCALL = 0x81,
	VMEXIT_VMLOAD = 0x82,
	VMEXIT_VMSAVE = 0x83,
	VMEXIT_STGI = 0x84,
	VMEXIT_CLGI = 0x85,
	VMEXIT_SKINIT = 0x86,
	VMEXIT_RDTSCP = 0x87,
	VMEXIT_WBINVD = 0x89,
	VMEXIT_MONITOR = 0x8a,
	VMEXIT_MWAIT = 0x8b,
	VMEXIT_XSETBV = 0x8d,
	VMEXIT_RDPRU = 0x8e,
	VMEXIT_INVLPGB_ILLEGAL = 0xa1,
	VMEXIT_MCOMMIT = 0xa3,
	VMEXIT_TLBSYNC = 0xa4,
	VMEXIT_NPF = 0x400,
};
/* Negative codes; QEMU's emulation writes only their lower halves. */
#define VMEXIT_INVALID (~0u)
#define VMEXIT_BUSY (~0u - 1)

/* EXITINFO1 of IOIO, APM 2 15.10.2 */
#define IOIO_IN BIT(0)
#define IOIO_STRING BIT(2)
#define IOIO_REP BIT(3)

/* EXITINFO1 of NPF, APM 2 15.25.6 */
#define NPF_WRITE BIT(1)
#define NPF_FETCH BIT(4)
#define NPF_TABLE_WALK BIT(33)

#define VMCB_ATTR_L BIT(9)
#define VMCB_ATTR_DB BIT(10)

struct vmcb_segment {
	u16 selector;
	u16 attributes; /* type 3:0, S 4, DPL 6:5, P 7, AVL 8, L 9, D/B 10, G 11 */
	u32 limit;
	u64 base;
};

struct vmcb {
	/* Control area, APM 2 table B-1. */
	u16 intercept_cr_read, intercept_cr_write;
	u16 intercept_dr_read, intercept_dr_write;
	u32 intercept_exceptions;
	u32 intercepts;
	u32 intercepts2;
	u32 intercepts3;
	u8 reserved_018[0x3c - 0x18];
	u16 pause_filter_threshold;
	u16 pause_filter_count;
	u64 iopm_base_pa;
	u64 msrpm_base_pa;
	u64 tsc_offset;
	u32 asid;
	u32 tlb_control;
	u64 int_ctl;
	u64 interrupt_shadow;
	u64 exit_code;
	u64 exit_info1;
	u64 exit_info2;
	u64 exit_int_info;
	u64 np_control;
	u8 reserved_098[0xa8 - 0x98];
	u64 event_inj;
	u64 n_cr3;
	u64 lbr_control;
	u32 clean;
	u32 reserved_0c4;
	u64 next_rip;
	u8 reserved_0d0[0x400 - 0xd0];

	/* State-save area, APM 2 table B-2. */
	struct vmcb_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
	u8 reserved_4a0[0x4cb - 0x4a0];
	u8 cpl;
	u32 reserved_4cc;
	u64 efer;
	u8 reserved_4d8[0x548 - 0x4d8];
	u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
	u8 reserved_580[0x5d8 - 0x580];
	u64 rsp;
	u64 s_cet, ssp, isst_addr;
	u64 rax;
	u64 star, lstar, cstar, sfmask, kernel_gs_base;
	u64 sysenter_cs, sysenter_esp, sysenter_eip;
	u64 cr2;
	u8 reserved_648[0x668 - 0x648];
	u64 g_pat;
	u64 dbgctl;
	u64 br_from, br_to, last_excp_from, last_excp_to;
	u8 reserved_698[0x6e0 - 0x698];
	u32 spec_ctrl;
	u8 reserved_6e4[0x1000 - 0x6e4];
};

#define VMCB_AT(member, offset) \
	_Static_assert(offsetof(struct vmcb, member) == (offset), "APM 2 appendix B: " #member)
VMCB_AT(intercepts, 0x00c);
VMCB_AT(pause_filter_threshold, 0x03c);
VMCB_AT(iopm_base_pa, 0x040);
VMCB_AT(tsc_offset, 0x050);
VMCB_AT(tlb_control, 0x05c);
VMCB_AT(int_ctl, 0x060);
VMCB_AT(exit_code, 0x070);
VMCB_AT(exit_int_info, 0x088);
VMCB_AT(np_control, 0x090);
VMCB_AT(event_inj, 0x0a8);
VMCB_AT(n_cr3, 0x0b0);
VMCB_AT(clean, 0x0c0);
VMCB_AT(next_rip, 0x0c8);
VMCB_AT(es, 0x400);
VMCB_AT(gdtr, 0x460);
VMCB_AT(tr, 0x490);
VMCB_AT(cpl, 0x4cb);
VMCB_AT(efer, 0x4d0);
VMCB_AT(cr4, 0x548);
VMCB_AT(rip, 0x578);
VMCB_AT(rsp, 0x5d8);
VMCB_AT(rax, 0x5f8);
VMCB_AT(kernel_gs_base, 0x620);
VMCB_AT(cr2, 0x640);
VMCB_AT(g_pat, 0x668);
VMCB_AT(last_excp_to, 0x690);
VMCB_AT(spec_ctrl, 0x6e0);
_Static_assert(sizeof(struct vmcb) == 4096, "APM 2 15.5: a VMCB is one page");
