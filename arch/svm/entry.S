/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * void svm_run(u64 *gpr, u64 vmcb_pa, u64 host_vmcb_pa, u64 guest_spec_ctrl)
 *
 * With GIF clear nothing interrupts. IF is set before VMRUN, because with V_INTR_MASKING
 * the host's IF says whether a physical interrupt ends the guest's run (APM 2 15.21.1); one that
 * came between the caller's last look and VMRUN ends it at once, so none is lost. VMRUN sets
 * GIF, #VMEXIT clears it; STGI at the end lets a pending NMI in, when TR and GS are Tern's again.
 */

#include "arch/guest_gpr.h"
#include "arch/harden_steps.h"

	.text
	.globl svm_run
	.type svm_run, @function
svm_run:
	push %rbp
	mov %rsp, %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	push %rcx			/* guest_spec_ctrl */
	push %rdx			/* host_vmcb_pa */
	push %rdi			/* gpr */

	clgi
	sti
	mov %rcx, %r8
	HARDEN_ENTRY_MSRS %r8
	mov %rsi, %rax
	guest_gpr_load

	vmload %rax			/* FS, GS, TR, LDTR, SYSCALL and SYSENTER MSRs: VMRUN leaves them */
	HARDEN_BEFORE_ENTRY
	vmrun %rax			/* gives RAX and RSP back as they were */
	HARDEN_AFTER_EXIT
	vmsave %rax

	push %rdi
	mov 8(%rsp), %rdi
	guest_gpr_save

	mov 16(%rsp), %r8
	HARDEN_EXIT_MSRS %r8
	pop %rdi
	pop %rax
	pop %rcx
	vmload %rax
	cli
	stgi

	xor %eax, %eax
	guest_gpr_clear
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
	.size svm_run, . - svm_run

	.section .note.GNU-stack, "", @progbits
