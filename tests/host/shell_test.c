/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console as a terminal sees it: bytes typed in, the screen that results. A small
 * terminal is emulated, so that tests speak of what one reads, not of escape codes.
 */
/* SOURCES: kernel/shell.c kernel/shell_edit.c kernel/shell_parse.c kernel/shell_complete.c
 *	kernel/shell_output.c kernel/shell_help.c kernel/json.c kernel/log.c kernel/heap.c kernel/page.c kernel/page_map.c
 *	kernel/fmt.c kernel/str.c */
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
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/log.h"
#include "kernel/sched.h"
#include "kernel/shell.h"
#include "kernel/timer.h"

/* ---- the world around the shell ---- */

static struct service *console;
static u64 now_ns;

u64 clock_now_ns(void) { return now_ns; }
void service_add(struct service *service) { console = service; }
void service_wake(void) { }
void timer_setup(struct timer *timer, void (*callback)(struct timer *timer)) { timer->callback = callback; }
void timer_arm(struct timer *timer, unsigned cpu, u64 deadline_ns)
{
	timer->cpu = cpu;
	timer->deadline_ns = deadline_ns;
	timer->is_armed = true;
}
void timer_disarm(struct timer *timer) { timer->is_armed = false; }

static char typed[20000];
static size_t typed_count, typed_read;
static char sent[6 * 1024 * 1024];
static size_t sent_count;
static size_t port_room; /* what the port takes a call */

static int port_read(void)
{
	return typed_read < typed_count ? (u8)typed[typed_read++] : -1;
}

static size_t port_write(const char *text, size_t bytes)
{
	size_t count = MIN(bytes, port_room);

	assert_true(sent_count + count < sizeof(sent));
	memcpy(sent + sent_count, text, count);
	sent_count += count;
	return count;
}

/* ---- a terminal ---- */

#define ROWS 400
#define COLUMNS 1200

static char screen[ROWS][COLUMNS];
static unsigned row, column, bells;
static size_t shown;

static void show_char(char c)
{
	assert_true(row < ROWS && column < COLUMNS - 1);
	if (!screen[row][column])
		screen[row][column + 1] = 0;
	screen[row][column++] = c;
}

static void escape_code(const char *code)
{
	if (strncmp(code, "\x1b[K", 3) == 0) {
		screen[row][column] = 0;
	} else if (strncmp(code, "\x1b[H", 3) == 0) {
		row = column = 0;
	} else {
		assert_memory_equal(code, "\x1b[2J", 4);
		memset(screen, 0, sizeof(screen));
	}
}

static void show_sent(void)
{
	for (; shown < sent_count; shown++) {
		char c = sent[shown];

		if (c == '\n') {
			row++;
		} else if (c == '\r') {
			column = 0;
		} else if (c == '\b') {
			assert_true(column > 0);
			column--;
		} else if (c == '\a') {
			bells++;
		} else if (c == '\x1b') {
			escape_code(sent + shown);
			shown += sent[shown + 2] == '2' ? 3 : 2;
		} else {
			show_char(c);
		}
	}
}

/* A line as one reads it: blanks at the end are not seen. */
static const char *line_at(unsigned at)
{
	static char text[COLUMNS];
	size_t length;

	memcpy(text, screen[at], COLUMNS);
	for (length = strlen(text); length && text[length - 1] == ' ';)
		text[--length] = 0;
	return text;
}

static void clear_screen(void)
{
	memset(screen, 0, sizeof(screen));
	row = column = bells = 0;
}

/* ---- helpers ---- */

static struct shell *shell;

static void run(void)
{
	for (int i = 0; i < 10000 && console->poll(console); i++)
		;
	console->poll(console);
	show_sent();
}

static void type_bytes(const char *bytes, size_t count)
{
	typed_count = typed_read = 0;
	memcpy(typed, bytes, count);
	typed_count = count;
	run();
}

static void type(const char *text)
{
	type_bytes(text, strlen(text));
}

/* The lines that a command prints, as one text, its end included; and the prompt must be back. */
static const char *answer_of(const char *command)
{
	static char text[100000];
	char line[SHELL_LINE_MAX + 2];
	unsigned first;

	text[0] = 0;
	snprintf(line, sizeof(line), "%s\r", command);
	sent_count = shown = 0;
	type("\x15\f"); /* empties line and screen */
	bells = 0;
	first = row + 1;
	type(line);
	for (unsigned at = first; at < row; at++) {
		strcat(text, line_at(at));
		strcat(text, "\n");
	}
	assert_string_equal(line_at(row), "tern:host1>");
	return text;
}

/* ---- commands ---- */

static char last_run[512];

static void note(const char *name, const struct cmd_args *args)
{
	int at = snprintf(last_run, sizeof(last_run), "%s", name);

	for (unsigned i = 0; i < args->count; i++)
		at += snprintf(last_run + at, sizeof(last_run) - (size_t)at, "|%s", args->word[i]);
	for (unsigned i = 0; i < args->option_count; i++)
		at += snprintf(last_run + at, sizeof(last_run) - (size_t)at, ";%s:%s", args->key[i], args->value[i]);
}

static enum cmd_result run_create(struct shell *sh, const struct cmd_args *args)
{
	note("create", args);
	shell_print(sh, "created %s\n", args->word[0]);
	json_string(sh, "name", args->word[0]);
	json_u64(sh, "ram_bytes", ~0ull);
	json_u64(sh, "drift_ns", 5);
	json_bool(sh, "is_running", false);
	json_open_array(sh, "disks");
	json_open_object(sh, NULL);
	json_string(sh, "path", "a\"b\\c\n\x01\xc3\xa4\xff\xed\xa0\x80");
	json_string(sh, "none", NULL);
	json_close_object(sh);
	json_u64(sh, NULL, 7);
	json_close_array(sh);
	json_open_object(sh, "empty");
	/* left open on purpose */
	return CMD_OK;
}

static const char *const create_options[] = { "kernel", "mem", "cmdline", "--yes", NULL };

SHELL_COMMAND(create) = {
	.noun = "vm", .verb = "create", .usage = "vm create NAME kernel=F", .help = "Makes a VM.",
	.min_words = 1, .max_words = 2, .options = create_options, .run = run_create,
};

SHELL_ERROR(no_such_vm, "E-NO-SUCH-VM", "There is no VM of this name.");

static const char *complete_vm(unsigned word, unsigned index)
{
	static const char *const names[] = { "web1", "web2", "db" };

	return word == 0 && index < ARRAY_COUNT(names) ? names[index] : NULL;
}

static enum cmd_result run_show(struct shell *sh, const struct cmd_args *args)
{
	note("show", args);
	if (strcmp(args->word[0], "web1"))
		return shell_fail(sh, &no_such_vm, args->word[0], "no VM of this name; there are %d", 3);
	shell_print(sh, "web1 runs\n");
	return CMD_OK;
}

SHELL_COMMAND(show) = {
	.noun = "vm", .verb = "show", .usage = "vm show NAME", .help = "Shows a VM.",
	.min_words = 1, .max_words = 1, .run = run_show, .complete = complete_vm,
};

static enum cmd_result run_many(struct shell *sh, const struct cmd_args *args)
{
	(void)args;
	for (unsigned i = 0; i < 30000; i++)
		shell_print(sh, "line %u of a long answer\n", i);
	return CMD_OK;
}

SHELL_COMMAND(many) = {
	.noun = "vm", .verb = "many", .usage = "vm many", .help = "Prints much.", .run = run_many,
};

static enum cmd_result run_silent_failure(struct shell *sh, const struct cmd_args *args)
{
	(void)sh;
	(void)args;
	return CMD_FAILED;
}

SHELL_COMMAND(silent) = {
	.noun = "vm", .verb = "silent", .usage = "vm silent", .help = "Fails.", .run = run_silent_failure,
};

static enum cmd_result run_end(struct shell *sh, const struct cmd_args *args)
{
	u64 seconds = 7;

	if (!shell_take_u64(sh, "in", args_option(args, "in"), 1, 60, &seconds) ||
	    !shell_is_confirmed(sh, args, args->word[0], "it would end"))
		return CMD_FAILED;
	shell_print(sh, "in %llu s\n", (unsigned long long)seconds);
	return CMD_OK;
}

static const char *const end_options[] = { "in", "--yes", NULL };
SHELL_COMMAND(end) = {
	.noun = "vm", .verb = "end", .usage = "vm end NAME [in=7] [--yes]", .help = "Ends a VM.",
	.min_words = 1, .max_words = 1, .options = end_options, .run = run_end,
};

static unsigned ticks, interrupts;
static bool is_over;

static enum cmd_result move_tick(struct shell *sh, void *context)
{
	assert_ptr_equal(context, &ticks);
	ticks++;
	if (interrupts)
		return shell_fail(sh, &no_such_vm, "web1", "canceled");
	shell_progress(sh, "round %u", ticks);
	if (is_over) {
		shell_print(sh, "receipt\n");
		json_u64(sh, "rounds", ticks);
	}
	return is_over ? CMD_OK : CMD_RUNNING;
}

static void move_interrupt(struct shell *sh, void *context)
{
	(void)sh;
	assert_ptr_equal(context, &ticks);
	interrupts++;
}

static enum cmd_result run_move(struct shell *sh, const struct cmd_args *args)
{
	note("move", args);
	ticks = interrupts = 0;
	is_over = false;
	return shell_wait(sh, move_tick, move_interrupt, &ticks);
}

SHELL_COMMAND(move) = {
	.noun = "migrate", .verb = "*", .usage = "migrate NAME to PEER", .help = "Moves a VM.",
	.min_words = 3, .max_words = 3, .run = run_move, .complete = complete_vm,
};

SHELL_COMMAND(check_move) = {
	.noun = "migrate", .verb = "check", .usage = "migrate check NAME to PEER", .help = "Asks.",
	.min_words = 3, .max_words = 3, .run = run_create, .complete = complete_vm,
};

static char raw_bytes[64];

static void raw_byte(struct shell *sh, u8 byte, void *context)
{
	size_t length = strlen(raw_bytes);

	assert_ptr_equal(context, raw_bytes);
	if (byte == 0x1d) {
		shell_leave_raw(sh, CMD_OK);
		return;
	}
	raw_bytes[length] = (char)byte;
	raw_bytes[length + 1] = 0;
	shell_write(sh, "<", 1);
	shell_write(sh, &byte, 1);
	shell_write(sh, ">", 1);
}

static enum cmd_result run_console(struct shell *sh, const struct cmd_args *args)
{
	(void)args;
	raw_bytes[0] = 0;
	shell_print(sh, "Ctrl-] leaves\n");
	shell_set_raw(sh, raw_byte, raw_bytes);
	return CMD_RUNNING;
}

SHELL_COMMAND(attach) = {
	.noun = "vm", .verb = "console", .usage = "vm console NAME", .help = "Attaches.",
	.min_words = 1, .max_words = 1, .run = run_console, .complete = complete_vm,
};

/* ---- tests: commands ---- */

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
	assert_ptr_equal(shell_code("E-NO-SUCH-VM", NULL), &no_such_vm);
	assert_ptr_equal(shell_code("E-NO-MEMORY", NULL), &shell_no_memory);
	assert_ptr_equal(shell_code("E-OF-TOMORROW", &no_such_vm), &no_such_vm);
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

/* ---- tests: running commands ---- */

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

/* ---- tests: editing ---- */

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

/* ---- tests: completion ---- */

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

/* ---- tests: noise ---- */

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

static int set_up(void **state)
{
	(void)state;
	fake_memory_init(64 * MIB);
	port_room = ~(size_t)0;
	shell = shell_start("host1", port_read, port_write);
	return !shell;
}

static void the_prompt_comes_by_itself(void **state)
{
	(void)state;
	run();
	assert_string_equal(line_at(0), "tern:host1>");
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
		cmocka_unit_test(keys_edit_the_line),
		cmocka_unit_test(history),
		cmocka_unit_test(line_ends),
		cmocka_unit_test(a_full_line_rings),
		cmocka_unit_test(pasted_lines_all_run),
		cmocka_unit_test(log_lines_go_above_the_prompt),
		cmocka_unit_test(a_flood_of_log_lines_is_bounded),
		cmocka_unit_test(tab_completes),
		cmocka_unit_test(tab_lists),
		cmocka_unit_test(any_bytes_do_no_harm),
	};

	srand(5);
	return cmocka_run_group_tests(tests, set_up, NULL);
}
