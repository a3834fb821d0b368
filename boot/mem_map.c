/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A loader calls mem_map_set() with the firmware's usable ranges first, then the other
 * ranges, then its own: the last word on a page wins, so a page that the firmware calls both
 * usable and reserved is reserved.
 *
 * Linked into the core (PVH) and into the UEFI loader; touches nothing but the map.
 */
#include "boot/mem_map.h"

#define PAGE_BYTES 4096ull

static u64 entry_end(const struct boot_mem *entry)
{
	return entry->base + entry->bytes;
}

static void insert(struct mem_map *map, u32 at, u64 base, u64 end, u32 type)
{
	u32 i;

	for (i = map->count; i > at; i--)
		map->entry[i] = map->entry[i - 1];
	map->entry[at] = (struct boot_mem){ .base = base, .bytes = end - base, .type = type };
	map->count++;
}

static void drop(struct mem_map *map, u32 at)
{
	u32 i;

	map->count--;
	for (i = at; i < map->count; i++)
		map->entry[i] = map->entry[i + 1];
}

/* Clears [base, end); returns the index at which an entry for it belongs. */
static u32 cut(struct mem_map *map, u64 base, u64 end)
{
	u32 i = 0;

	while (i < map->count && entry_end(&map->entry[i]) <= base)
		i++;
	if (i < map->count && map->entry[i].base < base) {
		u64 old_end = entry_end(&map->entry[i]);

		map->entry[i].bytes = base - map->entry[i].base;
		if (old_end > end)
			insert(map, i + 1, end, old_end, map->entry[i].type);
		i++;
	}
	while (i < map->count && entry_end(&map->entry[i]) <= end)
		drop(map, i);
	if (i < map->count && map->entry[i].base < end) {
		map->entry[i].bytes = entry_end(&map->entry[i]) - end;
		map->entry[i].base = end;
	}
	return i;
}

static void merge_with_next(struct mem_map *map, u32 at)
{
	struct boot_mem *entry = &map->entry[at];

	if (at + 1 >= map->count || entry_end(entry) != entry[1].base || entry->type != entry[1].type)
		return;
	entry->bytes += entry[1].bytes;
	drop(map, at + 1);
}

/* Without room to say what is where: nothing that the range touches is usable. */
static void withdraw(struct mem_map *map, u64 base, u64 end)
{
	u32 i;

	for (i = 0; i < map->count; i++) {
		struct boot_mem *entry = &map->entry[i];

		if (entry->type == BOOT_MEM_USABLE && entry->base < end && entry_end(entry) > base)
			entry->type = BOOT_MEM_RESERVED;
	}
}

bool mem_map_set(struct mem_map *map, u64 base, u64 bytes, enum boot_mem_type type)
{
	const u64 last_page = ALIGN_DOWN(~0ull, PAGE_BYTES);
	u64 end = bytes > last_page || base > last_page - bytes ? last_page : base + bytes;
	u32 at;

	if (type == BOOT_MEM_USABLE) {
		base = base > last_page ? last_page : ALIGN_UP(base, PAGE_BYTES);
		end = ALIGN_DOWN(end, PAGE_BYTES);
	} else {
		base = ALIGN_DOWN(base, PAGE_BYTES);
		end = end > last_page ? last_page : ALIGN_UP(end, PAGE_BYTES);
	}
	if (!bytes || base >= end)
		return true;
	if (map->count + 2 > map->max) { /* a cut in the middle of an entry makes two more */
		if (type != BOOT_MEM_USABLE)
			withdraw(map, base, end);
		return false;
	}
	at = cut(map, base, end);
	insert(map, at, base, end, type);
	merge_with_next(map, at);
	if (at)
		merge_with_next(map, at - 1);
	return true;
}
