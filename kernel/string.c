/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory and string functions of ISO C 7.24, as far as Tern uses them.
 *
 * Copies and fills are plain loops over 64-bit words, eight at a time: what an
 * emulator translates best and no CPU does badly. arch/ may put an instruction
 * in their place for large blocks (string_use_blocks), where one is faster.
 *
 * A compiler may recognise a loop as memcpy and replace it by a call of memcpy,
 * here an endless recursion. barrier() in the body keeps the loop a loop.
 *
 * Any CPU, any context.
 */
#include "kernel/string.h"

#define WORD sizeof(u64)
#define BURST (8 * WORD)

/* A word at any address, of memory of any type. */
struct word {
	u64 value;
} PACKED __attribute__((may_alias));

/* From this size on the start-up cost of a string instruction is paid back. */
#define BLOCK_MIN 512

static void (*copy_block)(void *to, const void *from, size_t bytes);
static void (*fill_block)(void *to, int byte, size_t bytes);

void string_use_blocks(void (*copy)(void *to, const void *from, size_t bytes),
		       void (*fill)(void *to, int byte, size_t bytes))
{
	copy_block = copy;
	fill_block = fill;
}

/* Reads all of a burst before writing any, so it also suits memmove. */
static inline void copy_burst(struct word *to, const struct word *from)
{
	u64 a = from[0].value, b = from[1].value, c = from[2].value, d = from[3].value;
	u64 e = from[4].value, f = from[5].value, g = from[6].value, h = from[7].value;

	to[0].value = a;
	to[1].value = b;
	to[2].value = c;
	to[3].value = d;
	to[4].value = e;
	to[5].value = f;
	to[6].value = g;
	to[7].value = h;
	barrier();
}

static void copy_up(u8 *to, const u8 *from, size_t bytes)
{
	for (; bytes >= BURST; bytes -= BURST, to += BURST, from += BURST)
		copy_burst((struct word *)to, (const struct word *)from);
	for (; bytes >= WORD; bytes -= WORD, to += WORD, from += WORD) {
		((struct word *)to)->value = ((const struct word *)from)->value;
		barrier();
	}
	for (; bytes; bytes--) {
		*to++ = *from++;
		barrier();
	}
}

static void copy_down(u8 *to, const u8 *from, size_t bytes)
{
	to += bytes;
	from += bytes;
	for (; bytes >= BURST; bytes -= BURST) {
		to -= BURST;
		from -= BURST;
		copy_burst((struct word *)to, (const struct word *)from);
	}
	for (; bytes >= WORD; bytes -= WORD) {
		to -= WORD;
		from -= WORD;
		((struct word *)to)->value = ((const struct word *)from)->value;
		barrier();
	}
	for (; bytes; bytes--) {
		*--to = *--from;
		barrier();
	}
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes)
{
	if (copy_block && bytes >= BLOCK_MIN)
		copy_block(to, from, bytes);
	else
		copy_up(to, from, bytes);
	return to;
}

void *memmove(void *to, const void *from, size_t bytes)
{
	/* The difference wraps to a large number when `to` is the lower one: copying up is safe then too. */
	if ((uintptr_t)to - (uintptr_t)from >= bytes)
		copy_up(to, from, bytes);
	else
		copy_down(to, from, bytes);
	return to;
}

void *memset(void *to, int byte, size_t bytes)
{
	u64 pattern = (u8)byte * 0x0101010101010101ull;
	u8 *at = to;

	if (fill_block && bytes >= BLOCK_MIN) {
		fill_block(to, byte, bytes);
		return to;
	}
	for (; bytes >= BURST; bytes -= BURST, at += BURST) {
		for (unsigned i = 0; i < BURST / WORD; i++)
			((struct word *)at)[i].value = pattern;
		barrier();
	}
	for (; bytes >= WORD; bytes -= WORD, at += WORD) {
		((struct word *)at)->value = pattern;
		barrier();
	}
	for (; bytes; bytes--) {
		*at++ = (u8)byte;
		barrier();
	}
	return to;
}

static bool is_same_burst(const struct word *a, const struct word *b)
{
	u64 low = (a[0].value ^ b[0].value) | (a[1].value ^ b[1].value);
	u64 high = (a[2].value ^ b[2].value) | (a[3].value ^ b[3].value);

	low |= (a[4].value ^ b[4].value) | (a[5].value ^ b[5].value);
	high |= (a[6].value ^ b[6].value) | (a[7].value ^ b[7].value);
	return !(low | high);
}

int memcmp(const void *a, const void *b, size_t bytes)
{
	const u8 *left = a;
	const u8 *right = b;

	while (bytes >= BURST && is_same_burst((const struct word *)left, (const struct word *)right)) {
		left += BURST;
		right += BURST;
		bytes -= BURST;
	}
	while (bytes >= WORD && ((const struct word *)left)->value == ((const struct word *)right)->value) {
		left += WORD;
		right += WORD;
		bytes -= WORD;
	}
	for (; bytes; bytes--, left++, right++) {
		if (*left != *right)
			return *left < *right ? -1 : 1;
	}
	return 0;
}

size_t strlen(const char *s)
{
	size_t length = 0;

	for (; s[length]; length++)
		barrier();
	return length;
}

size_t strnlen(const char *s, size_t max)
{
	size_t length = 0;

	while (length < max && s[length])
		length++;
	return length;
}

int strcmp(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return (int)(u8)*a - (int)(u8)*b;
}

int strncmp(const char *a, const char *b, size_t max)
{
	for (; max; max--, a++, b++) {
		if (*a != *b || !*a)
			return (int)(u8)*a - (int)(u8)*b;
	}
	return 0;
}

char *strchr(const char *s, int c)
{
	for (;; s++) {
		if (*s == (char)c)
			return (char *)(uintptr_t)s;
		if (!*s)
			return NULL;
	}
}

char *strstr(const char *s, const char *what)
{
	size_t length = strlen(what);

	for (;; s++) {
		if (strncmp(s, what, length) == 0)
			return (char *)(uintptr_t)s;
		if (!*s)
			return NULL;
	}
}
