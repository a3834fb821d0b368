/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VGA in text mode, found by its registers (IBM PS/2 Hardware Interface Technical Reference,
 * Video Subsystems). Where there is none, ports read as all ones and writes go nowhere. The
 * registers are believed, not the loader: GRUB and BIOS describe what they set, which may have changed.
 */
#include "arch/vga.h"

#include "arch/cpu.h"
#include "boot/handoff.h"

enum { MISC_READ = 0x3cc, GRAPHICS = 0x3ce, CRTC = 0x3d4 }; /* an index port, its data port next to it */

#define MISC_COLOR BIT(0) /* the CRTC is at 3D4 */
#define MISC_MEMORY BIT(1)

enum {
	CRTC_COLUMNS_END = 0x01,
	CRTC_OVERFLOW = 0x07,
	CRTC_MAX_SCAN_LINE = 0x09,
	CRTC_CURSOR_START = 0x0a,
	CRTC_START_HIGH = 0x0c,
	CRTC_START_LOW = 0x0d,
	CRTC_LINES_END = 0x12,
	CRTC_OFFSET = 0x13,
};
#define CURSOR_OFF BIT(5)

#define GRAPHICS_MISC 0x06
#define GRAPHICS_MODE BIT(0)
#define GRAPHICS_MAP BITS(3, 2)
#define GRAPHICS_MAP_B8000 BITS(3, 2)

#define TEXT_ADDRESS 0xb8000u
#define TEXT_BYTES 0x8000u

static u8 indexed_read(u16 port, u8 index)
{
	out8(port, index);
	return in8((u16)(port + 1));
}

static void indexed_write(u16 port, u8 index, u8 value)
{
	out8(port, index);
	out8((u16)(port + 1), value);
}

static bool is_text_mode(void)
{
	u8 misc = in8(MISC_READ), graphics;

	if (misc == 0xff || !(misc & MISC_COLOR) || !(misc & MISC_MEMORY))
		return false;
	graphics = indexed_read(GRAPHICS, GRAPHICS_MISC);
	/* The index comes back from a chip, not from an empty bus. */
	return (in8(GRAPHICS) & 15) == GRAPHICS_MISC && !(graphics & GRAPHICS_MODE) &&
	       (graphics & GRAPHICS_MAP) == GRAPHICS_MAP_B8000;
}

static u32 line_count(void)
{
	u32 overflow = indexed_read(CRTC, CRTC_OVERFLOW);

	return (indexed_read(CRTC, CRTC_LINES_END) | (overflow & BIT(1)) << 7 | (overflow & BIT(6)) << 3) + 1;
}

bool vga_find_text(struct boot_framebuffer *to)
{
	struct boot_framebuffer found = { .kind = BOOT_FRAMEBUFFER_TEXT, .address = TEXT_ADDRESS };

	if (!is_text_mode())
		return false;
	found.width = indexed_read(CRTC, CRTC_COLUMNS_END) + 1u;
	found.height = line_count() / ((indexed_read(CRTC, CRTC_MAX_SCAN_LINE) & BITS(4, 0)) + 1u);
	found.stride_bytes = indexed_read(CRTC, CRTC_OFFSET) * 4u;
	if (found.width < 40 || found.height < 10 || found.stride_bytes < found.width * 2 ||
	    found.stride_bytes * found.height > TEXT_BYTES)
		return false;
	indexed_write(CRTC, CRTC_START_HIGH, 0);
	indexed_write(CRTC, CRTC_START_LOW, 0);
	indexed_write(CRTC, CRTC_CURSOR_START, CURSOR_OFF);
	*to = found;
	return true;
}
