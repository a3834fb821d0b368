/* SPDX-License-Identifier: BSD-2-Clause */
/* net/stream.h between the two hosts of two_hosts.h: a ring each, delivered in pieces, damaged and
 * cut on demand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/errno.h"
#include "migrate/receive.h"
#include "tests/host/fake/two_hosts.h"

#define STREAMS_MAX 64

struct stream {
	bool is_used, is_open, is_opening;
	bool has_closed;           /* by its owner: the rest of its ring still goes out */
	u32 host;
	struct stream *peer;       /* NULL when it is gone */
	const struct stream_events *events;
	void *context;
	u8 *ring;
	u64 head, delivered, tail; /* written, arrived at the peer, consumed by it */
	u64 next_record;           /* where the next header begins */
	bool is_raw;               /* not records: a test's own bytes */
	int pending_close;         /* 1 + errno: tell the owner in the next turn */
};

static struct stream streams[STREAMS_MAX];

static struct stream *new_stream(u32 host)
{
	for (u32 i = 0; i < STREAMS_MAX; i++)
		if (!streams[i].is_used) {
			streams[i] = (struct stream){ .is_used = true, .host = host };
			streams[i].ring = aligned_alloc(8, STREAM_RING_BYTES);
			return &streams[i];
		}
	return NULL;
}

static void drop(struct stream *s)
{
	if (s->peer)
		s->peer->peer = NULL;
	free(s->ring);
	*s = (struct stream){ .is_used = false };
}

unsigned fake_stream_count(void)
{
	unsigned count = 0;

	for (u32 i = 0; i < STREAMS_MAX; i++)
		count += streams[i].is_used;
	return count;
}

/* --- net/stream.h --- */

int net_migration_network(void) { return NETWORK_ANY; }
const char *net_network_name(int network) { return network == NETWORK_ANY ? NULL : "?"; }

struct stream *stream_connect_by(int network, struct stream_address peer, u32 timeout_ms,
				 const struct stream_events *events, void *context)
{
	struct stream *s = new_stream(fake_current_host());

	(void)network;
	(void)timeout_ms;
	if (!s)
		return NULL;
	s->events = events;
	s->context = context;
	s->is_opening = true;
	s->is_raw = peer.port == 1; /* a test's own client */
	return s;
}

void stream_set_events(struct stream *s, const struct stream_events *events, void *context)
{
	s->events = events;
	s->context = context;
}

void *stream_room(struct stream *s, size_t want, size_t *room)
{
	u64 at = s->head % STREAM_RING_BYTES;

	*room = MIN(MIN(want, STREAM_RING_BYTES - (s->head - s->tail)), STREAM_RING_BYTES - at);
	return s->ring + at;
}

void stream_commit(struct stream *s, size_t bytes)
{
	s->head += bytes;
	assert_true(s->head - s->tail <= STREAM_RING_BYTES);
}

int stream_send(struct stream *s, const void *data, size_t bytes)
{
	if (STREAM_RING_BYTES - (s->head - s->tail) < bytes)
		return -EAGAIN;
	for (size_t i = 0; i < bytes; i++)
		s->ring[(s->head + i) % STREAM_RING_BYTES] = ((const u8 *)data)[i];
	s->head += bytes;
	return 0;
}

void stream_flush(struct stream *s) { (void)s; }
size_t stream_unacked(const struct stream *s)
{
	size_t taken = s->host == 1 && fake_net.answer_ring ? STREAM_RING_BYTES - fake_net.answer_ring : 0;

	return taken + s->head - s->tail;
}

const void *stream_peek(struct stream *s, size_t *bytes)
{
	struct stream *from = s->peer;
	u64 at;

	*bytes = 0;
	if (!from)
		return NULL;
	at = from->tail % STREAM_RING_BYTES;
	*bytes = MIN(MIN(from->delivered - from->tail, STREAM_RING_BYTES - at), fake_net.piece);
	return *bytes ? from->ring + at : NULL;
}

size_t stream_available(const struct stream *s)
{
	return s->peer ? s->peer->delivered - s->peer->tail : 0;
}

void stream_consume(struct stream *s, size_t bytes)
{
	assert_true(stream_available(s) >= bytes);
	s->peer->tail += bytes;
}

bool stream_read(struct stream *s, void *to, size_t bytes)
{
	if (stream_available(s) < bytes)
		return false;
	for (size_t i = 0; i < bytes; i++)
		((u8 *)to)[i] = s->peer->ring[(s->peer->tail + i) % STREAM_RING_BYTES];
	s->peer->tail += bytes;
	return true;
}

void stream_close(struct stream *s)
{
	s->events = NULL;
	s->has_closed = true;
}

void stream_abort(struct stream *s)
{
	if (s->peer)
		s->peer->pending_close = 1 + ECONNRESET;
	drop(s);
}

struct stream_address stream_peer(const struct stream *s)
{
	return (struct stream_address){ 0x0a4d0001 + !s->host, WIRE_PORT };
}


/* --- the wire --- */

static void tell_closed(struct stream *s, int err)
{
	const struct stream_events *events = s->events;
	void *context = s->context;
	u32 before = fake_current_host();

	fake_enter(s->host);
	if (events)
		events->closed(s, err, context);
	drop(s);
	fake_enter(before);
}

static void open_stream(struct stream *s)
{
	struct stream *other;

	if (fake_net.is_cut || fake_hosts[!s->host].is_off)
		return;
	other = new_stream(!s->host);
	s->is_opening = false;
	s->is_open = other->is_open = true;
	s->peer = other;
	other->peer = s;
	other->is_raw = s->is_raw;
	fake_enter(other->host);
	receive_accept(other, NULL);
	fake_enter(s->host);
	if (s->events && s->events->opened)
		s->events->opened(s, s->context);
}

/* Looks at headers that pass, and cuts the link where the test wants it. */
static u64 watch_records(struct stream *s, u64 upto)
{
	while (!s->is_raw && s->next_record + 8 <= s->head && s->next_record < upto) {
		struct wire_header header;

		for (u32 i = 0; i < sizeof(header); i++)
			((u8 *)&header)[i] = s->ring[(s->next_record + i) % STREAM_RING_BYTES];
		if (++fake_net.records == fake_net.cut_at_record ||
		    header.type == fake_net.cut_at_type) {
			fake_net.is_cut = true;
			return MIN(s->head, s->next_record + fake_net.cut_extra);
		}
		s->next_record += sizeof(header) + header.bytes;
	}
	return upto;
}

static void deliver(struct stream *s)
{
	u64 upto = MIN(s->head, s->delivered + fake_net.bytes_per_turn);
	u32 to = !s->host;

	upto = MAX(s->delivered, watch_records(s, upto));
	for (u64 i = s->delivered; i < upto; i++) {
		u8 *byte = &s->ring[i % STREAM_RING_BYTES];

		if (++fake_net.bytes_to[to] == fake_net.damage_at[to])
			*byte ^= 0x10;
		if (to == 1 && fake_net.tape && fake_net.tape_bytes < fake_net.tape_max)
			fake_net.tape[fake_net.tape_bytes++] = *byte;
	}
	s->delivered = upto;
}

void fake_net_turn(void)
{
	u32 before = fake_current_host();

	for (u32 i = 0; i < STREAMS_MAX; i++) {
		struct stream *s = &streams[i];

		if (s->is_used && s->pending_close) {
			tell_closed(s, 1 - s->pending_close);
			continue;
		}
		if (s->is_used && s->is_opening && !s->has_closed)
			open_stream(s);
		if (s->is_used && s->is_open && !fake_net.is_cut && s->peer)
			deliver(s);
		/* Closed in order: the peer hears of it when it has read all. */
		if (s->is_used && s->has_closed &&
		    (!s->peer || s->tail == s->head || s->peer->has_closed)) {
			struct stream *peer = s->peer;

			drop(s);
			if (peer && !peer->pending_close)
				peer->pending_close = 1;
		}
	}
	fake_enter(before);
}

void fake_net_break(void)
{
	u32 before = fake_current_host();

	for (u32 i = 0; i < STREAMS_MAX; i++)
		if (streams[i].is_used) {
			if (streams[i].peer)
				streams[i].peer->peer = NULL;
			streams[i].peer = NULL;
			tell_closed(&streams[i], -ETIMEDOUT);
		}
	fake_enter(before);
}

void fake_net_heal(void)
{
	fake_net.is_cut = false;
	fake_net.cut_at_record = fake_net.cut_at_type = 0;
}
