/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entry of a tiny guest: by PVH in 32-bit protected mode, EBX = hvm_start_info. Maps the first
 * 4 GiB one to one in 2 MiB pages, goes to long mode and calls guest_main(start_info).
 * Below: where the interrupt gates of lib.c lead.
 */
	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 4, 18                  /* name and value bytes, XEN_ELFNOTE_PHYS32_ENTRY */
	.asciz "Xen"
	.long start32

	.section .text.start, "ax"
	.code32
	.globl start32
start32:
	cli
	cld
	movl $stack_top, %esp
	movl %ebx, %esi

	/* PML4[0] -> PDPT; PDPT[0..3] -> directories; 2048 pages of 2 MiB. */
	movl $pdpt + 3, pml4
	movl $directories + 3, %eax
	movl $pdpt, %edi
	movl $4, %ecx
1:	movl %eax, (%edi)
	addl $4096, %eax
	addl $8, %edi
	loop 1b
	movl $0x83, %eax                /* present, writable, large */
	movl $directories, %edi
	movl $2048, %ecx
2:	movl %eax, (%edi)
	addl $0x200000, %eax
	addl $8, %edi
	loop 2b

	movl %cr4, %eax
	orl $0x620, %eax                /* PAE, OSFXSR, OSXMMEXCPT */
	movl %eax, %cr4
	movl $pml4, %eax
	movl %eax, %cr3
	movl $0xc0000080, %ecx
	rdmsr
	orl $0x100, %eax                /* EFER.LME */
	wrmsr
	movl %cr0, %eax
	orl $0x80010001, %eax           /* PG, WP, PE */
	movl %eax, %cr0
	lgdt gdt_pointer
	ljmp $0x08, $start64

	.code64
start64:
	movl $0x10, %eax
	movl %eax, %ds
	movl %eax, %es
	movl %eax, %ss
	xorl %eax, %eax
	movl %eax, %fs
	movl %eax, %gs
	movl %esi, %edi
	movq $stack_top, %rsp
	call guest_main
3:	cli
	hlt
	jmp 3b

/* One stub a vector, 16 bytes each: pushes an error code where the CPU pushes none, and the vector. */
	.text
	.balign 16
	.globl interrupt_stubs
interrupt_stubs:
	.set vector, 0
	.rept 256
	.balign 16
	.if (vector != 8) && (vector != 17) && ((vector < 10) || (vector > 14))
	pushq $0
	.endif
	pushq $vector
	jmp interrupt_common
	.set vector, vector + 1
	.endr

interrupt_common:
	pushq %rax
	pushq %rcx
	pushq %rdx
	pushq %rsi
	pushq %rdi
	pushq %r8
	pushq %r9
	pushq %r10
	pushq %r11
	movq %rsp, %rdi
	call interrupt_handle
	popq %r11
	popq %r10
	popq %r9
	popq %r8
	popq %rdi
	popq %rsi
	popq %rdx
	popq %rcx
	popq %rax
	addq $16, %rsp
	iretq

	.section .rodata
	.balign 8
gdt:	.quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
	.word 23
	.long gdt

	.section .bss
	.balign 4096
	.globl pml4
pml4:	.skip 4096
pdpt:	.skip 4096
	.globl directories
directories:
	.skip 4 * 4096
	.skip 16384
stack_top:
