/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How this host does, in a few lines: what the machine's screen and "host status" show.
 *
 * Nobody here knows what there is to tell: each folder puts its sources into the linker section
 * .status, as it does with commands. A source answers at any time and at once. CPU 0 only.
 */
#pragma once

#include "kernel/types.h"

enum status_level { STATUS_PLAIN, STATUS_GOOD, STATUS_WARN, STATUS_BAD };

#define STATUS_TEXT_MAX 240

struct status_line {
	enum status_level level;
	char text[STATUS_TEXT_MAX];
};

/* Sets a line; returns true, so that sources end with: return status_say(...). */
bool status_say(struct status_line *line, enum status_level level, const char *format, ...) PRINTF_LIKE(3, 4);

struct status_source {
	const char *label; /* "Network" */
	/* The index-th line; false: there are no more. */
	bool (*line)(unsigned index, struct status_line *line);
	/* What the operator would do next, as it is typed; false: nothing. May be NULL. */
	bool (*next)(struct status_line *line);
};

/* Sources are shown in the order of their numbers, two digits; the first that knows what comes next is believed. */
#define STATUS_SOURCE(order, id) \
	static const struct status_source id; \
	LINKER_SET(".status." #order) static const struct status_source *const id##_entry = &id; \
	static const struct status_source id

/* The index-th source, or NULL at the end. */
const struct status_source *status_source(unsigned index);
/* What to do next; false: nobody knows. */
bool status_next(struct status_line *line);

/*
 * Until that time (of clock_now_ns) a guest may be standing still and waits for this CPU: status
 * is neither asked for nor drawn.
 */
void status_hold(u64 until_ns);
u64 status_held_until(void);
