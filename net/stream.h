/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A reliable byte stream: all that migrate/ and disks see of TCP. CPU 0 only.
 *
 * Sending is without a copy: stream_room() gives a piece of the stream's own send ring,
 * the caller writes bytes there and stream_commit() queues them; they stay in place
 * until the peer's TCP has acknowledged them. Receiving hands out what has arrived, in
 * place, and takes it back with stream_consume().
 *
 * Callbacks run from the network service on CPU 0 and may call any function here,
 * stream_close included. After closed() the stream does not exist any more.
 */
#pragma once

#include "net/net.h"

struct stream;

struct stream_address {
	u32 ip;   /* host byte order, 10.77.0.2 = 0x0a4d0002 */
	u16 port;
};

struct stream_events {
	/* Connected (for streams from stream_connect). */
	void (*opened)(struct stream *stream, void *context);
	/*
	 * Bytes have arrived: look with stream_peek. Called again while it consumes some and
	 * some are left; a call that consumes nothing waits for more to arrive.
	 */
	void (*received)(struct stream *stream, void *context);
	/* The peer acknowledged bytes: the send ring has room again (all of it if stream_unacked is 0). */
	void (*sent)(struct stream *stream, void *context);
	/*
	 * Over. err = 0: the peer closed in order, and all bytes were consumed. Else, at once, a
	 * negative errno: -ECONNREFUSED, -ETIMEDOUT, -ECONNRESET, -ENETUNREACH, ...
	 */
	void (*closed)(struct stream *stream, int err, void *context);
};

#define STREAM_RING_BYTES (1024 * 1024) /* send ring; how much of it is in flight is tuned in stream.c */

/*
 * Unacknowledged bytes of which none is acknowledged for this long end the stream with -ETIMEDOUT. Only
 * an acknowledgement is progress: a peer that talks but takes nothing is not working for us, and
 * whoever waits for a certain answer sets a deadline of its own.
 */
#define STREAM_TIMEOUT_MS 3000

/*
 * New outgoing stream, over one network only or with NETWORK_ANY over whichever leads there;
 * connects within timeout_ms or closed(-ETIMEDOUT). NULL: no memory.
 */
struct stream *stream_connect_by(int network, struct stream_address peer, u32 timeout_ms,
				 const struct stream_events *events, void *context);
/*
 * Listens, to one network only or to all; accept() is called for each new stream and sets its
 * events with stream_set_events or closes it. 0 or negative errno.
 */
int stream_listen_on(int network, u16 port, void (*accept)(struct stream *stream, void *context),
		     void *context);

static inline struct stream *stream_connect(struct stream_address peer, u32 timeout_ms,
					    const struct stream_events *events, void *context)
{
	return stream_connect_by(NETWORK_ANY, peer, timeout_ms, events, context);
}

static inline int stream_listen(u16 port, void (*accept)(struct stream *stream, void *context), void *context)
{
	return stream_listen_on(NETWORK_ANY, port, accept, context);
}
void stream_set_events(struct stream *stream, const struct stream_events *events, void *context);

/* A contiguous free piece of the send ring, at most want bytes; *room is its length (0: none now). */
void *stream_room(struct stream *stream, size_t want, size_t *room);
void stream_commit(struct stream *stream, size_t bytes);
/* Copies bytes in, all or nothing: 0, -EAGAIN when there is no room. */
int stream_send(struct stream *stream, const void *data, size_t bytes);
/* Hands what was committed to the card now instead of at the end of this poll. */
void stream_flush(struct stream *stream);
/* Bytes committed that the peer has not acknowledged. */
size_t stream_unacked(const struct stream *stream);

/* Bytes that have arrived, contiguous from the oldest; *bytes 0 if none. */
const void *stream_peek(struct stream *stream, size_t *bytes);
void stream_consume(struct stream *stream, size_t bytes);
/* Copies out and consumes exactly bytes if so many have arrived: true. Else nothing: false. */
bool stream_read(struct stream *stream, void *to, size_t bytes);

/* Orderly close after what is committed was sent; closed() is not called any more. */
void stream_close(struct stream *stream);
/* At once, with a reset. */
void stream_abort(struct stream *stream);

struct stream_address stream_peer(const struct stream *stream);

/* Streams that exist now: a leak counter. */
unsigned stream_count(void);
