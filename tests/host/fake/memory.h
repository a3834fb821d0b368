/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Physical memory for host tests: an arena that direct_map shows, given to page_init.
 * Included by the test's own file, once; needs kernel/page.c and kernel/page_map.c.
 */
#pragma once

#include <stdlib.h>
#include <sys/mman.h>

#include "boot/handoff.h"
#include "kernel/page.h"

static struct boot_mem fake_map[8];
static struct boot_info fake_boot_info;
static u64 fake_arena_bytes;

/* An arena of bytes, from physical address 0 on; costs only what is touched. Not yet in the map. */
static inline void fake_memory_map(u64 bytes)
{
	if (direct_map)
		munmap(direct_map, fake_arena_bytes);
	fake_arena_bytes = bytes;
	direct_map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			  -1, 0);
	if (direct_map == MAP_FAILED)
		abort();
	fake_boot_info = (struct boot_info){
		.magic = BOOT_INFO_MAGIC,
		.version = BOOT_INFO_VERSION,
		.mem = (u64)((u8 *)fake_map - direct_map),
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
