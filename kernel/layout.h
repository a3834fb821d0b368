/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tern's own address space, the same on every CPU.
 *
 *   0xffff_8000_0000_0000  direct map of all physical memory, RW, NX   (PML4 entry 256 on)
 *   0xffff_c000_0000_0000  MMIO windows and stacks with guard pages    (PML4 entry 384)
 *   0xffff_ffff_8000_0000  the core image: text RX, rodata R, data RW  (PML4 entry 511)
 *
 * Nothing is mapped in the lower half once paging_init() has run.
 */
#pragma once

#define DIRECT_MAP_BASE 0xffff800000000000ull
#define DYNAMIC_BASE 0xffffc00000000000ull
#define DYNAMIC_BYTES 0x8000000000ull
#define CORE_BASE 0xffffffff80000000ull

/* The core is linked at CORE_BASE + CORE_LINK_OFFSET; a loader may put it at any 2 MiB aligned physical address. */
#define CORE_LINK_OFFSET 0x1000000ull

/* Borders of the image and of the linker sets; linker.ld defines them. Only their addresses mean something. */
#ifndef __ASSEMBLER__
extern const char core_image_start[], core_image_end[];
extern const char core_text_start[], core_text_end[];     /* RX */
extern const char core_rodata_start[], core_rodata_end[]; /* R */
extern const char core_data_start[], core_data_end[];     /* RW, with .bss */
#endif
