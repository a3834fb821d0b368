/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text on the machine's own screen: pixels that the loader described, or a VGA in text mode. A
 * machine without one is no fault: then all of this does nothing.
 *
 * Two uses: while Tern starts and in a panic text is written line after line and shown at
 * once (screen_write); in between arch/screen_page.c puts a page together and paints what has changed,
 * bit by bit. CPU 0's, but for a panic.
 */
#pragma once

#include "kernel/types.h"

struct boot_info;

/* VGA's attributes: foreground in bits 3:0, background in bits 6:4. */
enum screen_color {
	SCREEN_BLACK, SCREEN_BLUE, SCREEN_GREEN, SCREEN_CYAN, SCREEN_RED, SCREEN_MAGENTA, SCREEN_BROWN, SCREEN_GREY,
	SCREEN_DARK_GREY, SCREEN_BRIGHT_BLUE, SCREEN_BRIGHT_GREEN, SCREEN_BRIGHT_CYAN, SCREEN_BRIGHT_RED,
	SCREEN_BRIGHT_MAGENTA, SCREEN_YELLOW, SCREEN_WHITE,
};
#define SCREEN_ATTRIBUTE(foreground, background) ((u8)((foreground) | (background) << 4))

/* Finds and clears the screen, and writes the log so far. Once, when memory and paging are ready. */
void screen_init(const struct boot_info *info);
/* In characters; 0 without a screen. */
u32 screen_columns(void);
u32 screen_rows(void);

/* Text below the last, shown at once; waits for nothing. */
void screen_write(const char *text, size_t bytes);
/* A panic's text follows: it takes the rows above the page's log, and does not scroll. */
void screen_panic(void);

/* From now on there is a page, and what is at log_row and below it survives a panic. */
void screen_begin_page(u32 log_row);
/* Sets one row from column 0; the rest of it becomes space. Shown by screen_paint. */
void screen_set_row(u32 row, const char *text, const u8 *attributes);
/* Shows at most so many characters that have changed; true if there are more. */
bool screen_paint(u32 characters_max);
