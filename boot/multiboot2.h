/* SPDX-License-Identifier: BSD-2-Clause */
/* Multiboot2 Specification version 2.0: the header (3.1) and the boot information (3.6). */
#pragma once

#define MULTIBOOT2_HEADER_MAGIC 0xe85250d6
#define MULTIBOOT2_ARCHITECTURE_I386 0
#define MULTIBOOT2_HEADER_END 0
#define MULTIBOOT2_HEADER_REQUEST 1
#define MULTIBOOT2_HEADER_ENTRY 3
#define MULTIBOOT2_HEADER_CONSOLE 4
#define MULTIBOOT2_HEADER_FRAMEBUFFER 5
#define MULTIBOOT2_HEADER_MODULE_ALIGN 6
#define MULTIBOOT2_CONSOLE_EGA_TEXT 2

#define MULTIBOOT2_MAGIC 0x36d76289

#define MULTIBOOT2_TAG_END 0
#define MULTIBOOT2_TAG_COMMAND_LINE 1
#define MULTIBOOT2_TAG_MODULE 3
#define MULTIBOOT2_TAG_MEMORY_MAP 6
#define MULTIBOOT2_TAG_FRAMEBUFFER 8
#define MULTIBOOT2_TAG_ACPI_OLD 14
#define MULTIBOOT2_TAG_ACPI_NEW 15
#define MULTIBOOT2_TAG_EFI_SERVICES 18

#ifndef __ASSEMBLER__
#include "kernel/types.h"

/* A list of tags follows, each at a multiple of 8 from here, the last one of type END. */
struct multiboot2_info {
	u32 bytes; /* all of it, this header included */
	u32 reserved;
};

/* The tag's contents follow; bytes is theirs and these 8, without padding. */
struct multiboot2_tag {
	u32 type;
	u32 bytes;
};

struct multiboot2_module {
	struct multiboot2_tag tag;
	u32 start, end;
	char string[];
};
_Static_assert(sizeof(struct multiboot2_module) == 16, "Multiboot2 3.6.6");

/* Entries are those of the BIOS, struct collect_range, or longer ones of a later version. */
struct multiboot2_memory_map {
	struct multiboot2_tag tag;
	u32 entry_bytes, entry_version;
};
_Static_assert(sizeof(struct multiboot2_memory_map) == 16, "Multiboot2 3.6.8");

#define MULTIBOOT2_FRAMEBUFFER_RGB 1
#define MULTIBOOT2_FRAMEBUFFER_EGA_TEXT 2

struct multiboot2_framebuffer {
	struct multiboot2_tag tag;
	u64 address;
	u32 pitch, width, height;
	u8 bits_per_pixel, type;
	u16 reserved; /* 3.6.12 says u8; GRUB, and its header in the specification's annex, u16 */
	/* type RGB only */
	u8 red_position, red_bits, green_position, green_bits, blue_position, blue_bits;
	u16 padding;
};
_Static_assert(sizeof(struct multiboot2_framebuffer) == 40, "Multiboot2 3.6.12: 38 bytes without padding");
#define MULTIBOOT2_FRAMEBUFFER_BYTES 32     /* without colours */
#define MULTIBOOT2_FRAMEBUFFER_RGB_BYTES 38

/* Returns the physical address of the finished struct boot_info. Called by boot/multiboot2.S only, once. */
u64 multiboot2_convert(const struct multiboot2_info *start, u32 magic);
#endif
