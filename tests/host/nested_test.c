/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nested tables against a model that knows one fact a page. A fake CPU walks the tables as
 * hardware does: it sets accessed and dirty bits, logs the second if it has a log, faults where it
 * may not write, and it caches, leaves and upper levels, until it is flushed.
 */
/* SOURCES: arch/nested.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/nested.h"
#include "kernel/bits.h"
#include "kernel/errno.h"
#include "tests/host/fake/panic.h"

/* Host pages for tables only; what is mapped is never touched. */
#define TABLES 64
u8 *direct_map;
static bool is_given[TABLES];
static unsigned given_count;
static unsigned allocations_left; /* then -ENOMEM */

void *page_alloc_zeroed(void)
{
	for (unsigned i = 0; allocations_left > 0 && i < TABLES; i++) {
		if (is_given[i])
			continue;
		allocations_left--;
		is_given[i] = true;
		given_count++;
		return memset(direct_map + i * PAGE_BYTES, 0, PAGE_BYTES);
	}
	return NULL;
}

void page_free_va(void *va)
{
	u64 i = (u64)((u8 *)va - direct_map) / PAGE_BYTES;

	assert_true(i < TABLES && is_given[i]);
	memset(va, 0xa5, PAGE_BYTES);
	is_given[i] = false;
	given_count--;
}

/* Two vendors' formats in spirit: one where "present" is two bits that all need, one where any is enough. */
static const struct nested_format formats[] = {
	{ .present = BIT(0) | BIT(2), .write = BIT(1), .accessed = BIT(5), .dirty = BIT(6), .large = BIT(7),
	  .address_mask = BITS(51, 12) },
	{ .present = BIT(0) | BIT(2), .write = BIT(1), .accessed = BIT(8), .dirty = BIT(9), .large = BIT(7),
	  .memory_wb = 6 << 3, .address_mask = BITS(51, 12) },
};

#define REGIONS 6
#define PAGES_PER_REGION 512u
#define GUEST_BYTES (REGIONS * LARGE_PAGE_BYTES)
#define GUEST_PAGES (REGIONS * PAGES_PER_REGION)
#define HOST_BASE (64ull * GIB)

static struct nested nested;

/* How what is written is found: by nested_harvest, or by the fake CPU's marks. */
static enum { BY_BITS, BY_LOG, BY_FAULTS, METHODS } method;
static bool is_marked[GUEST_PAGES]; /* in the log, or opened by a fault */
static bool is_armed[REGIONS];

static enum nested_watch watch(void) { return method == BY_FAULTS ? NESTED_WATCH_PROTECT : NESTED_WATCH_DIRTY; }

static int setup(void **state)
{
	(void)state;
	method = BY_BITS;
	direct_map = aligned_alloc(PAGE_BYTES, TABLES * PAGE_BYTES);
	allocations_left = ~0u;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	assert_int_equal(given_count, 0);
	free(direct_map);
	return 0;
}

/* The fake CPU. A cached translation is a pointer to the entry that was used at each level. */
struct tlb_entry {
	bool is_valid;
	bool is_dirty; /* writes need not set the bit again */
};
static struct tlb_entry tlb[GUEST_PAGES];
static u64 *upper_cache[GUEST_PAGES]; /* the level-1 table last used for the page's region, by region */

static void cpu_flush(void)
{
	memset(tlb, 0, sizeof(tlb));
	memset(upper_cache, 0, sizeof(upper_cache));
	nested_reclaim(&nested);
}

/* Down to the table or leaf that maps the region; sets accessed bits. NULL: nested fault. */
static u64 *cpu_walk_upper(u64 gpa, unsigned *level)
{
	u64 *table = phys_to_virt(nested.root);

	for (*level = 3;; --*level) {
		u64 *entry = &table[gpa >> (12 + 9 * *level) & 511];

		if (!(*entry & nested.format->present))
			return NULL;
		*entry |= nested.format->accessed;
		if (*level == 0 || (*entry & nested.format->large))
			return entry;
		table = phys_to_virt(HPA(*entry & nested.format->address_mask));
		if (*level == 1)
			upper_cache[gpa / LARGE_PAGE_BYTES] = table;
	}
}

static bool is_flushed = true;

static bool cpu_touch(u64 gpa, bool is_write)
{
	struct tlb_entry *cached = &tlb[gpa / PAGE_BYTES];
	u64 *table = upper_cache[gpa / LARGE_PAGE_BYTES];
	unsigned level = 0;
	u64 *leaf;

	if (cached->is_valid && (!is_write || cached->is_dirty))
		return true;
	/* A cached upper level is used without setting accessed bits above: what RECENT is for. */
	leaf = table ? &table[gpa / PAGE_BYTES % 512] : cpu_walk_upper(gpa, &level);
	if (table && !(*leaf & nested.format->present)) {
		/* By a table out of use. The exit ends in an entry, which flushes since the tables changed. */
		cpu_flush();
		is_flushed = true;
		leaf = cpu_walk_upper(gpa, &level);
	}
	if (!leaf || !(*leaf & nested.format->present) || (is_write && !(*leaf & nested.format->write)))
		return false;
	/* What is in no armed region is dirty from the start, but for tables out of use. */
	if (method == BY_LOG && is_write && !(*leaf & nested.format->dirty) && is_armed[gpa / LARGE_PAGE_BYTES])
		is_marked[gpa / PAGE_BYTES] = true;
	*leaf |= nested.format->accessed | (is_write ? nested.format->dirty : 0);
	cached->is_valid = true;
	cached->is_dirty |= is_write;
	return true;
}

/* The model: pages written since their last harvest, in armed regions. */
static bool must_find[GUEST_PAGES];  /* written after the flush that followed arming or harvest */
static bool may_find[GUEST_PAGES];   /* written before that flush: the copy after it has the data */
static bool is_found[GUEST_PAGES];

static void found(void *context, u64 gfn)
{
	assert_ptr_equal(context, &nested);
	assert_true(gfn < GUEST_PAGES);
	assert_false(is_found[gfn]);
	is_found[gfn] = true;
}

static u64 take_marks(u64 gpa, u64 bytes)
{
	u64 count = 0;

	for (u64 i = gpa / PAGE_BYTES; i < MIN((gpa + bytes) / PAGE_BYTES, GUEST_PAGES); i++) {
		if (!is_marked[i])
			continue;
		is_marked[i] = false;
		nested_clean(&nested, GPA(i * PAGE_BYTES), watch());
		found(&nested, i);
		count++;
	}
	return count;
}

static u64 harvest(u64 gpa, u64 bytes)
{
	u64 count;

	memset(is_found, 0, sizeof(is_found));
	if (method == BY_BITS)
		count = nested_harvest(&nested, GPA(gpa), bytes, found, &nested);
	else
		count = take_marks(gpa, bytes);
	for (u64 i = 0; i < GUEST_PAGES; i++) {
		bool is_in_range = i >= gpa / PAGE_BYTES && i < (gpa + bytes) / PAGE_BYTES;

		if (!is_in_range) {
			assert_false(is_found[i]);
			continue;
		}
		if (must_find[i])
			assert_true(is_found[i]);
		if (is_found[i])
			assert_true(must_find[i] || may_find[i]);
		must_find[i] = may_find[i] = false;
	}
	return count;
}

static void map_guest(const struct nested_format *format)
{
	assert_int_equal(nested_init(&nested, format), 0);
	for (unsigned i = 0; i < REGIONS; i++)
		assert_int_equal(nested_map(&nested, GPA(i * LARGE_PAGE_BYTES), HPA(HOST_BASE + i * LARGE_PAGE_BYTES),
					    PAGE_2M, NESTED_WRITE), 0);
	memset(is_armed, 0, sizeof(is_armed));
	memset(is_marked, 0, sizeof(is_marked));
	memset(must_find, 0, sizeof(must_find));
	memset(may_find, 0, sizeof(may_find));
	cpu_flush();
}

/* Translation is the same however it is tracked. */
static void check_translation(void)
{
	for (u64 gpa = 0; gpa < GUEST_BYTES; gpa += 61 * PAGE_BYTES + 123) {
		enum page_size size;
		bool is_writable;
		hpa_t hpa;

		assert_true(nested_walk(&nested, GPA(gpa), &hpa, &size, &is_writable));
		assert_int_equal(hpa.value, HOST_BASE + gpa);
		assert_true(is_writable);
		assert_int_equal(size, is_armed[gpa / LARGE_PAGE_BYTES] ? PAGE_4K : PAGE_2M);
	}
}

static void arm(unsigned region, int want)
{
	assert_int_equal(nested_arm(&nested, GPA(region * LARGE_PAGE_BYTES), watch()), want);
	if (want == 0)
		is_armed[region] = true;
	assert_int_equal(nested_is_armed(&nested, GPA(region * LARGE_PAGE_BYTES)), is_armed[region]);
}

static void disarm(unsigned region)
{
	nested_disarm(&nested, GPA(region * LARGE_PAGE_BYTES));
	is_armed[region] = false;
	memset(is_marked + region * PAGES_PER_REGION, 0, PAGES_PER_REGION);
	memset(must_find + region * PAGES_PER_REGION, 0, PAGES_PER_REGION);
	memset(may_find + region * PAGES_PER_REGION, 0, PAGES_PER_REGION);
	assert_false(nested_is_armed(&nested, GPA(region * LARGE_PAGE_BYTES)));
}

/* A fault is answered as vmm/ does it: the page is opened, or what the CPU has cached is dropped. */
static void write_or_fault(u64 page)
{
	for (unsigned faults = 0; !cpu_touch(page * PAGE_BYTES, true); faults++) {
		assert_int_equal(method, BY_FAULTS);
		assert_in_range(faults, 0, 2);
		if (nested_open(&nested, GPA(page * PAGE_BYTES)))
			is_marked[page] = true;
		else
			cpu_flush(), is_flushed = true;
	}
}

static void write_page(u64 page)
{
	bool was_known = must_find[page];

	write_or_fault(page);
	if (!is_armed[page / PAGES_PER_REGION])
		return;
	if (is_flushed)
		must_find[page] = true;
	else if (!was_known)
		may_find[page] = true;
}

static void random_step(void)
{
	unsigned region = (unsigned)rand() % REGIONS;

	switch (rand() % 16) {
	case 0:
		arm(region, 0);
		/* As the contract asks: pages count from the flush on. */
		is_flushed = rand() % 2;
		if (is_flushed)
			cpu_flush();
		break;
	case 1:
		allocations_left = 0;
		arm(region, is_armed[region] ? 0 : -ENOMEM);
		allocations_left = ~0u;
		break;
	case 2:
		if (rand() % 4 == 0)
			disarm(region);
		is_flushed = false;
		break;
	case 3:
		if (!is_flushed)
			cpu_flush();
		is_flushed = true;
		harvest(0, GUEST_BYTES);
		is_flushed = false;
		break;
	case 4:
		cpu_flush();
		is_flushed = true;
		harvest(region * LARGE_PAGE_BYTES + LARGE_PAGE_BYTES / 4, LARGE_PAGE_BYTES);
		is_flushed = false;
		break;
	case 5:
	case 6:
		cpu_flush();
		is_flushed = true;
		break;
	case 7:
		assert_true(cpu_touch((u64)rand() % GUEST_PAGES * PAGE_BYTES, false));
		break;
	default:
		write_page(region * PAGES_PER_REGION + (u64)rand() % 40 * 7);
	}
}

static void random_steps_agree_with_the_model(void **state)
{
	(void)state;
	for (unsigned run = 0; run < METHODS * ARRAY_COUNT(formats); run++) {
		srand(run);
		method = run / ARRAY_COUNT(formats);
		map_guest(&formats[run % ARRAY_COUNT(formats)]);
		is_flushed = true;
		for (unsigned step = 0; step < 20000; step++) {
			random_step();
			if (step % 256 == 0)
				check_translation();
		}
		for (unsigned i = 0; i < REGIONS; i++)
			disarm(i);
		cpu_flush();
		check_translation();
		for (u64 i = 0; i < GUEST_PAGES; i++)
			assert_true(cpu_touch(i * PAGE_BYTES, true));
		assert_int_equal(nested.leaf_count[PAGE_2M], REGIONS);
		assert_int_equal(nested.table_pages, 3);
		assert_int_equal(nested.table_pages, given_count);
		assert_int_equal(nested.split_count, nested.merge_count);
		nested_fini(&nested);
		assert_int_equal(given_count, 0);
	}
}

/* The same writes and harvests with each method, the CPU flushed after each harvest. */
static void a_recorded_workload_gives_equal_sets(void **state)
{
	static bool sets[METHODS][24][GUEST_PAGES];

	(void)state;
	for (method = 0; method < METHODS; method++) {
		srand(77);
		map_guest(&formats[1]);
		is_flushed = true;
		for (unsigned round = 0; round < 24; round++) {
			if (round < REGIONS)
				arm(round, 0);
			cpu_flush();
			for (unsigned i = 0; i < 400; i++)
				write_page((u64)rand() % GUEST_PAGES);
			harvest(0, GUEST_BYTES);
			memcpy(sets[method][round], is_found, sizeof(is_found));
			cpu_flush();
		}
		nested_fini(&nested);
		assert_memory_equal(sets[method], sets[0], sizeof(sets[0]));
	}
	method = BY_BITS;
}

/* What is protected faults once; what may not be written at all is never opened. */
static void a_page_that_is_read_only_stays_so(void **state)
{
	bool is_writable;
	hpa_t hpa;

	(void)state;
	method = BY_FAULTS;
	assert_int_equal(nested_init(&nested, &formats[0]), 0);
	assert_int_equal(nested_map(&nested, GPA(0), HPA(HOST_BASE), PAGE_2M, NESTED_WRITE), 0);
	assert_int_equal(nested_map(&nested, GPA(2 * MIB), HPA(HOST_BASE + 2 * MIB), PAGE_2M, 0), 0);
	assert_false(nested_open(&nested, GPA(0)));
	assert_int_equal(nested_arm(&nested, GPA(0), watch()), 0);
	assert_int_equal(nested_arm(&nested, GPA(2 * MIB), watch()), 0);
	cpu_flush();
	assert_false(cpu_touch(PAGE_BYTES, true));
	assert_true(cpu_touch(PAGE_BYTES, false));
	assert_true(nested_walk(&nested, GPA(PAGE_BYTES), &hpa, NULL, &is_writable));
	assert_true(is_writable);
	assert_true(nested_open(&nested, GPA(PAGE_BYTES)));
	assert_false(nested_open(&nested, GPA(PAGE_BYTES)));
	assert_true(cpu_touch(PAGE_BYTES, true));
	assert_false(cpu_touch(2 * PAGE_BYTES, true));
	nested_clean(&nested, GPA(PAGE_BYTES), watch());
	cpu_flush();
	assert_false(cpu_touch(PAGE_BYTES, true));
	assert_false(nested_open(&nested, GPA(2 * MIB)));
	assert_false(nested_open(&nested, GPA(4 * MIB)));
	nested_disarm(&nested, GPA(0));
	nested_disarm(&nested, GPA(2 * MIB));
	cpu_flush();
	assert_true(cpu_touch(3 * PAGE_BYTES, true));
	assert_false(cpu_touch(2 * MIB, true));
	nested_fini(&nested);
}

/* The hazard that made RECENT: a write through a cached upper level, between harvest and flush. */
static void a_write_before_the_flush_is_not_forgotten(void **state)
{
	(void)state;
	map_guest(&formats[0]);
	arm(1, 0);
	cpu_flush();
	cpu_touch(LARGE_PAGE_BYTES, false); /* the upper levels are cached from here on */
	harvest(0, GUEST_BYTES);
	cpu_touch(LARGE_PAGE_BYTES + 3 * PAGE_BYTES, true);
	cpu_flush();
	may_find[PAGES_PER_REGION + 3] = true;
	harvest(0, GUEST_BYTES);
	assert_true(is_found[PAGES_PER_REGION + 3]);
	nested_fini(&nested);
}

static void cost_follows_what_is_touched(void **state)
{
	u64 idle, one, busy;

	(void)state;
	map_guest(&formats[0]);
	for (unsigned i = 0; i < REGIONS; i++)
		arm(i, 0);
	for (unsigned i = 0; i < 3; i++) {
		cpu_flush();
		idle = harvest(0, GUEST_BYTES);
	}
	cpu_flush();
	is_flushed = true;
	write_page(2 * PAGES_PER_REGION + 9);
	one = harvest(0, GUEST_BYTES);
	for (unsigned i = 0; i < 2; i++) {
		cpu_flush();
		harvest(0, GUEST_BYTES);
	}
	cpu_flush();
	for (unsigned i = 0; i < REGIONS; i++)
		write_page(i * PAGES_PER_REGION);
	busy = harvest(0, GUEST_BYTES);
	assert_in_range(idle, 1, 1);
	assert_in_range(one, PAGES_PER_REGION, PAGES_PER_REGION + 2 * 512);
	assert_in_range(busy, GUEST_PAGES, GUEST_PAGES + 2 * 512);
	nested_fini(&nested);
}

static void a_huge_page_is_cut_and_made_whole(void **state)
{
	hpa_t hpa;
	enum page_size size;

	(void)state;
	assert_int_equal(nested_init(&nested, &formats[0]), 0);
	assert_int_equal(nested_map(&nested, GPA(GIB), HPA(HOST_BASE), PAGE_1G, NESTED_WRITE), 0);
	assert_int_equal(nested.leaf_count[PAGE_1G], 1);
	allocations_left = 1; /* enough to cut 1 GiB, not to cut 2 MiB */
	assert_int_equal(nested_arm(&nested, GPA(GIB + 4 * MIB), watch()), -ENOMEM);
	assert_int_equal(nested.leaf_count[PAGE_1G], 1);
	assert_int_equal(nested.leaf_count[PAGE_2M], 0);
	nested_reclaim(&nested);
	allocations_left = ~0u;
	assert_int_equal(nested_arm(&nested, GPA(GIB + 4 * MIB), watch()), 0);
	assert_int_equal(nested.leaf_count[PAGE_2M], 511);
	assert_true(nested_walk(&nested, GPA(GIB + 4 * MIB + 5), &hpa, &size, NULL));
	assert_int_equal(hpa.value, HOST_BASE + 4 * MIB + 5);
	assert_int_equal(size, PAGE_4K);
	assert_true(nested_walk(&nested, GPA(GIB + 6 * MIB), &hpa, &size, NULL));
	assert_int_equal(size, PAGE_2M);
	nested_disarm(&nested, GPA(GIB + 4 * MIB));
	assert_true(nested_walk(&nested, GPA(GIB + 4 * MIB + 5), &hpa, &size, NULL));
	assert_int_equal(hpa.value, HOST_BASE + 4 * MIB + 5);
	assert_int_equal(size, PAGE_1G);
	assert_int_equal(nested.leaf_count[PAGE_1G], 1);
	nested_reclaim(&nested);
	assert_int_equal(nested.table_pages, 2);
	nested_fini(&nested);
}

static void small_pages_are_armed_in_place(void **state)
{
	(void)state;
	assert_int_equal(nested_init(&nested, &formats[1]), 0);
	for (u64 i = 0; i < PAGES_PER_REGION; i += 2)
		assert_int_equal(nested_map(&nested, GPA(i * PAGE_BYTES), HPA(HOST_BASE + i * PAGE_BYTES), PAGE_4K,
					    NESTED_WRITE), 0);
	memset(must_find, 0, sizeof(must_find));
	cpu_flush();
	assert_int_equal(nested_arm(&nested, GPA(0), watch()), 0);
	cpu_flush();
	is_armed[0] = is_flushed = true;
	write_page(8);
	assert_false(cpu_touch(9 * PAGE_BYTES, true));
	harvest(0, LARGE_PAGE_BYTES);
	assert_true(is_found[8]);
	nested_disarm(&nested, GPA(0));
	assert_false(nested_is_armed(&nested, GPA(0)));
	assert_int_equal(nested.table_pages, 4);
	nested_fini(&nested);
}

static void maps_are_refused_and_undone(void **state)
{
	hpa_t hpa;
	bool is_writable;

	(void)state;
	assert_int_equal(nested_init(&nested, &formats[0]), 0);
	assert_int_equal(nested_arm(&nested, GPA(0), watch()), -ENOENT);
	allocations_left = 1;
	assert_int_equal(nested_map(&nested, GPA(0), HPA(HOST_BASE), PAGE_4K, 0), -ENOMEM);
	allocations_left = ~0u;
	assert_int_equal(nested_map(&nested, GPA(0), HPA(HOST_BASE), PAGE_4K, 0), 0);
	assert_int_equal(nested_map(&nested, GPA(0), HPA(HOST_BASE), PAGE_4K, 0), -EEXIST);
	assert_int_equal(nested_map(&nested, GPA(0), HPA(HOST_BASE), PAGE_2M, 0), -EEXIST);
	assert_int_equal(nested_map(&nested, GPA(2 * MIB), HPA(HOST_BASE), PAGE_2M, 0), 0);
	assert_int_equal(nested_map(&nested, GPA(2 * MIB + PAGE_BYTES), HPA(HOST_BASE), PAGE_4K, 0), -EEXIST);
	assert_true(nested_walk(&nested, GPA(0), &hpa, NULL, &is_writable));
	assert_false(is_writable);
	assert_false(nested_walk(&nested, GPA(PAGE_BYTES), &hpa, NULL, NULL));
	assert_false(nested_walk(&nested, GPA(~0ull), &hpa, NULL, NULL));

	u64 generation = nested.generation;

	nested_unmap(&nested, GPA(0), PAGE_4K);
	assert_true(nested.generation > generation);
	assert_false(nested_walk(&nested, GPA(0), &hpa, NULL, NULL));
	assert_int_equal(nested_arm(&nested, GPA(2 * MIB), watch()), 0);
	nested_unmap(&nested, GPA(2 * MIB), PAGE_2M);
	assert_false(nested_walk(&nested, GPA(2 * MIB), &hpa, NULL, NULL));
	nested_fini(&nested);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(random_steps_agree_with_the_model, setup, teardown),
		cmocka_unit_test_setup_teardown(a_recorded_workload_gives_equal_sets, setup, teardown),
		cmocka_unit_test_setup_teardown(a_page_that_is_read_only_stays_so, setup, teardown),
		cmocka_unit_test_setup_teardown(a_write_before_the_flush_is_not_forgotten, setup, teardown),
		cmocka_unit_test_setup_teardown(cost_follows_what_is_touched, setup, teardown),
		cmocka_unit_test_setup_teardown(a_huge_page_is_cut_and_made_whole, setup, teardown),
		cmocka_unit_test_setup_teardown(small_pages_are_armed_in_place, setup, teardown),
		cmocka_unit_test_setup_teardown(maps_are_refused_and_undone, setup, teardown),
	};

	return cmocka_run_group_tests_name("nested", tests, NULL, NULL);
}
