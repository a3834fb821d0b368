/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Multiboot2 hand-off with boot information in good and bad order. The test's own static
 * data lies below 4 GiB (it is linked without PIE), so its addresses serve as physical ones.
 */
/* SOURCES: boot/multiboot2.c boot/collect.c boot/mem_map.c boot/cpio.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sanitizer/asan_interface.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/host/fake/core_image.h"

#include "boot/collect.h"
#include "boot/multiboot2.h"

#define USABLE_END (3 * GIB)

static struct {
	struct multiboot2_info header;
	u8 tags[8192];
} start __attribute__((aligned(8)));
static char module_data[4096] __attribute__((aligned(4096)));


static struct boot_info *convert(void) { return linked(multiboot2_convert(&start.header, MULTIBOOT2_MAGIC)); }

/* Appends a tag with these contents; returns it. */
static struct multiboot2_tag *add(u32 type, const void *contents, u32 bytes)
{
	struct multiboot2_tag *tag = (struct multiboot2_tag *)((u8 *)&start + start.header.bytes);

	*tag = (struct multiboot2_tag){ .type = type, .bytes = 8 + bytes };
	if (bytes)
		memcpy(tag + 1, contents, bytes);
	start.header.bytes = (u32)ALIGN_UP(start.header.bytes + tag->bytes, 8);
	return tag;
}

static void end(void) { add(MULTIBOOT2_TAG_END, NULL, 0); }

static void add_memory(u32 entry_bytes)
{
	const struct collect_range range[] = {
		{ .base = 0, .bytes = 640 * KIB, .type = 1 },
		{ .base = MIB, .bytes = USABLE_END - MIB, .type = 1 },
		{ .base = USABLE_END - MIB, .bytes = MIB, .type = 3 },
	};
	u8 contents[512] = { 0 };
	u32 i;

	memcpy(contents, &entry_bytes, 4);
	for (i = 0; i < ARRAY_COUNT(range); i++)
		memcpy(contents + 8 + i * entry_bytes, &range[i], sizeof(range[i]));
	add(MULTIBOOT2_TAG_MEMORY_MAP, contents, 8 + entry_bytes * (u32)ARRAY_COUNT(range));
}

static struct multiboot2_module *add_module(u64 from, u64 to, const char *string)
{
	u8 contents[512];
	u32 words[2] = { (u32)from, (u32)to };

	memcpy(contents, words, 8);
	strcpy((char *)contents + 8, string);
	return (struct multiboot2_module *)add(MULTIBOOT2_TAG_MODULE, contents, 8 + (u32)strlen(string) + 1);
}

static size_t add_member(size_t at, const char *name, const char *data)
{
	at += (size_t)sprintf(module_data + at, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 1u, 0100644u,
			      0u, 0u, 1u, 0u, (unsigned)strlen(data), 0u, 0u, 0u, 0u, (unsigned)strlen(name) + 1, 0u);
	memcpy(module_data + at, name, strlen(name) + 1);
	at = ALIGN_UP(at + strlen(name) + 1, 4);
	memcpy(module_data + at, data, strlen(data));
	return ALIGN_UP(at + strlen(data), 4);
}

static int setup(void **state)
{
	(void)state;
	memset(&start, 0xa5, sizeof(start));
	memset(module_data, 0, sizeof(module_data));
	start.header.bytes = sizeof(start.header);
	return 0;
}

static void good_information_arrives(void **state)
{
	const struct boot_info *info;
	const struct boot_file *file;
	const char rsdp[] = "RSD PTR and more";

	(void)state;
	add(MULTIBOOT2_TAG_COMMAND_LINE, "console=com2", 13);
	add_module((u64)module_data, (u64)module_data + 100, "tern.conf");
	add_memory(24);
	add_module((u64)module_data + 2048, (u64)module_data + 4000, "/tern/guests/vmlinuz");
	add(MULTIBOOT2_TAG_ACPI_OLD, "old", 4);
	add(MULTIBOOT2_TAG_ACPI_NEW, rsdp, sizeof(rsdp));
	end();
	info = convert();
	assert_string_equal(complaint(info), "");
	assert_int_equal(info->magic, BOOT_INFO_MAGIC);
	assert_int_equal(info->loader, BOOT_LOADER_MULTIBOOT2);
	assert_string_equal(linked(info->command_line), "console=com2");
	assert_string_equal(linked(info->rsdp_address), rsdp);
	assert_int_equal(info->file_count, 2);
	file = linked(info->file);
	assert_string_equal(file[0].name, "tern.conf");
	assert_int_equal(file[0].address, (u64)module_data);
	assert_int_equal(file[0].bytes, 100);
	assert_string_equal(file[1].name, "vmlinuz");
	assert_int_equal(file[1].bytes, 4000 - 2048);
	assert_int_equal(type_at(info, 0), BOOT_MEM_USABLE);
	assert_int_equal(type_at(info, info->core_address), BOOT_MEM_LOADED);
	assert_int_equal(type_at(info, info->core_address + info->core_bytes), BOOT_MEM_USABLE);
	assert_int_equal(type_at(info, (u64)module_data), BOOT_MEM_LOADED);
	assert_int_equal(type_at(info, USABLE_END - 1), BOOT_MEM_ACPI);
	assert_int_equal(info->framebuffer.kind, BOOT_FRAMEBUFFER_NONE);
}

static void a_module_without_a_name_is_an_archive(void **state)
{
	const struct boot_info *info;
	const struct boot_file *file;

	(void)state;
	add_memory(24);
	add_member(add_member(add_member(0, "a", "one"), "./b", "two"), "TRAILER!!!", "");
	add_module((u64)module_data, (u64)module_data + sizeof(module_data), "");
	end();
	info = convert();
	assert_string_equal(complaint(info), "");
	assert_int_equal(info->file_count, 2);
	file = linked(info->file);
	assert_string_equal(file[1].name, "b");
	assert_memory_equal(file[1].address, "two", 3);
	assert_int_equal(type_at(info, (u64)module_data), BOOT_MEM_LOADED);
}

static void names_are_freed_of_path_and_quotes(void **state)
{
	static const char *const names[][2] = {
		{ "/a/b/c", "c" }, { "\"odd name.bin\"", "odd name.bin" }, { "it\\'s", "it's" }, { "\"/x y/z\"", "z" },
		{ "tail\\", "tail\\" },
	};
	const struct boot_file *file;
	const struct boot_info *info;
	u32 i;

	(void)state;
	add_memory(24);
	for (i = 0; i < ARRAY_COUNT(names); i++)
		add_module((u64)module_data, (u64)module_data + 1, names[i][0]);
	end();
	info = convert();
	assert_string_equal(complaint(info), "");
	assert_int_equal(info->file_count, ARRAY_COUNT(names));
	file = linked(info->file);
	for (i = 0; i < ARRAY_COUNT(names); i++)
		assert_string_equal(file[i].name, names[i][1]);
}

static void a_long_name_is_told(void **state)
{
	char name[BOOT_FILE_NAME_MAX + 1] = { 0 };
	const struct boot_info *info;

	(void)state;
	memset(name, 'n', BOOT_FILE_NAME_MAX);
	add_memory(24);
	add_module((u64)module_data, (u64)module_data + 1, name);
	end();
	info = convert();
	assert_non_null(strstr(complaint(info), "64 characters or more"));
	assert_int_equal(info->file_count, 0);
}

static void a_nameless_module_that_is_none_is_told(void **state)
{
	(void)state;
	add_memory(24);
	add_module((u64)module_data, (u64)module_data + 100, "");
	end();
	assert_non_null(strstr(complaint(convert()), "not a newc cpio archive"));
}

static void pixels_and_text_are_understood(void **state)
{
	struct multiboot2_framebuffer pixels = {
		.address = 0xfd000000, .pitch = 4096, .width = 1024, .height = 768, .bits_per_pixel = 32, .type = 1,
		.red_position = 16, .red_bits = 8, .green_position = 8, .green_bits = 8, .blue_bits = 8,
	};
	struct multiboot2_tag *tag;
	const struct boot_framebuffer *found;

	(void)state;
	add_memory(24);
	tag = add(MULTIBOOT2_TAG_FRAMEBUFFER, (u8 *)&pixels + 8, 30);
	end();
	found = &convert()->framebuffer;
	assert_int_equal(found->kind, BOOT_FRAMEBUFFER_PIXELS);
	assert_int_equal(found->address, 0xfd000000);
	assert_int_equal(found->stride_bytes, 4096);
	assert_int_equal(found->red_shift, 16);
	assert_int_equal(found->blue_bits, 8);
	tag->bytes = 37; /* the last colour is missing */
	assert_int_equal(convert()->framebuffer.kind, BOOT_FRAMEBUFFER_NONE);
	((struct multiboot2_framebuffer *)tag)->type = 2;
	tag->bytes = 38;
	found = &convert()->framebuffer;
	assert_int_equal(found->kind, BOOT_FRAMEBUFFER_TEXT);
	assert_int_equal(found->width, 1024);
	assert_int_equal(found->bits_per_pixel, 0);
	((struct multiboot2_framebuffer *)tag)->type = 0;
	assert_int_equal(convert()->framebuffer.kind, BOOT_FRAMEBUFFER_NONE);
}

static void a_foreign_loader_is_told(void **state)
{
	const struct boot_info *info;

	(void)state;
	add_memory(24);
	end();
	info = linked(multiboot2_convert(&start.header, 0x2badb002));
	assert_non_null(strstr(complaint(info), "without multiboot2 information"));
	assert_int_equal(info->mem_count, 0);
	start.header.bytes = ~0u;
	assert_non_null(strstr(complaint(convert()), "without multiboot2 information"));
	info = linked(multiboot2_convert(NULL, MULTIBOOT2_MAGIC));
	assert_non_null(strstr(complaint(info), "without multiboot2 information"));
}

static void memory_maps_that_make_no_sense_are_told(void **state)
{
	const u32 wrong[] = { 0, 8, 20, 25, 36 };
	const struct boot_info *info;
	u32 i;

	(void)state;
	end();
	info = convert();
	assert_non_null(strstr(complaint(info), "no memory map"));
	assert_int_equal(type_at(info, info->core_address), BOOT_MEM_LOADED);
	for (i = 0; i < ARRAY_COUNT(wrong); i++) {
		setup(NULL);
		add_memory(wrong[i]);
		end();
		assert_non_null(strstr(complaint(convert()), "no memory map"));
	}
}

static void longer_entries_of_a_later_version_are_read(void **state)
{
	const struct boot_info *info;

	(void)state;
	add_memory(40);
	end();
	info = convert();
	assert_string_equal(complaint(info), "");
	assert_int_equal(type_at(info, USABLE_END - 1), BOOT_MEM_ACPI);
	assert_int_equal(type_at(info, USABLE_END - 2 * MIB), BOOT_MEM_USABLE);
}

static void modules_that_lie_nowhere_are_told(void **state)
{
	const struct { u64 from, to; } wrong[] = { { 8192, 4096 }, { 0, 4096 } };
	u32 i;

	(void)state;
	for (i = 0; i < ARRAY_COUNT(wrong); i++) {
		const struct boot_info *info;

		setup(NULL);
		add_memory(24);
		add_module(wrong[i].from, wrong[i].to, "x");
		end();
		info = convert();
		assert_non_null(strstr(complaint(info), "lies nowhere"));
		assert_int_equal(info->file_count, 0);
	}
}

static void strings_without_an_end_are_empty(void **state)
{
	const struct boot_info *info;

	(void)state;
	add_memory(24);
	add(MULTIBOOT2_TAG_COMMAND_LINE, "xxxxxxxx", 8);
	add(MULTIBOOT2_TAG_COMMAND_LINE, NULL, 0);
	end();
	info = convert();
	assert_string_equal(linked(info->command_line), "");
}

/* The list as it is, and nothing readable behind it. */
static struct boot_info *convert_within_bounds(void)
{
	struct boot_info *info;

	__asan_poison_memory_region((u8 *)&start + start.header.bytes, sizeof(start) - start.header.bytes);
	info = convert();
	__asan_unpoison_memory_region(&start, sizeof(start));
	return info;
}

static void a_list_cut_anywhere_is_told(void **state)
{
	u32 bytes;

	(void)state;
	add_memory(24);
	add_module((u64)module_data, (u64)module_data + 64, "name");
	add(MULTIBOOT2_TAG_ACPI_NEW, "RSD PTR ", 8);
	end();
	for (bytes = start.header.bytes - 1; bytes >= sizeof(start.header); bytes--) {
		start.header.bytes = bytes;
		assert_true(complaint(convert_within_bounds())[0] != '\0');
	}
}

static void wild_bytes_are_read_within_bounds(void **state)
{
	u8 good[512] = { 0 };
	u32 bytes, round, i;

	(void)state;
	add_memory(24);
	add(MULTIBOOT2_TAG_COMMAND_LINE, "a b", 4);
	add(MULTIBOOT2_TAG_FRAMEBUFFER, good, 30);
	add(MULTIBOOT2_TAG_ACPI_NEW, "RSD PTR ", 8);
	end();
	bytes = start.header.bytes;
	assert_true(bytes <= sizeof(good));
	memcpy(good, &start, bytes);
	srand(1);
	for (round = 0; round < 20000; round++) {
		memcpy(&start, good, bytes);
		/* Bit 2 set is never the number of a module, whose place the loader is trusted to know. */
		for (i = 0; i < 3; i++)
			((u8 *)&start)[sizeof(start.header) + (u32)rand() % (bytes - 8)] = (u8)(rand() | 4);
		assert_int_equal(convert_within_bounds()->file_count, 0);
	}
}

static void firmware_left_running_is_told(void **state)
{
	(void)state;
	add(MULTIBOOT2_TAG_EFI_SERVICES, NULL, 0);
	add_memory(24);
	end();
	assert_non_null(strstr(complaint(convert()), "left the UEFI firmware running"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(good_information_arrives, setup),
		cmocka_unit_test_setup(a_module_without_a_name_is_an_archive, setup),
		cmocka_unit_test_setup(names_are_freed_of_path_and_quotes, setup),
		cmocka_unit_test_setup(a_long_name_is_told, setup),
		cmocka_unit_test_setup(a_nameless_module_that_is_none_is_told, setup),
		cmocka_unit_test_setup(pixels_and_text_are_understood, setup),
		cmocka_unit_test_setup(a_foreign_loader_is_told, setup),
		cmocka_unit_test_setup(memory_maps_that_make_no_sense_are_told, setup),
		cmocka_unit_test_setup(longer_entries_of_a_later_version_are_read, setup),
		cmocka_unit_test_setup(modules_that_lie_nowhere_are_told, setup),
		cmocka_unit_test_setup(strings_without_an_end_are_empty, setup),
		cmocka_unit_test_setup(a_list_cut_anywhere_is_told, setup),
		cmocka_unit_test_setup(wild_bytes_are_read_within_bounds, setup),
		cmocka_unit_test_setup(firmware_left_running_is_told, setup),
	};

	return cmocka_run_group_tests_name("multiboot2", tests, NULL, NULL);
}
