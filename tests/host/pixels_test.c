/* SPDX-License-Identifier: BSD-2-Clause */
/* Glyphs into framebuffers of every layout; nothing outside the picture is touched; absurd layouts are refused. */
/* SOURCES: arch/pixels.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/pixels.h"
#include "boot/handoff.h"

#define GUARD 4096
#define GUARD_BYTE 0xa5
#define WHITE_ON_BLACK 0x0f

static const u8 font['~' - ' ' + 1][GLYPH_HEIGHT] = {
#include "build/gen/font.hex"
};

static u8 *memory; /* guard, picture, guard */
static u64 picture_bytes;
static struct pixels pixels;
static struct boot_framebuffer from;

static struct boot_framebuffer layout(u8 bits, u32 width, u32 height, u32 gap)
{
	struct boot_framebuffer made = {
		.kind = BOOT_FRAMEBUFFER_PIXELS, .address = 0xc0000000, .width = width, .height = height,
		.bits_per_pixel = bits, .stride_bytes = width * ((bits + 7) / 8) + gap,
		.red_shift = 16, .red_bits = 8, .green_shift = 8, .green_bits = 8, .blue_shift = 0, .blue_bits = 8,
	};

	if (bits == 15 || bits == 16) {
		made.red_shift = bits - 5;
		made.green_shift = 5;
		made.red_bits = made.blue_bits = 5;
		made.green_bits = bits - 10;
	}
	return made;
}

static void open_picture(struct boot_framebuffer layout)
{
	from = layout;
	assert_true(pixels_init(&pixels, &from, 160, 64));
	picture_bytes = pixels_bytes(&from);
	free(memory);
	memory = malloc(picture_bytes + 2 * GUARD);
	memset(memory, GUARD_BYTE, picture_bytes + 2 * GUARD);
	pixels.base = memory + GUARD;
}

static int teardown(void **state)
{
	(void)state;
	free(memory);
	memory = NULL;
	return 0;
}

static u32 pixel(u32 x, u32 y)
{
	u32 value = 0;

	memcpy(&value, pixels.base + (u64)y * from.stride_bytes + x * pixels.pixel_bytes, pixels.pixel_bytes);
	return value;
}

/* Guards and the gaps at the ends of lines are as they were. */
static void check_borders(void)
{
	u32 used = from.width * pixels.pixel_bytes;

	for (u32 i = 0; i < GUARD; i++) {
		assert_int_equal(memory[i], GUARD_BYTE);
		assert_int_equal(memory[GUARD + picture_bytes + i], GUARD_BYTE);
	}
	for (u32 y = 0; y < from.height; y++) {
		for (u32 i = used; i < from.stride_bytes; i++)
			assert_int_equal(pixels.base[(u64)y * from.stride_bytes + i], GUARD_BYTE);
	}
}

/* Reads the cell back dot by dot and compares with the font. */
static void check_cell(u32 row, u32 column, u8 character, u8 attribute)
{
	for (u32 y = 0; y < GLYPH_HEIGHT * pixels.scale; y++) {
		for (u32 x = 0; x < GLYPH_WIDTH * pixels.scale; x++) {
			u8 dots = font[character - ' '][y / pixels.scale];
			bool is_set = dots >> (7 - x / pixels.scale) & 1;
			u32 at_x = pixels.left + column * GLYPH_WIDTH * pixels.scale + x;
			u32 at_y = pixels.top + row * GLYPH_HEIGHT * pixels.scale + y;

			assert_int_equal(pixel(at_x, at_y), pixels.color[is_set ? attribute & 15 : attribute >> 4]);
		}
	}
}

static void glyphs_are_the_fonts_in_every_layout(void **state)
{
	static const struct {
		u8 bits;
		u32 width, height, gap;
	} cases[] = {
		{ 32, 1024, 768, 0 }, { 32, 1280, 800, 64 }, { 24, 800, 600, 0 }, { 24, 1366, 768, 7 }, { 16, 640, 480, 0 },
		{ 15, 801, 601, 3 }, { 32, 1920, 1080, 1 }, { 32, 3840, 2160, 0 }, { 24, 3841, 2161, 5 }, { 32, 128, 128, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		u32 last_row, last_column;

		open_picture(layout(cases[i].bits, cases[i].width, cases[i].height, cases[i].gap));
		last_row = pixels.rows - 1;
		last_column = pixels.columns - 1;
		pixels_clear(&pixels, &from, 0);
		check_borders();
		assert_int_equal(pixel(from.width - 1, from.height - 1), pixels.color[0]);
		pixels_draw(&pixels, 0, 0, 'T', WHITE_ON_BLACK);
		pixels_draw(&pixels, last_row, last_column, '~', 0x4e);
		pixels_draw(&pixels, last_row, 0, '@', 0x1f);
		pixels_draw(&pixels, 0, last_column, 'g', 0x70);
		check_cell(0, 0, 'T', WHITE_ON_BLACK);
		check_cell(last_row, last_column, '~', 0x4e);
		check_cell(last_row, 0, '@', 0x1f);
		check_cell(0, last_column, 'g', 0x70);
		check_borders();
	}
}

static void large_screens_have_large_letters(void **state)
{
	static const struct {
		u32 width, height, scale, columns, rows;
	} cases[] = {
		{ 640, 480, 1, 80, 30 }, { 1024, 768, 1, 128, 48 }, { 1920, 1080, 2, 120, 33 },
		{ 2560, 1440, 3, 106, 30 }, { 3840, 2160, 4, 120, 33 }, { 16384, 16384, 8, 160, 64 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		from = layout(32, cases[i].width, cases[i].height, 0);
		assert_true(pixels_init(&pixels, &from, 160, 64));
		assert_int_equal(pixels.scale, cases[i].scale);
		assert_int_equal(pixels.columns, cases[i].columns);
		assert_int_equal(pixels.rows, cases[i].rows);
	}
}

/* Cells outside are not drawn; bytes that are no letters are question marks. */
static void what_cannot_be_drawn_is_not(void **state)
{
	(void)state;
	open_picture(layout(32, 640, 480, 0));
	pixels_draw(&pixels, pixels.rows, 0, 'x', WHITE_ON_BLACK);
	pixels_draw(&pixels, 0, pixels.columns, 'x', WHITE_ON_BLACK);
	pixels_draw(&pixels, ~0u, ~0u, 'x', WHITE_ON_BLACK);
	for (u64 i = 0; i < picture_bytes; i++)
		assert_int_equal(pixels.base[i], GUARD_BYTE);
	for (unsigned character = 0; character < 256; character++) {
		bool is_letter = character >= ' ' && character <= '~';

		pixels_draw(&pixels, 1, 1, (u8)character, WHITE_ON_BLACK);
		check_cell(1, 1, is_letter ? (u8)character : '?', WHITE_ON_BLACK);
	}
}

static void colors_fill_their_bits(void **state)
{
	(void)state;
	open_picture(layout(16, 640, 480, 0)); /* 5:6:5 */
	assert_int_equal(pixels.color[15], 0xf4 >> 3 << 11 | 0xf7 >> 2 << 5 | 0xfa >> 3);
	open_picture(layout(24, 640, 480, 0));
	assert_int_equal(pixels.color[15], 0xf4f7fa);
	from = layout(32, 640, 480, 0); /* 10:10:10 */
	from.red_shift = 20;
	from.green_shift = 10;
	from.red_bits = from.green_bits = from.blue_bits = 10;
	assert_true(pixels_init(&pixels, &from, 160, 64));
	assert_int_equal(pixels.color[15], 0xf4u << 22 | 0xf7 << 12 | 0xfa << 2);
}

static bool is_accepted(const struct boot_framebuffer *absurd)
{
	struct pixels none;

	return pixels_init(&none, absurd, 160, 64);
}

#define REFUSED(member, value) \
	do { \
		struct boot_framebuffer absurd = layout(32, 1024, 768, 0); \
		assert_true(is_accepted(&absurd)); \
		absurd.member = value; \
		assert_false(is_accepted(&absurd)); \
	} while (0)

static void absurd_layouts_are_refused(void **state)
{
	(void)state;
	REFUSED(kind, BOOT_FRAMEBUFFER_NONE);
	REFUSED(kind, BOOT_FRAMEBUFFER_TEXT);
	REFUSED(kind, 255);
	REFUSED(address, 0);
	REFUSED(address, ~0ull - 4096);
	REFUSED(width, 0);
	REFUSED(width, ~0u);
	REFUSED(width, 1025);
	REFUSED(width, 0x40000000); /* times 4 is 0 */
	REFUSED(height, 0);
	REFUSED(height, 16385);
	REFUSED(height, ~0u);
	REFUSED(stride_bytes, 0);
	REFUSED(stride_bytes, 4095);
	REFUSED(stride_bytes, ~0u);
	REFUSED(bits_per_pixel, 0);
	REFUSED(bits_per_pixel, 8);
	REFUSED(bits_per_pixel, 64);
	REFUSED(bits_per_pixel, 255);
	REFUSED(red_shift, 25);
	REFUSED(red_bits, 0);
	REFUSED(green_bits, 17);
	REFUSED(green_shift, 255);
	REFUSED(blue_bits, 255);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(glyphs_are_the_fonts_in_every_layout, teardown),
		cmocka_unit_test(large_screens_have_large_letters),
		cmocka_unit_test_teardown(what_cannot_be_drawn_is_not, teardown),
		cmocka_unit_test_teardown(colors_fill_their_bits, teardown),
		cmocka_unit_test(absurd_layouts_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
