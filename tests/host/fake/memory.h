/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Physical memory for host tests: an arena that direct_map shows, given to page_init.
 * Included by the test's own file, once; needs kernel/page.c.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "boot/handoff.h"
#include "kernel/page.h"

static struct boot_mem fake_map[8];
static struct boot_info fake_boot_info;
static u8 *fake_arena;

/* An arena of bytes, from physical address 0 on, without content; nothing is known of it yet. */
static inline void fake_memory_map(u64 bytes)
{
	free(fake_arena);
	fake_arena = aligned_alloc(2 * MIB, ALIGN_UP(bytes, 2 * MIB));
	direct_map = fake_arena;
	fake_boot_info = (struct boot_info){
		.magic = BOOT_INFO_MAGIC,
		.version = BOOT_INFO_VERSION,
		.mem = virt_to_phys(fake_map).value,
	};
}

static inline void fake_memory_add(u64 base, u64 bytes, u32 type)
{
	fake_map[fake_boot_info.mem_count++] = (struct boot_mem){ .base = base, .bytes = bytes, .type = type };
}

/* All of an arena of bytes is usable, but what page_init leaves out below 1 MiB. */
static inline void fake_memory_init(u64 bytes)
{
	fake_memory_map(bytes);
	fake_memory_add(0, bytes, BOOT_MEM_USABLE);
	if (page_init(&fake_boot_info))
		abort();
}
