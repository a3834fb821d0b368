/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page allocator: give and take chunks of 2 MiB, whole or cut (kernel/page_private.h).
 *
 * The lists start in ascending order, so that the lowest comes first: devices that reach only
 * 4 GiB find memory there early. What was given back last is given next.
 *
 * page_pool.lock guards everything here. Freeing what was not given is a bug of ours: panic.
 */
#include "kernel/page.h"

#include "kernel/errno.h"
#include "kernel/page_private.h"
#include "kernel/panic.h"
#include "kernel/string.h"

#define CHUNKS_PER_GIB 512u

u8 *direct_map;
struct page_pool page_pool = { .whole = { NO_CHUNK, 0 }, .cut = { NO_CHUNK, 0 } };

/* ---- chunks and their lists ---- */

static void list_push(struct chunk_list *list, u32 index)
{
	struct chunk *chunk = &page_pool.chunks[index];

	chunk->next = list->head;
	chunk->prev = NO_CHUNK;
	chunk->is_listed = true;
	if (list->head != NO_CHUNK)
		page_pool.chunks[list->head].prev = index;
	list->head = index;
	list->count++;
}

static void list_drop(struct chunk_list *list, u32 index)
{
	struct chunk *chunk = &page_pool.chunks[index];

	if (chunk->prev == NO_CHUNK)
		list->head = chunk->next;
	else
		page_pool.chunks[chunk->prev].next = chunk->next;
	if (chunk->next != NO_CHUNK)
		page_pool.chunks[chunk->next].prev = chunk->prev;
	chunk->is_listed = false;
	list->count--;
}

/* The list on which a chunk with so many free pages belongs, or NULL. */
static struct chunk_list *list_for(u16 free)
{
	if (!free)
		return NULL;
	return free == CHUNK_PAGES ? &page_pool.whole : &page_pool.cut;
}

void chunk_set_free(u32 index, u16 free)
{
	struct chunk *chunk = &page_pool.chunks[index];
	struct chunk_list *from = chunk->is_listed ? list_for(chunk->free) : NULL;
	struct chunk_list *to = list_for(free);

	page_pool.stats.free_bytes += ((u64)free - chunk->free) * PAGE_BYTES;
	page_pool.stats.low_water_bytes = MIN(page_pool.stats.low_water_bytes, page_pool.stats.free_bytes);
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
	for (unsigned i = 0; i < page_pool.region_count; i++) {
		const struct region *region = &page_pool.regions[i];

		if (index - region->index < region->count)
			return (region->first + index - region->index) * LARGE_PAGE_BYTES;
	}
	panic("page: chunk %u is in no region", index);
}

u32 chunk_at(u64 address)
{
	u64 number = address / LARGE_PAGE_BYTES;

	for (unsigned i = 0; i < page_pool.region_count; i++) {
		if (number - page_pool.regions[i].first < page_pool.regions[i].count)
			return page_pool.regions[i].index + (u32)(number - page_pool.regions[i].first);
	}
	return NO_CHUNK;
}

void chunk_lists_clear(void)
{
	page_pool.whole = (struct chunk_list){ NO_CHUNK, 0 };
	page_pool.cut = (struct chunk_list){ NO_CHUNK, 0 };
}

void chunk_lists_sort(u32 total)
{
	chunk_lists_clear();
	for (u32 index = total; index-- > 0;) {
		struct chunk_list *list = list_for(page_pool.chunks[index].free);

		page_pool.chunks[index].is_listed = false;
		if (list)
			list_push(list, index);
	}
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
	struct chunk *chunk = &page_pool.chunks[index];

	for (unsigned i = 0; i < count; i++)
		bitmap_set(chunk->taken, page + i);
	chunk_set_free(index, (u16)(chunk->free - count));
	return chunk_base(index) + page * PAGE_BYTES;
}

static int take_run(unsigned count, u64 *address)
{
	for (u32 index = page_pool.cut.head; index != NO_CHUNK; index = page_pool.chunks[index].next) {
		const struct chunk *chunk = &page_pool.chunks[index];
		unsigned page = chunk->free < count ? CHUNK_PAGES : find_run(chunk, count);

		if (page < CHUNK_PAGES) {
			*address = take_pages(index, page, count);
			return 0;
		}
	}
	if (page_pool.whole.head == NO_CHUNK)
		return -ENOMEM;
	*address = take_pages(page_pool.whole.head, 0, count);
	return 0;
}

static void take_whole(u32 index)
{
	struct chunk *chunk = &page_pool.chunks[index];

	memset(chunk->taken, 0xff, sizeof(chunk->taken));
	chunk->is_given_whole = true;
	chunk_set_free(index, 0);
}

static int take_large(u64 *address)
{
	u32 index = page_pool.whole.head;

	if (index == NO_CHUNK)
		return -ENOMEM;
	take_whole(index);
	*address = chunk_base(index);
	return 0;
}

static bool is_huge_free(u32 index)
{
	for (u32 i = 0; i < CHUNKS_PER_GIB; i++) {
		if (page_pool.chunks[index + i].free != CHUNK_PAGES)
			return false;
	}
	return true;
}

static int take_huge(u64 *address)
{
	for (unsigned r = 0; r < page_pool.region_count && page_pool.whole.count >= CHUNKS_PER_GIB; r++) {
		const struct region *region = &page_pool.regions[r];
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

	lock_take(&page_pool.lock);
	if (size == PAGE_4K)
		err = take_run(1, &address);
	else
		err = size == PAGE_2M ? take_large(&address) : take_huge(&address);
	lock_give(&page_pool.lock);
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
	lock_take(&page_pool.lock);
	err = take_run(count, &address);
	lock_give(&page_pool.lock);
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

	if (index == NO_CHUNK || !page_pool.chunks[index].is_given_whole)
		panic("page: %#llx was not given as a large page", (unsigned long long)address);
	chunk = &page_pool.chunks[index];
	memset(chunk->taken, 0, sizeof(chunk->taken));
	chunk->is_given_whole = false;
	chunk_set_free(index, CHUNK_PAGES);
}

static void give_back_run(u64 address, unsigned count)
{
	u32 index = chunk_at(address);
	unsigned page = (unsigned)(address / PAGE_BYTES % CHUNK_PAGES);
	struct chunk *chunk;

	if (index == NO_CHUNK || page_pool.chunks[index].is_given_whole || !count || page + count > CHUNK_PAGES)
		panic("page: %#llx (%u pages) was not given", (unsigned long long)address, count);
	chunk = &page_pool.chunks[index];
	for (unsigned i = page; i < page + count; i++) {
		if (!bitmap_test(chunk->taken, i))
			panic("page: %#llx given back twice", (unsigned long long)address);
		bitmap_clear(chunk->taken, i);
	}
	chunk_set_free(index, (u16)(chunk->free + count));
}

void page_free(hpa_t hpa, enum page_size size)
{
	if (!IS_ALIGNED(hpa.value, page_size_bytes(size)))
		panic("page: %#llx is not aligned to its size", (unsigned long long)hpa.value);
	lock_take(&page_pool.lock);
	if (size == PAGE_4K)
		give_back_run(hpa.value, 1);
	else
		for (u64 at = 0; at < page_size_bytes(size); at += LARGE_PAGE_BYTES)
			give_back_whole(hpa.value + at);
	lock_give(&page_pool.lock);
}

void page_free_run(hpa_t hpa, unsigned count)
{
	if (!IS_ALIGNED(hpa.value, PAGE_BYTES))
		panic("page: %#llx is not aligned", (unsigned long long)hpa.value);
	lock_take(&page_pool.lock);
	give_back_run(hpa.value, count);
	lock_give(&page_pool.lock);
}

void page_free_va(void *va)
{
	if (va)
		page_free(virt_to_phys(va), PAGE_4K);
}

void page_get_stats(struct page_stats *out)
{
	lock_take(&page_pool.lock);
	*out = page_pool.stats;
	out->free_large_pages = page_pool.whole.count;
	lock_give(&page_pool.lock);
}
