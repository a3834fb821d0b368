/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page allocator: chunks of 2 MiB, whole or cut.
 *
 *   region   a range of physical memory in whole chunks; a machine has a few
 *   chunk    2 MiB. Its bitmap has a bit for each small page: 1 = not free.
 *            free == 512: whole, on the whole list (or on no list once given as
 *            2 MiB or 1 GiB: free == 0, is_given_whole).
 *            0 < free < 512: cut, on the cut list. free == 0: on no list.
 *
 * Pages at the edges of usable memory that are not usable are bits that nobody ever
 * clears. The lists start in ascending order and lowest comes first: before Tern's
 * own page tables exist only the first 4 GiB are mapped, and what is given then must
 * lie there.
 *
 * page_lock guards everything here. Freeing what was not given is a bug of ours: panic.
 */
#include "kernel/page.h"

#include "boot/handoff.h"
#include "kernel/bits.h"
#include "kernel/errno.h"
#include "kernel/lock.h"
#include "kernel/log.h"
#include "kernel/panic.h"
#include "kernel/string.h"

#define CHUNK_PAGES 512u
#define CHUNK_WORDS BITMAP_WORDS(CHUNK_PAGES)
#define CHUNKS_PER_GIB 512u
#define REGION_MAX 64
#define NO_CHUNK (~0u)

/* Nothing below is ever given: BIOS data, the trampoline of the other CPUs, the VGA hole. */
#define LOWEST_ADDRESS MIB
/* SDM 3A 4.1.4: MAXPHYADDR is at most 52. */
#define HIGHEST_ADDRESS BIT(52)

struct chunk {
	u64 taken[CHUNK_WORDS];
	u32 next; /* chunk numbers; NO_CHUNK at the ends of a list */
	u32 prev;
	u16 free;
	bool is_given_whole;
	bool is_listed;
};

struct region {
	u64 first; /* physical address / 2 MiB */
	u64 count;
	u32 index; /* number of its first chunk */
};

struct chunk_list {
	u32 head;
	u64 count;
};

u8 *direct_map;

static struct lock page_lock;
static struct region regions[REGION_MAX];
static unsigned region_count;
static struct chunk *chunks;
static struct chunk_list whole = { NO_CHUNK, 0 };
static struct chunk_list cut = { NO_CHUNK, 0 };
static struct page_stats stats;

static void list_push(struct chunk_list *list, u32 index)
{
	struct chunk *chunk = &chunks[index];

	chunk->next = list->head;
	chunk->prev = NO_CHUNK;
	chunk->is_listed = true;
	if (list->head != NO_CHUNK)
		chunks[list->head].prev = index;
	list->head = index;
	list->count++;
}

static void list_drop(struct chunk_list *list, u32 index)
{
	struct chunk *chunk = &chunks[index];

	if (chunk->prev == NO_CHUNK)
		list->head = chunk->next;
	else
		chunks[chunk->prev].next = chunk->next;
	if (chunk->next != NO_CHUNK)
		chunks[chunk->next].prev = chunk->prev;
	chunk->is_listed = false;
	list->count--;
}

/* The list on which a chunk with so many free pages belongs, or NULL. */
static struct chunk_list *list_for(u16 free)
{
	if (!free)
		return NULL;
	return free == CHUNK_PAGES ? &whole : &cut;
}

/* Changes the count of free pages and moves the chunk to the list for it. */
static void set_free(u32 index, u16 free)
{
	struct chunk *chunk = &chunks[index];
	struct chunk_list *from = chunk->is_listed ? list_for(chunk->free) : NULL;
	struct chunk_list *to = list_for(free);

	stats.free_bytes += ((u64)free - chunk->free) * PAGE_BYTES;
	stats.low_water_bytes = MIN(stats.low_water_bytes, stats.free_bytes);
	chunk->free = free;
	if (from == to)
		return;
	if (from)
		list_drop(from, index);
	if (to)
		list_push(to, index);
}

static u64 chunk_base(u32 index)
{
	for (unsigned i = 0; i < region_count; i++) {
		const struct region *region = &regions[i];

		if (index - region->index < region->count)
			return (region->first + index - region->index) * LARGE_PAGE_BYTES;
	}
	panic("page: chunk %u is in no region", index);
}

/* NO_CHUNK for an address that no region covers. */
static u32 chunk_at(u64 address)
{
	u64 number = address / LARGE_PAGE_BYTES;

	for (unsigned i = 0; i < region_count; i++) {
		if (number - regions[i].first < regions[i].count)
			return regions[i].index + (u32)(number - regions[i].first);
	}
	return NO_CHUNK;
}

/* ---- start ---- */

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

/* Grows the last region or adds one; the map is sorted. Chunks in all regions fit in 32 bits. */
static void add_region(u64 base, u64 end)
{
	u64 first = base / LARGE_PAGE_BYTES;
	u64 last = (end - 1) / LARGE_PAGE_BYTES;
	struct region *region = region_count ? &regions[region_count - 1] : NULL;

	if (region && first < region->first) {
		log_warn("memory map is not sorted: %#llx ignored", (unsigned long long)base);
		return;
	}
	if (region && first <= region->first + region->count) {
		region->count = MAX(region->count, last + 1 - region->first);
		return;
	}
	if (region_count == REGION_MAX) {
		log_warn("memory map has too many holes: %#llx ignored", (unsigned long long)base);
		return;
	}
	regions[region_count++] = (struct region){ .first = first, .count = last + 1 - first };
}

/* Returns the number of all chunks, or 0 when that is no sane number. */
static u64 number_regions(void)
{
	u64 total = 0;

	for (unsigned i = 0; i < region_count; i++) {
		regions[i].index = (u32)total;
		total += regions[i].count;
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

			freed += bitmap_test(chunks[index].taken, page);
			bitmap_clear(chunks[index].taken, page);
		}
		if (freed)
			set_free(index, (u16)(chunks[index].free + freed));
		stats.total_bytes += freed * PAGE_BYTES;
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

			taken += !bitmap_test(chunks[index].taken, page);
			bitmap_set(chunks[index].taken, page);
		}
		if (taken)
			set_free(index, (u16)(chunks[index].free - taken));
		stats.total_bytes -= taken * PAGE_BYTES;
		base = stop;
	}
}

/* As reserve_range, without a walk over what no region has: a map may call 2^51 bytes reserved. */
static void reserve_in_regions(u64 base, u64 end)
{
	for (unsigned i = 0; i < region_count; i++) {
		u64 low = regions[i].first * LARGE_PAGE_BYTES;
		u64 high = low + regions[i].count * LARGE_PAGE_BYTES;

		if (base < high && end > low)
			reserve_range(MAX(base, low), MIN(end, high));
	}
}

/* Both lists were built by pushing at the head, from the top: see the opening comment. */
static void release_usable(const struct boot_mem *map, u32 count)
{
	for (u32 i = count; i-- > 0;) {
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

/* Puts the lists in ascending order. */
static void sort_lists(u32 total)
{
	whole = (struct chunk_list){ NO_CHUNK, 0 };
	cut = (struct chunk_list){ NO_CHUNK, 0 };
	for (u32 index = total; index-- > 0;) {
		struct chunk_list *list = list_for(chunks[index].free);

		chunks[index].is_listed = false;
		if (list)
			list_push(list, index);
	}
}

int page_init(const struct boot_info *info)
{
	const struct boot_mem *map = phys_to_virt(HPA(info->mem));
	u64 total, bytes, place;

	region_count = 0;
	memset(&stats, 0, sizeof(stats));
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

	chunks = phys_to_virt(HPA(place));
	memset(chunks, 0, bytes);
	for (u32 i = 0; i < total; i++)
		memset(chunks[i].taken, 0xff, sizeof(chunks[i].taken));
	whole = (struct chunk_list){ NO_CHUNK, 0 };
	cut = (struct chunk_list){ NO_CHUNK, 0 };
	release_usable(map, info->mem_count);
	reserve_range(place, place + bytes);
	sort_lists((u32)total);
	stats.metadata_bytes = bytes;
	stats.low_water_bytes = stats.free_bytes;
	return 0;
}

void page_add_range(u64 base, u64 bytes)
{
	u64 end = bytes > HIGHEST_ADDRESS - MIN(base, HIGHEST_ADDRESS) ? HIGHEST_ADDRESS : base + bytes;

	u64 before;

	lock_take(&page_lock);
	before = stats.free_bytes;
	for (unsigned i = 0; i < region_count; i++) {
		u64 low = regions[i].first * LARGE_PAGE_BYTES;
		u64 high = low + regions[i].count * LARGE_PAGE_BYTES;

		if (base < high && end > low)
			release_range(MAX(base, low), MIN(end, high));
	}
	/* Memory that comes late was never short before. */
	stats.low_water_bytes += stats.free_bytes - before;
	lock_give(&page_lock);
}

/* ---- give ---- */

/* The first run of count free pages of a chunk, or CHUNK_PAGES. */
static unsigned find_run(const struct chunk *chunk, unsigned count)
{
	unsigned length = 0;

	for (unsigned page = 0; page < CHUNK_PAGES; page++) {
		if (page % 64 == 0 && chunk->taken[page / 64] == ~0ull) {
			length = 0;
			page += 63;
			continue;
		}
		length = bitmap_test(chunk->taken, page) ? 0 : length + 1;
		if (length == count)
			return page + 1 - count;
	}
	return CHUNK_PAGES;
}

static u64 take_pages(u32 index, unsigned page, unsigned count)
{
	struct chunk *chunk = &chunks[index];

	for (unsigned i = 0; i < count; i++)
		bitmap_set(chunk->taken, page + i);
	set_free(index, (u16)(chunk->free - count));
	return chunk_base(index) + page * PAGE_BYTES;
}

static int take_run(unsigned count, u64 *address)
{
	for (u32 index = cut.head; index != NO_CHUNK; index = chunks[index].next) {
		unsigned page = chunks[index].free < count ? CHUNK_PAGES : find_run(&chunks[index], count);

		if (page < CHUNK_PAGES) {
			*address = take_pages(index, page, count);
			return 0;
		}
	}
	if (whole.head == NO_CHUNK)
		return -ENOMEM;
	*address = take_pages(whole.head, 0, count);
	return 0;
}

static void take_whole(u32 index)
{
	struct chunk *chunk = &chunks[index];

	memset(chunk->taken, 0xff, sizeof(chunk->taken));
	chunk->is_given_whole = true;
	set_free(index, 0);
}

static int take_large(u64 *address)
{
	u32 index = whole.head;

	if (index == NO_CHUNK)
		return -ENOMEM;
	take_whole(index);
	*address = chunk_base(index);
	return 0;
}

static bool is_huge_free(u32 index)
{
	for (u32 i = 0; i < CHUNKS_PER_GIB; i++) {
		if (chunks[index + i].free != CHUNK_PAGES)
			return false;
	}
	return true;
}

static int take_huge(u64 *address)
{
	for (unsigned r = 0; r < region_count && whole.count >= CHUNKS_PER_GIB; r++) {
		const struct region *region = &regions[r];
		u64 number = ALIGN_UP(region->first, CHUNKS_PER_GIB);

		for (; number + CHUNKS_PER_GIB <= region->first + region->count; number += CHUNKS_PER_GIB) {
			u32 index = region->index + (u32)(number - region->first);

			if (!is_huge_free(index))
				continue;
			for (u32 i = 0; i < CHUNKS_PER_GIB; i++)
				take_whole(index + i);
			*address = number * LARGE_PAGE_BYTES;
			return 0;
		}
	}
	return -ENOMEM;
}

int page_alloc(enum page_size size, hpa_t *out)
{
	u64 address = 0;
	int err;

	lock_take(&page_lock);
	if (size == PAGE_4K)
		err = take_run(1, &address);
	else
		err = size == PAGE_2M ? take_large(&address) : take_huge(&address);
	lock_give(&page_lock);
	if (!err)
		*out = HPA(address);
	return err;
}

int page_alloc_run(unsigned count, hpa_t *out)
{
	u64 address = 0;
	int err;

	if (!count || count > CHUNK_PAGES)
		return -ENOMEM;
	lock_take(&page_lock);
	err = take_run(count, &address);
	lock_give(&page_lock);
	if (!err)
		*out = HPA(address);
	return err;
}

void *page_alloc_zeroed(void)
{
	hpa_t hpa;

	if (page_alloc(PAGE_4K, &hpa))
		return NULL;
	return memset(phys_to_virt(hpa), 0, PAGE_BYTES);
}

/* ---- take back ---- */

static void give_back_whole(u64 address)
{
	u32 index = chunk_at(address);
	struct chunk *chunk;

	if (index == NO_CHUNK || !chunks[index].is_given_whole)
		panic("page: %#llx was not given as a large page", (unsigned long long)address);
	chunk = &chunks[index];
	memset(chunk->taken, 0, sizeof(chunk->taken));
	chunk->is_given_whole = false;
	set_free(index, CHUNK_PAGES);
}

static void give_back_run(u64 address, unsigned count)
{
	u32 index = chunk_at(address);
	unsigned page = (unsigned)(address / PAGE_BYTES % CHUNK_PAGES);
	struct chunk *chunk;

	if (index == NO_CHUNK || chunks[index].is_given_whole || !count || page + count > CHUNK_PAGES)
		panic("page: %#llx (%u pages) was not given", (unsigned long long)address, count);
	chunk = &chunks[index];
	for (unsigned i = page; i < page + count; i++) {
		if (!bitmap_test(chunk->taken, i))
			panic("page: %#llx given back twice", (unsigned long long)address);
		bitmap_clear(chunk->taken, i);
	}
	set_free(index, (u16)(chunk->free + count));
}

void page_free(hpa_t hpa, enum page_size size)
{
	if (!IS_ALIGNED(hpa.value, page_size_bytes(size)))
		panic("page: %#llx is not aligned to its size", (unsigned long long)hpa.value);
	lock_take(&page_lock);
	if (size == PAGE_4K)
		give_back_run(hpa.value, 1);
	else
		for (u64 at = 0; at < page_size_bytes(size); at += LARGE_PAGE_BYTES)
			give_back_whole(hpa.value + at);
	lock_give(&page_lock);
}

void page_free_run(hpa_t hpa, unsigned count)
{
	if (!IS_ALIGNED(hpa.value, PAGE_BYTES))
		panic("page: %#llx is not aligned", (unsigned long long)hpa.value);
	lock_take(&page_lock);
	give_back_run(hpa.value, count);
	lock_give(&page_lock);
}

void page_free_va(void *va)
{
	if (va)
		page_free(virt_to_phys(va), PAGE_4K);
}

void page_get_stats(struct page_stats *out)
{
	lock_take(&page_lock);
	*out = stats;
	out->free_large_pages = whole.count;
	lock_give(&page_lock);
}
