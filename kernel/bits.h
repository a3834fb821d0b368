/* SPDX-License-Identifier: BSD-2-Clause */
/* Bits, bit fields and bitmaps of u64 words. */
#pragma once

#include "kernel/types.h"

#define BIT(n) (1ull << (n))
/* Mask of bits high..low, as the manuals write them. */
#define BITS(high, low) ((~0ull >> (63 - (high))) & (~0ull << (low)))
#define FIELD(value, high, low) (((value) & BITS(high, low)) >> (low))

#define BITMAP_WORDS(bits) (((bits) + 63) / 64)

static inline bool bitmap_test(const u64 *map, u64 bit) { return map[bit / 64] >> (bit % 64) & 1; }
static inline void bitmap_set(u64 *map, u64 bit) { map[bit / 64] |= BIT(bit % 64); }
static inline void bitmap_clear(u64 *map, u64 bit) { map[bit / 64] &= ~BIT(bit % 64); }

/* Sets or clears the bit atomically and returns what it was. */
static inline bool bitmap_set_atomic(u64 *map, u64 bit)
{
	return __atomic_fetch_or(&map[bit / 64], BIT(bit % 64), __ATOMIC_SEQ_CST) >> (bit % 64) & 1;
}

/* First set bit at or after from, or bits if there is none. */
static inline u64 bitmap_next(const u64 *map, u64 bits, u64 from)
{
	while (from < bits) {
		u64 word = map[from / 64] >> (from % 64);

		if (word)
			return MIN(from + (u64)__builtin_ctzll(word), bits);
		from = (from / 64 + 1) * 64;
	}
	return bits;
}

/* Set bits. Not the builtin, which calls libgcc on CPUs that may lack POPCNT. */
static inline unsigned bits_count(u64 x)
{
	x -= x >> 1 & 0x5555555555555555;
	x = (x & 0x3333333333333333) + (x >> 2 & 0x3333333333333333);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return (unsigned)(x * 0x0101010101010101 >> 56);
}

static inline u64 bitmap_count(const u64 *map, u64 bits)
{
	u64 count = 0;

	for (u64 i = 0; i < BITMAP_WORDS(bits); i++)
		count += bits_count(map[i]);
	return count;
}

/* log2, rounded down; x is not 0. */
static inline unsigned ilog2(u64 x) { return 63u - (unsigned)__builtin_clzll(x); }
