/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page on the machine's screen, for the person before it who has no serial cable yet:
 *
 *   +----------------------------------------------------+
 *   | Tern VERSION   HOST                    up 00:12:34 |
 *   |                                                    |
 *   | Machine   2 CPUs, ...                              |   kernel/status.h's lines, wrapped
 *   | Network   10.77.0.1/24, ...                        |
 *   | Next      vm create ...                            |
 *   |                                                    |
 *   | Log                                                |
 *   | [    0.123456] ...                                 |   as many of the last lines as fit
 *   +----------------------------------------------------+
 *
 * The page is put together twice a second and then painted in steps of PAINT_NS at most, one in
 * PAINT_PERIOD_NS, so that a slow framebuffer takes CPU 0 from nobody. While a guest stands still
 * for its hand-over nothing is done at all (status_hold).
 */
#include "arch/screen_page.h"

#include "arch/host.h"
#include "arch/screen.h"
#include "kernel/clock.h"
#include "kernel/fmt.h"
#include "kernel/log.h"
#include "kernel/status.h"
#include "kernel/string.h"
#include "kernel/timer.h"

#define REFRESH_NS (500 * NS_PER_MS)
#define PAINT_NS (100 * NS_PER_US)
#define PAINT_PERIOD_NS (20 * NS_PER_MS)
#define PAINT_STEP 8 /* characters between two looks at the clock */

#define WIDTH_MAX 160
#define INDENT 12       /* of what stands right of a label */
#define LINES_PER_SOURCE 6
#define ROWS_PER_LINE 3
#define LOG_ROWS_MIN 6
#define LOG_LOOKBACK 128 /* lines; some are not shown */

#define PLAIN SCREEN_ATTRIBUTE(SCREEN_GREY, SCREEN_BLACK)
#define LABEL SCREEN_ATTRIBUTE(SCREEN_BRIGHT_BLUE, SCREEN_BLACK)
#define NEXT SCREEN_ATTRIBUTE(SCREEN_WHITE, SCREEN_BLACK)
#define TITLE SCREEN_ATTRIBUTE(SCREEN_WHITE, SCREEN_BLUE)

static const u8 level_attribute[] = {
	[STATUS_PLAIN] = PLAIN,
	[STATUS_GOOD] = SCREEN_ATTRIBUTE(SCREEN_BRIGHT_GREEN, SCREEN_BLACK),
	[STATUS_WARN] = SCREEN_ATTRIBUTE(SCREEN_YELLOW, SCREEN_BLACK),
	[STATUS_BAD] = SCREEN_ATTRIBUTE(SCREEN_BRIGHT_RED, SCREEN_BLACK),
};

/* One row while it is written. */
struct row {
	char text[WIDTH_MAX + 1];
	u8 attribute[WIDTH_MAX];
	u32 length;
};

static struct timer page_timer;
static u64 refresh_ns; /* when the page is put together next */

/* --- Rows ------------------------------------------------------------------------------------- */

static u32 width(void) { return MIN(screen_columns(), (u32)WIDTH_MAX); }

static void row_add(struct row *row, u8 attribute, const char *text, u32 bytes)
{
	for (u32 i = 0; i < bytes && row->length < width(); i++) {
		row->text[row->length] = text[i];
		row->attribute[row->length++] = attribute;
	}
}

static void row_pad(struct row *row, u8 attribute, u32 to)
{
	while (row->length < MIN(to, width()))
		row_add(row, attribute, " ", 1);
}

static void row_show(struct row *row, u32 *at)
{
	row->text[row->length] = 0;
	screen_set_row((*at)++, row->text, row->attribute);
	row->length = 0;
}

static void show_empty(u32 *at)
{
	struct row row = { .length = 0 };

	row_show(&row, at);
}

/* A bar over the whole width, with something at either end. */
static void show_bar(u32 *at, const char *left, const char *right)
{
	struct row row = { .length = 0 };
	u32 right_length = (u32)strlen(right);

	row_add(&row, TITLE, " ", 1);
	row_add(&row, TITLE, left, (u32)strlen(left));
	row_add(&row, TITLE, "  ", 2);
	row_pad(&row, TITLE, width() > right_length + 1 ? width() - right_length - 1 : 0);
	row_add(&row, TITLE, right, right_length);
	row_pad(&row, TITLE, width());
	row_show(&row, at);
}

/* How much of text goes on a row of so many characters: up to a space, if there is one in the second half. */
static u32 fit(const char *text, u32 room)
{
	u32 length = (u32)strlen(text);

	if (length <= room)
		return length;
	for (u32 cut = room; cut > room / 2; cut--) {
		if (text[cut] == ' ')
			return cut;
	}
	return room;
}

static void show_wrapped(u32 *at, u32 end, const char *label, const char *text, u8 attribute)
{
	struct row row = { .length = 0 };

	row_add(&row, LABEL, " ", 1);
	row_add(&row, LABEL, label, (u32)strlen(label));
	for (unsigned i = 0; i < ROWS_PER_LINE && *at < end; i++) {
		u32 length = fit(text, width() - INDENT - 1);

		row_pad(&row, LABEL, INDENT);
		row_add(&row, attribute, text, length);
		row_show(&row, at);
		text += length;
		while (*text == ' ')
			text++;
		if (!*text)
			break;
	}
}

/* --- The page --------------------------------------------------------------------------------- */

static void show_title(u32 *at)
{
	u64 seconds = clock_now_ns() / NS_PER_SEC;
	char left[80], right[40];

	fmt_snprintf(left, sizeof(left), "Tern %s   %s", TERN_VERSION, host_name());
	fmt_snprintf(right, sizeof(right), "up %llu:%02llu:%02llu", (unsigned long long)(seconds / 3600),
		     (unsigned long long)(seconds / 60 % 60), (unsigned long long)(seconds % 60));
	show_bar(at, left, right);
}

static void show_source(u32 *at, u32 end, const struct status_source *source)
{
	struct status_line line;

	for (unsigned i = 0; *at < end && source->line(i, &line); i++) {
		if (i == LINES_PER_SOURCE)
			status_say(&line, STATUS_PLAIN, "and more: type host status");
		show_wrapped(at, end, i == 0 ? source->label : "", line.text, level_attribute[line.level]);
		if (i == LINES_PER_SOURCE)
			break;
	}
}

static void show_next(u32 *at, u32 end)
{
	struct status_line next;

	if (status_next(&next))
		show_wrapped(at, end, "Next", next.text, NEXT);
}

static u8 log_attribute(enum log_level level)
{
	return level_attribute[level == LOG_ERROR ? STATUS_BAD : level == LOG_WARN ? STATUS_WARN : STATUS_PLAIN];
}

static u32 log_rows(const char *line) { return ((u32)strlen(line) + width() - 1) / width(); }

/* The number of the first line with which all to the end fit in so many rows. */
static u64 log_first(u32 rows)
{
	struct log_cursor cursor;
	char line[LOG_LINE_MAX];
	enum log_level level;
	u8 height[LOG_LOOKBACK];
	u32 count = 0;
	u64 end;

	log_follow(&cursor);
	end = cursor.at;
	cursor.at -= MIN(end, (u64)LOG_LOOKBACK);
	while (count < LOG_LOOKBACK && cursor.at < end && log_next(&cursor, line, &level))
		height[count++] = level < log_echo() ? 0 : (u8)log_rows(line);
	while (count > 0 && height[count - 1] <= rows) {
		rows -= height[--count];
		end--;
	}
	return end;
}

static void show_log(u32 *at, u32 end)
{
	struct log_cursor cursor = { .at = log_first(end - *at) };
	char line[LOG_LINE_MAX];
	enum log_level level;

	while (*at < end && log_next(&cursor, line, &level)) {
		const char *text = line;
		struct row row = { .length = 0 };

		if (level < log_echo())
			continue;
		do {
			u32 length = MIN((u32)strlen(text), width());

			row_add(&row, log_attribute(level), text, length);
			row_show(&row, at);
			text += length;
		} while (*text && *at < end);
	}
	while (*at < end)
		show_empty(at);
}

static void compose(void)
{
	u32 rows = screen_rows(), end = rows - LOG_ROWS_MIN - 2, at = 0;
	const struct status_source *source;

	show_title(&at);
	show_empty(&at);
	for (unsigned i = 0; (source = status_source(i)); i++)
		show_source(&at, end - 1, source);
	show_next(&at, end);
	show_empty(&at);
	show_bar(&at, "Log", "");
	screen_begin_page(at);
	show_log(&at, rows);
}

/* --- Time ------------------------------------------------------------------------------------- */

/* True if something is left to paint. */
static bool paint(void)
{
	u64 end_ns = clock_now_ns() + PAINT_NS;

	while (screen_paint(PAINT_STEP)) {
		if (clock_now_ns() >= end_ns)
			return true;
	}
	return false;
}

static void tick(struct timer *timer)
{
	u64 now_ns = clock_now_ns(), held_ns = status_held_until();

	if (now_ns < held_ns) {
		timer_arm(timer, 0, held_ns);
		return;
	}
	if (now_ns >= refresh_ns) {
		compose();
		refresh_ns = now_ns + REFRESH_NS;
	}
	timer_arm(timer, 0, paint() ? now_ns + PAINT_PERIOD_NS : refresh_ns);
}

void screen_page_start(void)
{
	if (!screen_rows())
		return;
	timer_setup(&page_timer, tick);
	timer_arm(&page_timer, 0, clock_now_ns());
}
