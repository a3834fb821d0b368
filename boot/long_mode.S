/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From 32-bit protected mode to the state that boot/handoff.h asks for: what the PVH and the
 * multiboot2 entries share. boot/long_mode.h says what they pass.
 *
 * State on entry, by both protocols: 32-bit protected mode, flat segments, paging off. The
 * image lies where it is linked, less CORE_BASE.
 */
#include "boot/long_mode.h"
#include "kernel/layout.h"

#define PTE_PRESENT_WRITE 0x3
#define PTE_LARGE_PRESENT_WRITE 0x83
#define LARGE_PAGE_BYTES 0x200000
#define TABLE_BYTES 4096

#define CR0_PE 0x1
#define CR0_MP 0x2
#define CR0_ET 0x10
#define CR0_WP 0x10000
#define CR0_PG 0x80000000
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100

	.section .text.start, "ax", @progbits
	.code32
	.globl long_mode_start
	.type long_mode_start, @function
long_mode_start:
	cli
	cld
	movl %eax, %ebp

	/* The first 4 GiB in 2 MiB pages: four tables that lie one after another. */
	movl $PA(directories), %edi
	movl $PTE_LARGE_PRESENT_WRITE, %eax
	movl $(4 * 512), %ecx
1:	movl %eax, (%edi)
	addl $LARGE_PAGE_BYTES, %eax
	addl $8, %edi
	loop 1b

	/* The same four tables serve the identity map and the direct map... */
	movl $PA(low_pointers), %edi
	movl $(PA(directories) + PTE_PRESENT_WRITE), %eax
	movl $4, %ecx
1:	movl %eax, (%edi)
	addl $TABLE_BYTES, %eax
	addl $8, %edi
	loop 1b
	movl $(PA(low_pointers) + PTE_PRESENT_WRITE), %eax
	movl %eax, PA(root)
	movl %eax, PA(root) + 256 * 8       /* DIRECT_MAP_BASE */

	/* ...and the first of them the image at CORE_BASE. */
	movl $(PA(high_pointers) + PTE_PRESENT_WRITE), PA(root) + 511 * 8
	movl $(PA(directories) + PTE_PRESENT_WRITE), PA(high_pointers) + 510 * 8

	/* APM 2 14.6.1, SDM 3A 10.8.5: PAE, then CR3, then EFER.LME, then CR0.PG. */
	movl $CR4_PAE, %eax
	movl %eax, %cr4
	movl $PA(root), %eax
	movl %eax, %cr3
	movl $MSR_EFER, %ecx
	rdmsr
	orl $EFER_LME, %eax
	wrmsr
	movl $(CR0_PG | CR0_WP | CR0_ET | CR0_MP | CR0_PE), %eax
	movl %eax, %cr0
	lgdtl PA(descriptor_pointer)
	ljmpl $8, $PA(long_mode)

	.code64
long_mode:
	movq $high, %rax
	jmpq *%rax
high:
	movl $16, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	movq $stack_top, %rsp
	movl %esi, %eax
	addq $-0x80000000, %rax              /* CORE_BASE */
	movl %ebx, %edi
	movl %ebp, %esi
	xorl %ebp, %ebp
	call *%rax
	movq %rax, %rdi
	jmp core_start
	.size long_mode_start, . - long_mode_start

	.section .rodata.long_mode, "a", @progbits
	.balign 8
descriptors:
	.quad 0
	.quad 0x00af9b000000ffff            /* 8: 64-bit code */
	.quad 0x00cf93000000ffff            /* 16: data */
descriptor_pointer:
	.word . - descriptors - 1
	.long PA(descriptors)

	.section .bss.long_mode, "aw", @nobits
	.balign TABLE_BYTES
root:
	.skip TABLE_BYTES
low_pointers:
	.skip TABLE_BYTES
high_pointers:
	.skip TABLE_BYTES
directories:
	.skip 4 * TABLE_BYTES
	.skip 8192
stack_top:

	.section .note.GNU-stack, "", @progbits
