/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines that differ. Each page has one slot, found by a hash of its index; the last page there
 * stays.
 */
#include "migrate/delta.h"

#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/string.h"

#define PAGE_CONTENT 4096
#define LINES (PAGE_CONTENT / DELTA_LINE_BYTES)
#define LINE_WORDS (DELTA_LINE_BYTES / sizeof(u64))
#define NO_PAGE (~0ull)

_Static_assert(LINES == 64, "a line for each bit");
_Static_assert((DELTA_PAGES & (DELTA_PAGES - 1)) == 0, "the hash takes high bits");

int delta_init(struct delta *delta)
{
	delta->index = heap_alloc(DELTA_PAGES * sizeof(delta->index[0]));
	delta->content = heap_alloc(DELTA_PAGES * PAGE_CONTENT);
	if (!delta->index || !delta->content) {
		delta_fini(delta);
		return -ENOMEM;
	}
	delta_forget(delta);
	return 0;
}

void delta_fini(struct delta *delta)
{
	heap_free(delta->index);
	heap_free(delta->content);
	*delta = (struct delta){ .index = NULL };
}

void delta_forget(struct delta *delta)
{
	for (u32 i = 0; i < DELTA_PAGES; i++)
		delta->index[i] = NO_PAGE;
}

static u32 slot_of(u64 index)
{
	return (u32)(index * 0x9e3779b97f4a7c15ull >> 32) % DELTA_PAGES;
}

void delta_drop(struct delta *delta, u64 index)
{
	u32 slot = slot_of(index);

	if (delta->index[slot] == index)
		delta->index[slot] = NO_PAGE;
}

static bool line_differs(const u64 *a, const u64 *b)
{
	u64 difference = 0;

	for (u32 i = 0; i < LINE_WORDS; i++)
		difference |= a[i] ^ b[i];
	return difference != 0;
}

u64 delta_lines(struct delta *delta, u64 index, const void *content)
{
	u32 slot = slot_of(index);
	u64 *kept = (u64 *)(delta->content + (size_t)slot * PAGE_CONTENT);
	const u64 *now = content;
	u64 lines = 0;

	if (delta->index[slot] != index) {
		delta->index[slot] = index;
		memcpy(kept, now, PAGE_CONTENT);
		return ~0ull;
	}
	for (u32 line = 0; line < LINES; line++, kept += LINE_WORDS, now += LINE_WORDS)
		if (line_differs(kept, now)) {
			lines |= 1ull << line;
			memcpy(kept, now, DELTA_LINE_BYTES);
		}
	return lines;
}

size_t delta_gather(void *to, const void *content, u64 lines)
{
	u8 *at = to;

	for (; lines; lines &= lines - 1, at += DELTA_LINE_BYTES)
		memcpy(at, (const u8 *)content + (size_t)__builtin_ctzll(lines) * DELTA_LINE_BYTES,
		       DELTA_LINE_BYTES);
	return (size_t)(at - (u8 *)to);
}

void delta_scatter(void *content, const void *from, u64 lines)
{
	const u8 *at = from;

	for (; lines; lines &= lines - 1, at += DELTA_LINE_BYTES)
		memcpy((u8 *)content + (size_t)__builtin_ctzll(lines) * DELTA_LINE_BYTES, at,
		       DELTA_LINE_BYTES);
}
