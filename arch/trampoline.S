/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first instructions of every CPU but the first: from real mode, where STARTUP leaves
 * it at the start of a page below 1 MiB (SDM 3A 9.4.4), straight to long mode.
 *
 * smp.c copies this to that page and fills in the words at the end. Everything is
 * addressed relative to the page's start.
 */
	.set	EFER, 0xc0000080
	.set	EFER_LME_NXE, 0x900
	.set	CR0_PG_WP_NE_ET_PE, 0x80010031
	.set	CR4_PAE, 0x20

	.section .rodata.trampoline, "a", @progbits
	.balign	16
	.globl trampoline_start, trampoline_end, trampoline_words
	.code16
trampoline_start:
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	lgdtl	descriptor_pointer - trampoline_start
	movl	$CR4_PAE, %eax
	movl	%eax, %cr4
	movl	root - trampoline_start, %eax
	movl	%eax, %cr3
	movl	$EFER, %ecx
	rdmsr
	orl	$EFER_LME_NXE, %eax
	wrmsr
	/* APM 2 14.6.1: paging and protection at once activate long mode; caches on. */
	movl	$CR0_PG_WP_NE_ET_PE, %eax
	movl	%eax, %cr0
	ljmpl	*(far_pointer - trampoline_start)

	.code64
long_mode:
	movl	$16, %eax
	movl	%eax, %ds
	movl	%eax, %es
	movl	%eax, %ss
	movq	stack(%rip), %rsp
	movq	argument(%rip), %rdi
	xorl	%ebp, %ebp
	xorl	%eax, %eax
	pushq	%rax			/* as if called, for the ABI's alignment; end of backtraces */
	jmpq	*entry(%rip)

	.balign	8
descriptors:
	.quad	0
	.quad	0x00af9b000000ffff	/* 8: 64-bit code */
	.quad	0x00cf93000000ffff	/* 16: data */

	/* struct trampoline_words of smp.c */
	.balign	8
trampoline_words:
	.word	0
descriptor_pointer:
	.word	23
	.long	descriptors - trampoline_start
far_pointer:
	.long	long_mode - trampoline_start
	.word	8
	.word	0
root:
	.quad	0
stack:
	.quad	0
argument:
	.quad	0
entry:
	.quad	0
trampoline_end:

	.section .note.GNU-stack, "", @progbits
