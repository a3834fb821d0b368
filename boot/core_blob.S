/* SPDX-License-Identifier: BSD-2-Clause */
/* The core inside the UEFI loader, and the instructions that switch from one to the other. */

	.section .rodata, "a", @progbits
	.balign 64
	.globl core_elf, core_elf_end
core_elf:
	.incbin CORE_ELF
core_elf_end:

/* (rdi = boot_info, rsi = root table, rdx = entry). Copied below 4 GiB before it runs. */
	.globl switch_code, switch_code_end
switch_code:
	cli
	cld
	/* CR4 with PAE alone: no global pages or PCIDs of the firmware survive the new CR3. */
	movl $0x20, %eax
	movq %rax, %cr4
	movq %rsi, %cr3
	jmpq *%rdx
switch_code_end:

	.section .note.GNU-stack, "", @progbits
