/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * void svm_run(u64 *gpr, u64 vmcb_pa, u64 host_vmcb_pa, u64 guest_spec_ctrl)
 *
 * With GIF clear nothing interrupts. IF is set before VMRUN, because with V_INTR_MASKING
 * the host's IF says whether a physical interrupt ends the guest's run (APM 2 15.21.1); one that
 * came between the caller's last look and VMRUN ends it at once, so none is lost. VMRUN sets
 * GIF, #VMEXIT clears it; STGI at the end lets a pending NMI in, when TR and GS are Tern's again.
 */

#include "arch/harden_steps.h"

/* Offsets in gpr, in the order of enum gpr. */
#define RCX_AT 8
#define RDX_AT 16
#define RBX_AT 24
#define RBP_AT 40
#define RSI_AT 48
#define RDI_AT 56
#define R_AT(n) (8 * n)

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
	mov RCX_AT(%rdi), %rcx
	mov RDX_AT(%rdi), %rdx
	mov RBX_AT(%rdi), %rbx
	mov RBP_AT(%rdi), %rbp
	mov RSI_AT(%rdi), %rsi
	mov R_AT(8)(%rdi), %r8
	mov R_AT(9)(%rdi), %r9
	mov R_AT(10)(%rdi), %r10
	mov R_AT(11)(%rdi), %r11
	mov R_AT(12)(%rdi), %r12
	mov R_AT(13)(%rdi), %r13
	mov R_AT(14)(%rdi), %r14
	mov R_AT(15)(%rdi), %r15
	mov RDI_AT(%rdi), %rdi

	vmload %rax			/* FS, GS, TR, LDTR, SYSCALL and SYSENTER MSRs: VMRUN leaves them */
	HARDEN_BEFORE_ENTRY
	vmrun %rax			/* gives RAX and RSP back as they were */
	HARDEN_AFTER_EXIT
	vmsave %rax

	push %rdi
	mov 8(%rsp), %rdi
	mov %rcx, RCX_AT(%rdi)
	mov %rdx, RDX_AT(%rdi)
	mov %rbx, RBX_AT(%rdi)
	mov %rbp, RBP_AT(%rdi)
	mov %rsi, RSI_AT(%rdi)
	mov %r8, R_AT(8)(%rdi)
	mov %r9, R_AT(9)(%rdi)
	mov %r10, R_AT(10)(%rdi)
	mov %r11, R_AT(11)(%rdi)
	mov %r12, R_AT(12)(%rdi)
	mov %r13, R_AT(13)(%rdi)
	mov %r14, R_AT(14)(%rdi)
	mov %r15, R_AT(15)(%rdi)
	pop %rax
	mov %rax, RDI_AT(%rdi)

	mov 16(%rsp), %r8
	HARDEN_EXIT_MSRS %r8
	pop %rdi
	pop %rax
	pop %rcx
	vmload %rax
	cli
	stgi

	/* No guest value stays where speculation could use it. */
	xor %eax, %eax
	xor %ecx, %ecx
	xor %edx, %edx
	xor %esi, %esi
	xor %edi, %edi
	xor %r8d, %r8d
	xor %r9d, %r9d
	xor %r10d, %r10d
	xor %r11d, %r11d
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
	.size svm_run, . - svm_run

	.section .note.GNU-stack, "", @progbits
