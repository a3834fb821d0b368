/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's general registers in a back end's entry.S: to and from hv_vcpu.gpr, in the order of
 * enum gpr. RSP is the hardware's to switch, and RAX is the back end's own affair.
 */
#pragma once

#ifdef __ASSEMBLER__

#define RAX_AT 0
#define RCX_AT 8
#define RDX_AT 16
#define RBX_AT 24
#define RBP_AT 40
#define RSI_AT 48
#define RDI_AT 56
#define R_AT(n) (8 * n)

	/* rdi = gpr, and is the last one loaded. Leaves the flags. */
	.macro guest_gpr_load
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
	.endm

	/* rdi = gpr, and the guest's RDI is on top of the stack. RAX is lost. */
	.macro guest_gpr_save
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
	.endm

	/* No guest value stays where speculation could use it. RAX is the caller's, the rest is popped. */
	.macro guest_gpr_clear
	xor %ecx, %ecx
	xor %edx, %edx
	xor %esi, %esi
	xor %edi, %edi
	xor %r8d, %r8d
	xor %r9d, %r9d
	xor %r10d, %r10d
	xor %r11d, %r11d
	.endm

#endif
