/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * 256 entry stubs that make every trap look the same (struct trap_frame), and the
 * two instructions whose #GP has an answer.
 */
	.section .text, "ax", @progbits

/* One stub: an error code for those that have none (SDM 3A table 6-1), then the vector. */
	.balign	16
	.globl trap_stubs
trap_stubs:
	vector = 0
	.rept	256
	.balign	16
	.if	!((vector == 8) || (vector >= 10 && vector <= 14) || (vector == 17) || \
		  (vector == 21) || (vector == 29) || (vector == 30))
	pushq	$0
	.endif
	pushq	$vector
	jmp	trap_common
	vector = vector + 1
	.endr

/* The CPU aligned rsp to 16; 6 words with the error code, vector and 15 registers keep it so. */
	.type trap_common, @function
trap_common:
	pushq	%rax
	pushq	%rcx
	pushq	%rdx
	pushq	%rbx
	pushq	%rbp
	pushq	%rsi
	pushq	%rdi
	pushq	%r8
	pushq	%r9
	pushq	%r10
	pushq	%r11
	pushq	%r12
	pushq	%r13
	pushq	%r14
	pushq	%r15
	cld
	movq	%rsp, %rdi
	call	trap_handle
	popq	%r15
	popq	%r14
	popq	%r13
	popq	%r12
	popq	%r11
	popq	%r10
	popq	%r9
	popq	%r8
	popq	%rdi
	popq	%rsi
	popq	%rbp
	popq	%rbx
	popq	%rdx
	popq	%rcx
	popq	%rax
	addq	$16, %rsp
	iretq
	.size trap_common, . - trap_common

/* int rdmsr_safe(u32 msr, u64 *value): trap.c sends a #GP at rdmsr_safe_insn to msr_safe_fault. */
	.globl rdmsr_safe, rdmsr_safe_insn, wrmsr_safe, wrmsr_safe_insn, msr_safe_fault
	.type rdmsr_safe, @function
rdmsr_safe:
	movl	%edi, %ecx
rdmsr_safe_insn:
	rdmsr
	movl	%eax, (%rsi)
	movl	%edx, 4(%rsi)
	xorl	%eax, %eax
	ret
	.size rdmsr_safe, . - rdmsr_safe

/* int wrmsr_safe(u32 msr, u64 value) */
	.type wrmsr_safe, @function
wrmsr_safe:
	movl	%edi, %ecx
	movl	%esi, %eax
	movq	%rsi, %rdx
	shrq	$32, %rdx
wrmsr_safe_insn:
	wrmsr
	xorl	%eax, %eax
	ret
	.size wrmsr_safe, . - wrmsr_safe

msr_safe_fault:
	movl	$-5, %eax		/* -EIO */
	ret

	.section .note.GNU-stack, "", @progbits
