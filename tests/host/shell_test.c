/* SPDX-License-Identifier: BSD-2-Clause */
/* The console: commands, their answers, and what goes on while one runs. */
/* SOURCES: tests/host/fake/shell_words.c tests/host/fake/terminal.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/log.h"
#include "kernel/sched.h"
#include "kernel/shell.h"
#include "tests/host/fake/shell_words.h"
#include "tests/host/fake/terminal.h"

static void the_prompt_comes_by_itself(void **state)
{
	(void)state;
	run();
	assert_string_equal(line_at(0), "tern:host1>");
}

static void commands_run_with_their_words(void **state)
{
	(void)state;
	assert_string_equal(answer_of("vm create web1"), "created web1\nok\n");
	assert_string_equal(last_run, "create|web1");
	answer_of("  vm   create\tweb1   mem=256M cmdline=\"a b=\\\"c\\\\\" --yes  ");
	assert_string_equal(last_run, "create|web1;mem:256M;cmdline:a b=\"c\\;--yes:");
	answer_of("vm create \"mem=1\" \"\"");
	assert_string_equal(last_run, "create|mem=1|");
	answer_of("vm create kernel= a=b=c");
	assert_string_equal(answer_of(""), "");
	assert_string_equal(answer_of("   "), "");
	answer_of("migrate check web1 to host2");
	assert_string_equal(last_run, "create|web1|to|host2");
}

static void mistakes_are_told(void **state)
{
	(void)state;
	assert_string_equal(answer_of("nonsense"),
			    "error: nonsense: no such command; try help (E-NO-SUCH-COMMAND)\n");
	assert_string_equal(answer_of("vm fly"), "error: fly: vm has no such verb; try help vm (E-NO-SUCH-COMMAND)\n");
	assert_string_equal(answer_of("vm"), "error: vm: a verb is missing; try help vm (E-USAGE)\n");
	assert_string_equal(answer_of("vm show"),
			    "error: vm: words are missing; usage: vm show NAME (E-USAGE)\n");
	assert_string_equal(answer_of("vm show a b"), "error: vm: too many words; usage: vm show NAME (E-USAGE)\n");
	assert_string_equal(answer_of("vm show web1 mem=1"),
			    "error: mem: no such option; usage: vm show NAME (E-BAD-OPTION)\n");
	assert_string_equal(answer_of("vm create a mem=1 mem=2"), "error: mem: given twice (E-BAD-OPTION)\n");
	assert_string_equal(answer_of("vm create \"a"), "error: a: the quote is not closed (E-BAD-SYNTAX)\n");
	assert_string_equal(answer_of("a b c d e f g h i j k l m n o p q"),
			    "error: q: more than 16 words (E-BAD-SYNTAX)\n");
	assert_string_equal(answer_of("vm show web9"),
			    "error: web9: no VM of this name; there are 3 (E-NO-SUCH-VM)\n");
	assert_string_equal(answer_of("vm silent"), "error: vm: no reason given (E-FAILED)\n");
	assert_string_equal(answer_of("migrate web1 host2"),
			    "error: migrate: words are missing; usage: migrate NAME to PEER (E-USAGE)\n");
}

static void numbers_and_confirmations(void **state)
{
	(void)state;
	assert_string_equal(answer_of("vm end web1 --yes"), "in 7 s\nok\n");
	assert_string_equal(answer_of("vm end web1 in=60 --yes"), "in 60 s\nok\n");
	assert_string_equal(answer_of("vm end web1 in=61 --yes"),
			    "error: in: not a number from 1 to 60: 61 (E-BAD-NUMBER)\n");
	assert_string_equal(answer_of("vm end web1 in=0 --yes"),
			    "error: in: not a number from 1 to 60: 0 (E-BAD-NUMBER)\n");
	assert_string_equal(answer_of("vm end web1 in=soon --yes"),
			    "error: in: not a number from 1 to 60: soon (E-BAD-NUMBER)\n");
	assert_string_equal(answer_of("vm end web1"),
			    "error: web1: it would end; --yes confirms it (E-NOT-CONFIRMED)\n");
}

static void codes_are_found_by_their_word(void **state)
{
	(void)state;
	assert_string_equal(shell_code("E-NO-SUCH-VM", NULL)->meaning, "There is no VM of this name.");
	assert_ptr_equal(shell_code("E-NO-MEMORY", NULL), &shell_no_memory);
	assert_ptr_equal(shell_code("E-OF-TOMORROW", &shell_no_memory), &shell_no_memory);
}

static void json_answers(void **state)
{
	(void)state;
	assert_string_equal(answer_of("vm create web1 --json"),
			    "{\"ok\": true, \"name\": \"web1\", \"ram_bytes\": 18446744073709551615, "
			    "\"drift_ns\": 5, \"is_running\": false, \"disks\": [{\"path\": "
			    "\"a\\\"b\\\\c\\u000a\\u0001\xc3\xa4\\ufffd\\ufffd\\ufffd\\ufffd\", \"none\": null}, 7], "
			    "\"empty\": {}}\n");
	assert_string_equal(answer_of("--json vm show web9"),
			    "{\"ok\": false, \"error\": {\"code\": \"E-NO-SUCH-VM\", \"what\": \"web9\", "
			    "\"why\": \"no VM of this name; there are 3\"}}\n");
	assert_string_equal(answer_of("vm show web1 --json"), "{\"ok\": true}\n");
	/* Mistakes in the line too. */
	assert_string_equal(answer_of("nonsense \"x --json"),
			    "error: x --json: the quote is not closed (E-BAD-SYNTAX)\n");
	assert_string_equal(answer_of("fly --json"),
			    "{\"ok\": false, \"error\": {\"code\": \"E-NO-SUCH-COMMAND\", \"what\": \"fly\", "
			    "\"why\": \"no such command; try help\"}}\n");
}

static void help(void **state)
{
	const char *text = answer_of("help");

	(void)state;
	assert_non_null(strstr(text, "  vm show NAME\n      Shows a VM.\n"));
	assert_non_null(strstr(text, "  help [NOUN"));
	assert_non_null(strstr(text, "ok\n"));
	/* In alphabetical order. */
	assert_true(strstr(text, "migrate check") < strstr(text, "vm create"));
	text = answer_of("help migrate");
	assert_non_null(strstr(text, "migrate NAME to PEER"));
	assert_null(strstr(text, "vm show"));
	assert_string_equal(answer_of("vm show ?"), "  vm show NAME\n      Shows a VM.\nok\n");
	assert_non_null(strstr(answer_of("?"), "vm show NAME"));
	assert_string_equal(answer_of("help nothing"),
			    "error: nothing: no such command; help alone lists them (E-NO-HELP)\n");
	text = answer_of("help errors");
	assert_non_null(strstr(text, "  E-NO-SUCH-VM             There is no VM of this name.\n"));
	assert_true(strstr(text, "E-BAD-OPTION") < strstr(text, "E-USAGE"));
	assert_non_null(strstr(answer_of("help errors --json"), "{\"code\": \"E-USAGE\", \"meaning\": "));
}

static void a_long_answer_is_whole_on_a_slow_port(void **state)
{
	char wanted[64];
	const char *at;

	(void)state;
	answer_of("");
	sent_count = shown = 0;
	port_room = 0;
	typed_count = typed_read = 0;
	strcpy(typed, "vm many\r");
	typed_count = strlen(typed);
	for (int i = 0; i < 20; i++)
		console->poll(console);
	assert_int_equal(sent_count, 0);
	port_room = 1000;
	for (int i = 0; i < 2000; i++)
		console->poll(console);
	port_room = ~(size_t)0;
	sent[sent_count] = 0;
	at = strchr(sent, '\n') + 1; /* behind the echo */
	for (unsigned i = 0; i < 30000; i++) {
		int length = snprintf(wanted, sizeof(wanted), "line %u of a long answer\r\n", i);

		assert_memory_equal(at, wanted, (size_t)length);
		at += length;
	}
	assert_string_equal(at, "ok\r\ntern:host1> ");
	shown = sent_count;
}

static void what_never_fits_is_counted(void **state)
{
	(void)state;
	port_room = 0;
	for (int i = 0; i < 8; i++) {
		strcpy(typed, "vm many\r");
		typed_read = 0;
		typed_count = strlen(typed);
		run();
	}
	sent_count = shown = 0;
	port_room = ~(size_t)0;
	console->poll(console);
	console->poll(console);
	assert_true(sent_count > 4 * MIB);
	sent[sent_count] = 0;
	assert_non_null(strstr(sent, " bytes of output were dropped]\r\n"));
	sent_count = shown = 0;
}

/* --- running commands --- */

static void progress_then_receipt(void **state)
{
	(void)state;
	answer_of("");
	clear_screen();
	type("migrate web1 to host2\r");
	assert_string_equal(last_run, "move|web1|to|host2");
	run();
	run();
	assert_memory_equal(line_at(1), "round ", 6);
	assert_string_equal(line_at(2), "");
	is_over = true;
	run();
	assert_memory_equal(line_at(1), "round ", 6);
	assert_string_equal(line_at(2), "receipt");
	assert_string_equal(line_at(3), "ok");
	assert_string_equal(line_at(4), "tern:host1>");
}

static void log_lines_go_above_progress(void **state)
{
	(void)state;
	answer_of("");
	clear_screen();
	now_ns = 0;
	type("migrate web1 to host2\r");
	log_info("first");
	log_debug("not shown");
	run();
	assert_string_equal(line_at(1), "[    0.000000] first");
	assert_memory_equal(line_at(2), "round ", 6);
	is_over = true;
	run();
	assert_string_equal(line_at(4), "ok");
}

static void ctrl_c_interrupts(void **state)
{
	(void)state;
	answer_of("");
	clear_screen();
	type("migrate web1 to host2\rvm show web1\r");
	type("\x03");
	run();
	assert_int_equal(interrupts, 1);
	assert_string_equal(line_at(2), "error: web1: canceled (E-NO-SUCH-VM)");
	/* What was typed ahead is gone. */
	assert_string_equal(line_at(3), "tern:host1>");
	type("\x03");
	assert_string_equal(line_at(3), "tern:host1> ^C");
	assert_int_equal(interrupts, 1);
}

static void type_ahead_waits(void **state)
{
	(void)state;
	answer_of("");
	clear_screen();
	type("migrate web1 to host2\rvm show web1\r");
	assert_string_equal(last_run, "move|web1|to|host2");
	is_over = true;
	run();
	run();
	assert_string_equal(last_run, "show|web1");
	assert_string_equal(line_at(row - 1), "ok");
	assert_string_equal(line_at(row - 2), "web1 runs");
	assert_string_equal(line_at(row - 3), "tern:host1> vm show web1");
}

static void json_progress_is_silent(void **state)
{
	(void)state;
	answer_of("");
	clear_screen();
	type("migrate web1 to host2 --json\r");
	run();
	is_over = true;
	run();
	assert_memory_equal(line_at(1), "{\"ok\": true, \"rounds\": ", 23);
	assert_string_equal(line_at(2), "tern:host1>");
}

static void raw_mode(void **state)
{
	(void)state;
	answer_of("");
	clear_screen();
	now_ns = 0;
	type("vm console web1\rab\x03");
	log_info("while attached");
	run();
	assert_string_equal(raw_bytes, "ab\x03");
	assert_memory_equal(screen[2], "<a><b>", 6);
	type("\x1d");
	assert_string_equal(line_at(3), "ok");
	assert_string_equal(line_at(4), "[    0.000000] while attached");
	assert_string_equal(line_at(5), "tern:host1>");
}

/* --- the log --- */

static void log_lines_go_above_the_prompt(void **state)
{
	(void)state;
	answer_of("");
	clear_screen();
	now_ns = 0;
	type("vm show web1\x1b[D\x1b[D");
	log_warn("news");
	log_info("more");
	run();
	assert_string_equal(line_at(0), "[    0.000000] warning: news");
	assert_string_equal(line_at(1), "[    0.000000] more");
	assert_string_equal(line_at(2), "tern:host1> vm show web1");
	type("\x7fX");
	assert_string_equal(line_at(2), "tern:host1> vm show wXb1");
}

static void a_flood_of_log_lines_is_bounded(void **state)
{
	unsigned polls = 0;

	(void)state;
	answer_of("");
	sent_count = shown = 0;
	for (int i = 0; i < 600; i++)
		log_info("flood %d", i);
	while (console->poll(console))
		polls++;
	assert_true(polls >= 10);
	sent[sent_count] = 0;
	assert_non_null(strstr(sent, "lines of the log were not shown]"));
	assert_non_null(strstr(sent, "flood 599\r\n"));
	shown = sent_count;
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_prompt_comes_by_itself),
		cmocka_unit_test(commands_run_with_their_words),
		cmocka_unit_test(mistakes_are_told),
		cmocka_unit_test(numbers_and_confirmations),
		cmocka_unit_test(codes_are_found_by_their_word),
		cmocka_unit_test(json_answers),
		cmocka_unit_test(help),
		cmocka_unit_test(a_long_answer_is_whole_on_a_slow_port),
		cmocka_unit_test(what_never_fits_is_counted),
		cmocka_unit_test(progress_then_receipt),
		cmocka_unit_test(log_lines_go_above_progress),
		cmocka_unit_test(ctrl_c_interrupts),
		cmocka_unit_test(type_ahead_waits),
		cmocka_unit_test(json_progress_is_silent),
		cmocka_unit_test(raw_mode),
		cmocka_unit_test(log_lines_go_above_the_prompt),
		cmocka_unit_test(a_flood_of_log_lines_is_bounded),
	};

	return cmocka_run_group_tests(tests, terminal_start, NULL);
}
