/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Characters as pixels: 8 x 16 glyphs, enlarged by a whole number, into a framebuffer of any
 * layout from 15 to 32 bits a pixel. Writes only, never reads: a framebuffer is slow to read.
 */
#pragma once

#include "kernel/types.h"

struct boot_framebuffer;

#define GLYPH_WIDTH 8
#define GLYPH_HEIGHT 16

struct pixels {
	u8 *base;            /* where the picture is mapped; set by who mapped it */
	u32 stride_bytes;
	u32 pixel_bytes;
	u32 scale;           /* a glyph's dot is scale x scale pixels */
	u32 left, top;       /* of the text, which stands in the middle */
	u32 columns, rows;   /* of characters */
	u32 color[16];       /* VGA's sixteen colors as pixels */
};

/*
 * Fills all but base. False if the description is absurd: it comes from firmware. max_columns and
 * max_rows are what the caller can use.
 */
bool pixels_init(struct pixels *pixels, const struct boot_framebuffer *from, u32 max_columns, u32 max_rows);
/* From base to the end of the picture. */
u64 pixels_bytes(const struct boot_framebuffer *from);
/* Draws one character; attribute is VGA's: foreground in bits 3:0, background in bits 7:4. */
void pixels_draw(const struct pixels *pixels, u32 row, u32 column, u8 character, u8 attribute);
/* Fills the whole picture, margins too, with a color. */
void pixels_clear(const struct pixels *pixels, const struct boot_framebuffer *from, u8 color);
