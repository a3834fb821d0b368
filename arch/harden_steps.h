/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The steps of hardening, and those that are instructions in a back end's entry.S.
 *
 * Each instruction sequence is a site: it is there in the image, in straight line, and
 * harden_init() overwrites those that this CPU does not need. No branch chooses, since a branch can
 * be mispredicted, and a step that is skipped by speculation is not one.
 *
 * A back end's entry.S uses the macros in this order; tools/harden-check looks for it in the image:
 *	HARDEN_ENTRY_MSRS     before the guest's registers are loaded
 *	HARDEN_BEFORE_ENTRY   the last instruction before VMRUN, VMLAUNCH, VMRESUME
 *	HARDEN_AFTER_EXIT     the first after it; nothing that returns or jumps indirectly comes before
 *	HARDEN_EXIT_MSRS      once the guest's registers are saved, before the first RET
 */
#pragma once

#define HARDEN_IBPB_SWITCH 0    /* C: another vCPU gets this CPU */
#define HARDEN_L1D_FLUSH 1
#define HARDEN_VERW 2
#define HARDEN_RSB_FILL 3
#define HARDEN_RSB_ONE 4
#define HARDEN_IBPB_EXIT 5
#define HARDEN_IBRS_EXIT 6      /* IA32_SPEC_CTRL is written after each exit, whatever it is */
#define HARDEN_SPEC_CTRL 7      /* it is written when guest and host differ */
#define HARDEN_BHB_CLEAR 8
#define HARDEN_AUTO_IBRS 9      /* once a CPU, at start */
#define HARDEN_SPEC_REDUCE 10   /* once a CPU, at start */
#define HARDEN_STEP_COUNT 11

#ifdef __ASSEMBLER__

#define HARDEN_MSR_SPEC_CTRL 0x48
#define HARDEN_MSR_PRED_CMD 0x49
#define HARDEN_MSR_FLUSH_CMD 0x10b

	.macro harden_begin
771:
	.endm
	/* struct harden_site */
	.macro harden_end step
772:
	.pushsection .harden_sites, "a"
	.quad	771b
	.long	772b - 771b, \step
	.popsection
	.endm

	.macro harden_wrmsr_1 msr
	mov	$\msr, %ecx
	mov	$1, %eax
	xor	%edx, %edx
	wrmsr
	.endm

	/*
	 * guest: a register, not RAX, RCX or RDX, with what the guest has in IA32_SPEC_CTRL (0 if
	 * that is not switched here). Destroys RAX, RCX, RDX and flags.
	 */
	.macro HARDEN_ENTRY_MSRS guest
	harden_begin
	cmp	harden_spec_ctrl(%rip), \guest
	je	773f
	mov	\guest, %rax
	mov	$HARDEN_MSR_SPEC_CTRL, %ecx
	xor	%edx, %edx
	wrmsr
773:
	harden_end HARDEN_SPEC_CTRL
	harden_begin
	mov	\guest, %rax
	mov	$HARDEN_MSR_SPEC_CTRL, %ecx
	xor	%edx, %edx
	wrmsr
	harden_end HARDEN_IBRS_EXIT
	harden_begin
	harden_wrmsr_1 HARDEN_MSR_FLUSH_CMD
	harden_end HARDEN_L1D_FLUSH
	.endm

	/* The form with a memory operand is the one that clears (SDM 2D VERW). Destroys ZF. */
	.macro HARDEN_BEFORE_ENTRY
	harden_begin
	verw	harden_selector(%rip)
	harden_end HARDEN_VERW
	.endm

	/* Every prediction of a return is one of these calls. 256 bytes of stack; destroys flags. */
	.macro HARDEN_AFTER_EXIT
	harden_begin
	.rept	32
	call	774f
	int3
774:
	.endr
	add	$(32 * 8), %rsp
	lfence
	harden_end HARDEN_RSB_FILL
	/* One CALL is enough where IBRS does the rest: post-barrier RSB (CVE-2022-26373). */
	harden_begin
	call	775f
	int3
775:
	add	$8, %rsp
	lfence
	harden_end HARDEN_RSB_ONE
	.endm

	/* guest: as above. Destroys RAX, RCX, RDX and flags. */
	.macro HARDEN_EXIT_MSRS guest
	harden_begin
	harden_wrmsr_1 HARDEN_MSR_PRED_CMD
	harden_end HARDEN_IBPB_EXIT
	harden_begin
	mov	harden_spec_ctrl(%rip), %rax
	mov	$HARDEN_MSR_SPEC_CTRL, %ecx
	xor	%edx, %edx
	wrmsr
	harden_end HARDEN_IBRS_EXIT
	harden_begin
	mov	harden_spec_ctrl(%rip), %rax
	cmp	%rax, \guest
	je	776f
	mov	$HARDEN_MSR_SPEC_CTRL, %ecx
	xor	%edx, %edx
	wrmsr
776:
	lfence				/* the branch above is not a way around the write */
	harden_end HARDEN_SPEC_CTRL
	harden_begin
	call	harden_clear_bhb
	harden_end HARDEN_BHB_CLEAR
	.endm

#endif
