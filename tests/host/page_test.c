/* SPDX-License-Identifier: BSD-2-Clause */
/* The page allocator against a model that knows the owner of each page; memory maps in disorder. */
/* SOURCES: kernel/page.c kernel/page_map.c kernel/log.c kernel/clock.c kernel/fmt.c kernel/str.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/host/fake/memory.h"
#include "tests/host/fake/panic.h"
#include "kernel/bits.h"
#include "kernel/errno.h"

#define ARENA (64 * MIB)
#define PAGES (ARENA / PAGE_BYTES)

static bool may_use[PAGES];
static bool is_owned[PAGES];

struct block {
	u64 address;
	unsigned pages;
	bool is_large;
};

static void own(struct block block)
{
	for (u64 page = block.address / PAGE_BYTES; page < block.address / PAGE_BYTES + block.pages; page++) {
		assert_in_range(page, 0, PAGES - 1);
		assert_true(may_use[page]);
		assert_false(is_owned[page]);
		is_owned[page] = true;
	}
}

static void disown(struct block block)
{
	for (unsigned i = 0; i < block.pages; i++)
		is_owned[block.address / PAGE_BYTES + i] = false;
}

/* A map with holes at odd places: 256 KiB at 5 MiB are reserved, and part of a page at 9 MiB. */
static void odd_map(void)
{
	fake_memory_map(ARENA);
	fake_memory_add(0, 640 * KIB, BOOT_MEM_USABLE);
	fake_memory_add(MIB, 4 * MIB, BOOT_MEM_USABLE);
	fake_memory_add(5 * MIB, 256 * KIB, BOOT_MEM_RESERVED);
	fake_memory_add(5 * MIB + 256 * KIB, 4 * MIB - 256 * KIB + 100, BOOT_MEM_USABLE);
	fake_memory_add(9 * MIB + 100, 2 * MIB, BOOT_MEM_LOADED);
	fake_memory_add(11 * MIB + 100, ARENA - 11 * MIB - 100, BOOT_MEM_USABLE);
	assert_int_equal(page_init(&fake_boot_info), 0);
	memset(is_owned, 0, sizeof(is_owned));
	memset(may_use, 1, sizeof(may_use));
	memset(may_use, 0, MIB / PAGE_BYTES);
	memset(may_use + 5 * MIB / PAGE_BYTES, 0, 256 * KIB / PAGE_BYTES);
	memset(may_use + 9 * MIB / PAGE_BYTES, 0, 2 * MIB / PAGE_BYTES + 1);
}

static u64 free_bytes(void)
{
	struct page_stats stats;

	page_get_stats(&stats);
	return stats.free_bytes;
}

static bool take(struct block *block)
{
	unsigned kind = (unsigned)rand() % 8;
	hpa_t hpa;

	block->is_large = kind == 0;
	block->pages = kind == 0 ? 512 : kind < 5 ? 1 : 1 + (unsigned)rand() % (kind == 5 ? 512 : 8);
	if (block->is_large ? page_alloc(PAGE_2M, &hpa)
			    : block->pages == 1 ? page_alloc(PAGE_4K, &hpa) : page_alloc_run(block->pages, &hpa))
		return false;
	block->address = hpa.value;
	assert_true(IS_ALIGNED(hpa.value, block->is_large ? LARGE_PAGE_BYTES : PAGE_BYTES));
	/* A run never leaves its chunk. */
	assert_int_equal(hpa.value / LARGE_PAGE_BYTES,
			 (hpa.value + block->pages * PAGE_BYTES - 1) / LARGE_PAGE_BYTES);
	return true;
}

static void give(struct block block)
{
	if (block.is_large)
		page_free(HPA(block.address), PAGE_2M);
	else if (block.pages == 1)
		page_free(HPA(block.address), PAGE_4K);
	else
		page_free_run(HPA(block.address), block.pages);
}

static void random_work_keeps_owners_apart(void **state)
{
	static struct block held[1000];
	unsigned count = 0;
	u64 at_start, lowest;
	struct page_stats stats;

	(void)state;
	odd_map();
	at_start = lowest = free_bytes();
	for (int step = 0; step < 30000; step++) {
		bool want_more = (unsigned)rand() % 1000 >= count * (step % 5000 < 2500 ? 1 : 3);
		u64 before = free_bytes();

		if (want_more && count < ARRAY_COUNT(held) && take(&held[count])) {
			own(held[count]);
			assert_int_equal(free_bytes(), before - held[count++].pages * PAGE_BYTES);
		} else if (count) {
			unsigned victim = (unsigned)rand() % count;

			disown(held[victim]);
			give(held[victim]);
			assert_int_equal(free_bytes(), before + held[victim].pages * PAGE_BYTES);
			held[victim] = held[--count];
		}
		lowest = MIN(lowest, free_bytes());
	}
	while (count)
		give(held[--count]);
	page_get_stats(&stats);
	assert_int_equal(stats.free_bytes, at_start);
	assert_int_equal(stats.total_bytes, at_start);
	assert_int_equal(stats.low_water_bytes, lowest);
}

static void every_usable_page_is_given_once(void **state)
{
	struct page_stats stats;
	u64 usable = 0, given = 0;
	hpa_t hpa;

	(void)state;
	odd_map();
	while (page_alloc(PAGE_4K, &hpa) == 0) {
		own((struct block){ hpa.value, 1, false });
		given++;
	}
	for (u64 page = 0; page < PAGES; page++)
		usable += may_use[page];
	page_get_stats(&stats);
	assert_int_equal(given * PAGE_BYTES, usable * PAGE_BYTES - stats.metadata_bytes);
	assert_int_equal(stats.free_bytes, 0);
	assert_int_equal(page_alloc(PAGE_2M, &hpa), -ENOMEM);
	assert_int_equal(page_alloc_run(1, &hpa), -ENOMEM);
	assert_null(page_alloc_zeroed());
	for (u64 page = 0; page < PAGES; page++) {
		if (is_owned[page])
			page_free(HPA(page * PAGE_BYTES), PAGE_4K);
	}
	assert_int_equal(free_bytes(), given * PAGE_BYTES);
}

static void lowest_memory_comes_first(void **state)
{
	u64 last = 0;
	hpa_t hpa;

	(void)state;
	odd_map();
	for (int i = 0; i < 20; i++) {
		assert_int_equal(page_alloc(PAGE_2M, &hpa), 0);
		assert_true(hpa.value > last);
		last = hpa.value;
	}
	assert_int_equal(page_alloc(PAGE_4K, &hpa), 0);
	assert_true(hpa.value < 4 * MIB);
}

static void run_counts_are_checked(void **state)
{
	hpa_t hpa;

	(void)state;
	odd_map();
	assert_int_equal(page_alloc_run(0, &hpa), -ENOMEM);
	assert_int_equal(page_alloc_run(513, &hpa), -ENOMEM);
	assert_int_equal(page_alloc_run(512, &hpa), 0);
	page_free_run(hpa, 512);
}

static void zeroed_pages_are_zero(void **state)
{
	static const u8 zero[PAGE_BYTES];
	u8 *page;

	(void)state;
	odd_map();
	for (int i = 0; i < 3; i++) {
		page = page_alloc_zeroed();
		assert_memory_equal(page, zero, PAGE_BYTES);
		memset(page, 0xaa, PAGE_BYTES);
		page_free_va(page);
	}
	page_free_va(NULL);
}

static void huge_pages(void **state)
{
	struct page_stats stats;
	hpa_t a, b, small;

	(void)state;
	/* [1 GiB, 2 GiB) and [2 GiB, 3 GiB) are whole, the rest is not. */
	fake_memory_map(4 * GIB);
	fake_memory_add(MIB, 4 * GIB - 2 * MIB, BOOT_MEM_USABLE);
	assert_int_equal(page_init(&fake_boot_info), 0);
	page_get_stats(&stats);
	assert_int_equal(page_alloc(PAGE_1G, &a), 0);
	assert_int_equal(page_alloc(PAGE_1G, &b), 0);
	assert_int_equal(a.value + b.value, 3 * GIB);
	assert_true(IS_ALIGNED(a.value, GIB));
	assert_int_equal(free_bytes(), stats.free_bytes - 2 * GIB);
	assert_int_equal(page_alloc(PAGE_1G, &small), -ENOMEM);

	/* One small page out of it, and a GiB is none any more. */
	page_free(a, PAGE_1G);
	while (page_alloc(PAGE_2M, &small) == 0 && small.value / GIB != a.value / GIB)
		;
	assert_int_equal(page_alloc(PAGE_1G, &b), -ENOMEM);
	page_free(small, PAGE_2M);
	assert_int_equal(page_alloc(PAGE_1G, &b), 0);
	assert_int_equal(a.value, b.value);
}

static void loader_memory_is_given_later(void **state)
{
	u64 before;

	(void)state;
	fake_memory_map(ARENA);
	fake_memory_add(MIB, 15 * MIB, BOOT_MEM_USABLE);
	fake_memory_add(16 * MIB, 4 * MIB, BOOT_MEM_LOADER);
	fake_memory_add(20 * MIB, 4 * MIB, BOOT_MEM_USABLE);
	assert_int_equal(page_init(&fake_boot_info), 0);
	before = free_bytes();
	page_add_range(16 * MIB, 4 * MIB);
	assert_int_equal(free_bytes(), before + 4 * MIB);
	/* Twice, unknown, wrapping: nothing more. */
	page_add_range(16 * MIB, 4 * MIB);
	page_add_range(40 * MIB, 4 * MIB);
	page_add_range(~0ull - 100, ~0ull);
	page_add_range(BIT(60), BIT(40));
	assert_int_equal(free_bytes(), before + 4 * MIB);
}

static void hostile_maps(void **state)
{
	(void)state;
	/* Overlaps: what somebody else claims is not ours. */
	fake_memory_map(ARENA);
	fake_memory_add(MIB, 31 * MIB, BOOT_MEM_USABLE);
	fake_memory_add(2 * MIB, 6 * MIB, BOOT_MEM_RESERVED);
	fake_memory_add(0, ~0ull, BOOT_MEM_MMIO);
	assert_int_equal(page_init(&fake_boot_info), -ENOMEM);

	fake_memory_map(ARENA);
	fake_memory_add(MIB, 31 * MIB, BOOT_MEM_USABLE);
	fake_memory_add(10 * MIB, 10 * MIB, BOOT_MEM_USABLE);
	fake_memory_add(12 * MIB, 6 * MIB, BOOT_MEM_RESERVED);
	fake_memory_add(BIT(51) - 1, ~0ull, BOOT_MEM_BAD);
	assert_int_equal(page_init(&fake_boot_info), 0);
	assert_in_range(free_bytes(), 24 * MIB, 25 * MIB);

	/* Nothing usable, no map, only low memory, only memory that cannot be reached at this time. */
	fake_memory_map(ARENA);
	assert_int_equal(page_init(&fake_boot_info), -ENOMEM);
	fake_memory_add(0, MIB, BOOT_MEM_USABLE);
	assert_int_equal(page_init(&fake_boot_info), -ENOMEM);
	fake_memory_add(8 * GIB, GIB, BOOT_MEM_USABLE);
	assert_int_equal(page_init(&fake_boot_info), -ENOMEM);

	/* More memory than can be: the number of chunks does not wrap. */
	fake_memory_map(ARENA);
	fake_memory_add(MIB, ~0ull, BOOT_MEM_USABLE);
	assert_int_equal(page_init(&fake_boot_info), -ENOMEM);
}

static hpa_t victim;

static void free_twice(void)
{
	page_free(victim, PAGE_4K);
	page_free(victim, PAGE_4K);
}

static void free_large_as_small(void)
{
	hpa_t hpa;

	if (page_alloc(PAGE_2M, &hpa) == 0)
		page_free(hpa, PAGE_4K);
}

static void free_small_as_large(void) { page_free(HPA(ALIGN_DOWN(victim.value, LARGE_PAGE_BYTES)), PAGE_2M); }
static void free_unaligned(void) { page_free(HPA(victim.value + 8), PAGE_4K); }
static void free_unknown(void) { page_free(HPA(100 * GIB), PAGE_4K); }
static void free_beyond_chunk(void) { page_free_run(HPA(4 * MIB - PAGE_BYTES), 2); }

static void wrong_frees_panic(void **state)
{
	(void)state;
	odd_map();
	assert_int_equal(page_alloc(PAGE_4K, &victim), 0);
	assert_true(fake_panics(free_twice));
	assert_true(fake_panics(free_large_as_small));
	assert_true(fake_panics(free_small_as_large));
	assert_true(fake_panics(free_unaligned));
	assert_true(fake_panics(free_unknown));
	assert_true(fake_panics(free_beyond_chunk));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_work_keeps_owners_apart),
		cmocka_unit_test(every_usable_page_is_given_once),
		cmocka_unit_test(lowest_memory_comes_first),
		cmocka_unit_test(run_counts_are_checked),
		cmocka_unit_test(zeroed_pages_are_zero),
		cmocka_unit_test(huge_pages),
		cmocka_unit_test(loader_memory_is_given_later),
		cmocka_unit_test(hostile_maps),
		cmocka_unit_test(wrong_frees_panic),
	};

	srand(2);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
