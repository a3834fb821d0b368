/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of the page allocator, shared by page.c (give and take) and page_map.c (which
 * memory there is).
 *
 *   region   a range of physical memory in whole chunks; a machine has a few
 *   chunk    2 MiB. Its bitmap has a bit for each small page: 1 = not free.
 *            free == 512: whole, on the whole list (or on no list once given as
 *            2 MiB or 1 GiB: free == 0, is_given_whole).
 *            0 < free < 512: cut, on the cut list. free == 0: on no list.
 *
 * Pages at the edges of usable memory that are not usable are bits that nobody ever clears.
 */
#pragma once

#include "kernel/bits.h"
#include "kernel/lock.h"
#include "kernel/page.h"

#define CHUNK_PAGES 512u
#define CHUNK_WORDS BITMAP_WORDS(CHUNK_PAGES)
#define REGION_MAX 64
#define NO_CHUNK (~0u)

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

struct page_pool {
	struct lock lock; /* of all below */
	unsigned region_count;
	struct region regions[REGION_MAX];
	struct chunk *chunks;
	struct chunk_list whole;
	struct chunk_list cut;
	struct page_stats stats;
};

extern struct page_pool page_pool;

/* Number of the chunk with the address; NO_CHUNK when no region covers it. */
u32 chunk_at(u64 address);
/* Changes the count of free pages and moves the chunk to the list for it. */
void chunk_set_free(u32 index, u16 free);
/* Empties the lists, or puts the chunks below total on them in ascending order. */
void chunk_lists_clear(void);
void chunk_lists_sort(u32 total);
