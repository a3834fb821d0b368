/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages onto the stream: one pass of zero test, copy and digest, straight from guest memory into
 * the send ring while the guest runs. What it writes meanwhile is tracked and sent again.
 *
 * Invariant: a chunk is armed, and every vCPU has dropped its old translations, before any of
 * its pages is read in round 0; so a write that the reading missed is found by a later collection.
 */
#include "migrate/send.h"

#include "kernel/bits.h"
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/string.h"
#include "migrate/image.h"
#include "migrate/migrate.h"
#include "vmm/vm.h"

#define CHUNK_PAGES 512
#define ARM_CHUNKS 4              /* armed together, for one flush */
#define RECORD_HEAD (sizeof(struct wire_header) + sizeof(struct wire_pages))
/* Where in the staging buffer the lines of a difference are gathered: behind a whole record. */
#define STAGING_GATHERED (RECORD_HEAD + PAGE_BYTES)
#define CATCH_UP_NS (30 * NS_PER_SEC)

/* --- what the destination has, and what it has not --- */

static void forget_dirty(struct send *send)
{
	u64 words = BITMAP_WORDS(send->rounds.page_count);

	for (u64 i = 0; (i = rounds_next_word(send->rounds.todo, words, i)) < words; i++) {
		send->acked_count -= bits_count(send->acked[i] & send->rounds.todo[i]);
		send->acked[i] &= ~send->rounds.todo[i];
	}
}

/* Collects what the guest wrote into todo; returns how many pages that adds. */
static u64 add_dirty(struct send *send)
{
	u64 count = track_collect(send->vm, send->rounds.todo);

	forget_dirty(send);
	rounds_start(&send->rounds, send->rounds.todo_count + count);
	return count;
}

/* --- time and rate --- */

/*
 * Time counts as spent on sending while something is on its way; pauses of our own do not slow the
 * estimate.
 */
void copy_count_active(struct send *send, u64 now_ns)
{
	if (send->phase != SEND_COPYING && send->phase != SEND_ROUND_ENDED)
		return;
	if (send->wire.stream && stream_unacked(send->wire.stream) > 0)
		send->active_ns += now_ns - send->active_at_ns;
	send->active_at_ns = now_ns;
}

static void pay(struct send *send, u64 bytes)
{
	send->round.bytes += bytes;
	send->receipt.bytes_sent += bytes;
	pace_pay(&send->pace, bytes, clock_now_ns());
}

static bool is_at_start(const struct send *send)
{
	return send->rounds.number > 0 && send->round.pages == 0;
}

/* When the limit lets sending go on. A later round waits for all of its credit before it starts. */
static u64 ready_ns(const struct send *send)
{
	return pace_ready_ns(&send->pace,
			     is_at_start(send) ? send->rounds.todo_count * send->rounds.page_bytes
					       : 0);
}

static void hold(struct send *send, u64 now_ns)
{
	if (!send->held_at_ns)
		send->held_at_ns = now_ns;
	send->held_until_ns = ready_ns(send);
	send->deadline_ns = send->held_until_ns + CATCH_UP_NS;
	send->was_held = send->was_held || !is_at_start(send);
}

static void release(struct send *send, u64 now_ns)
{
	if (!send->held_at_ns)
		return;
	send->receipt.throttled_us += (now_ns - send->held_at_ns) / NS_PER_US;
	send->held_at_ns = 0;
	send->held_until_ns = ~0ull;
	if (is_at_start(send))
		add_dirty(send); /* what was written during the wait goes with it */
}

/* --- records --- */

/* False: no room now. */
static bool flush_zero(struct send *send)
{
	struct wire_zero zero = { send->zero_first, send->zero_count };

	if (!send->zero_count)
		return true;
	if (wire_put(&send->wire, WIRE_ZERO, &zero, sizeof(zero)))
		return false;
	pay(send, wire_record_bytes(sizeof(zero)));
	send->zero_count = 0;
	return true;
}

static bool add_zero(struct send *send, u64 index, u32 count)
{
	bool extends = send->zero_count && send->zero_first + send->zero_count == index &&
		       send->zero_count + count <= WIRE_ZERO_MAX;

	if (!extends) {
		if (!flush_zero(send))
			return false;
		send->zero_first = index;
	}
	send->zero_count += count;
	for (u64 i = index; i < index + count; i++) {
		digest_map_set(&send->digests, i, digest_mix(i, digest_of_zero_page()));
		delta_drop(&send->delta, i);
	}
	send->round.zero_pages += count;
	send->receipt.zero_pages += count;
	return true;
}

/*
 * Fills a PAGES record at most max pages long; stops before a zero page. Returns the number of
 * pages.
 */
static u32 fill_pages(struct send *send, u8 *at, u64 first, const u8 *page, u32 max)
{
	struct wire_header header = { .type = WIRE_PAGES };
	struct wire_pages pages = { .first = first };
	u8 *data = at + RECORD_HEAD;

	do {
		u64 mixed = digest_mix(first + pages.count, digest_copy_page(data, page));

		digest_map_set(&send->digests, first + pages.count, mixed);
		pages.digest += mixed;
		pages.count++;
		data += PAGE_BYTES;
		page += PAGE_BYTES;
	} while (pages.count < max && !digest_is_zero_page(page));
	header.bytes = (u32)(sizeof(pages) + pages.count * PAGE_BYTES);
	memcpy(at, &header, sizeof(header));
	memcpy(at + sizeof(header), &pages, sizeof(pages));
	return pages.count;
}

/* The send ring's end cuts every megabyte: one page goes by way of a buffer. */
static u32 send_split_page(struct send *send, u64 first, const u8 *page)
{
	if (wire_room(&send->wire) < RECORD_HEAD + PAGE_BYTES)
		return 0;
	fill_pages(send, send->staging, first, page, 1);
	return stream_send(send->wire.stream, send->staging, RECORD_HEAD + PAGE_BYTES) ? 0 : 1;
}

/* Returns how many pages went, 0: no room. */
static u32 send_pages(struct send *send, u64 first, const u8 *page, u32 count)
{
	size_t room = 0;
	u8 *at = stream_room(send->wire.stream, RECORD_HEAD + count * PAGE_BYTES, &room);
	u32 fit = room < RECORD_HEAD ? 0 : (u32)((room - RECORD_HEAD) / PAGE_BYTES);

	if (fit && at) {
		count = fill_pages(send, at, first, page, MIN(fit, count));
		stream_commit(send->wire.stream, RECORD_HEAD + count * PAGE_BYTES);
	} else {
		count = send_split_page(send, first, page);
	}
	if (count)
		pay(send, RECORD_HEAD + count * PAGE_BYTES);
	return count;
}

/* A page of a small round: whole, or the lines of it that the destination does not have. */
static u32 send_one(struct send *send, u64 index, const u8 *page)
{
	struct wire_delta record = { .page = index };
	u8 *content = send->staging + RECORD_HEAD, *gathered = send->staging + STAGING_GATHERED;
	size_t bytes;

	if (wire_room(&send->wire) < RECORD_HEAD + PAGE_BYTES)
		return 0;
	fill_pages(send, send->staging, index, page, 1);
	record.digest =
		((const struct wire_pages *)(send->staging + sizeof(struct wire_header)))->digest;
	record.lines = delta_lines(&send->delta, index, content);
	if (bits_count(record.lines) > DELTA_LINES_MAX) {
		bytes = RECORD_HEAD + PAGE_BYTES;
		stream_send(send->wire.stream, send->staging, bytes);
	} else {
		bytes = delta_gather(gathered, content, record.lines);
		wire_put2(&send->wire, WIRE_DELTA, &record, sizeof(record), gathered, bytes);
		bytes = wire_record_bytes(sizeof(record) + bytes);
	}
	pay(send, bytes);
	return 1;
}

static u32 send_run(struct send *send, u64 first, u32 count)
{
	const u8 *page = gmem_page(&send->vm->gmem, first);
	u32 zeros = 0;

	while (zeros < count && digest_is_zero_page(page + zeros * PAGE_BYTES))
		zeros++;
	if (zeros)
		return add_zero(send, first, zeros) ? zeros : 0;
	if (send->is_small_round)
		return send_one(send, first, page);
	return send_pages(send, first, page, count);
}

static int arm_up_to(struct send *send, u64 chunk)
{
	u64 chunks = send->vm->gmem.page_count / CHUNK_PAGES;
	int err = 0;

	if (chunk < send->armed_chunks)
		return 0;
	for (u64 end = MIN(chunks, chunk + ARM_CHUNKS); !err && send->armed_chunks < end;
	     send->armed_chunks++)
		err = track_arm(send->vm, send->armed_chunks);
	gmem_flush_vcpus(send->vm);
	return err;
}

/* The next run of pages. False: nothing could be done now. */
static bool send_next(struct send *send)
{
	u64 first;
	u32 count = rounds_next(&send->rounds, WIRE_PAGES_MAX, &first);

	if (arm_up_to(send, first / CHUNK_PAGES)) {
		send_fail(send, "E-NO-MEMORY", "no memory to track what the guest writes");
		return false;
	}
	count = send_run(send, first, count);
	if (!count)
		return false;
	rounds_sent(&send->rounds, first, count);
	send->round.pages += count;
	send->receipt.pages_sent += count;
	return true;
}

/* --- rounds --- */

static void start_round(struct send *send)
{
	send->round = (struct receipt_round){ .pages = 0 };
	send->active_ns = 0;
	send->was_held = false;
	send->is_small_round = send->rounds.number > 0 && send->rounds.todo_count <= DELTA_PAGES;
	if (!send->is_small_round)
		delta_forget(&send->delta);
	send->round_start_ns = send->active_at_ns = clock_now_ns();
	send_set_phase(send, SEND_COPYING, CATCH_UP_NS);
}

int copy_start(struct send *send)
{
	u64 pages = send->vm->gmem.page_count;

	if (rounds_init(&send->rounds, pages, clock_now_ns()) ||
	    digest_map_init(&send->digests, pages))
		return -ENOMEM;
	send->acked = heap_alloc(BITMAP_WORDS(pages) * sizeof(u64));
	send->staging = heap_alloc(STAGING_GATHERED + PAGE_BYTES);
	if (!send->acked || !send->staging || delta_init(&send->delta))
		return -ENOMEM;
	send->state_bytes = image_wire_bytes(send->vm);
	send->rounds.limit_ns = send->options.stun_limit_ns;
	send->rounds.state_bytes = send->state_bytes;
	if (track_start(send->vm))
		return -ENOMEM;
	send->is_tracking = true;
	send->copy_start_ns = clock_now_ns();
	send->held_until_ns = ~0ull;
	pace_init(&send->pace, send->options.rate_bytes, send->copy_start_ns);
	start_round(send);
	return 0;
}

void copy_stop(struct send *send)
{
	send_restore_tracking(send);
	rounds_fini(&send->rounds);
	digest_map_fini(&send->digests);
	delta_fini(&send->delta);
	heap_free(send->acked);
	heap_free(send->staging);
	send->acked = NULL;
	send->staging = NULL;
}

static bool end_round(struct send *send)
{
	struct wire_round end = { .round = send->rounds.number, .pages = send->round.pages };

	if (!flush_zero(send) || wire_put(&send->wire, WIRE_ROUND_END, &end, sizeof(end)))
		return false;
	pay(send, wire_record_bytes(sizeof(end)));
	stream_flush(send->wire.stream);
	send->round_end_ns = clock_now_ns();
	send_set_phase(send, SEND_ROUND_ENDED, CATCH_UP_NS);
	return false;
}

bool copy_poll(struct send *send)
{
	u64 start = clock_now_ns(), now = start;

	do {
		if (!send->rounds.todo_count)
			return end_round(send);
		if (now < ready_ns(send)) {
			hold(send, now);
			return false;
		}
		release(send, now);
		if (!send_next(send))
			return false;
		now = clock_now_ns();
		send->deadline_ns = now + CATCH_UP_NS;
	} while (now - start < MIGRATE_STEP_NS);
	return true;
}

bool copy_tail(struct send *send)
{
	while (send->rounds.todo_count)
		if (!send_next(send))
			return false;
	return flush_zero(send);
}

/* --- what the destination says --- */

void copy_take_acked(struct send *send)
{
	const struct wire_acked *acked = (const void *)send->wire.scratch;
	const u64 *bits = (const void *)(acked + 1);
	u64 words = BITMAP_WORDS((u64)acked->count);

	if (acked->round != send->rounds.number || acked->first % 64 ||
	    acked->count > WIRE_ACKED_MAX || acked->first > send->rounds.page_count ||
	    acked->count > send->rounds.page_count - acked->first ||
	    send->wire.header.bytes != sizeof(*acked) + words * sizeof(u64)) {
		send_break(send, "E-PROTOCOL", "the peer acknowledged pages that do not exist");
		return;
	}
	for (u64 i = 0; i < words; i++) {
		u64 *word = &send->acked[acked->first / 64 + i];

		send->acked_count += bits_count(bits[i] & ~*word);
		*word |= bits[i];
	}
}

void copy_resume(struct send *send)
{
	forget_dirty(send);
	start_round(send);
}

static void close_round(struct send *send, u64 now_ns, u64 dirty_pages)
{
	send->round.dirty_pages = dirty_pages;
	send->round.us = (now_ns - send->round_start_ns) / NS_PER_US;
	receipt_add_round(&send->receipt, &send->round);
	send->dirty_per_sec = dirty_pages * NS_PER_SEC / (now_ns - send->round_start_ns + 1);
}

bool copy_take_round_done(struct send *send)
{
	const struct wire_round *done = (const void *)send->wire.scratch;
	u64 now = clock_now_ns(), dirty;

	if (done->round != send->rounds.number || done->pages != send->rounds.page_count ||
	    send->acked_count != send->rounds.page_count)
		return false;
	copy_count_active(send, now);
	if (!send->was_held)
		rounds_learn_rate(&send->rounds, send->round.bytes, send->active_ns);
	rounds_learn_rtt(&send->rounds, now - send->round_end_ns);
	if (send->is_small_round && send->round.pages)
		rounds_learn_page(&send->rounds, send->round.bytes / send->round.pages);
	dirty = add_dirty(send);
	close_round(send, now, dirty);
	switch (rounds_decide(&send->rounds, dirty, now)) {
	case ROUNDS_AGAIN:
		start_round(send);
		break;
	case ROUNDS_STOP:
		stun_start(send);
		break;
	case ROUNDS_HOPELESS:
		send_fail(send, "E-NOT-CONVERGING",
			  "not converging: the guest writes %llu pages/s; needs stun=%llums",
			  (unsigned long long)send->dirty_per_sec,
			  (unsigned long long)(send->rounds.best_ns / NS_PER_MS + 1));
		break;
	}
	return true;
}
