/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The screen as a whole: finding it, the log at start, the page and its cost, a panic; on a VGA model in
 * text mode, whose memory is readable here, and on a framebuffer.
 */
/* SOURCES: arch/screen.c arch/screen_page.c arch/pixels.c arch/vga.c kernel/status.c kernel/health.c kernel/log.c
	    kernel/timer.c kernel/sched.c kernel/panic.c kernel/clock.c kernel/fmt.c kernel/str.c
	    tests/host/fake/shell_fake.c */
#include <stdio.h>

#include "tests/host/fake/machine.h"
#include "arch/host.h"
#include "arch/paging.h"
#include "arch/screen.h"
#include "arch/screen_page.h"
#include "boot/handoff.h"
#include "kernel/clock.h"
#include "kernel/config.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/status.h"
#include "kernel/timer.h"

#define COLUMNS 80
#define ROWS 25
#define NOBODY 0xff

u8 *direct_map;
const char *host_name(void) { return "lab-7"; }

/* --- A VGA, as far as it is looked at ---------------------------------------------------- */

static struct {
	bool is_present;
	u8 misc, graphics_index, graphics[16], crtc_index, crtc[32];
	u16 text[16384];
} vga;

u32 fake_in(u16 port, unsigned bytes)
{
	assert_int_equal(bytes, 1);
	if (!vga.is_present)
		return NOBODY;
	switch (port) {
	case 0x3cc:
		return vga.misc;
	case 0x3ce:
		return vga.graphics_index;
	case 0x3cf:
		return vga.graphics[vga.graphics_index & 15];
	case 0x3d4:
		return vga.crtc_index;
	case 0x3d5:
		return vga.crtc[vga.crtc_index & 31];
	}
	return NOBODY;
}

void fake_out(u16 port, unsigned bytes, u32 value)
{
	assert_int_equal(bytes, 1);
	if (port == 0x3ce)
		vga.graphics_index = (u8)value;
	else if (port == 0x3d4)
		vga.crtc_index = (u8)value;
	else if (port == 0x3d5)
		vga.crtc[vga.crtc_index & 31] = (u8)value;
	else
		fail_msg("a write to port %#x", port);
}

/* Mode 3 as BIOSes leave it. */
static void vga_plug(void)
{
	memset(&vga, 0, sizeof(vga));
	vga.is_present = true;
	vga.misc = 0x67;
	vga.graphics[6] = 0x0e;
	vga.crtc[0x01] = 79;
	vga.crtc[0x07] = 0x1f;
	vga.crtc[0x09] = 0x4f;
	vga.crtc[0x0a] = 0x0d;
	vga.crtc[0x0d] = 0x50;
	vga.crtc[0x12] = 0x8f;
	vga.crtc[0x13] = 40;
}

static u8 picture[1024 * 768 * 4];

void *paging_map_mmio(hpa_t hpa, u64 bytes)
{
	assert_int_equal(hpa.value, 0xb8000);
	assert_in_range(bytes, COLUMNS * 2, sizeof(vga.text));
	return vga.text;
}

void *paging_map_framebuffer(hpa_t hpa, u64 bytes)
{
	(void)hpa;
	assert_int_equal(bytes, sizeof(picture));
	return picture;
}

/* --- Reading it back ----------------------------------------------------------------------- */

static char row_text[COLUMNS + 1];

static const char *row(u32 at)
{
	for (u32 column = 0; column < COLUMNS; column++)
		row_text[column] = (char)vga.text[at * COLUMNS + column];
	return row_text;
}

static u8 attribute(u32 at, u32 column) { return (u8)(vga.text[at * COLUMNS + column] >> 8); }

/* The row that has the text, or ROWS. */
static u32 find(const char *text)
{
	u32 at = 0;

	while (at < ROWS && !strstr(row(at), text))
		at++;
	return at;
}

static struct boot_mem mem[2] = { { 0x100000, 0x3ff00000, BOOT_MEM_USABLE, 0 }, { 0xfc000000, 0x1000000, BOOT_MEM_RESERVED, 0 } };
static struct boot_info info;

static struct boot_framebuffer framebuffer(u64 address)
{
	return (struct boot_framebuffer){
		.kind = BOOT_FRAMEBUFFER_PIXELS, .address = address, .width = 1024, .height = 768, .bits_per_pixel = 32,
		.stride_bytes = 4096, .red_shift = 16, .red_bits = 8, .green_shift = 8, .green_bits = 8, .blue_bits = 8,
	};
}

static u64 now_ns(void) { return fake_tsc; } /* the TSC runs at 1 GHz here */

/* Time goes on, and the page's timer with it. */
static void pass(u64 ns)
{
	u64 end = now_ns() + ns;

	while (now_ns() < end) {
		fake_tsc += NS_PER_MS;
		timer_run();
	}
}

/* --- Sources for the page ------------------------------------------------------------------ */

const char *config_first_wrong(unsigned *count)
{
	*count = 2;
	return "line 7: not a key: a b";
}

static unsigned composed, guest_count = 1;

static bool guests_line(unsigned index, struct status_line *line)
{
	composed += index == 0;
	return index < guest_count && status_say(line, index ? STATUS_PLAIN : STATUS_BAD, "guest%u: %s", index,
						 index == 0 ? "stopped, since a sentence that is longer than what is left "
							      "of its row wants to be read to its end by somebody" : "runs");
}

static bool guests_next(struct status_line *line) { return status_say(line, STATUS_PLAIN, "vm start guest0"); }

STATUS_SOURCE(40, guests) = { .label = "Guests", .line = guests_line, .next = guests_next };

/* --- Tests, in the order of a host's life -------------------------------------------------- */

static void a_machine_without_a_screen_has_none(void **state)
{
	(void)state;
	clock_init(1000000);
	direct_map = (u8 *)0;
	info.mem = (u64)mem;
	info.mem_count = ARRAY_COUNT(mem);
	screen_init(&info);
	assert_int_equal(screen_rows(), 0);
	screen_write("nobody sees this\n", 17);
	screen_panic();
	screen_page_start();
	assert_int_equal(timer_armed_count(), 0);
	assert_false(screen_paint(100));
}

static void a_vga_that_shows_something_else_is_left_alone(void **state)
{
	(void)state;
#define UNFIT(what) \
	do { \
		vga_plug(); \
		what; \
		screen_init(&info); \
		assert_int_equal(screen_rows(), 0); \
		assert_int_equal(vga.crtc[0x0a], 0x0d); \
	} while (0)
	UNFIT(vga.graphics[6] = 0x05);  /* graphics at A0000 */
	UNFIT(vga.graphics[6] = 0x0a);  /* text, but monochrome's memory */
	UNFIT(vga.misc = 0x66);         /* monochrome's ports */
	UNFIT(vga.misc = 0x65);         /* its memory is off */
	UNFIT(vga.misc = NOBODY);
	UNFIT(vga.crtc[0x01] = 0);
	UNFIT(vga.crtc[0x13] = 0xff; vga.crtc[0x09] = 3); /* 100 such rows are longer than the memory */
	UNFIT(vga.crtc[0x13] = 1);
	UNFIT(vga.crtc[0x12] = 0; vga.crtc[0x07] = 0);
#undef UNFIT
}

static void a_picture_that_would_harm_is_not_used(void **state)
{
	static const u64 harmful[] = { 0x100000, 0x3ffff000, 0x200000 };

	(void)state;
	memset(picture, 0x77, sizeof(picture));
	for (unsigned i = 0; i < ARRAY_COUNT(harmful); i++) {
		info.framebuffer = framebuffer(harmful[i]);
		screen_init(&info);
		assert_int_equal(screen_rows(), 0);
	}
	for (u64 i = 0; i < sizeof(picture); i++)
		assert_int_equal(picture[i], 0x77);
	info.framebuffer = (struct boot_framebuffer){ 0 };
}

static void what_was_logged_before_is_shown_at_start(void **state)
{
	(void)state;
	log_info("a line before there was a screen");
	vga_plug();
	screen_init(&info);
	assert_int_equal(screen_rows(), ROWS);
	assert_int_equal(screen_columns(), COLUMNS);
	assert_int_equal(vga.crtc[0x0a], 0x20); /* no cursor */
	assert_int_equal(vga.crtc[0x0d], 0);    /* the picture begins where the memory does */
	assert_true(find("a line before there was a screen") < ROWS);
	assert_true(find("screen: not used: 1024 x 768 pixels at 0x200000") < ROWS);
}

static void the_start_scrolls(void **state)
{
	char line[16];

	(void)state;
	for (unsigned i = 0; i < 100; i++) {
		int bytes = snprintf(line, sizeof(line), "line %u\r\n", i);

		screen_write(line, (size_t)bytes);
		line[bytes - 2] = 0;
		assert_true(find(line) < ROWS);
	}
	assert_true(find("line 99") < ROWS);
	assert_int_equal(find("line 98") + 1, find("line 99"));
	assert_int_equal(find("line 50"), ROWS);
	for (unsigned i = 0; i < 3 * COLUMNS; i++) /* a long line goes on in the next row */
		screen_write("x", 1);
	assert_int_equal(row(find("xxx"))[COLUMNS - 1], 'x');
}

static void the_page_says_it_all(void **state)
{
	u32 at;

	(void)state;
	log_warn("something is odd");
	screen_page_start();
	pass(NS_PER_SEC);
	assert_non_null(strstr(row(0), " Tern " TERN_VERSION "   lab-7"));
	assert_non_null(strstr(row(0), "up 0:00:0"));
	assert_int_equal(row(0)[COLUMNS - 2] >= '0', 1);
	assert_int_equal(attribute(0, 0), SCREEN_ATTRIBUTE(SCREEN_WHITE, SCREEN_BLUE));
	assert_int_equal(attribute(0, COLUMNS - 1), SCREEN_ATTRIBUTE(SCREEN_WHITE, SCREEN_BLUE));
	at = find("Guests");
	assert_true(at < ROWS);
	assert_int_equal(attribute(at, 12), SCREEN_ATTRIBUTE(SCREEN_BRIGHT_RED, SCREEN_BLACK));
	assert_non_null(strstr(row(at + 1), "            "));       /* wrapped, at a space */
	assert_true(find("by somebody") == at + 1);
	assert_non_null(strstr(row(find("Next")), "vm start guest0"));
	assert_true(find("Health") < ROWS && find("warning") < ROWS);
	assert_non_null(strstr(row(find("tern.conf")), "2 wrong lines ignored; line 7: not a key: a b"));
	at = find("warning: something is odd");
	assert_true(at < ROWS);
	assert_true(find("line 99") == ROWS);                        /* not of the log */
	at = find(" Log");
	assert_true(at < ROWS - 6);
	for (; at < ROWS && !strstr(row(at), "something is odd"); at++)
		;
	assert_int_equal(attribute(at, 20), SCREEN_ATTRIBUTE(SCREEN_YELLOW, SCREEN_BLACK));
}

static void too_many_lines_leave_room_for_the_log(void **state)
{
	(void)state;
	guest_count = 1000;
	log_info("the last line of the log");
	pass(NS_PER_SEC);
	assert_true(find("guest1: runs") < ROWS);
	assert_true(find("and more: type host status") < ROWS);
	assert_true(find("the last line of the log") < ROWS);
	assert_true(find(" Log") < ROWS - 6);
	guest_count = 1;
	pass(NS_PER_SEC);
	assert_int_equal(find("guest1: runs"), ROWS);
}

/* Log lines longer than the screen, and more of them than fit: the newest is whole, at the end. */
static void the_log_ends_with_the_newest_line(void **state)
{
	char text[200];

	(void)state;
	memset(text, 'w', sizeof(text) - 1);
	text[sizeof(text) - 1] = 0;
	for (unsigned i = 0; i < 300; i++)
		log_info("%u %.*s end-%u", i, (int)(i % 190), text, i);
	pass(NS_PER_SEC);
	assert_true(find("end-299") >= ROWS - 3 && find("end-299") < ROWS);
	assert_true(find("end-298") < find("end-299"));
	log_debug("not for the screen");
	pass(NS_PER_SEC);
	assert_int_equal(find("not for the screen"), ROWS);
	assert_true(find("end-299") < ROWS);
}

static void the_page_costs_nothing_while_it_is_held(void **state)
{
	unsigned before;

	(void)state;
	pass(NS_PER_SEC);
	before = composed;
	status_hold(now_ns() + 5 * NS_PER_SEC);
	status_hold(now_ns() + NS_PER_SEC); /* the longer one counts */
	log_info("while a guest stands still");
	pass(4 * NS_PER_SEC);
	assert_int_equal(composed, before);
	assert_int_equal(find("while a guest stands still"), ROWS);
	pass(2 * NS_PER_SEC);
	assert_true(composed > before);
	assert_true(find("while a guest stands still") < ROWS);
	before = composed;
	pass(10 * NS_PER_SEC);
	assert_in_range(composed - before, 18, 22); /* twice a second */
}

static void painting_stops_when_it_is_told_to(void **state)
{
	u8 attributes[COLUMNS];
	char text[COLUMNS + 1] = "";
	unsigned steps = 1;

	(void)state;
	memset(attributes, 7, sizeof(attributes));
	memset(text, '#', COLUMNS);
	for (u32 at = 0; at < ROWS; at++)
		screen_set_row(at, text, attributes);
	while (screen_paint(7))
		steps++;
	assert_int_equal(steps, (COLUMNS * ROWS + 6) / 7);
	assert_string_equal(row(ROWS - 1), text);
	screen_set_row(ROWS, text, attributes); /* there is no such row */
	screen_set_row(~0u, text, attributes);
	assert_false(screen_paint(1));
	pass(NS_PER_SEC);
	assert_int_equal(find("###"), ROWS);
}

/* The newest lines of the log survive above nothing but the panic's own text, and that is not scrolled away. */
static void a_panic_shows(void **state)
{
	char line[32];

	(void)state;
	log_info("the last words before it");
	pass(NS_PER_SEC);
	screen_panic();
	screen_write("\r\n*** Tern panic on CPU 3: a broken invariant\r\n", 47);
	assert_true(find("*** Tern panic on CPU 3") == 1);
	assert_int_equal(attribute(1, 0), SCREEN_ATTRIBUTE(SCREEN_WHITE, SCREEN_RED));
	assert_int_equal(find("Guests"), ROWS);
	assert_true(find("the last words before it") < ROWS);
	for (unsigned i = 0; i < 100; i++)
		screen_write(line, (size_t)snprintf(line, sizeof(line), "frame %u\r\n", i));
	assert_true(find("*** Tern panic on CPU 3") == 1);
	assert_true(find("frame 0") == 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_machine_without_a_screen_has_none),
		cmocka_unit_test(a_vga_that_shows_something_else_is_left_alone),
		cmocka_unit_test(a_picture_that_would_harm_is_not_used),
		cmocka_unit_test(what_was_logged_before_is_shown_at_start),
		cmocka_unit_test(the_start_scrolls),
		cmocka_unit_test(the_page_says_it_all),
		cmocka_unit_test(too_many_lines_leave_room_for_the_log),
		cmocka_unit_test(the_log_ends_with_the_newest_line),
		cmocka_unit_test(the_page_costs_nothing_while_it_is_held),
		cmocka_unit_test(painting_stops_when_it_is_told_to),
		cmocka_unit_test(a_panic_shows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
