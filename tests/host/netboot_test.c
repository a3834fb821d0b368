/* SPDX-License-Identifier: BSD-2-Clause */
/* What the loader makes of a DHCP answer and of a tern.conf, in good and bad order. */
/* SOURCES: boot/dhcp.c boot/conf_files.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "boot/conf_files.h"
#include "boot/dhcp.h"

#define PACKET_BYTES 300
#define SERVER 20
#define CLIENT 28
#define FILE_FIELD 108
#define OPTIONS 240

static u8 packet[PACKET_BYTES];
static struct dhcp_start start;

static int setup(void **state)
{
	(void)state;
	memset(packet, 0, sizeof(packet));
	memcpy(packet + SERVER, "\x0a\x4d\x00\x02", 4);
	memcpy(packet + CLIENT, "\x52\x54\x00\xaa\xbb\x0f", 6);
	packet[OPTIONS] = 255;
	return 0;
}

static void fields_are_read(void **state)
{
	(void)state;
	strcpy((char *)packet + FILE_FIELD, "net/x/BOOTX64.EFI");
	assert_true(dhcp_read(packet, sizeof(packet), &start));
	assert_memory_equal(start.server, "\x0a\x4d\x00\x02", 4);
	assert_string_equal(start.folder, "net/x/");
	assert_string_equal(start.client, "52-54-00-aa-bb-0f");
}

static void options_stand_in_for_fields(void **state)
{
	static const u8 options[] = { 0, 0, 54, 4, 1, 2, 3, 4, 67, 6, 't', '\\', 'B', '.', 'E', 'F', 255 };

	(void)state;
	memset(packet + SERVER, 0, 4);
	memcpy(packet + OPTIONS, options, sizeof(options));
	assert_true(dhcp_read(packet, sizeof(packet), &start));
	assert_memory_equal(start.server, "\1\2\3\4", 4);
	assert_string_equal(start.folder, "t/");
}

static void a_field_that_holds_options_is_no_name(void **state)
{
	static const u8 options[] = { 52, 1, 1, 67, 3, 'a', '/', 'b', 255 };

	(void)state;
	strcpy((char *)packet + FILE_FIELD, "wrong/name");
	memcpy(packet + OPTIONS, options, sizeof(options));
	assert_true(dhcp_read(packet, sizeof(packet), &start));
	assert_string_equal(start.folder, "a/");
}

static void a_name_without_an_end_stays_in_its_field(void **state)
{
	(void)state;
	memset(packet + FILE_FIELD, '/', 128);
	assert_true(dhcp_read(packet, sizeof(packet), &start));
	assert_int_equal(strlen(start.folder), 127);
}

static void no_server_is_no_answer(void **state)
{
	(void)state;
	assert_false(dhcp_read(packet, OPTIONS - 1, &start));
	memset(packet + SERVER, 0, 4);
	assert_false(dhcp_read(packet, sizeof(packet), &start));
	memcpy(packet + OPTIONS, "\x36\x03\1\2\3\xff", 6);
	assert_false(dhcp_read(packet, sizeof(packet), &start));
}

/* Each length on the heap, where the sanitizer sees what is read behind it. */
static void wild_options_are_read_within_bounds(void **state)
{
	u32 bytes, round, i;

	(void)state;
	srand(1);
	for (round = 0; round < 200; round++) {
		for (bytes = OPTIONS; bytes < OPTIONS + 40; bytes++) {
			u8 *wild = calloc(1, bytes);

			for (i = OPTIONS; i < bytes; i++)
				wild[i] = (u8)(rand() % 3 ? rand() % 8 : 50 + rand() % 20);
			dhcp_read(wild, bytes, &start);
			assert_true(strlen(start.folder) < sizeof(start.folder));
			free(wild);
		}
	}
}

static void expect_names(const char *text, const char *const *names)
{
	struct conf_files conf = { .text = text, .bytes = strlen(text) };
	char name[BOOT_FILE_NAME_MAX];

	for (; *names; names++) {
		assert_true(conf_files_next(&conf, name));
		assert_string_equal(name, *names);
	}
	assert_false(conf_files_next(&conf, name));
	assert_false(conf_files_next(&conf, name));
}

static void names_come_in_file_order(void **state)
{
	static const char *const names[] = { "a.bin", "odd name.bin", "b", "vmlinuz 6.1", "initrd.gz", "last", NULL };

	(void)state;
	expect_names("# kernel = none\n[host]\r\nname = x\nfiles = a.bin  \"odd name.bin\" b # c\n[vm web1]\n"
		     "  kernel=vmlinuz 6.1 \t# newest\r\ninitrd =\"initrd.gz\"\ncmdline = kernel=x initrd=y\n"
		     "kernels = no\nkernel no\nkernel =\nkernel = last", names);
}

static void a_name_too_long_is_left_to_the_core(void **state)
{
	static const char *const names[] = { "next", NULL };
	char text[200] = "kernel = ";

	(void)state;
	memset(text + 9, 'k', BOOT_FILE_NAME_MAX);
	strcat(text, "\ninitrd = next\n");
	expect_names(text, names);
}

static void wild_text_ends(void **state)
{
	static const char letters[] = "files=kernl \t\n\"#x=";
	u32 round, i;

	(void)state;
	srand(2);
	for (round = 0; round < 20000; round++) {
		u32 bytes = (u32)rand() % 60, names = 0;
		char *text = malloc(bytes ? bytes : 1);
		struct conf_files conf = { .text = text, .bytes = bytes };
		char name[BOOT_FILE_NAME_MAX];

		for (i = 0; i < bytes; i++)
			text[i] = letters[(u32)rand() % (sizeof(letters) - 1)];
		if (bytes > 6 && round % 2)
			memcpy(text, "files=", 6);
		while (conf_files_next(&conf, name)) {
			assert_true(name[0] != '\0' && strlen(name) < sizeof(name));
			assert_true(++names <= bytes);
		}
		free(text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(fields_are_read, setup),
		cmocka_unit_test_setup(options_stand_in_for_fields, setup),
		cmocka_unit_test_setup(a_field_that_holds_options_is_no_name, setup),
		cmocka_unit_test_setup(a_name_without_an_end_stays_in_its_field, setup),
		cmocka_unit_test_setup(no_server_is_no_answer, setup),
		cmocka_unit_test_setup(wild_options_are_read_within_bounds, setup),
		cmocka_unit_test(names_come_in_file_order),
		cmocka_unit_test(a_name_too_long_is_left_to_the_core),
		cmocka_unit_test(wild_text_ends),
	};

	return cmocka_run_group_tests_name("netboot", tests, NULL, NULL);
}
