/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inside of the console, shared by the shell_*.c files and json.c only.
 *
 *   bytes typed -> input -> shell_edit.c -> a line -> shell_parse.c -> a handler
 *   answers, echo, log lines -> shell_output.c -> queue -> the port
 *
 * Everything runs on CPU 0, in the shell's service; there is no lock.
 */
#pragma once

#include "kernel/log.h"
#include "kernel/sched.h"
#include "kernel/shell.h"
#include "kernel/timer.h"

#define SHELL_INPUT_BYTES 8192
#define SHELL_HISTORY 32
#define SHELL_ERROR_MAX 512
#define SHELL_PROGRESS_MAX 256
#define JSON_DEPTH_MAX 32

struct output_chunk {
	struct output_chunk *next;
	u32 start, end;
	char bytes[4096 - 16];
};

struct output {
	struct output_chunk *first, *last;
	u64 queued;
	u64 dropped; /* since the last notice */
};

struct editor {
	char line[SHELL_LINE_MAX];
	unsigned length, cursor;
	u8 escape;     /* 0: none, 27: ESC came, '[' and 'O': in a sequence, ';': behind its first number */
	u8 parameter;
	bool was_cr;
	unsigned history_count; /* lines ever remembered */
	unsigned browsed;       /* 0: the line being typed; n: the n-th line back */
	char draft[SHELL_LINE_MAX];
	char history[SHELL_HISTORY][SHELL_LINE_MAX];
};

struct json {
	char *text;
	size_t length, size;
	unsigned depth;
	bool has_items[JSON_DEPTH_MAX];
	char close[JSON_DEPTH_MAX];
	bool is_broken; /* no memory or too deep: the answer says so */
};

struct shell {
	struct service service;
	struct timer tick_timer;
	char host_name[32];
	int (*read)(void);
	size_t (*write)(const char *text, size_t bytes);
	struct output output;
	u8 input[SHELL_INPUT_BYTES];
	u32 input_head, input_tail; /* free-running */
	struct editor editor;
	struct log_cursor log;
	bool is_prompt_shown;
	char progress[SHELL_PROGRESS_MAX]; /* shown now, "" if none */
	u64 progress_ns;                   /* when it was drawn */

	/* The command that runs; NULL: the editor has the console. */
	const struct command *running;
	char words[SHELL_LINE_MAX]; /* args point into it */
	struct cmd_args args;
	enum cmd_result (*tick)(struct shell *shell, void *context);
	void (*interrupt)(struct shell *shell, void *context);
	void (*raw)(struct shell *shell, u8 byte, void *context);
	void *context;
	struct json json;
	const struct error_code *error;
	char error_what[SHELL_ERROR_MAX];
	char error_why[SHELL_ERROR_MAX];
};

extern const struct command *const commands_start[];
extern const struct command *const commands_end[];
extern const struct error_code *const error_codes_start[];
extern const struct error_code *const error_codes_end[];

/* shell_output.c: queue bytes; text has "\n" for a new line. */
void output_bytes(struct shell *shell, const void *bytes, size_t count);
void output_text(struct shell *shell, const char *text);
void output_format(struct shell *shell, const char *format, ...) PRINTF_LIKE(2, 3);
/* Gives the port what it takes now. */
void output_drain(struct shell *shell);
/* Ends a progress line, if there is one, so that text can follow below it. */
void output_end_progress(struct shell *shell);
/* Takes a prompt or progress line off the screen, and puts it back. */
void output_hide_line(struct shell *shell);
void output_restore_line(struct shell *shell);

/* shell_edit.c: feeds one byte; true when editor.line is a whole line. */
bool editor_byte(struct shell *shell, u8 byte);
void editor_show(struct shell *shell);
void editor_reset(struct editor *editor);

/* shell_parse.c: splits shell->words in place. False: shell_fail was called. */
bool shell_parse(struct shell *shell, const struct command **command);
/* The words of a line that may be unfinished; *is_new: the next one was not begun yet. Returns the count. */
unsigned shell_split(char *line, const char **word, unsigned max, bool *is_new);
const struct command *shell_find(const char *noun, const char *verb);
bool shell_has_noun(const char *noun);
/* The command that a line of these words means; *used: how many of them name it. NULL if none does. */
const struct command *shell_resolve(const char *const *word, unsigned count, unsigned *used);
/* The next command after `after` (NULL: first) in alphabetical order, or NULL. */
const struct command *shell_next_command(const struct command *after);
bool shell_is_option(const char *word);

/* shell_complete.c */
void shell_complete(struct shell *shell);
void editor_insert(struct shell *shell, const char *text, size_t length);

/* json.c: the body of the answer, without its outer braces. */
void json_reset(struct shell *shell);
/* Prints the whole answer. */
void json_finish(struct shell *shell, enum cmd_result result);
