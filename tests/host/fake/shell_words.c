/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands for tests of the shell. */
#include "tests/host/fake/shell_words.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/shell.h"

char last_run[512];

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

static unsigned ticks;
unsigned interrupts;
bool is_over;

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

char raw_bytes[64];

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
