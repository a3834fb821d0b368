/* SPDX-License-Identifier: BSD-2-Clause */
/* The heap: objects keep their content and their distance, nothing leaks, wrong frees panic. */
/* SOURCES: kernel/heap.c kernel/page.c kernel/page_map.c kernel/log.c kernel/clock.c kernel/fmt.c kernel/str.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/host/fake/memory.h"
#include "tests/host/fake/panic.h"
#include "kernel/heap.h"

#define ARENA (24 * MIB)

struct object {
	u8 *at;
	size_t bytes;
	u8 mark;
};

static u64 free_bytes(void)
{
	struct page_stats stats;

	page_get_stats(&stats);
	return stats.free_bytes;
}

static bool holds_only(const u8 *at, size_t bytes, u8 byte)
{
	for (size_t i = 0; i < bytes; i++) {
		if (at[i] != byte)
			return false;
	}
	return true;
}

static size_t random_size(void)
{
	switch (rand() % 16) {
	case 0:
		return 1 + (size_t)rand() % (300 * KIB);
	case 1:
	case 2:
		return 1 + (size_t)rand() % 9000;
	default:
		return 1 + (size_t)rand() % 600;
	}
}

static void random_work_keeps_content(void **state)
{
	static struct object held[800];
	struct heap_stats stats;
	u64 before = free_bytes();
	unsigned count = 0;

	(void)state;
	for (int step = 0; step < 20000; step++) {
		struct object *object;

		if (count < ARRAY_COUNT(held) && (unsigned)rand() % ARRAY_COUNT(held) >= count) {
			object = &held[count];
			object->bytes = random_size();
			object->at = heap_alloc(object->bytes);
			if (!object->at)
				continue;
			assert_true((uintptr_t)object->at % (object->bytes < 4096 ? 16 : 4096) == 0);
			assert_true(holds_only(object->at, object->bytes, 0));
			object->mark = (u8)(1 + rand() % 255);
			memset(object->at, object->mark, object->bytes);
			count++;
		} else if (count) {
			object = &held[(unsigned)rand() % count];
			assert_true(holds_only(object->at, object->bytes, object->mark));
			heap_free(object->at);
			*object = held[--count];
		}
		heap_get_stats(&stats);
		assert_int_equal(stats.objects, count);
	}
	while (count)
		heap_free(held[--count].at);
	heap_get_stats(&stats);
	assert_int_equal(stats.objects, 0);
	assert_int_equal(stats.bytes, 0);
	assert_int_equal(free_bytes(), before);
}

static void every_size(void **state)
{
	u64 before = free_bytes();

	(void)state;
	for (size_t bytes = 1; bytes <= 9000; bytes += bytes < 2100 ? 1 : 61) {
		u8 *a = heap_alloc(bytes);
		u8 *b = heap_alloc(bytes);

		memset(a, 1, bytes);
		memset(b, 2, bytes);
		assert_true(holds_only(a, bytes, 1));
		heap_free(a);
		assert_true(holds_only(b, bytes, 2));
		heap_free(b);
	}
	assert_int_equal(free_bytes(), before);
}

static void holes_in_full_slabs_are_used_again(void **state)
{
	static void *held[3 * 126];
	u64 before;

	(void)state;
	/* Fills three slabs to the last object. */
	for (size_t i = 0; i < ARRAY_COUNT(held); i++)
		held[i] = heap_alloc(32);
	before = free_bytes();
	for (size_t i = 0; i < ARRAY_COUNT(held); i += 5) {
		heap_free(held[i]);
		held[i] = NULL;
	}
	for (size_t i = 0; i < ARRAY_COUNT(held); i += 5)
		held[i] = heap_alloc(32);
	assert_int_equal(free_bytes(), before);
	for (size_t i = 0; i < ARRAY_COUNT(held); i++)
		heap_free(held[i]);
}

static void limits(void **state)
{
	void *largest = heap_alloc(2 * MIB);

	(void)state;
	assert_non_null(largest);
	heap_free(largest);
	assert_null(heap_alloc(0));
	assert_null(heap_alloc(2 * MIB + 1));
	assert_null(heap_alloc(~(size_t)0));
	heap_free(NULL);
}

static void out_of_memory_is_an_answer(void **state)
{
	void *chain = NULL;
	u64 before = free_bytes();
	struct heap_stats stats;
	void **object;

	(void)state;
	while ((object = heap_alloc(100 * KIB)) != NULL) {
		*object = chain;
		chain = object;
	}
	while ((object = heap_alloc(64)) != NULL) {
		*object = chain;
		chain = object;
	}
	assert_int_equal(free_bytes(), 0);
	assert_null(heap_alloc(2 * MIB));
	while (chain) {
		object = chain;
		chain = *object;
		heap_free(object);
	}
	assert_int_equal(free_bytes(), before);
	heap_get_stats(&stats);
	assert_int_equal(stats.objects, 0);
}

static u8 *victim;

static void free_twice(void)
{
	heap_free(victim);
	heap_free(victim);
}

static void free_inside(void) { heap_free(victim + 16); }
static void free_header(void) { heap_free((void *)(ALIGN_DOWN((uintptr_t)victim, 4096) + 32)); }
static void free_page(void) { heap_free((void *)ALIGN_DOWN((uintptr_t)victim, 4096)); }

static void wrong_frees_panic(void **state)
{
	void *neighbour = heap_alloc(100);

	(void)state;
	victim = heap_alloc(100);
	assert_true(fake_panics(free_twice));
	assert_true(fake_panics(free_inside));
	assert_true(fake_panics(free_header));
	assert_true(fake_panics(free_page));
	heap_free(victim);
	heap_free(neighbour);
	victim = heap_alloc(10000);
	assert_true(fake_panics(free_twice));
	assert_true(fake_panics(free_inside));
	heap_free(victim);
}

static int set_up(void **state)
{
	(void)state;
	fake_memory_init(ARENA);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_work_keeps_content),
		cmocka_unit_test(every_size),
		cmocka_unit_test(holes_in_full_slabs_are_used_again),
		cmocka_unit_test(limits),
		cmocka_unit_test(out_of_memory_is_an_answer),
		cmocka_unit_test(wrong_frees_panic),
	};

	srand(3);
	return cmocka_run_group_tests(tests, set_up, NULL);
}
