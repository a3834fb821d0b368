/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console's service: bytes in, commands run, answers out.
 *
 * The editor has the console until a line is whole; then a command has it until its
 * result is there. What is typed meanwhile waits in the input ring, but Ctrl-C. Log lines
 * appear above the prompt or the progress line, and wait while a command has the bytes (raw).
 *
 * Every poll is a bounded piece of work. CPU 0 only.
 */
#include "kernel/shell_private.h"

#include "kernel/clock.h"
#include "kernel/fmt.h"
#include "kernel/heap.h"
#include "kernel/string.h"

#define BYTES_PER_POLL 256
#define LOG_LINES_PER_POLL 32
/* The log waits for its turn while so much of the answers is still queued. */
#define LOG_QUEUE_MAX (16 * KIB)
/* How often a running command is asked at least. */
#define TICK_NS (20 * NS_PER_MS)
#define CTRL_C 3

SHELL_ERROR(failed, "E-FAILED", "The command failed without giving a reason; please report this.");

const struct error_code shell_no_memory = { "E-NO-MEMORY", "There is not enough free memory." };
SHELL_ERROR_LIST(shell_no_memory);

/* ---- answers ---- */

/* One line on the console, whatever a name or a peer's text contains. */
static void flatten(char *text)
{
	for (; *text; text++) {
		if ((u8)*text < ' ' || *text == 0x7f)
			*text = ' ';
	}
}

enum cmd_result shell_fail(struct shell *shell, const struct error_code *code, const char *what,
			   const char *why_format, ...)
{
	va_list args;

	shell->error = code;
	str_copy(shell->error_what, sizeof(shell->error_what), what);
	va_start(args, why_format);
	fmt_vsnprintf(shell->error_why, sizeof(shell->error_why), why_format, args);
	va_end(args);
	return CMD_FAILED;
}

const struct error_code *shell_code(const char *word, const struct error_code *other)
{
	for (const struct error_code *const *at = error_codes_start; at < error_codes_end; at++) {
		if (!strcmp((*at)->code, word))
			return *at;
	}
	return other;
}

static void print_result(struct shell *shell, enum cmd_result result)
{
	if (result != CMD_OK && !shell->error)
		shell_fail(shell, &failed, shell->running ? shell->running->noun : "command",
			   "no reason given");
	output_end_progress(shell);
	if (shell->args.is_json) {
		json_finish(shell, result);
	} else if (result == CMD_OK) {
		output_text(shell, "ok\n");
	} else {
		flatten(shell->error_what);
		flatten(shell->error_why);
		output_format(shell, "error: %s: %s (%s)\n", shell->error_what, shell->error_why,
			      shell->error->code);
	}
}

static void finish(struct shell *shell, enum cmd_result result)
{
	print_result(shell, result);
	timer_disarm(&shell->tick_timer);
	shell->running = NULL;
	shell->tick = NULL;
	shell->interrupt = NULL;
	shell->raw = NULL;
	memset(&shell->args, 0, sizeof(shell->args));
}

/* ---- running commands ---- */

static bool is_blank(const char *line)
{
	while (*line == ' ' || *line == '\t')
		line++;
	return !*line;
}

static void run_line(struct shell *shell, const char *line)
{
	const struct command *command = NULL;
	enum cmd_result result = CMD_FAILED;

	shell->is_prompt_shown = false;
	if (is_blank(line))
		return;
	shell->error = NULL;
	json_reset(shell);
	str_copy(shell->words, sizeof(shell->words), line);
	if (shell_parse(shell, &command)) {
		shell->running = command;
		result = command->run(shell, &shell->args);
	}
	/* A command that says that it runs, and left nothing that goes on, is over. */
	if (result == CMD_RUNNING && (shell->tick || shell->raw))
		return;
	if (result == CMD_RUNNING)
		result = shell->error ? CMD_FAILED : CMD_OK;
	finish(shell, result);
}

static void wake_for_tick(struct timer *timer)
{
	(void)timer;
	service_wake();
}

enum cmd_result shell_wait(struct shell *shell, enum cmd_result (*tick)(struct shell *shell, void *context),
			   void (*interrupt)(struct shell *shell, void *context), void *context)
{
	shell->tick = tick;
	shell->interrupt = interrupt;
	shell->context = context;
	return CMD_RUNNING;
}

void shell_set_raw(struct shell *shell, void (*raw)(struct shell *shell, u8 byte, void *context),
		   void *context)
{
	shell->raw = raw;
	shell->context = context;
}

void shell_leave_raw(struct shell *shell, enum cmd_result result)
{
	if (!shell->raw)
		return;
	output_text(shell, "\n");
	finish(shell, result);
}

static void run_tick(struct shell *shell)
{
	enum cmd_result result = shell->tick(shell, shell->context);

	if (result != CMD_RUNNING)
		finish(shell, result);
	else if (!shell->tick_timer.is_armed) /* arming asks for another turn, and this runs in every turn */
		timer_arm(&shell->tick_timer, 0, clock_now_ns() + TICK_NS);
}

/* ---- input ---- */

static bool is_input_empty(const struct shell *shell)
{
	return shell->input_head == shell->input_tail;
}

/* Ctrl-C does not queue behind what was typed before it, and takes that away, as terminals do. */
static void interrupt(struct shell *shell)
{
	shell->input_tail = shell->input_head;
	if (shell->interrupt)
		shell->interrupt(shell, shell->context);
}

/* Reads no more than the ring has room for; the rest waits at the port. */
static void take_input(struct shell *shell)
{
	while (shell->input_head - shell->input_tail < SHELL_INPUT_BYTES) {
		int byte = shell->read();

		if (byte < 0)
			return;
		if (byte == CTRL_C && shell->running && !shell->raw)
			interrupt(shell);
		else
			shell->input[shell->input_head++ % SHELL_INPUT_BYTES] = (u8)byte;
	}
}

static void feed(struct shell *shell, u8 byte)
{
	if (shell->raw) {
		shell->raw(shell, byte, shell->context);
	} else if (editor_byte(shell, byte)) {
		char line[SHELL_LINE_MAX];

		str_copy(line, sizeof(line), shell->editor.line);
		editor_reset(&shell->editor);
		run_line(shell, line);
	}
}

static void show_prompt(struct shell *shell)
{
	if (shell->running || shell->is_prompt_shown)
		return;
	shell->is_prompt_shown = true;
	editor_show(shell);
}

static void feed_input(struct shell *shell)
{
	for (unsigned i = 0; i < BYTES_PER_POLL && !is_input_empty(shell); i++) {
		if (shell->running && !shell->raw)
			return;
		show_prompt(shell);
		feed(shell, shell->input[shell->input_tail++ % SHELL_INPUT_BYTES]);
	}
}

/* ---- the log ---- */

/* True if there may be more to show at once. */
static bool show_log(struct shell *shell)
{
	char line[LOG_LINE_MAX];
	enum log_level level;
	bool is_hidden = false;
	unsigned count = 0;

	if (shell->raw)
		return false;
	for (; count < LOG_LINES_PER_POLL && shell->output.queued < LOG_QUEUE_MAX; count++) {
		if (!log_next(&shell->log, line, &level))
			break;
		if (level < log_echo())
			continue;
		if (!is_hidden)
			output_hide_line(shell);
		is_hidden = true;
		if (shell->log.lost)
			output_format(shell, "[%llu lines of the log were not shown]\n",
				      (unsigned long long)shell->log.lost);
		shell->log.lost = 0;
		output_format(shell, "%s\n", line);
	}
	if (is_hidden)
		output_restore_line(shell);
	return count == LOG_LINES_PER_POLL;
}

/* The log's sink: lines are read from the ring by the service. Any CPU. */
static void wake_for_log(const char *text, size_t bytes)
{
	(void)text;
	(void)bytes;
	service_wake();
}

/* ---- the service ---- */

static bool poll(struct service *service)
{
	struct shell *shell = container_of(service, struct shell, service);
	bool has_more_log;

	output_drain(shell);
	take_input(shell);
	if (shell->tick)
		run_tick(shell);
	feed_input(shell);
	has_more_log = show_log(shell);
	show_prompt(shell);
	output_drain(shell);
	return has_more_log || (!is_input_empty(shell) && (!shell->running || shell->raw));
}

struct shell *shell_start(const char *host_name, int (*read)(void),
			  size_t (*write)(const char *text, size_t bytes))
{
	struct shell *shell = heap_alloc(sizeof(*shell));

	if (!shell)
		return NULL;
	str_copy(shell->host_name, sizeof(shell->host_name), host_name);
	shell->read = read;
	shell->write = write;
	timer_setup(&shell->tick_timer, wake_for_tick);
	shell->service.name = "console";
	shell->service.poll = poll;
	log_follow(&shell->log);
	log_set_sink(wake_for_log);
	service_add(&shell->service);
	service_wake();
	return shell;
}
