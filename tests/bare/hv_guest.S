/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests of a few instructions for tests/bare/hv.c, which copies all of this to guest address
 * 0x10000 and starts one by its label. 64-bit mode, paging one to one, a stack, an IDT.
 */
	.section .rodata
	.macro guest name
	.globl \name
\name:
	.endm

/* Instructions of three bytes that each vendor has its own of: hv.c puts those of this machine in place. */
	.macro vendor_insn list
	.pushsection .rodata.\list, "a", @progbits
	.quad 9f
	.popsection
9:	ud2
	nop
	.endm
	.macro hypercall
	vendor_insn hypercalls
	.endm
	.macro forbidden			/* one of the extension's own, that no guest may use */
	vendor_insn forbiddens
	.endm
	.section .rodata.hypercalls, "a", @progbits
	.balign 8
guest guest_hypercalls
	.section .rodata.forbiddens, "a", @progbits
	.balign 8
guest guest_forbiddens
	.section .rodata

guest guests_start

guest guest_touch
	movq $1, 0x203000
	movq $1, 0x205000
	movq 0x204000, %rax
	hlt
	movq $7, 0x205008
	hlt

guest guest_fills
	mov $0x200000, %eax
1:	mov %eax, (%rax)
	add $0x1000, %eax
	cmp $0x400000, %eax
	jb 1b
	hlt

/* What the guest changes in CR0 and CR4 it reads back, whatever the CPU really has there. */
guest guest_controls
	mov %cr0, %rbx
	mov %rbx, %rax
	or $0x40000000, %rax		/* CD */
	and $~0x20, %rax		/* NE */
	mov %rax, %cr0
	mov %cr0, %rsi
	mov %rbx, %cr0
	mov %cr0, %rdi
	mov %cr4, %rax
	xor $0x40, %rax			/* MCE */
	mov %rax, %cr4
	mov %cr4, %r8
	hypercall

	.code32
guest guest_pae
	incl 0x204000
	mov 0x204000, %ecx
	out %al, $0x80
	mov %cr3, %eax
	mov %eax, %cr3
	jmp guest_pae

	.code16
guest guest_real
	push %cs
	pop %bx
	add $1, %cx
	out %al, $0x80
	jmp guest_real
	.code64

guest guest_exits
	mov $0x55, %al
	out %al, $0x80
	in $0x81, %eax
	mov $0x3f8, %dx
	outw %ax, %dx
	mov $5, %eax
	cpuid
	hypercall
	movl 0x80000000, %eax
guest guest_mmio_write
	movl %eax, 0x80000004
guest guest_forbidden
	xor %eax, %eax
	forbidden
	rdpmc
	wbinvd
	hlt

guest guest_msrs
	mov $0xc0000080, %ecx		/* EFER */
	rdmsr
	mov %eax, %ebx
	or $0x1000, %eax
	wrmsr				/* SVME: #GP */
	mov $0x277, %ecx		/* PAT */
	mov $0x00010406, %eax
	mov $0x00070406, %edx
	wrmsr
	mov $0x02020202, %eax		/* a type that is none: #GP */
	wrmsr
	rdmsr
	mov %eax, %esi
	mov $0x12345, %ecx
	rdmsr
	wrmsr
	hlt

/* A value in each register that VMRUN does not switch. */
guest guest_live
	mov $0x1122334455667788, %rax
	movq %rax, %xmm3
	mov %rax, %dr0
	mov $0xc0000103, %ecx		/* TSC_AUX */
	mov $0x77, %eax
	xor %edx, %edx
	wrmsr
	hypercall
	movq %xmm3, %rbx
	mov %dr0, %rsi
	mov $0xc0000103, %ecx
	rdmsr
	mov %eax, %edi
	hypercall

guest guest_spoils_live
	xor %eax, %eax
	movq %rax, %xmm3
	mov %rax, %dr0
	mov $0xc0000103, %ecx
	xor %edx, %edx
	wrmsr
	hypercall

guest guest_takes_irq
	hypercall
	nop
	sti
guest guest_in_shadow
	nop
guest guest_after_shadow
	nop
	cli
	hypercall

guest guest_waits
	nop
	hypercall
	jmp guest_waits

/* TF stays on: a trap after each instruction, those that Tern answers too. */
guest guest_steps
	pushfq
	orq $0x100, (%rsp)
	popfq
	cpuid
	nop
	hlt

guest guest_triple_fault
	lidt 0x9000			/* limit 0 */
	ud2

guest on_irq
	inc %r15
	out %al, $0x90
	iretq
guest on_nmi
	inc %r14
	hypercall
	iretq
guest on_gp
	inc %r13
	add $8, %rsp
	addq $2, (%rsp)
	iretq
guest on_pf
	inc %r12
	mov %cr2, %r11
	pop %r10			/* error code */
	hypercall
guest on_db
	inc %r9
	iretq
guest guests_end
	.section .rodata.hypercalls, "a", @progbits
	.quad 0
	.section .rodata.forbiddens, "a", @progbits
	.quad 0
	.section .note.GNU-stack, "", @progbits
