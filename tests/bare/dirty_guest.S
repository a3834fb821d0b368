/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The writers of tests/bare/dirty.c, one a vCPU. 64-bit mode, paging one to one, no stack.
 *   R8   state of the generator that chooses pages: xorshift, as next_random() in dirty.c
 *   R9   how many writes (dirty_guest_counted), or how many each round (dirty_guest_free)
 *   RDI  8 * the vCPU's number: its word in the page written and in the page of counters
 */
#include "tests/bare/dirty_guest.h"

	.section .rodata

	/* The round's number, in RAX, to the vCPU's word of a page; then it counts. */
	.macro write_a_page
	mov %r8, %rcx
	shl $13, %rcx
	xor %rcx, %r8
	mov %r8, %rcx
	shr $7, %rcx
	xor %rcx, %r8
	mov %r8, %rcx
	shl $17, %rcx
	xor %rcx, %r8
	mov %r8, %rcx
	shr $20, %rcx
	and $(DATA_PAGES - 1), %ecx
	shl $12, %rcx
	mov %rax, DATA(%rcx,%rdi)
	incq COUNTERS(%rdi)
	.endm

	.globl dirty_guest_start, dirty_guest_counted, dirty_guest_free, dirty_guest_end
dirty_guest_start:

dirty_guest_counted:
	mov ROUND, %rax
1:	write_a_page
	dec %r9
	jnz 1b
	cli
	hlt

/* So many writes each round, as soon as it begins. */
dirty_guest_free:
	mov ROUND, %rbx
	mov %r9, %r10
2:	mov ROUND, %rax
	cmp %rax, %rbx
	jne dirty_guest_free
	test %r10, %r10
	jz 3f
	dec %r10
	write_a_page
	jmp 2b
3:	pause
	jmp 2b

dirty_guest_end:
	.section .note.GNU-stack, "", @progbits
