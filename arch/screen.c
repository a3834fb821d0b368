/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Text on the machine's own screen.
 *
 * What shall be seen and what is seen are two arrays of character cells; painting makes the
 * second like the first, so nothing is drawn that is there already, and the screen's memory
 * is never read. A bit for each row says where the two may differ.
 *
 * No lock. Before the services start the log's lock serializes the writers; then CPU 0 is the only
 * one; a panic has stopped it, perhaps in the middle: so every index is checked where it is used.
 */
#include "arch/screen.h"

#include "arch/cpu.h"
#include "arch/paging.h"
#include "arch/pixels.h"
#include "arch/vga.h"
#include "boot/handoff.h"
#include "kernel/bits.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/string.h"

#define COLUMNS_MAX 160u
#define ROWS_MAX 64u
#define BOOT_ATTRIBUTE SCREEN_ATTRIBUTE(SCREEN_GREY, SCREEN_BLACK)
#define PANIC_ATTRIBUTE SCREEN_ATTRIBUTE(SCREEN_WHITE, SCREEN_RED)
#define LOG_LINES_MAX 1000

/* As VGA has it: the character in the low byte, its attribute in the high one. */
typedef u16 cell_t;
#define CELL(character, attribute) ((cell_t)((u8)(character) | (attribute) << 8))

static struct {
	u32 columns, rows;     /* 0: no screen */
	struct pixels pixels;
	u8 *vga;               /* text memory; NULL: the screen has pixels */
	u32 vga_stride_bytes;
	u64 changed;           /* a bit for each row: wanted and shown may differ */
	u32 row, column;       /* of screen_write */
	u32 log_row;           /* rows from here on survive a panic */
	bool is_panic;
	cell_t wanted[ROWS_MAX][COLUMNS_MAX];
	cell_t shown[ROWS_MAX][COLUMNS_MAX];
} screen;
_Static_assert(ROWS_MAX <= 64, "screen.changed has a bit for each row");

u32 screen_columns(void) { return screen.columns; }
u32 screen_rows(void) { return screen.rows; }

/* --- Cells ------------------------------------------------------------------------------ */

static void draw(u32 row, u32 column, cell_t cell)
{
	if (screen.vga)
		*(volatile cell_t *)(screen.vga + row * screen.vga_stride_bytes + column * sizeof(cell)) = cell;
	else
		pixels_draw(&screen.pixels, row, column, (u8)cell, (u8)(cell >> 8));
}

static void set_cell(u32 row, u32 column, cell_t cell)
{
	if (row >= screen.rows || column >= screen.columns)
		return;
	screen.wanted[row][column] = cell;
	if (screen.shown[row][column] != cell)
		bitmap_set(&screen.changed, row);
}

static void fill_row(u32 row, u32 from_column, u8 attribute)
{
	for (u32 column = from_column; column < screen.columns; column++)
		set_cell(row, column, CELL(' ', attribute));
}

void screen_set_row(u32 row, const char *text, const u8 *attributes)
{
	u32 column = 0;

	for (; text[column]; column++)
		set_cell(row, column, CELL(text[column], attributes[column]));
	fill_row(row, column, BOOT_ATTRIBUTE);
}

/* False when the budget is spent before the end of the row. */
static bool paint_row(u32 row, u32 *characters)
{
	for (u32 column = 0; column < screen.columns; column++) {
		cell_t cell = screen.wanted[row][column];

		if (cell == screen.shown[row][column])
			continue;
		if (*characters == 0)
			return false;
		--*characters;
		draw(row, column, cell);
		screen.shown[row][column] = cell;
	}
	return true;
}

bool screen_paint(u32 characters_max)
{
	u64 row;

	while ((row = bitmap_next(&screen.changed, screen.rows, 0)) < screen.rows) {
		if (!paint_row((u32)row, &characters_max))
			return true;
		bitmap_clear(&screen.changed, row);
	}
	return false;
}

/* --- One line after another -------------------------------------------------------------- */

/* Makes room by a quarter of the screen at once: a line by line would draw everything each time. */
static void scroll(void)
{
	u32 count = screen.rows / 4;

	for (u32 row = 0; row < screen.rows; row++) {
		for (u32 column = 0; column < screen.columns; column++)
			set_cell(row, column, row + count < screen.rows ? screen.wanted[row + count][column] :
							  CELL(' ', BOOT_ATTRIBUTE));
	}
	screen.row -= count;
}

static void new_line(void)
{
	screen.column = 0;
	screen.row++;
	if (screen.row >= screen.rows && !screen.is_panic)
		scroll();
	if (screen.is_panic)
		fill_row(screen.row, 0, PANIC_ATTRIBUTE);
}

static void put(char c)
{
	if (c == '\n') {
		new_line();
		return;
	}
	if (c == '\r')
		return;
	if (screen.column >= screen.columns)
		new_line();
	set_cell(screen.row, screen.column++, CELL(c, screen.is_panic ? PANIC_ATTRIBUTE : BOOT_ATTRIBUTE));
}

void screen_write(const char *text, size_t bytes)
{
	if (!screen.rows)
		return;
	for (size_t i = 0; i < bytes; i++)
		put(text[i]);
	screen_paint(~0u);
}

void screen_begin_page(u32 log_row) { screen.log_row = log_row; }

void screen_panic(void)
{
	if (!screen.rows)
		return;
	screen.is_panic = true;
	screen.row = screen.column = 0;
	for (u32 row = 0; row < MIN(screen.log_row, screen.rows); row++)
		fill_row(row, 0, PANIC_ATTRIBUTE);
}

/* --- Start --------------------------------------------------------------------------------- */

/* Firmware may be wrong about anything: what is drawn must not land in memory. */
static bool is_memory(const struct boot_info *info, u64 start, u64 end)
{
	const struct boot_mem *mem = phys_to_virt(HPA(info->mem));

	for (u32 i = 0; i < info->mem_count; i++) {
		bool is_other = mem[i].type == BOOT_MEM_RESERVED || mem[i].type == BOOT_MEM_MMIO;

		if (!is_other && mem[i].base < end && start < mem[i].base + mem[i].bytes)
			return true;
	}
	return false;
}

static const char *start_pixels(const struct boot_info *info)
{
	const struct boot_framebuffer *from = &info->framebuffer;
	struct pixels *pixels = &screen.pixels;

	if (!pixels_init(pixels, from, COLUMNS_MAX, ROWS_MAX))
		return "has a layout that Tern cannot draw";
	if (is_memory(info, from->address, from->address + pixels_bytes(from)))
		return "lies in memory";
	pixels->base = paging_map_framebuffer(HPA(from->address), pixels_bytes(from));
	if (!pixels->base)
		return "cannot be mapped";
	pixels_clear(pixels, from, SCREEN_BLACK);
	screen.columns = pixels->columns;
	screen.rows = pixels->rows;
	return NULL;
}

static void start_text(const struct boot_framebuffer *from)
{
	screen.vga = paging_map_mmio(HPA(from->address), (u64)from->stride_bytes * from->height);
	if (!screen.vga)
		return;
	screen.vga_stride_bytes = from->stride_bytes;
	screen.columns = MIN(from->width, COLUMNS_MAX);
	screen.rows = MIN(from->height, ROWS_MAX);
}

/* What is there now is unknown, and no cell is like CELL(0, 0). */
static void clear(void)
{
	screen.log_row = screen.rows;
	for (u32 row = 0; row < screen.rows; row++)
		fill_row(row, 0, BOOT_ATTRIBUTE);
}

static void write_line(const char *text, void *context)
{
	(void)context;
	screen_write(text, strlen(text));
	screen_write("\n", 1);
}

void screen_init(const struct boot_info *info)
{
	const struct boot_framebuffer *from = &info->framebuffer;
	struct boot_framebuffer text;

	if (from->kind == BOOT_FRAMEBUFFER_PIXELS) {
		const char *trouble = start_pixels(info);

		if (trouble)
			log_warn("screen: not used: %u x %u pixels at %#lx: it %s", from->width, from->height,
				 from->address, trouble);
	} else if (vga_find_text(&text)) {
		start_text(&text);
	}
	if (!screen.rows)
		return;
	clear();
	log_replay(LOG_LINES_MAX, write_line, NULL);
	log_info("screen: %u x %u characters %s", screen.columns, screen.rows,
		 screen.vga ? "on a VGA in text mode" : "in the loader's framebuffer");
}
