/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log ring: fixed slots, one line each, the newest over the oldest.
 *
 * Lines are numbered from 0 for ever; line n lies in slot n % LOG_LINES. A reader
 * keeps the number of the line it wants next and so notices what it has missed.
 *
 * log_lock guards the ring, the sink, the echo level and the sum of troubles. It is a leaf: no other lock
 * is taken under it but what the sink takes (the console).
 */
#include "kernel/log.h"

#include "kernel/clock.h"
#include "kernel/fmt.h"
#include "kernel/lock.h"
#include "kernel/string.h"

#define LOG_LINES 512

struct log_line {
	u8 level;
	char text[LOG_LINE_MAX - 1];
};

static struct lock log_lock;
static struct log_line ring[LOG_LINES];
static u64 written; /* lines since start */
static void (*echo_sink)(const char *text, size_t bytes);
static enum log_level echo_level = LOG_INFO;
static struct log_trouble trouble;

static const char *const level_prefix[] = {
	[LOG_DEBUG] = "",
	[LOG_INFO] = "",
	[LOG_WARN] = "warning: ",
	[LOG_ERROR] = "error: ",
};

/* One line in the ring and on the console stays one line, whatever the text says. */
static void flatten(char *text)
{
	size_t length = strlen(text);

	while (length && (text[length - 1] == '\n' || text[length - 1] == '\r'))
		text[--length] = 0;
	for (; *text; text++) {
		if ((u8)*text < ' ' || *text == 0x7f)
			*text = ' ';
	}
}

static void echo(const char *text)
{
	char line[LOG_LINE_MAX + 1];
	size_t length = strnlen(text, LOG_LINE_MAX - 1);

	memcpy(line, text, length);
	line[length++] = '\n';
	line[length] = 0;
	echo_sink(line, length);
}

/* An error is worse than any warning after it. */
static void count_trouble(enum log_level level, const char *text)
{
	if (level < LOG_WARN)
		return;
	if (level == LOG_ERROR)
		trouble.errors++;
	else
		trouble.warnings++;
	if (level == LOG_ERROR || !trouble.errors)
		str_copy(trouble.worst, sizeof(trouble.worst), text);
}

void log_write(enum log_level level, const char *format, ...)
{
	char text[LOG_LINE_MAX - 1];
	u64 now_us = clock_now_ns() / NS_PER_US;
	int stamp = fmt_snprintf(text, sizeof(text), "[%5llu.%06llu] %s",
				 (unsigned long long)(now_us / 1000000),
				 (unsigned long long)(now_us % 1000000), level_prefix[level]);
	struct log_line *line;
	va_list args;

	va_start(args, format);
	fmt_vsnprintf(text + stamp, sizeof(text) - (size_t)stamp, format, args);
	va_end(args);
	flatten(text);

	lock_take(&log_lock);
	line = &ring[written++ % LOG_LINES];
	line->level = (u8)level;
	str_copy(line->text, sizeof(line->text), text);
	count_trouble(level, text);
	if (echo_sink && level >= echo_level)
		echo(text);
	lock_give(&log_lock);
}

void log_set_sink(void (*sink)(const char *text, size_t bytes))
{
	lock_take(&log_lock);
	echo_sink = sink;
	lock_give(&log_lock);
}

void log_choose_echo(const char *name)
{
	static const char *const names[] = {
		[LOG_DEBUG] = "debug", [LOG_INFO] = "info", [LOG_WARN] = "warn", [LOG_ERROR] = "error",
	};

	if (!name)
		return;
	for (unsigned level = 0; level < ARRAY_COUNT(names); level++) {
		if (!strcmp(names[level], name)) {
			lock_take(&log_lock);
			echo_level = level;
			lock_give(&log_lock);
			return;
		}
	}
	log_warn("tern.conf: log is debug, info, warn or error, not \"%s\"", name);
}

enum log_level log_echo(void) { return echo_level; }

void log_get_trouble(struct log_trouble *to)
{
	lock_take(&log_lock);
	*to = trouble;
	lock_give(&log_lock);
}

void log_follow(struct log_cursor *cursor)
{
	lock_take(&log_lock);
	cursor->at = written;
	cursor->lost = 0;
	lock_give(&log_lock);
}

bool log_next(struct log_cursor *cursor, char line[LOG_LINE_MAX], enum log_level *level)
{
	const struct log_line *from;
	bool is_there;

	lock_take(&log_lock);
	if (written - cursor->at > LOG_LINES) {
		cursor->lost += written - LOG_LINES - cursor->at;
		cursor->at = written - LOG_LINES;
	}
	is_there = cursor->at != written;
	if (is_there) {
		from = &ring[cursor->at++ % LOG_LINES];
		*level = (enum log_level)from->level;
		str_copy(line, LOG_LINE_MAX, from->text);
	}
	lock_give(&log_lock);
	return is_there;
}

void log_replay(unsigned count, void (*line)(const char *text, void *context), void *context)
{
	struct log_cursor cursor;
	char text[LOG_LINE_MAX];
	enum log_level level;
	u64 end;

	log_follow(&cursor);
	end = cursor.at;
	cursor.at -= MIN(MIN(end, (u64)count), (u64)LOG_LINES);
	/* The end is fixed, so that a line() that logs does not go on for ever. */
	while (cursor.at < end && log_next(&cursor, text, &level))
		line(text, context);
}
