/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console's line editing, parsing and dispatch. Knows no command: each folder
 * puts its own into the linker section .commands, as device types do.
 *
 * The grammar is in README ("The console"): noun, verb, arguments, key=value words,
 * "quoted text", --flags; --json anywhere asks for the whole answer as one JSON line.
 * Every command ends with a line "ok" or "error: WHAT: WHY (CODE)".
 *
 * Long-running commands return CMD_RUNNING: by shell_wait, after which the shell's service asks
 * for the result again and again, or in raw mode (vm console), in which bytes go to the command
 * instead of the editor.
 */
#pragma once

#include "kernel/types.h"

#define SHELL_ARGS_MAX 16
#define SHELL_LINE_MAX 1024

enum cmd_result { CMD_OK, CMD_FAILED, CMD_RUNNING };

struct shell; /* one per console; private to shell.c but for the calls below */

struct cmd_args {
	unsigned count;                    /* positional words after noun and verb */
	const char *word[SHELL_ARGS_MAX];
	unsigned option_count;             /* key=value, and --flag as key "--flag" with value "" */
	const char *key[SHELL_ARGS_MAX];
	const char *value[SHELL_ARGS_MAX];
	bool is_json;
};

struct command {
	const char *noun;
	const char *verb;    /* "": a command of one word; "*": any word that is no other verb, as word[0] */
	const char *usage;   /* "vm create NAME kernel=F [initrd=F] ..." */
	const char *help;    /* one line */
	unsigned min_words, max_words; /* positional words */
	const char *const *options;    /* NULL-ended list of keys that are allowed, or NULL for none */
	enum cmd_result (*run)(struct shell *shell, const struct cmd_args *args);
	/* Optional: the index-th live name for Tab completion at positional word, or NULL at the end. */
	const char *(*complete)(unsigned word, unsigned index);
};

#define SHELL_COMMAND(id) \
	static const struct command id##_command; \
	LINKER_SET(".commands") static const struct command *const id##_command_entry = &id##_command; \
	static const struct command id##_command

/* An error code that "help errors" lists. */
struct error_code {
	const char *code; /* "E-NO-SUCH-VM" */
	const char *meaning;
};
/* Each code once, by the lowest folder that uses it; others find it with shell_code. */
#define SHELL_ERROR(id, code_text, meaning_text) \
	static const struct error_code id = { code_text, meaning_text }; \
	SHELL_ERROR_LIST(id)
#define SHELL_ERROR_LIST(id) \
	LINKER_SET(".error_codes") static const struct error_code *const id##_entry = &id

/* Value of key=..., or NULL. */
const char *args_option(const struct cmd_args *args, const char *key);
bool args_flag(const struct cmd_args *args, const char *flag); /* "--yes" */

/* Text of the answer; nothing is printed by shell_print while the command runs with --json. */
void shell_print(struct shell *shell, const char *format, ...) PRINTF_LIKE(2, 3);
/* Redraws the current line (progress), five times a second at most; not in --json. */
void shell_progress(struct shell *shell, const char *format, ...) PRINTF_LIKE(2, 3);
/* Sets the answer's error; returns CMD_FAILED, so handlers end with: return shell_fail(...). */
enum cmd_result shell_fail(struct shell *shell, const struct error_code *code, const char *what,
			   const char *why_format, ...) PRINTF_LIKE(4, 5);

extern const struct error_code shell_no_memory; /* E-NO-MEMORY */
/* The code with this word, or the other if no part of Tern has it. */
const struct error_code *shell_code(const char *word, const struct error_code *other);
/* A number from min to max into *value, which stays if text is NULL. False: shell_fail was called. */
bool shell_take_u64(struct shell *shell, const char *name, const char *text, u64 min, u64 max, u64 *value);
/* With --yes. Else shell_fail was called; why says what would happen. */
bool shell_is_confirmed(struct shell *shell, const struct cmd_args *args, const char *what, const char *why);

/* The JSON answer; no-ops without --json. Objects and arrays nest; keys snake_case with units. */
void json_open_object(struct shell *shell, const char *key); /* key NULL inside arrays */
void json_close_object(struct shell *shell);
void json_open_array(struct shell *shell, const char *key);
void json_close_array(struct shell *shell);
void json_string(struct shell *shell, const char *key, const char *value);
void json_u64(struct shell *shell, const char *key, u64 value);
void json_bool(struct shell *shell, const char *key, bool value);

/*
 * The command goes on until tick() returns other than CMD_RUNNING; Ctrl-C calls interrupt(), which may be
 * NULL. context is the handler's own. Returns CMD_RUNNING, so handlers end with: return shell_wait(...).
 */
enum cmd_result shell_wait(struct shell *shell, enum cmd_result (*tick)(struct shell *shell, void *context),
			   void (*interrupt)(struct shell *shell, void *context), void *context);
/* raw() gets every byte typed until shell_leave_raw; the prompt returns then with the command's result. */
void shell_set_raw(struct shell *shell, void (*raw)(struct shell *shell, u8 byte, void *context),
		   void *context);
void shell_leave_raw(struct shell *shell, enum cmd_result result);
/* Writes bytes as they are (vm console). */
void shell_write(struct shell *shell, const void *bytes, size_t count);

/*
 * Creates the console (a service on CPU 0) on which host_name is shown in the prompt, and
 * lets it show the log. read() gives the next byte or -1; write() takes what fits now and
 * returns how much that was; whoever provides them calls service_wake() when there is a byte
 * to read or room to write again. NULL: no memory.
 */
struct shell *shell_start(const char *host_name, int (*read)(void),
			  size_t (*write)(const char *text, size_t bytes));
