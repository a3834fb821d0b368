/* SPDX-License-Identifier: BSD-2-Clause */
/* tern.conf: what is read, what is refused and with which line number, and that no file can hurt. */
/* SOURCES: kernel/config.c kernel/heap.c kernel/page.c kernel/page_map.c kernel/fmt.c kernel/str.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/host/fake/memory.h"
#include "tests/host/fake/panic.h"
#include "kernel/config.h"
#include "kernel/heap.h"
#include "kernel/log.h"

static char complaints[8192];

void log_write(enum log_level level, const char *format, ...)
{
	size_t used = strlen(complaints);
	va_list args;

	(void)level;
	va_start(args, format);
	vsnprintf(complaints + used, sizeof(complaints) - used, format, args);
	va_end(args);
	strncat(complaints, "\n", sizeof(complaints) - strlen(complaints) - 1);
}

/* From a heap object of exact length, so that a read too far is seen. */
static unsigned parse(const char *text, size_t bytes)
{
	char *copy = malloc(bytes ? bytes : 1);
	unsigned wrong, count;
	const char *first;

	memcpy(copy, text, bytes);
	complaints[0] = 0;
	wrong = config_parse(copy, bytes);
	free(copy);
	first = config_first_wrong(&count);
	assert_int_equal(count, wrong);
	assert_int_equal(first != NULL, wrong > 0);
	if (wrong)
		assert_ptr_equal(strstr(complaints, first), complaints + strlen("tern.conf "));
	return wrong;
}

static unsigned parse_text(const char *text)
{
	return parse(text, strlen(text));
}

static void a_whole_file(void **state)
{
	const char *key, *value;

	(void)state;
	assert_int_equal(parse_text("\xef\xbb\xbf# Tern\r\n"
				    "[host]\r\n"
				    "name = host1   # the first\n"
				    "\taddress=10.77.0.1/24\n"
				    "empty =\n"
				    "[ peer  host2 ]\n"
				    "address = 10.77.0.2\n"
				    "[vm web1]\n"
				    "cmdline = \"console=ttyS0 quiet # no comment\"  # but this\n"
				    "url = http://x/#part\n"
				    "[vm db.2_a-b]\n"
				    "mem = 256M"), 0);
	assert_string_equal(complaints, "");
	assert_string_equal(config_get("host", NULL, "name"), "host1");
	assert_string_equal(config_get("host", NULL, "address"), "10.77.0.1/24");
	assert_string_equal(config_get("host", NULL, "empty"), "");
	assert_string_equal(config_get("peer", "host2", "address"), "10.77.0.2");
	assert_string_equal(config_get("vm", "web1", "cmdline"), "console=ttyS0 quiet # no comment");
	assert_string_equal(config_get("vm", "web1", "url"), "http://x/#part");
	assert_string_equal(config_get("vm", "db.2_a-b", "mem"), "256M");
	assert_null(config_get("host", NULL, "mem"));
	assert_null(config_get("vm", "web2", "mem"));
	assert_null(config_get("vm", NULL, "mem"));
	assert_string_equal(config_name("vm", 0), "web1");
	assert_string_equal(config_name("vm", 1), "db.2_a-b");
	assert_null(config_name("vm", 2));
	assert_string_equal(config_name("peer", 0), "host2");
	assert_null(config_name("host", 0));
	assert_true(config_entry("host", NULL, 1, &key, &value));
	assert_string_equal(key, "address");
	assert_string_equal(value, "10.77.0.1/24");
	assert_false(config_entry("host", NULL, 3, &key, &value));
	assert_false(config_entry("vm", "none", 0, &key, &value));
}

static void wrong_lines(void **state)
{
	static const struct {
		const char *text;
		const char *complaint;
	} cases[] = {
		{ "a = b\n", "line 1: comes before any section" },
		{ "[host]\nname\n", "line 2: expected \"key = value\"" },
		{ "[host]\n\n= x\n", "line 3: not a key" },
		{ "[host]\na b = x\n", "line 2: not a key" },
		{ "[host\n", "line 1: a section line ends with ]" },
		{ "[]\n", "line 1: a section is" },
		{ "[disk d]\n", "line 1: a section is" },
		{ "[host x]\n", "line 1: a section is" },
		{ "[vm]\n", "line 1: a name is" },
		{ "[vm a b]\n", "line 1: a name is" },
		{ "[vm a=b]\n", "line 1: a name is" },
		{ "[vm -x]\n", "line 1: a name is" },
		{ "[vm a]\n[vm a]\n", "line 2: there is already a section for a" },
		{ "[host]\na = \"x\n", "line 2: a quote is not closed" },
		{ "[host]\na = \"\n", "line 2: a quote is not closed" },
		{ "[host]\na = 1\na = 2\n", "line 3: set twice" },
		{ "[host]\na = \x01\n", "line 2: has characters that are no text" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		assert_int_equal(parse_text(cases[i].text), 1);
		if (!strstr(complaints, cases[i].complaint))
			fail_msg("case %zu: %s", i, complaints);
	}
	assert_int_equal(parse("[host]\na = b\0c\nd = e\n", 21), 1);
	assert_string_equal(config_get("host", NULL, "d"), "e");
}

static void a_wrong_line_stops_nothing(void **state)
{
	(void)state;
	assert_int_equal(parse_text("[host]\nname = a\nbroken\n[disk x]\nlost = 1\n[peer b]\naddress = c\n"), 2);
	assert_string_equal(config_get("host", NULL, "name"), "a");
	assert_string_equal(config_get("peer", "b", "address"), "c");
	/* Not into the section before. */
	assert_null(config_get("host", NULL, "lost"));
	/* A file may be read again; the old one is forgotten. */
	assert_int_equal(parse_text("[host]\n"), 0);
	assert_null(config_get("host", NULL, "name"));
	assert_int_equal(parse("", 0), 0);
	assert_null(config_name("peer", 0));
}

static void too_much(void **state)
{
	size_t bytes = 70000, at = 0;
	char *text = malloc(bytes);

	(void)state;
	at += (size_t)sprintf(text, "[host]\n");
	for (int i = 0; i < 600; i++)
		at += (size_t)sprintf(text + at, "k%d = %d\n", i, i);
	assert_int_equal(parse(text, at), 600 - 511);
	assert_string_equal(config_get("host", NULL, "k510"), "510");
	memset(text, '#', bytes);
	assert_true(parse(text, bytes) >= 1);
	assert_non_null(strstr(complaints, "longer than 64 KiB"));
	free(text);
}

static void random_files_do_no_harm(void **state)
{
	static const char letters[] = "[]host peer vm a=\"#\n\r\t \x01\xff.=\n[vm x]\n";
	char text[200];

	(void)state;
	for (int round = 0; round < 5000; round++) {
		size_t bytes = (size_t)rand() % sizeof(text);
		const char *key, *value;

		for (size_t i = 0; i < bytes; i++)
			text[i] = letters[(size_t)rand() % sizeof(letters)];
		parse(text, bytes);
		for (unsigned i = 0; config_entry("host", NULL, i, &key, &value); i++)
			assert_string_equal(config_get("host", NULL, key), value);
	}
}

static int set_up(void **state)
{
	(void)state;
	fake_memory_init(16 * MIB);
	return 0;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_file),
		cmocka_unit_test(wrong_lines),
		cmocka_unit_test(a_wrong_line_stops_nothing),
		cmocka_unit_test(too_much),
		cmocka_unit_test(random_files_do_no_harm),
	};

	srand(4);
	return cmocka_run_group_tests(tests, set_up, NULL);
}
