/* SPDX-License-Identifier: BSD-2-Clause */
/* XXH64 against the reference library, the page forms against the general one, and the root. */
/* SOURCES: migrate/digest.c tests/host/fake/heap_fake.c kernel/str.c */
/* LIBS: -lxxhash */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <xxhash.h>

#include "kernel/bits.h"
#include "migrate/digest.h"
#include "tests/host/fake/heap_fake.h"

#define PAGE 4096

static void fill(u8 *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		bytes[i] = (u8)rand();
}

static void every_length_agrees_with_the_reference(void **state)
{
	(void)state;
	srand(1);
	for (size_t count = 0; count < 600; count++) {
		u8 *bytes = malloc(count +
				   1); /* exact, so that the sanitizer sees a read past the end */

		fill(bytes, count);
		assert_true(digest_bytes(bytes, count) == XXH64(bytes, count, 0));
		free(bytes);
	}
}

static void pages_agree_with_the_reference(void **state)
{
	u64 page[PAGE / 8], copy[PAGE / 8];

	(void)state;
	srand(2);
	for (u32 round = 0; round < 200; round++) {
		u64 want;

		fill((u8 *)page, PAGE);
		want = XXH64(page, PAGE, 0);
		assert_true(digest_page(page) == want);
		memset(copy, 0, PAGE);
		assert_true(digest_copy_page(copy, page) == want);
		assert_memory_equal(copy, page, PAGE);
	}
	memset(page, 0, PAGE);
	assert_true(digest_of_zero_page() == XXH64(page, PAGE, 0));
	assert_true(digest_of_zero_page() == XXH64(page, PAGE, 0));
}

static void a_zero_page_has_no_bit_set(void **state)
{
	u64 page[PAGE / 8] = { 0 };

	(void)state;
	assert_true(digest_is_zero_page(page));
	for (u32 bit = 0; bit < PAGE * 8; bit += 61) {
		page[bit / 64] = 1ull << (bit % 64);
		assert_false(digest_is_zero_page(page));
		page[bit / 64] = 0;
	}
}

/* The root must be that of the final contents, in whatever order and however often pages came. */
static void the_root_follows_changes(void **state)
{
	enum { PAGES = 700 };
	struct digest_map map;
	u64 content[PAGES], known[PAGES] = { 0 }, root = 0, known_count = 0;

	(void)state;
	srand(3);
	assert_int_equal(digest_map_init(&map, PAGES), 0);
	for (u32 i = 0; i < 5000; i++) {
		u64 index = (u64)rand() % PAGES;

		content[index] = (u64)rand() << 32 | (u64)rand();
		known[index] = 1;
		digest_map_set(&map, index, digest_mix(index, content[index]));
	}
	for (u64 i = 0; i < PAGES; i++)
		if (known[i]) {
			root += digest_mix(i, content[i]);
			known_count++;
		}
	assert_true(map.root == root);
	assert_int_equal(map.known_count, known_count);
	/* A digest that is 0, which a peer can make, does not count a page twice. */
	map.known_count = 0;
	memset(map.known, 0, BITMAP_WORDS(PAGES) * sizeof(u64));
	assert_false(digest_map_has(&map, 3));
	digest_map_set(&map, 3, 0);
	digest_map_set(&map, 3, 0);
	assert_true(digest_map_has(&map, 3));
	assert_int_equal(map.known_count, 1);
	digest_map_fini(&map);
	assert_int_equal(fake_heap.objects, 0);
}

static void places_and_contents_matter(void **state)
{
	(void)state;
	for (u64 i = 0; i < 1000; i++) {
		/* Two pages that change places, or two equal pages, do not cancel out. */
		assert_true(digest_mix(i, 7) + digest_mix(i + 1, 9) !=
			    digest_mix(i, 9) + digest_mix(i + 1, 7));
		assert_true(digest_mix(i, 7) != digest_mix(i + 1, 7));
	}
}

static void no_memory_leaves_nothing(void **state)
{
	struct digest_map map;

	(void)state;
	for (u64 fail = 1; fail <= 5; fail++) {
		fake_heap_fail_after(fail);
		assert_int_not_equal(digest_map_init(&map, 4 * 512), 0);
		assert_int_equal(fake_heap.objects, 0);
	}
	fake_heap_fail_after(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_length_agrees_with_the_reference),
		cmocka_unit_test(pages_agree_with_the_reference),
		cmocka_unit_test(a_zero_page_has_no_bit_set),
		cmocka_unit_test(the_root_follows_changes),
		cmocka_unit_test(places_and_contents_matter),
		cmocka_unit_test(no_memory_leaves_nothing),
	};

	return cmocka_run_group_tests_name("digest", tests, NULL, NULL);
}
