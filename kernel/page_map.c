/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which memory the page allocator has: from the loader's map to regions, chunks and free pages.
 *
 * The map is firmware's and may be in disorder: overlaps, wrapping lengths, addresses that no
 * CPU has. What any entry claims for somebody else is not given out.
 */
#include "kernel/page.h"

#include "boot/handoff.h"
#include "kernel/errno.h"
#include "kernel/log.h"
#include "kernel/page_private.h"
#include "kernel/string.h"

/* Nothing below is ever given: BIOS data, the trampoline of the other CPUs, the VGA hole. */
#define LOWEST_ADDRESS MIB
/* SDM 3A 4.1.4: MAXPHYADDR is at most 52. */
#define HIGHEST_ADDRESS BIT(52)

static bool is_for_us(u32 type)
{
	return type == BOOT_MEM_USABLE || type == BOOT_MEM_LOADER;
}

/* The part of a map entry that we consider: false when nothing is left of it. */
static bool entry_range(const struct boot_mem *entry, u64 *base, u64 *end)
{
	if (entry->base >= HIGHEST_ADDRESS)
		return false;
	*base = MAX(entry->base, LOWEST_ADDRESS);
	*end = entry->bytes > HIGHEST_ADDRESS - entry->base ? HIGHEST_ADDRESS : entry->base + entry->bytes;
	return *base < *end;
}

/* Grows the last region or adds one; the map is sorted. */
static void add_region(u64 base, u64 end)
{
	u64 first = base / LARGE_PAGE_BYTES;
	u64 last = (end - 1) / LARGE_PAGE_BYTES;
	unsigned count = page_pool.region_count;
	struct region *region = count ? &page_pool.regions[count - 1] : NULL;

	if (region && first < region->first) {
		log_warn("memory map is not sorted: %#llx ignored", (unsigned long long)base);
		return;
	}
	if (region && first <= region->first + region->count) {
		region->count = MAX(region->count, last + 1 - region->first);
		return;
	}
	if (count == REGION_MAX) {
		log_warn("memory map has too many holes: %#llx ignored", (unsigned long long)base);
		return;
	}
	page_pool.regions[count] = (struct region){ .first = first, .count = last + 1 - first };
	page_pool.region_count++;
}

/* Returns the number of all chunks, or 0 when that is no sane number. */
static u64 number_regions(void)
{
	u64 total = 0;

	for (unsigned i = 0; i < page_pool.region_count; i++) {
		page_pool.regions[i].index = (u32)total; /* of use only when the total fits */
		total += page_pool.regions[i].count;
	}
	return total < NO_CHUNK ? total : 0;
}

/* The lowest usable place below 4 GiB for the metadata; it must not touch what other entries claim. */
static u64 find_place(const struct boot_mem *map, u32 count, u64 bytes)
{
	for (u32 i = 0; i < count; i++) {
		u64 base, end;

		if (map[i].type != BOOT_MEM_USABLE || !entry_range(&map[i], &base, &end))
			continue;
		base = ALIGN_UP(base, PAGE_BYTES);
		for (u32 k = 0; k < count; k++) {
			u64 other_base, other_end;

			if (map[k].type == BOOT_MEM_USABLE || !entry_range(&map[k], &other_base, &other_end))
				continue;
			if (other_base < end && other_end > base)
				end = MAX(other_base, base);
		}
		end = MIN(end, 4 * GIB);
		if (end > base && end - base >= bytes)
			return base;
	}
	return 0;
}

/* Marks the pages of [base, end), cut inward to whole pages, as free. */
static void release_range(u64 base, u64 end)
{
	base = ALIGN_UP(MAX(base, LOWEST_ADDRESS), PAGE_BYTES);
	end = ALIGN_DOWN(end, PAGE_BYTES);
	while (base < end) {
		u64 stop = MIN(end, ALIGN_DOWN(base, LARGE_PAGE_BYTES) + LARGE_PAGE_BYTES);
		u32 index = chunk_at(base);
		u16 freed = 0;

		for (u64 at = base; index != NO_CHUNK && at < stop; at += PAGE_BYTES) {
			u64 page = at / PAGE_BYTES % CHUNK_PAGES;

			freed += bitmap_test(page_pool.chunks[index].taken, page);
			bitmap_clear(page_pool.chunks[index].taken, page);
		}
		if (freed)
			chunk_set_free(index, (u16)(page_pool.chunks[index].free + freed));
		page_pool.stats.total_bytes += freed * PAGE_BYTES;
		base = stop;
	}
}

/* Takes the pages that [base, end) touches out again: a sound map has none that are free. */
static void reserve_range(u64 base, u64 end)
{
	base = ALIGN_DOWN(base, PAGE_BYTES);
	while (base < end) {
		u64 stop = MIN(end, ALIGN_DOWN(base, LARGE_PAGE_BYTES) + LARGE_PAGE_BYTES);
		u32 index = chunk_at(base);
		u16 taken = 0;

		for (u64 at = base; index != NO_CHUNK && at < stop; at += PAGE_BYTES) {
			u64 page = at / PAGE_BYTES % CHUNK_PAGES;

			taken += !bitmap_test(page_pool.chunks[index].taken, page);
			bitmap_set(page_pool.chunks[index].taken, page);
		}
		if (taken)
			chunk_set_free(index, (u16)(page_pool.chunks[index].free - taken));
		page_pool.stats.total_bytes -= taken * PAGE_BYTES;
		base = stop;
	}
}

/* As reserve_range, without a walk over what no region has: a map may call 2^51 bytes reserved. */
static void reserve_in_regions(u64 base, u64 end)
{
	for (unsigned i = 0; i < page_pool.region_count; i++) {
		u64 low = page_pool.regions[i].first * LARGE_PAGE_BYTES;
		u64 high = low + page_pool.regions[i].count * LARGE_PAGE_BYTES;

		if (base < high && end > low)
			reserve_range(MAX(base, low), MIN(end, high));
	}
}

/* What is usable and nobody else's. */
static void release_usable(const struct boot_mem *map, u32 count)
{
	for (u32 i = 0; i < count; i++) {
		u64 base, end;

		if (map[i].type == BOOT_MEM_USABLE && entry_range(&map[i], &base, &end))
			release_range(base, end);
	}
	for (u32 i = 0; i < count; i++) {
		u64 base, end;

		if (map[i].type != BOOT_MEM_USABLE && entry_range(&map[i], &base, &end))
			reserve_in_regions(base, end);
	}
}

int page_init(const struct boot_info *info)
{
	const struct boot_mem *map = phys_to_virt(HPA(info->mem));
	u64 total, bytes, place;

	page_pool.region_count = 0;
	memset(&page_pool.stats, 0, sizeof(page_pool.stats));
	for (u32 i = 0; i < info->mem_count; i++) {
		u64 base, end;

		if (is_for_us(map[i].type) && entry_range(&map[i], &base, &end))
			add_region(base, end);
	}
	total = number_regions();
	bytes = ALIGN_UP(total * sizeof(struct chunk), PAGE_BYTES);
	place = total ? find_place(map, info->mem_count, bytes) : 0;
	if (!place)
		return -ENOMEM;

	page_pool.chunks = phys_to_virt(HPA(place));
	memset(page_pool.chunks, 0, bytes);
	for (u32 i = 0; i < total; i++)
		memset(page_pool.chunks[i].taken, 0xff, sizeof(page_pool.chunks[i].taken));
	chunk_lists_clear();
	release_usable(map, info->mem_count);
	reserve_range(place, place + bytes);
	chunk_lists_sort((u32)total);
	page_pool.stats.metadata_bytes = bytes;
	page_pool.stats.low_water_bytes = page_pool.stats.free_bytes;
	return 0;
}

void page_add_range(u64 base, u64 bytes)
{
	u64 end = bytes > HIGHEST_ADDRESS - MIN(base, HIGHEST_ADDRESS) ? HIGHEST_ADDRESS : base + bytes;
	u64 before;

	lock_take(&page_pool.lock);
	before = page_pool.stats.free_bytes;
	for (unsigned i = 0; i < page_pool.region_count; i++) {
		u64 low = page_pool.regions[i].first * LARGE_PAGE_BYTES;
		u64 high = low + page_pool.regions[i].count * LARGE_PAGE_BYTES;

		if (base < high && end > low)
			release_range(MAX(base, low), MIN(end, high));
	}
	/* Memory that comes late was never short before. */
	page_pool.stats.low_water_bytes += page_pool.stats.free_bytes - before;
	lock_give(&page_pool.lock);
}
