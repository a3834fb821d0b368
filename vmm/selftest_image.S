/* SPDX-License-Identifier: BSD-2-Clause */
/* The self-test's guest (vmm/selftest/guest.c), an ELF file inside the core. */
	.section .rodata
	.balign 16
	.globl selftest_image_start, selftest_image_end
selftest_image_start:
	.incbin "build/guest/selftest.elf"
selftest_image_end:
