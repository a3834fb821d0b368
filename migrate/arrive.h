/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's copy that comes in: the VM made for it, with all its memory, and what is known of
 * its pages. It belongs to a session until it is verified; from then on it stays, whatever
 * becomes of the session, until the hand-over says "start" or "forget". CPU 0 only.
 */
#pragma once

#include "kernel/list.h"
#include "migrate/compat.h"
#include "migrate/digest.h"
#include "migrate/durable.h"
#include "migrate/image.h"

struct vm;

struct arrival {
	struct list link;
	struct vm *vm;
	struct durable_record *record;
	u64 epoch;
	bool is_verified;
	bool is_session_open;
	struct image image;
	struct digest_map digests;
	u64 *round_map;        /* pages that came in this round */
	u64 *round_pieces;     /* which pieces of WIRE_ACKED_MAX pages of it are not empty */
	u64 pages_verified;
	u64 offer_digest;
	char from[WIRE_HOST_MAX];
	u64 spent_at_ns;       /* after the start: freed from this time on */

	/* The PAGES record whose data comes in. */
	u64 run_next;
	u32 run_left, run_offset;
	u64 run_digest, run_want;
};

/* Makes the VM and reserves all it needs. NULL: compat says why. */
struct arrival *arrive_create(const struct wire_hello *hello, const struct wire_offer *offer,
			      u32 bytes, struct compat *compat);
/* Frees the copy and its VM. */
void arrive_destroy(struct arrival *arrival);
struct arrival *arrive_find(const u8 vm_id[16]);
struct arrival *arrive_named(const char *name);

/* The records of the copy. False: *reason says what is wrong, and the session is over. */
bool arrive_open_pages(struct arrival *arrival, const struct wire_pages *pages,
		       struct wire_reason *reason);
/* Page data of the open record. True: it is complete (or wrong: reason->code is set). */
bool arrive_take_pages(struct arrival *arrival, struct wire *wire, struct wire_reason *reason);
bool arrive_take_delta(struct arrival *arrival, const void *payload, u32 bytes,
		       struct wire_reason *reason);
bool arrive_take_zero(struct arrival *arrival, const struct wire_zero *zero,
		      struct wire_reason *reason);
/* Says what came in this round: ACKED records, then ROUND_DONE. False: no room, call again. */
bool arrive_end_round(struct arrival *arrival, struct wire *wire, const struct wire_round *end);
/* All was sent: compares the digest and loads the state. ready is filled. */
bool arrive_verify(struct arrival *arrival, const struct wire_pause_state *state,
		   struct wire_ready *ready, struct wire_reason *reason);
/* Frees a part of an arrival whose guest was started. True: all of it. */
bool arrive_free_some(struct arrival *arrival);
/*
 * Runs the guest: it is this host's now. elapsed_ns passed since it stopped. The arrival is not in
 * the list any more; it is freed by and by, as the guest's first moments here are not the time for
 * housekeeping.
 */
void arrive_start(struct arrival *arrival, u64 elapsed_ns, u64 *resume_ns, u64 *announce_ns);
