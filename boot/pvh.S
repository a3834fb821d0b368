/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entry by a PVH note, the way in of "qemu -kernel".
 *
 * State on entry (Xen, docs/misc/pvh.pandoc): 32-bit protected mode, flat segments, paging
 * off, ebx = physical address of struct hvm_start_info.
 */
#include "boot/long_mode.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18

	.section .note.Xen, "a", @note
	.balign 4
	.long 4, 8, XEN_ELFNOTE_PHYS32_ENTRY
	.asciz "Xen"
	.quad PA(pvh_start)

	.section .text.start, "ax", @progbits
	.code32
	.globl pvh_start
	.type pvh_start, @function
pvh_start:
	movl $PA(pvh_convert), %esi
	jmp long_mode_start
	.size pvh_start, . - pvh_start

	.section .note.GNU-stack, "", @progbits
