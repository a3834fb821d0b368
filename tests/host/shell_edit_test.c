/* SPDX-License-Identifier: BSD-2-Clause */
/* The console: keys, history, completion, pasted lines, and any bytes at all. */
/* SOURCES: tests/host/fake/shell_words.c tests/host/fake/terminal.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/heap.h"
#include "kernel/sched.h"
#include "kernel/shell.h"
#include "tests/host/fake/shell_words.h"
#include "tests/host/fake/terminal.h"

static void check_line(const char *keys, const char *wanted, unsigned cursor)
{
	char line[SHELL_LINE_MAX + 16];

	answer_of("");
	type(keys);
	snprintf(line, sizeof(line), "tern:host1>%s%s", *wanted ? " " : "", wanted);
	assert_string_equal(line_at(row), line);
	assert_int_equal(column, 12 + cursor);
}

static void keys_edit_the_line(void **state)
{
	(void)state;
	check_line("abc", "abc", 3);
	check_line("abc\x7f", "ab", 2);
	check_line("abc\b\b\b\b", "", 0);
	check_line("abc\x1b[DX", "abXc", 3);
	check_line("abc\x02\x02X\x06Y", "aXbYc", 4);
	check_line("abc\x01X", "Xabc", 1);
	check_line("abc\x1b[HX\x1b[FY", "XabcY", 5);
	check_line("abc\x1bOHX\x1bOFY", "XabcY", 5);
	check_line("abc\x1b[1~X\x1b[4~Y", "XabcY", 5);
	check_line("abc\x1b[D\x1b[D\x1b[3~", "ac", 1);
	check_line("abc\x1b[D\x1b[3;5~", "ab", 2);
	check_line("abc\x01\x04\x04", "c", 0);
	check_line("abc def\x17", "abc", 4);
	check_line("abc def  \x17\x17", "", 0);
	check_line("abc def\x1b[D\x17", "abc f", 4);
	check_line("abcdef\x1b[D\x1b[D\x15", "ef", 0);
	check_line("abcdef\x01\x06\x06\x0b", "ab", 2);
	check_line("abc\x1b[D\x7f", "ac", 1);
	check_line("a\x1b[1;5Cb\x1b[99~c\x1b[Zd\x1bxe", "abcde", 5);
	check_line("abc\x0c", "abc", 3);
	check_line("abc\x01\x0c", "abc", 0);
	check_line("abc\x03x", "x", 1);
}

static void history(void **state)
{
	(void)state;
	answer_of("vm show one");
	answer_of("vm show two");
	answer_of("vm show two");
	check_line("\x1b[A", "vm show two", 11);
	check_line("\x1b[A\x10", "vm show one", 11);
	check_line("draft\x1b[A\x1b[A\x1b[B\x1b[B", "draft", 5);
	check_line("draft\x1b[A\x0e", "draft", 5);
	check_line("draft\x0e", "draft", 5);
	assert_int_equal(bells, 1);
	check_line("\x1b[A\x7f\x7f\x7fone!", "vm show one!", 12);
	for (int i = 0; i < 40; i++) {
		char line[32];

		snprintf(line, sizeof(line), "vm show h%d", i);
		answer_of(line);
	}
	answer_of("");
	for (int i = 0; i < 32; i++)
		type("\x1b[A");
	assert_string_equal(line_at(row), "tern:host1> vm show h8");
	type("\x1b[A");
	assert_string_equal(line_at(row), "tern:host1> vm show h8");
}

static void line_ends(void **state)
{
	(void)state;
	answer_of("");
	clear_screen();
	type("vm show web1\r\nvm show web1\nvm show web1\r\r\n\n");
	assert_string_equal(line_at(3), "tern:host1> vm show web1");
	assert_string_equal(line_at(8), "ok");
	/* "\r", "\r\n", "\n": the first ended the command, the others are two empty lines. */
	assert_int_equal(row, 11);
}

static void a_full_line_rings(void **state)
{
	char text[1500];

	(void)state;
	memset(text, 'x', sizeof(text));
	answer_of("");
	type_bytes(text, 1100);
	assert_int_equal(strlen(line_at(row)), 12 + SHELL_LINE_MAX - 1);
	assert_int_equal(bells, 1100 - (SHELL_LINE_MAX - 1));
	type("\x15");
	assert_string_equal(line_at(row), "tern:host1>");
}

static void pasted_lines_all_run(void **state)
{
	size_t at = 0;
	unsigned oks = 0;

	(void)state;
	answer_of("");
	clear_screen();
	sent_count = shown = 0;
	/* More than the input ring holds. */
	for (int i = 0; i < 1000; i++)
		at += (size_t)sprintf(typed + at, "vm show web1\r");
	typed_count = at;
	typed_read = 0;
	for (int i = 0; i < 10000 && console->poll(console); i++)
		;
	sent[sent_count] = 0;
	for (const char *s = sent; (s = strstr(s, "web1 runs\r\nok\r\n")) != NULL; s++)
		oks++;
	assert_int_equal(oks, 1000);
	shown = sent_count;
}

/* --- completion --- */

static void tab_completes(void **state)
{
	(void)state;
	check_line("m\t", "migrate", 8);
	check_line("v\t", "vm", 3);
	check_line("vm sh\t", "vm show", 8);
	check_line("vm show d\t", "vm show db", 11);
	check_line("vm show w\t", "vm show web", 11);
	check_line("vm show web1 \t", "vm show web1", 13);
	check_line("migrate d\t", "migrate db", 11);
	check_line("vm create x k\t", "vm create x kernel=", 19);
	check_line("vm create x kernel=a --y\t", "vm create x kernel=a --yes", 27);
	check_line("vm create x kernel=a k\t", "vm create x kernel=a k", 22);
	check_line("vm list --j\t", "vm list --j", 11);
	check_line("vm show web1 --j\t", "vm show web1 --json", 20);
	check_line("help e\t", "help errors", 12);
	check_line("help mi\t", "help migrate", 13);
	check_line("zzz\t", "zzz", 3);
	assert_int_equal(bells, 1);
	/* Before the cursor counts, what is behind it stays. */
	check_line("vm sh web1\x02\x02\x02\x02\x02\t", "vm show  web1", 8);
}

static void tab_lists(void **state)
{
	unsigned first;

	(void)state;
	check_line("vm show we\t", "vm show web", 11);
	first = row;
	type("\t");
	assert_string_equal(line_at(first + 1), "web1  web2");
	assert_string_equal(line_at(row), "tern:host1> vm show web");
	check_line("vm create x \t", "vm create x", 12);
	assert_string_equal(line_at(row - 1), "kernel=  mem=  cmdline=  --yes");
}

/* --- noise --- */

static void any_bytes_do_no_harm(void **state)
{
	static const char letters[] = "\x1b[\x1bO ABCDHF~13;\r\n\t\x01\x02\x04\x05\x06\b\x0b\x0e\x10\x15\x17\x7f"
				      "vm show web1 migrate to x help ? \"\" --json mem=\xff\xc3";
	struct heap_stats before, after;

	(void)state;
	answer_of("");
	for (int round = 0; round < 300; round++) {
		char text[400];

		for (size_t i = 0; i < sizeof(text); i++)
			text[i] = rand() % 50 ? letters[(size_t)rand() % (sizeof(letters) - 1)] : (char)rand();
		sent_count = shown = 0;
		clear_screen();
		is_over = true;
		typed_read = 0;
		typed_count = sizeof(text);
		memcpy(typed, text, sizeof(text));
		for (int i = 0; i < 200; i++) {
			console->poll(console);
			is_over = true;
		}
		shown = sent_count;
	}
	type_bytes("\x1d", 1);
	type("\x03\x15");
	shown = sent_count;
	heap_get_stats(&before);
	answer_of("vm show web1");
	heap_get_stats(&after);
	assert_int_equal(after.objects, before.objects);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_edit_the_line),
		cmocka_unit_test(history),
		cmocka_unit_test(line_ends),
		cmocka_unit_test(a_full_line_rings),
		cmocka_unit_test(pasted_lines_all_run),
		cmocka_unit_test(tab_completes),
		cmocka_unit_test(tab_lists),
		cmocka_unit_test(any_bytes_do_no_harm),
	};

	srand(5);
	return cmocka_run_group_tests(tests, terminal_start, NULL);
}
