/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's log: a ring of lines with a time stamp, echoed to the console.
 * Any CPU, any context but NMI; takes log_lock (a leaf).
 */
#pragma once

#include "kernel/types.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_write(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);
#define log_debug(...) log_write(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_write(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_write(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_write(LOG_ERROR, __VA_ARGS__)

/* Where echoed text goes (the console); text of any length. Before it is set, text goes only to the ring. */
void log_set_sink(void (*sink)(const char *text, size_t bytes));
/* Lines below this level stay in the ring only. Default LOG_INFO. */
void log_set_echo(enum log_level level);
/* Calls line() for the last count lines, oldest first. */
void log_replay(unsigned count, void (*line)(const char *text, void *context), void *context);
