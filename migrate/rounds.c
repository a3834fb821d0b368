/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The choice of pages and the convergence rule; rounds.h says what stays true.
 */
#include "migrate/rounds.h"

#include "kernel/bits.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/string.h"

#define CHUNK_PAGES 512
#define PAGE_ON_WIRE (4096 + 32)          /* a PAGES record with one page */
#define PAGE_WORK_BYTES 512 /* finding, comparing and digesting a page, as if it were sending */
#define FIXED_DEFAULT_NS (400 * NS_PER_US)
#define RATE_BYTES_MIN (64 * KIB)         /* less than this measures the round trip, not the rate */
#define RATE_UNKNOWN (50 * MIB)           /* per second, before anything was measured */
#define STALLED_ROUNDS 3

int rounds_init(struct rounds *rounds, u64 page_count, u64 now_ns)
{
	*rounds = (struct rounds){
		.page_count = page_count,
		.todo_count = page_count,
		.round_pages = page_count,
		.limit_ns = ROUNDS_STUN_DEFAULT_NS,
		.page_bytes = PAGE_ON_WIRE,
		.fixed_ns = FIXED_DEFAULT_NS,
		.best_ns = ~0ull,
		.progress_at_ns = now_ns,
		.last_dirty_count = page_count,
		.todo = heap_alloc(BITMAP_WORDS(page_count) * sizeof(u64)),
	};
	if (!rounds->todo)
		return -ENOMEM;
	memset(rounds->todo, 0xff, page_count / 8);
	for (u64 i = page_count & ~7ull; i < page_count; i++)
		bitmap_set(rounds->todo, i);
	return 0;
}

void rounds_fini(struct rounds *rounds)
{
	heap_free(rounds->todo);
	rounds->todo = NULL;
}

u64 rounds_next_word(const u64 *map, u64 words, u64 from)
{
	/* Eight at a time: of a large guest's map nearly all of it is empty in the stun. */
	while (from + 8 <= words &&
	       !(map[from] | map[from + 1] | map[from + 2] | map[from + 3] | map[from + 4] |
		 map[from + 5] | map[from + 6] | map[from + 7]))
		from += 8;
	while (from < words && !map[from])
		from++;
	return from;
}

static u64 next_page(const struct rounds *rounds)
{
	u64 word = rounds->cursor / 64, words = BITMAP_WORDS(rounds->page_count);

	if (word < words && rounds->todo[word] >> (rounds->cursor % 64))
		return bitmap_next(rounds->todo, rounds->page_count, rounds->cursor);
	word = rounds_next_word(rounds->todo, words, word + 1);
	return word < words ? bitmap_next(rounds->todo, rounds->page_count, word * 64)
			    : rounds->page_count;
}

u32 rounds_next(struct rounds *rounds, u32 max, u64 *first)
{
	u64 at = next_page(rounds);
	u64 end = MIN(rounds->page_count, ALIGN_DOWN(at, CHUNK_PAGES) + CHUNK_PAGES);
	u32 count = 0;

	rounds->cursor = at;
	*first = at;
	while (count < max && at + count < end && bitmap_test(rounds->todo, at + count))
		count++;
	return count;
}

void rounds_sent(struct rounds *rounds, u64 first, u32 count)
{
	for (u64 i = first; i < first + count; i++)
		bitmap_clear(rounds->todo, i);
	rounds->todo_count -= count;
	rounds->cursor = first + count;
}

/* A short round says little, so what it says is taken with care. */
void rounds_learn_rate(struct rounds *rounds, u64 bytes, u64 active_ns)
{
	u64 rate;

	if (bytes < RATE_BYTES_MIN || !active_ns)
		return;
	rate = MAX(bytes * 1000 / (active_ns / NS_PER_US + 1) * 1000, 1);
	if (!rounds->bytes_per_sec || bytes >= 4 * MIB)
		rounds->bytes_per_sec = rate;
	else
		rounds->bytes_per_sec = (3 * rounds->bytes_per_sec + rate) / 4;
}

void rounds_learn_page(struct rounds *rounds, u64 bytes)
{
	rounds->page_bytes = MIN(bytes + PAGE_WORK_BYTES, (u64)PAGE_ON_WIRE);
}

void rounds_learn_rtt(struct rounds *rounds, u64 rtt_ns)
{
	if (!rounds->rtt_ns || rtt_ns < rounds->rtt_ns)
		rounds->rtt_ns = rtt_ns;
}

/* Stop, harvest, tail at the measured rate, 1.5 round trips, apply. */
u64 rounds_predict_ns(const struct rounds *rounds, u64 dirty_pages)
{
	u64 rate_kib = MAX((rounds->bytes_per_sec ? rounds->bytes_per_sec : RATE_UNKNOWN) / KIB, 1);
	u64 tail_bytes = dirty_pages * rounds->page_bytes + rounds->state_bytes;

	return rounds->fixed_ns + tail_bytes * (NS_PER_SEC / KIB) / rate_kib +
	       rounds->rtt_ns * 3 / 2;
}

static void note_progress(struct rounds *rounds, u64 now_ns)
{
	if (rounds->predicted_ns < rounds->best_ns - rounds->best_ns / 16) {
		rounds->best_ns = rounds->predicted_ns;
		rounds->progress_at_ns = now_ns;
		rounds->stalled_rounds = 0;
	} else {
		rounds->stalled_rounds++;
	}
}

/* The limit is met: is another short round likely to shorten the stun still? */
static bool is_worth_polishing(struct rounds *rounds, u64 dirty_pages)
{
	if (rounds->polish_count >= ROUNDS_POLISH_MAX ||
	    dirty_pages * 4 > rounds->last_dirty_count * 3)
		return false;
	rounds->polish_count++;
	return dirty_pages > 0;
}

enum rounds_decision rounds_decide(struct rounds *rounds, u64 dirty_pages, u64 now_ns)
{
	bool fits, is_worth_it;

	rounds->predicted_ns = rounds_predict_ns(rounds, dirty_pages);
	note_progress(rounds, now_ns);
	fits = rounds->predicted_ns <= rounds->limit_ns &&
	       (rounds->number >= ROUNDS_LEAST || !dirty_pages);
	is_worth_it = fits && is_worth_polishing(rounds, dirty_pages);
	rounds->last_dirty_count = dirty_pages;
	rounds_start(rounds, dirty_pages);
	if (fits && !is_worth_it)
		return ROUNDS_STOP;
	if (!fits && now_ns - rounds->progress_at_ns >= ROUNDS_PATIENCE_NS)
		return ROUNDS_HOPELESS;
	rounds->number++;
	return ROUNDS_AGAIN;
}

void rounds_start(struct rounds *rounds, u64 dirty_pages)
{
	rounds->todo_count = rounds->round_pages = dirty_pages;
	rounds->cursor = 0;
}

u64 rounds_needed_rate(const struct rounds *rounds)
{
	u64 fixed = rounds->fixed_ns + rounds->rtt_ns * 3 / 2;
	u64 bytes = rounds->last_dirty_count * rounds->page_bytes + rounds->state_bytes;

	if (rounds->limit_ns <= fixed)
		return 0;
	return bytes * NS_PER_MS / (rounds->limit_ns - fixed) * (NS_PER_SEC / NS_PER_MS);
}

bool rounds_are_stalled(const struct rounds *rounds)
{
	return rounds->stalled_rounds >= STALLED_ROUNDS && rounds->predicted_ns > rounds->limit_ns;
}
