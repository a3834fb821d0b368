/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entry by the Multiboot2 protocol (Multiboot2 Specification version 2.0), the way in of GRUB.
 *
 * The header says what Tern wants. It does not ask for:
 *   - a relocatable image (3.1.12): the 32-bit code has fixed addresses, and 16 MiB, where the
 *     image is linked, is plain memory on every machine that boots by BIOS
 *   - the firmware's boot services on UEFI (3.1.9): GRUB ends them and describes memory in the
 *     BIOS's words, the same for both firmwares. On UEFI our own loader is the better way in:
 *     it takes any free place for the core, it keeps the firmware's finer memory types, and
 *     it needs no file beside itself.
 *
 * State on entry (3.3): 32-bit protected mode, flat segments, paging off, eax = magic, ebx =
 * physical address of the boot information.
 */
#include "boot/long_mode.h"
#include "boot/multiboot2.h"

#define OPTIONAL 1

	/* 3.1.1: in the first 32 KiB of the file, aligned to 8. linker.ld puts it first. */
	.section .multiboot2, "a", @progbits
	.balign 8
header:
	.long MULTIBOOT2_HEADER_MAGIC
	.long MULTIBOOT2_ARCHITECTURE_I386
	.long header_end - header
	.long -(MULTIBOOT2_HEADER_MAGIC + MULTIBOOT2_ARCHITECTURE_I386 + (header_end - header))

	/* 3.1.5: without the memory map there is nothing to start from. */
	.balign 8
	.short MULTIBOOT2_HEADER_REQUEST, 0
	.long 12
	.long MULTIBOOT2_TAG_MEMORY_MAP

	/* 3.1.7: the ELF header's entry is the 64-bit one. */
	.balign 8
	.short MULTIBOOT2_HEADER_ENTRY, 0
	.long 12
	.long PA(multiboot2_start)

	/* 3.1.11: a BIOS's text mode is welcome, but no console at all is no reason to stop. */
	.balign 8
	.short MULTIBOOT2_HEADER_CONSOLE, OPTIONAL
	.long 12
	.long MULTIBOOT2_CONSOLE_EGA_TEXT

	/* 3.1.10: any size (0) and depth (0) of pixels where there is no text mode. */
	.balign 8
	.short MULTIBOOT2_HEADER_FRAMEBUFFER, OPTIONAL
	.long 20
	.long 0, 0, 0

	/* 3.1.6: no two modules share a page. */
	.balign 8
	.short MULTIBOOT2_HEADER_MODULE_ALIGN, 0
	.long 8

	.balign 8
	.short MULTIBOOT2_HEADER_END, 0
	.long 8
header_end:

	.section .text.start, "ax", @progbits
	.code32
	.globl multiboot2_start
	.type multiboot2_start, @function
multiboot2_start:
	movl $PA(multiboot2_convert), %esi
	jmp long_mode_start
	.size multiboot2_start, . - multiboot2_start

	.section .note.GNU-stack, "", @progbits
