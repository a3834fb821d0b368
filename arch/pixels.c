/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Characters as pixels. Pure but for the writes to pixels->base; any CPU.
 *
 * A glyph's line is made in a small buffer and copied as often as the scale asks for. It is a
 * multiple of 8 pixels, so it goes out in words of 8 bytes, which write combining likes.
 */
#include "arch/pixels.h"

#include "boot/handoff.h"
#include "kernel/bits.h"

#define SIDE_MIN 128
#define SIDE_MAX 16384
#define STRIDE_MAX (SIDE_MAX * 8u)
#define SCALE_MAX 8u
#define COLUMNS_WANTED 100 /* a larger scale must leave so much room */
#define ROWS_WANTED 30
#define FIRST_GLYPH ' '
#define LAST_GLYPH '~'

static const u8 font[LAST_GLYPH - FIRST_GLYPH + 1][GLYPH_HEIGHT] = {
#include "build/gen/font.hex"
};

/* VGA's order: black, blue, green, cyan, red, magenta, brown, grey, then the bright ones. */
static const u32 palette[16] = {
	0x10141a, 0x1f4e79, 0x2e7d4f, 0x1f7a8c, 0x9c2a2a, 0x7a3e8c, 0x9a6a1f, 0xb8c0c8,
	0x6a7480, 0x6cb4ee, 0x7fd99a, 0x76d7e0, 0xff7b72, 0xd9a0e8, 0xf2cc60, 0xf4f7fa,
};

/* One of red, green, blue as it lies in a pixel. */
static u32 place(u32 value, u8 shift, u8 bits)
{
	u64 scaled = bits >= 8 ? (u64)value << (bits - 8) : value >> (8 - bits);

	return (u32)(scaled << shift);
}

static u32 color_of(const struct boot_framebuffer *from, u32 rgb)
{
	return place(FIELD(rgb, 23, 16), from->red_shift, from->red_bits) |
	       place(FIELD(rgb, 15, 8), from->green_shift, from->green_bits) |
	       place(FIELD(rgb, 7, 0), from->blue_shift, from->blue_bits);
}

static bool is_color_inside(u8 shift, u8 bits, u8 bits_per_pixel)
{
	return bits >= 1 && bits <= 16 && shift + bits <= bits_per_pixel;
}

static u32 pixel_bytes(const struct boot_framebuffer *from) { return (from->bits_per_pixel + 7u) / 8; }

static bool is_sane(const struct boot_framebuffer *from)
{
	u8 depth = from->bits_per_pixel;

	if (from->kind != BOOT_FRAMEBUFFER_PIXELS || !from->address)
		return false;
	if (depth != 15 && depth != 16 && depth != 24 && depth != 32)
		return false;
	if (from->width < SIDE_MIN || from->width > SIDE_MAX || from->height < SIDE_MIN || from->height > SIDE_MAX)
		return false;
	if (from->stride_bytes < from->width * pixel_bytes(from) || from->stride_bytes > STRIDE_MAX)
		return false;
	if (from->address > ~0ull - pixels_bytes(from))
		return false;
	return is_color_inside(from->red_shift, from->red_bits, depth) &&
	       is_color_inside(from->green_shift, from->green_bits, depth) &&
	       is_color_inside(from->blue_shift, from->blue_bits, depth);
}

u64 pixels_bytes(const struct boot_framebuffer *from) { return (u64)from->stride_bytes * from->height; }

/* The largest that leaves enough characters. */
static u32 choose_scale(const struct boot_framebuffer *from)
{
	u32 scale = 1;

	while (scale < SCALE_MAX && from->width / (GLYPH_WIDTH * (scale + 1)) >= COLUMNS_WANTED &&
	       from->height / (GLYPH_HEIGHT * (scale + 1)) >= ROWS_WANTED)
		scale++;
	return scale;
}

bool pixels_init(struct pixels *pixels, const struct boot_framebuffer *from, u32 max_columns, u32 max_rows)
{
	if (!is_sane(from))
		return false;
	pixels->stride_bytes = from->stride_bytes;
	pixels->pixel_bytes = pixel_bytes(from);
	pixels->scale = choose_scale(from);
	pixels->columns = MIN(from->width / (GLYPH_WIDTH * pixels->scale), max_columns);
	pixels->rows = MIN(from->height / (GLYPH_HEIGHT * pixels->scale), max_rows);
	pixels->left = (from->width - pixels->columns * GLYPH_WIDTH * pixels->scale) / 2;
	pixels->top = (from->height - pixels->rows * GLYPH_HEIGHT * pixels->scale) / 2;
	for (unsigned i = 0; i < ARRAY_COUNT(palette); i++)
		pixels->color[i] = color_of(from, palette[i]);
	return true;
}

static void put_pixel(u8 *to, u32 bytes, u32 value)
{
	for (u32 i = 0; i < bytes; i++)
		to[i] = (u8)(value >> (8 * i));
}

/* One line of a glyph; returns its bytes, a multiple of 8. */
static u32 make_line(const struct pixels *pixels, u8 dots, u8 attribute, u8 *line)
{
	u32 at = 0;

	for (u32 dot = 0; dot < GLYPH_WIDTH; dot++) {
		u32 color = pixels->color[dots << dot & 0x80 ? attribute & 15 : attribute >> 4];

		for (u32 i = 0; i < pixels->scale; i++, at += pixels->pixel_bytes)
			put_pixel(line + at, pixels->pixel_bytes, color);
	}
	return at;
}

static void copy_line(u8 *to, const u8 *line, u32 bytes)
{
	for (u32 at = 0; at < bytes; at += 8)
		__builtin_memcpy(to + at, line + at, 8);
}

void pixels_draw(const struct pixels *pixels, u32 row, u32 column, u8 character, u8 attribute)
{
	const u8 *glyph = font[(character >= FIRST_GLYPH && character <= LAST_GLYPH ? character : '?') - FIRST_GLYPH];
	u8 line[GLYPH_WIDTH * SCALE_MAX * 4];
	u8 *to;

	if (row >= pixels->rows || column >= pixels->columns)
		return;
	to = pixels->base + (u64)(pixels->top + row * GLYPH_HEIGHT * pixels->scale) * pixels->stride_bytes +
	     (u64)(pixels->left + column * GLYPH_WIDTH * pixels->scale) * pixels->pixel_bytes;
	for (u32 y = 0; y < GLYPH_HEIGHT; y++) {
		u32 bytes = make_line(pixels, glyph[y], attribute, line);

		for (u32 i = 0; i < pixels->scale; i++, to += pixels->stride_bytes)
			copy_line(to, line, bytes);
	}
}

void pixels_clear(const struct pixels *pixels, const struct boot_framebuffer *from, u8 color)
{
	u32 bytes = from->width / 8 * 8 * pixels->pixel_bytes;
	u8 line[8 * 4];

	for (u32 i = 0; i < 8; i++)
		put_pixel(line + i * pixels->pixel_bytes, pixels->pixel_bytes, pixels->color[color & 15]);
	for (u32 y = 0; y < from->height; y++) {
		u8 *to = pixels->base + (u64)y * pixels->stride_bytes;

		for (u32 at = 0; at < bytes; at += 8 * pixels->pixel_bytes)
			copy_line(to + at, line, 8 * pixels->pixel_bytes);
		for (u32 at = bytes; at < from->width * pixels->pixel_bytes; at += pixels->pixel_bytes)
			put_pixel(to + at, pixels->pixel_bytes, pixels->color[color & 15]);
	}
}
