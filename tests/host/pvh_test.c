/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PVH hand-off with start information in good and bad order. The test's own static data
 * lies below 4 GiB (it is linked without PIE), so its addresses serve as physical ones.
 */
/* SOURCES: boot/pvh.c boot/collect.c boot/mem_map.c boot/cpio.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/host/fake/core_image.h"

#include "boot/collect.h"
#include "boot/handoff.h"
#include "boot/pvh.h"
#include "kernel/layout.h"

#define IMAGE_BYTES (2 * MIB)
#define USABLE_END (3 * GIB)

static struct hvm_start_info start;
static struct hvm_module module;
static struct collect_range memory[600];
static char archive[16384];
static char command_line[2048];

static u64 image_address(void) { return (u64)core_image_start - CORE_BASE; }

static struct boot_info *convert(void) { return linked(pvh_convert(&start)); }

static size_t add_member(size_t at, const char *name, unsigned mode, const char *data)
{
	at += (size_t)sprintf(archive + at, "070701%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X%08X", 1u, mode, 0u, 0u,
			      1u, 0u, (unsigned)strlen(data), 0u, 0u, 0u, 0u, (unsigned)strlen(name) + 1, 0u);
	memcpy(archive + at, name, strlen(name) + 1);
	at = ALIGN_UP(at + strlen(name) + 1, 4);
	memcpy(archive + at, data, strlen(data));
	return ALIGN_UP(at + strlen(data), 4);
}

static int setup(void **state)
{
	(void)state;
	memset(archive, 0, sizeof(archive));
	memset(command_line, 0, sizeof(command_line));
	memory[0] = (struct collect_range){ .base = 0, .bytes = 640 * KIB, .type = 1 };
	memory[1] = (struct collect_range){ .base = MIB, .bytes = USABLE_END - MIB, .type = 1 };
	memory[2] = (struct collect_range){ .base = USABLE_END - MIB, .bytes = MIB, .type = 3 };
	module = (struct hvm_module){ .address = (u64)archive, .bytes = sizeof(archive) };
	start = (struct hvm_start_info){
		.magic = HVM_START_MAGIC, .version = 1, .module_count = 1, .modules = (u64)&module,
		.command_line = (u64)command_line, .rsdp = 0xf0000, .memory_map = (u64)memory,
		.memory_map_count = 3,
	};
	return 0;
}

static void good_information_arrives(void **state)
{
	size_t at = add_member(0, "./tern.conf", 0100644, "name = host1\n");
	const struct boot_info *info;
	const struct boot_file *file;

	(void)state;
	at = add_member(at, "folder", 0040755, "");
	at = add_member(at, "vmlinuz", 0100644, "kernel");
	add_member(at, "TRAILER!!!", 0, "");
	strcpy(command_line, "console=com1");
	info = convert();
	assert_string_equal(complaint(info), "");
	assert_int_equal(info->magic, BOOT_INFO_MAGIC);
	assert_int_equal(info->loader, BOOT_LOADER_PVH);
	assert_int_equal(info->rsdp_address, 0xf0000);
	assert_int_equal(info->core_address, image_address());
	assert_int_equal(info->core_bytes, IMAGE_BYTES);
	assert_string_equal(linked(info->command_line), "console=com1");
	assert_int_equal(info->file_count, 2);
	file = linked(info->file);
	assert_string_equal(file[0].name, "tern.conf");
	assert_memory_equal(file[0].address, "name = host1\n", file[0].bytes);
	assert_string_equal(file[1].name, "vmlinuz");
	assert_int_equal(type_at(info, 0), BOOT_MEM_USABLE);
	assert_int_equal(type_at(info, image_address()), BOOT_MEM_LOADED);
	assert_int_equal(type_at(info, image_address() + IMAGE_BYTES - 1), BOOT_MEM_LOADED);
	assert_int_equal(type_at(info, image_address() + IMAGE_BYTES), BOOT_MEM_USABLE);
	assert_int_equal(type_at(info, (u64)archive), BOOT_MEM_LOADED);
	assert_int_equal(type_at(info, USABLE_END - 1), BOOT_MEM_ACPI);
}

static void no_archive_is_no_complaint(void **state)
{
	const struct boot_info *info;

	(void)state;
	start.module_count = 0;
	info = convert();
	assert_string_equal(complaint(info), "");
	assert_int_equal(info->file_count, 0);
}

static void foreign_information_is_not_read(void **state)
{
	const struct boot_info *info;

	(void)state;
	start.magic = 0;
	info = convert();
	assert_non_null(strstr(complaint(info), "without PVH start information"));
	assert_int_equal(info->mem_count, 0);
	assert_int_equal(info->magic, BOOT_INFO_MAGIC);
}

static void a_missing_memory_map_is_told(void **state)
{
	(void)state;
	start.version = 0;
	assert_non_null(strstr(complaint(convert()), "no memory map"));
	start.version = 1;
	start.memory_map = 5 * GIB;
	assert_non_null(strstr(complaint(convert()), "no memory map"));
	start.memory_map = (u64)memory;
	start.memory_map_count = ~0u;
	assert_non_null(strstr(complaint(convert()), "no memory map"));
}

static void an_archive_out_of_reach_is_told(void **state)
{
	(void)state;
	module.address = 5 * GIB;
	assert_non_null(strstr(complaint(convert()), "above 4 GiB"));
	module.address = (u64)archive;
	module.bytes = ~0ull;
	assert_non_null(strstr(complaint(convert()), "above 4 GiB"));
	start.modules = ~0ull - 8;
	assert_non_null(strstr(complaint(convert()), "above 4 GiB"));
}

static void a_broken_archive_keeps_the_files_before(void **state)
{
	size_t at = add_member(0, "tern.conf", 0100644, "x");
	const struct boot_info *info;

	(void)state;
	memcpy(archive + at, "garbage", 7);
	info = convert();
	assert_non_null(strstr(complaint(info), "not a newc cpio archive"));
	assert_int_equal(info->file_count, 1);
}

static void files_beyond_the_table_are_told(void **state)
{
	char name[BOOT_FILE_NAME_MAX + 1];
	const struct boot_info *info;
	size_t at = 0;
	int i;

	(void)state;
	memset(name, 'a', sizeof(name));
	name[sizeof(name) - 1] = '\0';
	at = add_member(at, name, 0100644, "");
	add_member(at, "TRAILER!!!", 0, "");
	info = convert();
	assert_non_null(strstr(complaint(info), "64 characters"));
	assert_int_equal(info->file_count, 0);
	for (i = 0, at = 0; i < 65; i++)
		at = add_member(at, "f", 0100644, "");
	add_member(at, "TRAILER!!!", 0, "");
	info = convert();
	assert_non_null(strstr(complaint(info), "more than 64 boot files"));
	assert_int_equal(info->file_count, 64);
}

static void a_long_command_line_is_cut(void **state)
{
	const struct boot_info *info;

	(void)state;
	start.module_count = 0;
	memset(command_line, 'x', sizeof(command_line));
	info = convert();
	assert_non_null(strstr(complaint(info), "command line"));
	assert_int_equal(strlen(linked(info->command_line)), 1023);
}

static void the_image_is_protected_in_a_full_map(void **state)
{
	const struct boot_info *info;
	u32 i;

	(void)state;
	start.module_count = 0;
	for (i = 0; i < ARRAY_COUNT(memory); i++)
		memory[i] = (struct collect_range){ .base = 4 * GIB + i * MIB, .bytes = 4096, .type = 2 };
	memory[0] = (struct collect_range){ .base = 0, .bytes = USABLE_END, .type = 1 };
	start.memory_map_count = ARRAY_COUNT(memory);
	info = convert();
	assert_non_null(strstr(complaint(info), "more entries"));
	assert_int_equal(type_at(info, image_address()), BOOT_MEM_LOADED);
	assert_int_equal(type_at(info, image_address() - 1), BOOT_MEM_USABLE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(good_information_arrives, setup),
		cmocka_unit_test_setup(no_archive_is_no_complaint, setup),
		cmocka_unit_test_setup(foreign_information_is_not_read, setup),
		cmocka_unit_test_setup(a_missing_memory_map_is_told, setup),
		cmocka_unit_test_setup(an_archive_out_of_reach_is_told, setup),
		cmocka_unit_test_setup(a_broken_archive_keeps_the_files_before, setup),
		cmocka_unit_test_setup(files_beyond_the_table_are_told, setup),
		cmocka_unit_test_setup(a_long_command_line_is_cut, setup),
		cmocka_unit_test_setup(the_image_is_protected_in_a_full_map, setup),
	};

	return cmocka_run_group_tests_name("pvh", tests, NULL, NULL);
}
