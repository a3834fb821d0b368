/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The core's first instruction, in the state that boot/handoff.h describes: long mode,
 * interrupts off, rdi = physical address of struct boot_info.
 */
	.section .text.start, "ax", @progbits
	.globl core_start
	.type core_start, @function
core_start:
	cld
	cli
	leaq	boot_stack_top(%rip), %rsp
	xorl	%ebp, %ebp		/* end of every backtrace */
	call	core_main
0:	hlt
	jmp	0b
	.size core_start, . - core_start

/* The boot CPU's stack, with a page below it that paging_init leaves unmapped. */
	.section .bss.boot_stack, "aw", @nobits
	.balign	4096
	.globl boot_stack_guard
boot_stack_guard:
	.skip	4096
	.skip	0x10000
	.globl boot_stack_top
boot_stack_top:

	.section .note.GNU-stack, "", @progbits
