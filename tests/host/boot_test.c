/* SPDX-License-Identifier: BSD-2-Clause */
/* The loaders' parsers: the memory map whatever the firmware says, and hostile archives. */
/* SOURCES: boot/mem_map.c boot/cpio.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/cpio.h"
#include "boot/mem_map.h"

#define PAGES 64
#define PAGE 4096ull

static struct boot_mem entries[32];
static struct mem_map map;

static int setup(void **state)
{
	(void)state;
	map = (struct mem_map){ .entry = entries, .max = ARRAY_COUNT(entries) };
	return 0;
}

static void expect_entry(u32 i, u64 base, u64 bytes, u32 type)
{
	assert_true(i < map.count);
	assert_int_equal(entries[i].base, base);
	assert_int_equal(entries[i].bytes, bytes);
	assert_int_equal(entries[i].type, type);
}

static void a_later_range_wins_and_splits(void **state)
{
	(void)state;
	assert_true(mem_map_set(&map, 0, 16 * PAGE, BOOT_MEM_USABLE));
	assert_true(mem_map_set(&map, 4 * PAGE, 2 * PAGE, BOOT_MEM_LOADED));
	assert_int_equal(map.count, 3);
	expect_entry(0, 0, 4 * PAGE, BOOT_MEM_USABLE);
	expect_entry(1, 4 * PAGE, 2 * PAGE, BOOT_MEM_LOADED);
	expect_entry(2, 6 * PAGE, 10 * PAGE, BOOT_MEM_USABLE);
}

static void neighbours_of_one_type_merge(void **state)
{
	(void)state;
	assert_true(mem_map_set(&map, 0, PAGE, BOOT_MEM_ACPI));
	assert_true(mem_map_set(&map, 2 * PAGE, PAGE, BOOT_MEM_ACPI));
	assert_true(mem_map_set(&map, PAGE, PAGE, BOOT_MEM_ACPI));
	assert_int_equal(map.count, 1);
	expect_entry(0, 0, 3 * PAGE, BOOT_MEM_ACPI);
}

static void usable_ranges_shrink_and_others_grow_to_pages(void **state)
{
	(void)state;
	assert_true(mem_map_set(&map, 1, 3 * PAGE, BOOT_MEM_USABLE));
	expect_entry(0, PAGE, 2 * PAGE, BOOT_MEM_USABLE);
	assert_true(mem_map_set(&map, 3 * PAGE - 1, 1, BOOT_MEM_RESERVED));
	expect_entry(1, 2 * PAGE, PAGE, BOOT_MEM_RESERVED);
	assert_true(mem_map_set(&map, 9 * PAGE + 1, 100, BOOT_MEM_USABLE));
	assert_int_equal(map.count, 2);
}

static void ranges_that_wrap_end_at_the_last_page(void **state)
{
	(void)state;
	assert_true(mem_map_set(&map, PAGE, ~0ull, BOOT_MEM_RESERVED));
	expect_entry(0, PAGE, 0ull - 2 * PAGE, BOOT_MEM_RESERVED);
	assert_true(mem_map_set(&map, ~0ull, ~0ull, BOOT_MEM_USABLE));
	assert_int_equal(map.count, 1);
	assert_true(mem_map_set(&map, 5 * PAGE, 0, BOOT_MEM_USABLE));
	assert_int_equal(map.count, 1);
}

static void a_full_map_loses_memory_but_never_lies(void **state)
{
	const u64 far = 1000 * PAGE;
	u64 i;

	(void)state;
	assert_true(mem_map_set(&map, far, 4 * PAGE, BOOT_MEM_USABLE));
	for (i = 0; mem_map_set(&map, 2 * i * PAGE, PAGE, BOOT_MEM_BAD); i++)
		assert_true(i < ARRAY_COUNT(entries));
	assert_int_equal(map.count, map.max - 1);
	assert_false(mem_map_set(&map, far + 8 * PAGE, PAGE, BOOT_MEM_USABLE));
	expect_entry(map.count - 1, far, 4 * PAGE, BOOT_MEM_USABLE);
	assert_false(mem_map_set(&map, far + PAGE, PAGE, BOOT_MEM_NVS));
	expect_entry(map.count - 1, far, 4 * PAGE, BOOT_MEM_RESERVED);
}

/* Random ranges against one type per page, which is the meaning of the map. */
static void random_ranges_agree_with_a_page_array(void **state)
{
	u8 model[PAGES];
	u32 round, i;

	srand(1);
	for (round = 0; round < 2000; round++) {
		u32 step;

		setup(state);
		memset(model, 0, sizeof(model));
		for (step = 0; step < 12; step++) {
			u64 first = (u64)rand() % PAGES, count = (u64)rand() % (PAGES - first);
			u32 type = 1 + (u32)rand() % 8;

			assert_true(mem_map_set(&map, first * PAGE, count * PAGE, type));
			memset(model + first, (int)type, count);
		}
		for (i = 0; i < map.count; i++) {
			u64 page, first = entries[i].base / PAGE;

			if (i)
				assert_true(entries[i].base >= entries[i - 1].base + entries[i - 1].bytes);
			assert_true(entries[i].bytes > 0);
			for (page = first; page < first + entries[i].bytes / PAGE; page++) {
				assert_int_equal(model[page], entries[i].type);
				model[page] = 0;
			}
		}
		for (i = 0; i < PAGES; i++)
			assert_int_equal(model[i], 0);
	}
}

#define FIELDS(mode, bytes, name_bytes) \
	"00000001" mode "00000000" "00000000" "00000001" "00000000" bytes \
	"00000000" "00000000" "00000000" "00000000" name_bytes "00000000"
#define TRAILER "070701" FIELDS("00000000", "00000000", "0000000B") "TRAILER!!!\0\0\0\0"
#define MEMBER "070701" FIELDS("000081A4", "00000005", "0000000a") "tern.conf\0" "hello\0\0\0"

static void members_come_in_order(void **state)
{
	static const char archive[] = MEMBER "070701" FIELDS("000041ED", "00000000", "00000002") ".\0" TRAILER;
	struct cpio cpio = { archive, sizeof(archive) - 1, 0 };
	struct cpio_member member;

	(void)state;
	assert_int_equal(cpio_next(&cpio, &member), CPIO_MEMBER);
	assert_string_equal(member.name, "tern.conf");
	assert_int_equal(member.bytes, 5);
	assert_memory_equal(member.data, "hello", 5);
	assert_true(cpio_is_regular_file(&member));
	assert_int_equal(cpio_next(&cpio, &member), CPIO_MEMBER);
	assert_false(cpio_is_regular_file(&member));
	assert_int_equal(cpio_next(&cpio, &member), CPIO_END);
}

static enum cpio_result first_result(const char *bytes, size_t size)
{
	char *copy = malloc(size ? size : 1); /* so that the sanitizer sees a read past the end */
	struct cpio cpio = { copy, size, 0 };
	struct cpio_member member;
	enum cpio_result result;

	memcpy(copy, bytes, size);
	while ((result = cpio_next(&cpio, &member)) == CPIO_MEMBER)
		assert_in_range(strlen(member.name), 0, size);
	free(copy);
	return result;
}

static void broken_archives_are_refused(void **state)
{
	static const char good[] = MEMBER TRAILER;
	static const char long_data[] = "070701" FIELDS("000081A4", "FFFFFFFF", "00000002") "a\0";
	static const char long_name[] = "070701" FIELDS("000081A4", "00000000", "FFFFFFFF") "a\0";
	static const char no_name[] = "070701" FIELDS("000081A4", "00000000", "00000000") "a\0";
	static const char open_name[] = "070701" FIELDS("000081A4", "00000000", "00000002") "ab";
	static const char bad_digit[] = "070701" FIELDS("000081A4", "0000 000", "00000002") "a\0";
	size_t size;

	(void)state;
	assert_int_equal(first_result(good, sizeof(good) - 1), CPIO_END);
	for (size = 0; size < sizeof(good) - 4; size++)
		assert_int_equal(first_result(good, size), CPIO_BROKEN);
	assert_int_equal(first_result(long_data, sizeof(long_data) - 1), CPIO_BROKEN);
	assert_int_equal(first_result(long_name, sizeof(long_name) - 1), CPIO_BROKEN);
	assert_int_equal(first_result(no_name, sizeof(no_name) - 1), CPIO_BROKEN);
	assert_int_equal(first_result(open_name, sizeof(open_name) - 1), CPIO_BROKEN);
	assert_int_equal(first_result(bad_digit, sizeof(bad_digit) - 1), CPIO_BROKEN);
}

static void random_damage_never_reads_outside(void **state)
{
	static const char good[] = MEMBER MEMBER TRAILER;
	char copy[sizeof(good)];
	u32 round;

	(void)state;
	srand(2);
	for (round = 0; round < 20000; round++) {
		memcpy(copy, good, sizeof(good));
		copy[(size_t)rand() % sizeof(good)] = (char)rand();
		copy[(size_t)rand() % sizeof(good)] = "0123456789abcdefF"[rand() % 17];
		assert_int_not_equal(first_result(copy, sizeof(good) - 1), CPIO_MEMBER);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_later_range_wins_and_splits, setup),
		cmocka_unit_test_setup(neighbours_of_one_type_merge, setup),
		cmocka_unit_test_setup(usable_ranges_shrink_and_others_grow_to_pages, setup),
		cmocka_unit_test_setup(ranges_that_wrap_end_at_the_last_page, setup),
		cmocka_unit_test_setup(a_full_map_loses_memory_but_never_lies, setup),
		cmocka_unit_test_setup(random_ranges_agree_with_a_page_array, setup),
		cmocka_unit_test(members_come_in_order),
		cmocka_unit_test(broken_archives_are_refused),
		cmocka_unit_test(random_damage_never_reads_outside),
	};

	return cmocka_run_group_tests_name("boot", tests, NULL, NULL);
}
