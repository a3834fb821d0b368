/* SPDX-License-Identifier: BSD-2-Clause */
/* Building the memory map of struct boot_info: sorted, not overlapping, whatever the firmware said. */
#pragma once

#include "boot/handoff.h"

/* What a loader keeps free in the map for each range of its own, so that those always fit. */
#define MEM_MAP_ROOM 2

struct mem_map {
	struct boot_mem *entry;
	u32 count;
	u32 max;
};

/*
 * Makes [base, base + bytes) be of this type, over what was there before; neighbours of one
 * type become one entry. Usable memory shrinks to whole pages, all else grows to them.
 * Empty ranges are ignored, and a range that wraps ends at the last page.
 *
 * Returns false when the map is full. Memory is lost then, but never wrongly usable: a usable
 * range is left out, and any other makes all usable entries that it touches reserved.
 */
bool mem_map_set(struct mem_map *map, u64 base, u64 bytes, enum boot_mem_type type);
