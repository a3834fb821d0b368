/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dirty rounds: which guest pages to send next, and when to stop.
 *
 * Round 0 sends all pages while the guest runs. Each later round sends what was written
 * during the round before. A round ends when the destination has all of it, so no queue
 * stands before the next one. When the rest can be sent within the stun limit, the guest is
 * stopped and the rest follows.
 *
 * Invariant: a page that is not in todo has its content of the round's start, or later, in
 * the destination. Pure: no clock, no memory of the guest.
 */
#pragma once

#include "kernel/types.h"

#define ROUNDS_STUN_DEFAULT_NS (5 * NS_PER_MS)
#define ROUNDS_PATIENCE_NS (60 * NS_PER_SEC) /* without progress, then the move is given up */
#define ROUNDS_LEAST 2                       /* so that the tail's pages went in short rounds before */
#define ROUNDS_POLISH_MAX 3                  /* more rounds when the limit is met and they still pay */

enum rounds_decision { ROUNDS_AGAIN, ROUNDS_STOP, ROUNDS_HOPELESS };

struct rounds {
	u64 page_count;
	u64 *todo;             /* bitmap: to be sent in this round, or the next */
	u64 todo_count;
	u64 round_pages;       /* todo_count at the start of this round */
	u64 cursor;
	u32 number;

	/* What the prediction is made of. */
	u64 limit_ns;
	u64 page_bytes;        /* one page on the stream */
	u64 state_bytes;       /* devices and vCPUs */
	u64 bytes_per_sec;     /* while sending; 0: not known yet */
	u64 rtt_ns;            /* least seen */
	u64 fixed_ns;          /* stop, last harvest, apply, resume */

	u64 predicted_ns;      /* at the last decision */
	u64 best_ns;           /* least prediction so far */
	u64 progress_at_ns;    /* when that was bettered last */
	u64 last_dirty_count;
	u32 polish_count;
	u32 stalled_rounds;    /* in a row without progress */
};

/* Round 0 with every page to be sent. 0 or -ENOMEM. */
int rounds_init(struct rounds *rounds, u64 page_count, u64 now_ns);
void rounds_fini(struct rounds *rounds);

/*
 * The next run of at most max pages that are to be sent, within one 2 MiB chunk; 0: the round is
 * all sent.
 */
u32 rounds_next(struct rounds *rounds, u32 max, u64 *first);
/* The first count pages of that run were put on the stream. */
void rounds_sent(struct rounds *rounds, u64 first, u32 count);

/* The first word at or after from that is not 0, or words. */
u64 rounds_next_word(const u64 *map, u64 words, u64 from);

/*
 * What was learned: bytes in a span in which something was on its way all the time; a round trip.
 */
void rounds_learn_rate(struct rounds *rounds, u64 bytes, u64 active_ns);
/* What a page of a short round took on the stream: later ones are sent as differences. */
void rounds_learn_page(struct rounds *rounds, u64 bytes);
void rounds_learn_rtt(struct rounds *rounds, u64 rtt_ns);

/* The stun if the guest stopped with so many pages to be sent. */
u64 rounds_predict_ns(const struct rounds *rounds, u64 dirty_pages);
/* After a round: dirty_pages have been collected into todo. AGAIN starts the next round. */
enum rounds_decision rounds_decide(struct rounds *rounds, u64 dirty_pages, u64 now_ns);
/* Starts what is in todo, without a decision: the tail of a stopped guest. */
void rounds_start(struct rounds *rounds, u64 dirty_pages);
/* Rounds do not shrink any more and the limit is not met. */
bool rounds_are_stalled(const struct rounds *rounds);
/*
 * The send rate in bytes/s with which the last prediction would have met the limit; 0: none would.
 */
u64 rounds_needed_rate(const struct rounds *rounds);
