/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * struct boot_info: the only thing that loaders (UEFI, PVH, multiboot2) and the core share.
 *
 * State at the jump to the core's entry, core_start (kernel/layout.h has the addresses):
 *   - long mode, interrupts off, one CPU, cld, SSE state unknown; the stack and the descriptor
 *     tables are the loader's and may not be mapped: the core brings its own at once
 *   - rdi = physical address of struct boot_info
 *   - the first 4 GiB of physical memory are mapped at 0 and at DIRECT_MAP_BASE, writable
 *   - the core's image is mapped at CORE_BASE + CORE_LINK_OFFSET
 *   - boot_info, the memory map, file table, files, command line are below 4 GiB, in
 *     ranges that the memory map calls BOOT_MEM_LOADED (never given out) or
 *     BOOT_MEM_LOADER (the loader's own tables: free once the core has its own)
 */
#pragma once

#include "kernel/types.h"

#define BOOT_INFO_MAGIC 0x314f464e4e524554ull /* "TERNNFO1" */
#define BOOT_INFO_VERSION 2

enum boot_mem_type {
	BOOT_MEM_USABLE = 1,
	BOOT_MEM_RESERVED = 2,
	BOOT_MEM_ACPI = 3,      /* tables: readable, not given out */
	BOOT_MEM_NVS = 4,
	BOOT_MEM_MMIO = 5,
	BOOT_MEM_BAD = 6,
	BOOT_MEM_LOADED = 7,    /* core image, files, boot_info */
	BOOT_MEM_LOADER = 8,    /* may be reused once the core runs on its own tables and stacks */
};

struct boot_mem {
	u64 base;
	u64 bytes;
	u32 type;
	u32 reserved;
};

#define BOOT_FILE_NAME_MAX 64

struct boot_file {
	char name[BOOT_FILE_NAME_MAX]; /* "tern.conf", "vmlinuz" */
	u64 address;
	u64 bytes;
};

enum boot_loader { BOOT_LOADER_PVH = 1, BOOT_LOADER_UEFI = 2, BOOT_LOADER_MULTIBOOT2 = 3 };

enum boot_framebuffer_kind {
	BOOT_FRAMEBUFFER_NONE = 0,   /* the loader knows of none: the core looks for a VGA in text mode */
	BOOT_FRAMEBUFFER_PIXELS = 1, /* a pixel is a little-endian number of bits_per_pixel, 15 to 32 */
	BOOT_FRAMEBUFFER_TEXT = 2,   /* EGA text: a character is its code and an attribute; the rest is 0 */
};

struct boot_framebuffer {
	u64 address;
	u32 width, height; /* in pixels or characters */
	u32 stride_bytes;  /* from one line to the next */
	u8 kind, bits_per_pixel;
	u8 red_shift, red_bits, green_shift, green_bits, blue_shift, blue_bits;
};

struct boot_info {
	u64 magic;
	u32 version;
	u32 loader;
	u64 core_address;  /* physical, 2 MiB aligned */
	u64 core_bytes;
	u64 rsdp_address;  /* ACPI root pointer, 0: unknown (search the BIOS area) */
	u64 mem;           /* physical address of struct boot_mem[mem_count], sorted, not overlapping */
	u64 file;          /* physical address of struct boot_file[file_count] */
	u64 command_line;  /* physical address of a NUL-ended string, 0: none */
	u32 mem_count;
	u32 file_count;
	struct boot_framebuffer framebuffer;
	u64 complaint;     /* physical address of a sentence on what the loader met, to be logged; 0: nothing */
};
