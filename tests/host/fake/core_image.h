/* SPDX-License-Identifier: BSD-2-Clause */
/* What a loader's converter finds and leaves, for its test: an image, and struct boot_info read back. */
#pragma once

#include "boot/handoff.h"
#include "kernel/layout.h"

/* An image, which collect.c takes to be linked at CORE_BASE: physically 2 GiB above its place here. */
__asm__(".pushsection .bss\n"
	".balign 4096\n"
	".globl core_image_start, core_image_end\n"
	"core_image_start: .skip 0x200000\n"
	"core_image_end:\n"
	".popsection\n");

/* The same holds for the converter's own statics. */
static inline void *linked(u64 physical) { return (void *)(physical + CORE_BASE); }

static inline const char *complaint(const struct boot_info *info)
{
	return info->complaint ? linked(info->complaint) : "";
}

/* Of the memory map; 0: none. */
static inline u32 type_at(const struct boot_info *info, u64 address)
{
	const struct boot_mem *mem = linked(info->mem);
	u32 i;

	for (i = 0; i < info->mem_count; i++) {
		if (address >= mem[i].base && address - mem[i].base < mem[i].bytes)
			return mem[i].type;
	}
	return 0;
}
