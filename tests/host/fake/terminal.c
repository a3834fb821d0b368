/* SPDX-License-Identifier: BSD-2-Clause */
/* Somebody at Tern's console; terminal.h says what there is. */
/* SOURCES: kernel/shell.c kernel/shell_edit.c kernel/shell_parse.c kernel/shell_complete.c
 *	kernel/shell_output.c kernel/shell_help.c kernel/json.c kernel/log.c kernel/heap.c kernel/page.c kernel/page_map.c
 *	kernel/fmt.c kernel/str.c */
#include "tests/host/fake/terminal.h"

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "tests/host/fake/memory.h"
#include "tests/host/fake/panic.h"
#include "kernel/clock.h"
#include "kernel/sched.h"
#include "kernel/shell.h"
#include "kernel/timer.h"

/* ---- the world around the shell ---- */

struct service *console;
u64 now_ns;

u64 clock_now_ns(void) { return now_ns; }
void service_add(struct service *service) { console = service; }
void service_wake(void) { }
void timer_setup(struct timer *timer, void (*callback)(struct timer *timer)) { timer->callback = callback; }
void timer_arm(struct timer *timer, unsigned cpu, u64 deadline_ns)
{
	timer->cpu = cpu;
	timer->deadline_ns = deadline_ns;
	timer->is_armed = true;
}
void timer_disarm(struct timer *timer) { timer->is_armed = false; }

char typed[20000];
size_t typed_count, typed_read;
char sent[6 * 1024 * 1024];
size_t sent_count;
size_t port_room;

static int port_read(void)
{
	return typed_read < typed_count ? (u8)typed[typed_read++] : -1;
}

static size_t port_write(const char *text, size_t bytes)
{
	size_t count = MIN(bytes, port_room);

	assert_true(sent_count + count < sizeof(sent));
	memcpy(sent + sent_count, text, count);
	sent_count += count;
	return count;
}

/* ---- a terminal ---- */

char screen[ROWS][COLUMNS];
unsigned row, column, bells;
size_t shown;

static void show_char(char c)
{
	assert_true(row < ROWS && column < COLUMNS - 1);
	if (!screen[row][column])
		screen[row][column + 1] = 0;
	screen[row][column++] = c;
}

static void escape_code(const char *code)
{
	if (strncmp(code, "\x1b[K", 3) == 0) {
		screen[row][column] = 0;
	} else if (strncmp(code, "\x1b[H", 3) == 0) {
		row = column = 0;
	} else {
		assert_memory_equal(code, "\x1b[2J", 4);
		memset(screen, 0, sizeof(screen));
	}
}

static void show_sent(void)
{
	for (; shown < sent_count; shown++) {
		char c = sent[shown];

		if (c == '\n') {
			row++;
		} else if (c == '\r') {
			column = 0;
		} else if (c == '\b') {
			assert_true(column > 0);
			column--;
		} else if (c == '\a') {
			bells++;
		} else if (c == '\x1b') {
			escape_code(sent + shown);
			shown += sent[shown + 2] == '2' ? 3 : 2;
		} else {
			show_char(c);
		}
	}
}

const char *line_at(unsigned at)
{
	static char text[COLUMNS];
	size_t length;

	memcpy(text, screen[at], COLUMNS);
	for (length = strlen(text); length && text[length - 1] == ' ';)
		text[--length] = 0;
	return text;
}

void clear_screen(void)
{
	memset(screen, 0, sizeof(screen));
	row = column = bells = 0;
}

/* ---- helpers ---- */

struct shell *shell;

void run(void)
{
	for (int i = 0; i < 10000 && console->poll(console); i++)
		;
	console->poll(console);
	show_sent();
}

void type_bytes(const char *bytes, size_t count)
{
	typed_count = typed_read = 0;
	memcpy(typed, bytes, count);
	typed_count = count;
	run();
}

void type(const char *text)
{
	type_bytes(text, strlen(text));
}

const char *answer_of(const char *command)
{
	static char text[100000];
	char line[SHELL_LINE_MAX + 2];
	unsigned first;

	text[0] = 0;
	snprintf(line, sizeof(line), "%s\r", command);
	sent_count = shown = 0;
	type("\x15\f"); /* empties line and screen */
	bells = 0;
	first = row + 1;
	type(line);
	for (unsigned at = first; at < row; at++) {
		strcat(text, line_at(at));
		strcat(text, "\n");
	}
	assert_string_equal(line_at(row), "tern:host1>");
	return text;
}

int terminal_start(void **state)
{
	(void)state;
	fake_memory_init(64 * MIB);
	port_room = ~(size_t)0;
	shell = shell_start("host1", port_read, port_write);
	return !shell;
}
