/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * XXH64, written from its specification (Collet, "xxHash fast digest algorithm", XXH64), in
 * general registers. The form for whole pages is fused with the copy into the send ring, since
 * memory traffic is what it costs.
 */
#include "migrate/digest.h"

#include "kernel/bits.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/string.h"

#define PRIME_1 0x9e3779b185ebca87ull
#define PRIME_2 0xc2b2ae3d27d4eb4full
#define PRIME_3 0x165667b19e3779f9ull
#define PRIME_4 0x85ebca77c2b2ae63ull
#define PRIME_5 0x27d4eb2f165667c5ull

#define PAGE_WORDS 512
#define PIECE_PAGES 512

#define ALWAYS_INLINE inline __attribute__((always_inline))

static ALWAYS_INLINE u64 rotate(u64 x, unsigned by) { return x << by | x >> (64 - by); }
static ALWAYS_INLINE u64 round_word(u64 lane, u64 word)
{
	return rotate(lane + word * PRIME_2, 31) * PRIME_1;
}
static ALWAYS_INLINE u64 merge_lane(u64 hash, u64 lane)
{
	return (hash ^ round_word(0, lane)) * PRIME_1 + PRIME_4;
}

static ALWAYS_INLINE u64 avalanche(u64 hash)
{
	hash = (hash ^ hash >> 33) * PRIME_2;
	hash = (hash ^ hash >> 29) * PRIME_3;
	return hash ^ hash >> 32;
}

static ALWAYS_INLINE u64 merge_lanes(const u64 lane[4])
{
	u64 hash = rotate(lane[0], 1) + rotate(lane[1], 7) + rotate(lane[2], 12) +
		   rotate(lane[3], 18);

	for (unsigned i = 0; i < 4; i++)
		hash = merge_lane(hash, lane[i]);
	return hash;
}

static ALWAYS_INLINE u64 load64(const u8 *from)
{
	u64 word;

	__builtin_memcpy(&word, from, sizeof(word));
	return word;
}

static ALWAYS_INLINE u32 load32(const u8 *from)
{
	u32 word;

	__builtin_memcpy(&word, from, sizeof(word));
	return word;
}

u64 digest_bytes(const void *bytes, size_t count)
{
	const u8 *at = bytes;
	const u8 *end = at + count;
	u64 hash = PRIME_5;

	if (count >= 32) {
		u64 lane[4] = { PRIME_1 + PRIME_2, PRIME_2, 0, 0 - PRIME_1 };

		for (; end - at >= 32; at += 32)
			for (unsigned i = 0; i < 4; i++)
				lane[i] = round_word(lane[i], load64(at + 8 * i));
		hash = merge_lanes(lane);
	}
	hash += count;
	for (; end - at >= 8; at += 8)
		hash = rotate(hash ^ round_word(0, load64(at)), 27) * PRIME_1 + PRIME_4;
	if (end - at >= 4) {
		hash = rotate(hash ^ load32(at) * PRIME_1, 23) * PRIME_2 + PRIME_3;
		at += 4;
	}
	for (; at < end; at++)
		hash = rotate(hash ^ *at * PRIME_5, 11) * PRIME_1;
	return avalanche(hash);
}

/* The guest may be writing: volatile, so that what is digested is what is stored. */
static ALWAYS_INLINE u64 page_pass(u64 *to, const volatile u64 *from)
{
	u64 a = PRIME_1 + PRIME_2, b = PRIME_2, c = 0, d = 0 - PRIME_1;

	for (const volatile u64 *end = from + PAGE_WORDS; from < end; from += 8) {
		u64 w0 = from[0], w1 = from[1], w2 = from[2], w3 = from[3];
		u64 w4 = from[4], w5 = from[5], w6 = from[6], w7 = from[7];

		if (to) {
			to[0] = w0, to[1] = w1, to[2] = w2, to[3] = w3;
			to[4] = w4, to[5] = w5, to[6] = w6, to[7] = w7;
			to += 8;
		}
		a = round_word(round_word(a, w0), w4);
		b = round_word(round_word(b, w1), w5);
		c = round_word(round_word(c, w2), w6);
		d = round_word(round_word(d, w3), w7);
	}
	return avalanche(merge_lanes((u64[4]){ a, b, c, d }) + PAGE_WORDS * sizeof(u64));
}

u64 digest_page(const void *page) { return page_pass(NULL, page); }
u64 digest_copy_page(void *to, const void *from) { return page_pass(to, from); }

bool digest_is_zero_page(const void *page)
{
	const volatile u64 *from = page;

	for (const volatile u64 *end = from + PAGE_WORDS; from < end; from += 8)
		if (from[0] | from[1] | from[2] | from[3] | from[4] | from[5] | from[6] | from[7])
			return false;
	return true;
}

u64 digest_of_zero_page(void)
{
	static const u64 zero_page[PAGE_WORDS];
	static u64 digest;

	if (!digest)
		digest = digest_page(zero_page);
	return digest;
}

u64 digest_mix(u64 index, u64 digest)
{
	return avalanche(digest ^ (index + 1) * PRIME_1);
}

/* --- the map --- */

int digest_map_init(struct digest_map *map, u64 page_count)
{
	u64 pieces = (page_count + PIECE_PAGES - 1) / PIECE_PAGES;

	*map = (struct digest_map){ .page_count = page_count };
	map->known = heap_alloc(BITMAP_WORDS(page_count) * sizeof(u64));
	map->piece = heap_alloc(pieces * sizeof(map->piece[0]));
	if (!map->known || !map->piece) {
		digest_map_fini(map);
		return -ENOMEM;
	}
	for (u64 i = 0; i < pieces; i++) {
		map->piece[i] = heap_alloc(PIECE_PAGES * sizeof(u64));
		if (!map->piece[i]) {
			digest_map_fini(map);
			return -ENOMEM;
		}
	}
	return 0;
}

bool digest_map_fini_some(struct digest_map *map, u32 count)
{
	u64 pieces = (map->page_count + PIECE_PAGES - 1) / PIECE_PAGES;

	for (; map->piece && map->freed_count < pieces && count; count--)
		heap_free(map->piece[map->freed_count++]);
	if (map->piece && map->freed_count < pieces)
		return false;
	heap_free(map->known);
	heap_free(map->piece);
	*map = (struct digest_map){ .page_count = 0 };
	return true;
}

void digest_map_fini(struct digest_map *map)
{
	digest_map_fini_some(map, ~0u);
}

bool digest_map_has(const struct digest_map *map, u64 index) { return bitmap_test(map->known, index); }

void digest_map_set(struct digest_map *map, u64 index, u64 mixed)
{
	u64 *slot = &map->piece[index / PIECE_PAGES][index % PIECE_PAGES];

	if (!digest_map_has(map, index)) {
		bitmap_set(map->known, index);
		map->known_count++;
	}
	map->root += mixed - *slot;
	*slot = mixed;
}
