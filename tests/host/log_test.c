/* SPDX-License-Identifier: BSD-2-Clause */
/* The log ring: order, loss, replay, what is echoed. */
/* SOURCES: kernel/log.c kernel/fmt.c kernel/str.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/clock.h"
#include "kernel/log.h"
#include "kernel/types.h"

static u64 now_ns;

u64 clock_now_ns(void)
{
	return now_ns;
}

static char echoed[4096];

static void sink(const char *text, size_t bytes)
{
	assert_int_equal(strlen(text), bytes);
	assert_int_equal(text[bytes - 1], '\n');
	strncat(echoed, text, sizeof(echoed) - strlen(echoed) - 1);
}

static void lines_are_stamped_and_echoed(void **state)
{
	(void)state;
	echoed[0] = 0;
	log_set_sink(sink);
	now_ns = 12 * NS_PER_SEC + 345678 * NS_PER_US + 999;
	log_info("%u CPUs", 4);
	log_debug("not shown");
	log_warn("beware\n");
	log_error("bad\nnews\x1b[2J\r\n");
	assert_string_equal(echoed, "[   12.345678] 4 CPUs\n"
				    "[   12.345678] warning: beware\n"
				    "[   12.345678] error: bad news [2J\n");
	echoed[0] = 0;
	log_choose_echo("debug");
	log_debug("shown");
	assert_string_equal(echoed, "[   12.345678] shown\n");
	log_choose_echo("error");
	log_choose_echo("all"); /* complains, but not loud enough */
	log_choose_echo(NULL);
	assert_int_equal(log_echo(), LOG_ERROR);
	log_choose_echo("info");
	assert_int_equal(log_echo(), LOG_INFO);
	log_set_sink(NULL);
	log_error("to the ring only");
	assert_string_equal(echoed, "[   12.345678] shown\n");
}

static void long_lines_are_cut(void **state)
{
	char line[LOG_LINE_MAX];
	struct log_cursor cursor;
	enum log_level level;

	(void)state;
	echoed[0] = 0;
	log_set_sink(sink);
	log_follow(&cursor);
	log_info("%0300d", 1);
	log_set_sink(NULL);
	assert_true(log_next(&cursor, line, &level));
	assert_int_equal(strlen(line), LOG_LINE_MAX - 2);
	assert_int_equal(strlen(echoed), LOG_LINE_MAX - 1);
}

static void a_reader_gets_each_line_once(void **state)
{
	struct log_cursor cursor;
	char line[LOG_LINE_MAX], wanted[32];
	enum log_level level;

	(void)state;
	log_follow(&cursor);
	assert_false(log_next(&cursor, line, &level));
	for (int i = 0; i < 100; i++)
		log_write(i % 2 ? LOG_DEBUG : LOG_WARN, "line %d.", i);
	for (int i = 0; i < 100; i++) {
		assert_true(log_next(&cursor, line, &level));
		snprintf(wanted, sizeof(wanted), "line %d.", i);
		assert_non_null(strstr(line, wanted));
		assert_int_equal(level, i % 2 ? LOG_DEBUG : LOG_WARN);
	}
	assert_false(log_next(&cursor, line, &level));
	assert_int_equal(cursor.lost, 0);
}

static void a_slow_reader_learns_what_it_missed(void **state)
{
	struct log_cursor cursor;
	char line[LOG_LINE_MAX];
	enum log_level level;
	unsigned count = 0;

	(void)state;
	log_follow(&cursor);
	for (int i = 0; i < 2000; i++)
		log_info("line %d.", i);
	while (log_next(&cursor, line, &level))
		count++;
	assert_int_equal(cursor.lost + count, 2000);
	assert_true(count >= 256);
	assert_non_null(strstr(line, "line 1999."));
}

static unsigned replayed;
static char last_replayed[LOG_LINE_MAX];

static void replay_line(const char *text, void *context)
{
	assert_ptr_equal(context, &replayed);
	assert_null(strchr(text, '\n'));
	snprintf(last_replayed, sizeof(last_replayed), "%s", text);
	replayed++;
	/* A reader that logs must not read its own lines for ever. */
	log_info("said while replaying");
}

static void replay_shows_the_last_lines(void **state)
{
	(void)state;
	log_info("the end");
	replayed = 0;
	log_replay(3, replay_line, &replayed);
	assert_int_equal(replayed, 3);
	assert_non_null(strstr(last_replayed, "the end"));
	replayed = 0;
	log_replay(0, replay_line, &replayed);
	assert_int_equal(replayed, 0);
	log_replay(~0u, replay_line, &replayed);
	assert_in_range(replayed, 100, 10000);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_are_stamped_and_echoed),
		cmocka_unit_test(long_lines_are_cut),
		cmocka_unit_test(a_reader_gets_each_line_once),
		cmocka_unit_test(a_slow_reader_learns_what_it_missed),
		cmocka_unit_test(replay_shows_the_last_lines),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
