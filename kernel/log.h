/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's log: a ring of lines with a time stamp, echoed to the console.
 * Any CPU, any context but NMI; takes log_lock (a leaf).
 */
#pragma once

#include "kernel/types.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

/* The longest line, stamp and NUL included; longer text is cut. */
#define LOG_LINE_MAX 256

/* One line (a '\n' at the end is not needed; one inside becomes a space). */
void log_write(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

/*
 * Where echoed text goes (the console): one whole line with its "\n", called with log_lock
 * held. Before it is set, text goes only to the ring. The shell sets its own when it starts.
 */
void log_set_sink(void (*sink)(const char *text, size_t bytes));
/*
 * Lines below this level stay in the ring only: "debug", "info" (the default), "warn" or "error". NULL changes
 * nothing, another word is complained of.
 */
void log_choose_echo(const char *name);
enum log_level log_echo(void);
/* Calls line() for the last count lines, oldest first; the text has no "\n". */
void log_replay(unsigned count, void (*line)(const char *text, void *context), void *context);

/* What there was to complain of since start. */
struct log_trouble {
	u64 warnings, errors;
	char worst[LOG_LINE_MAX]; /* the last error, or if there is none the last warning; "" */
};
void log_get_trouble(struct log_trouble *trouble);

/* A reader's place in the log, for those who follow it. */
struct log_cursor {
	u64 at;
	u64 lost; /* lines that were overwritten before they were read */
};
/* Places the cursor behind the newest line. */
void log_follow(struct log_cursor *cursor);
/* Takes the next line, without "\n"; false when there is none. */
bool log_next(struct log_cursor *cursor, char line[LOG_LINE_MAX], enum log_level *level);
