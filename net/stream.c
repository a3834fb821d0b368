/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Streams over lwIP's raw TCP.
 *
 * lwIP's callbacks only note what happened (bytes queued, bytes acknowledged, connection
 * over); stream_poll tells the owner afterwards, outside lwIP. So an owner may close or
 * abort from any of its callbacks, and lwIP is never entered twice.
 *
 * Sending. The ring is addressed by positions that only grow:
 *
 *      acked          written         committed        acked + ring
 *   ----|---------------|----------------|-----------------|----
 *       | in lwIP, in   | the owner's,   | room            |
 *       | place         | not yet lwIP's |                 |
 *
 * lwIP references the ring (no copy); bytes are free again when acknowledged. The ring is
 * freed only when no card can still be reading it.
 *
 * Receiving. Bytes stay in the card's buffers (inbox.h) until consumed; only then does the
 * peer's window open again.
 *
 * Closing. An open stream is the owner's. After stream_close or closed() it is only ours:
 * it lingers until what was committed is acknowledged, then lwIP finishes alone.
 */
#include "net/stream.h"

#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/list.h"
#include "kernel/sched.h"
#include "kernel/string.h"
#include "net/inbox.h"
#include "net/link.h"
#include "net/listener.h"
#include "net/port/errors.h"

#include "lwip/priv/tcp_priv.h"

#define RING STREAM_RING_BYTES
#define STREAM_MAX 24             /* at 1 MiB of ring each; more connections are refused */
#define KEEPALIVE_IDLE_MS 2000
#define KEEPALIVE_INTERVAL_MS 500
#define KEEPALIVE_COUNT 4
#define REPORT_BYTES (32 * 1024)  /* consumed bytes are reported to lwIP in steps of this */
#define RECEIVED_CALLS_MAX 16     /* per poll and stream */

struct stream {
	struct list link;
	struct tcp_pcb *pcb;      /* NULL: lwIP has let go */
	const struct stream_events *events;
	void *context;
	struct stream_address peer;
	const struct listener *listener; /* that the owner has not been told of yet */

	u8 *ring;
	u64 acked, written, committed;

	struct inbox inbox;
	size_t unreported;        /* bytes consumed, window not opened yet */

	u64 progress_ns;          /* when the peer last acknowledged, or had nothing to */
	u64 connect_by_ns;        /* while connecting */
	struct net_tx_mark tx_mark; /* when lwIP let go of the ring */

	int err;
	bool is_open;             /* connected */
	bool is_ours;             /* closed by the owner, or closed() was called */
	bool is_eof;              /* the peer sends no more */
	bool has_opened, has_received, has_acked, has_failed; /* to be told */
	bool is_freeing;
};

static struct list streams = LIST_HEAD_INIT(streams);
static unsigned streams_count;

/* --- Life and death ------------------------------------------------------------------- */

static struct stream *stream_new(void)
{
	struct stream *stream;

	if (streams_count >= STREAM_MAX)
		return NULL;
	stream = heap_alloc(sizeof(*stream));
	if (!stream)
		return NULL;
	stream->ring = heap_alloc(RING);
	if (!stream->ring) {
		heap_free(stream);
		return NULL;
	}
	stream->progress_ns = clock_now_ns();
	list_add_tail(&streams, &stream->link);
	streams_count++;
	return stream;
}

static void discard_received(struct stream *stream)
{
	stream->unreported += inbox_discard(&stream->inbox);
}

/* lwIP will not call us again for this stream. */
static void detach(struct stream *stream)
{
	if (stream->pcb) {
		tcp_arg(stream->pcb, NULL);
		tcp_recv(stream->pcb, NULL);
		tcp_sent(stream->pcb, NULL);
		tcp_err(stream->pcb, NULL);
	}
	stream->pcb = NULL;
	stream->is_freeing = true;
	net_tx_set_mark(&stream->tx_mark);
}

static void abort_pcb(struct stream *stream)
{
	struct tcp_pcb *pcb = stream->pcb;

	detach(stream);
	if (pcb)
		tcp_abort(pcb);
}

/* Frees what detach left, once the cards have sent all that may lie in the ring. */
static bool reap(struct stream *stream)
{
	if (!stream->is_freeing || !net_tx_is_past(&stream->tx_mark))
		return false;
	discard_received(stream);
	list_remove(&stream->link);
	streams_count--;
	heap_free(stream->ring);
	heap_free(stream);
	return true;
}

/* --- What lwIP tells us --------------------------------------------------------------- */

static err_t on_acked(void *arg, struct tcp_pcb *pcb, u16_t bytes)
{
	struct stream *stream = arg;

	(void)pcb;
	stream->acked += bytes;
	stream->progress_ns = clock_now_ns();
	stream->has_acked = true;
	return ERR_OK;
}

static err_t on_received(void *arg, struct tcp_pcb *pcb, struct pbuf *chain, err_t err)
{
	struct stream *stream = arg;

	(void)pcb;
	(void)err;
	if (!chain) {
		stream->is_eof = true;
		stream->has_received = true;
		return ERR_OK;
	}
	inbox_take(&stream->inbox, chain);
	if (stream->is_ours)
		discard_received(stream);
	stream->has_received = true;
	return ERR_OK;
}

/* The pcb is gone already. */
static void on_error(void *arg, err_t err)
{
	struct stream *stream = arg;

	stream->pcb = NULL;
	stream->err = lwip_port_errno(err);
	if (err == ERR_RST && !stream->is_open)
		stream->err = -ECONNREFUSED;
	stream->has_failed = true;
	detach(stream);
}

static void setup_pcb(struct stream *stream, struct tcp_pcb *pcb)
{
	stream->pcb = pcb;
	tcp_arg(pcb, stream);
	tcp_recv(pcb, on_received);
	tcp_sent(pcb, on_acked);
	tcp_err(pcb, on_error);
	tcp_nagle_disable(pcb);
	tcp_setprio(pcb, TCP_PRIO_MAX); /* lwIP never drops it in favour of a newcomer */
	ip_set_option(pcb, SOF_KEEPALIVE);
	pcb->keep_idle = KEEPALIVE_IDLE_MS;
	pcb->keep_intvl = KEEPALIVE_INTERVAL_MS;
	pcb->keep_cnt = KEEPALIVE_COUNT;
}

static void set_open(struct stream *stream)
{
	stream->is_open = true;
	stream->progress_ns = clock_now_ns();
}

static err_t on_connected(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct stream *stream = arg;

	(void)pcb;
	(void)err; /* always ERR_OK: failures come through on_error */
	set_open(stream);
	stream->has_opened = true;
	return ERR_OK;
}

static struct stream_address address_of(const struct tcp_pcb *pcb)
{
	return (struct stream_address){ lwip_ntohl(ip4_addr_get_u32(ip_2_ip4(&pcb->remote_ip))),
					pcb->remote_port };
}

static err_t on_accept(void *arg, struct tcp_pcb *pcb, err_t err)
{
	struct listener *listener = arg;
	struct stream *stream;

	if (err != ERR_OK || !pcb)
		return ERR_VAL;
	stream = stream_new();
	if (!stream)
		return ERR_MEM; /* lwIP resets the connection */
	setup_pcb(stream, pcb);
	stream->peer = address_of(pcb);
	stream->listener = listener;
	set_open(stream);
	return ERR_OK;
}

/* --- Connecting and listening ---------------------------------------------------------- */

struct stream *stream_connect_by(int network, struct stream_address peer, u32 timeout_ms,
				 const struct stream_events *events, void *context)
{
	struct stream *stream = stream_new();
	struct tcp_pcb *pcb;
	ip_addr_t ip;
	err_t err;

	if (!stream)
		return NULL;
	stream->peer = peer;
	stream->events = events;
	stream->context = context;
	stream->connect_by_ns = clock_now_ns() + timeout_ms * NS_PER_MS;
	pcb = tcp_new();
	if (!pcb) {
		detach(stream);
		reap(stream);
		return NULL;
	}
	setup_pcb(stream, pcb);
	ip_addr_set_ip4_u32_val(ip, lwip_htonl(peer.ip));
	err = net_bind(pcb, network, 0);
	if (err == ERR_OK)
		err = tcp_connect(pcb, &ip, peer.port, on_connected);
	if (err != ERR_OK) {
		stream->err = lwip_port_errno(err);
		abort_pcb(stream);
		stream->has_failed = true;
	}
	service_wake();
	return stream;
}

int stream_listen_on(int network, u16 port, void (*accept)(struct stream *stream, void *context), void *context)
{
	return listener_open(network, port, on_accept, accept, context);
}

void stream_set_events(struct stream *stream, const struct stream_events *events, void *context)
{
	stream->events = events;
	stream->context = context;
}

/* --- Sending -------------------------------------------------------------------------- */

void *stream_room(struct stream *stream, size_t want, size_t *room)
{
	u64 offset = stream->committed % RING;
	u64 free = RING - (stream->committed - stream->acked);

	if (stream->is_freeing || stream->is_ours)
		free = 0;
	*room = MIN(MIN(free, RING - offset), want);
	return stream->ring + offset;
}

void stream_commit(struct stream *stream, size_t bytes)
{
	if (stream->committed == stream->acked)
		stream->progress_ns = clock_now_ns();
	stream->committed += bytes;
	service_wake();
}

int stream_send(struct stream *stream, const void *data, size_t bytes)
{
	const u8 *from = data;

	if (stream->is_freeing || stream->is_ours ||
	    bytes > RING - (stream->committed - stream->acked))
		return -EAGAIN;
	while (bytes > 0) {
		size_t room;
		void *to = stream_room(stream, bytes, &room);

		memcpy(to, from, room);
		stream_commit(stream, room);
		from += room;
		bytes -= room;
	}
	return 0;
}

/* Gives lwIP what was committed, as far as it takes it, and lets it send. */
static void push(struct stream *stream)
{
	struct tcp_pcb *pcb = stream->pcb;

	if (!pcb || !stream->is_open)
		return;
	while (stream->written < stream->committed) {
		u64 offset = stream->written % RING;
		u64 bytes = MIN(stream->committed - stream->written, RING - offset);
		u8 flags = 0;

		/* tcp_sndbuf is a u16_t: two full segments at a time. */
		bytes = MIN(bytes, MIN((u64)tcp_sndbuf(pcb), 2ull * TCP_MSS));
		if (bytes == 0)
			break;
		if (stream->written + bytes < stream->committed)
			flags = TCP_WRITE_FLAG_MORE;
		if (tcp_write(pcb, stream->ring + offset, (u16_t)bytes, flags) != ERR_OK)
			break;
		stream->written += bytes;
	}
	tcp_output(pcb);
}

void stream_flush(struct stream *stream)
{
	push(stream);
	net_kick();
}

size_t stream_unacked(const struct stream *stream) { return stream->committed - stream->acked; }

/* --- Receiving ------------------------------------------------------------------------ */

const void *stream_peek(struct stream *stream, size_t *bytes)
{
	return inbox_peek(&stream->inbox, bytes);
}

/* Opens the peer's window by what was consumed. */
static void report_consumed(struct stream *stream)
{
	while (stream->unreported > 0 && stream->pcb) {
		u16_t bytes = (u16_t)MIN(stream->unreported, 0xffffu);

		tcp_recved(stream->pcb, bytes);
		stream->unreported -= bytes;
	}
}

void stream_consume(struct stream *stream, size_t bytes)
{
	inbox_consume(&stream->inbox, bytes);
	stream->unreported += bytes;
	if (stream->unreported >= REPORT_BYTES)
		report_consumed(stream);
	else
		service_wake();
}

bool stream_read(struct stream *stream, void *to, size_t bytes)
{
	u8 *at = to;

	if (stream->inbox.bytes < bytes)
		return false;
	while (bytes > 0) {
		size_t there;
		const void *from = stream_peek(stream, &there);
		size_t part = MIN(there, bytes);

		memcpy(at, from, part);
		stream_consume(stream, part);
		at += part;
		bytes -= part;
	}
	return true;
}

/* --- Closing -------------------------------------------------------------------------- */

void stream_close(struct stream *stream)
{
	stream->is_ours = true;
	discard_received(stream);
	if (!stream->is_open && !stream->is_freeing)
		abort_pcb(stream);
	service_wake();
}

void stream_abort(struct stream *stream)
{
	stream->is_ours = true;
	abort_pcb(stream);
	service_wake();
}

/* A closed stream whose bytes are all acknowledged: lwIP does the rest (FIN, TIME-WAIT). */
static void linger(struct stream *stream)
{
	struct tcp_pcb *pcb = stream->pcb;

	report_consumed(stream); /* with bytes unreported, tcp_close would reset */
	if (stream->acked < stream->committed)
		return;
	if (tcp_close(pcb) == ERR_OK)
		detach(stream);
}

/* --- Telling the owner ----------------------------------------------------------------- */

static void tell_closed(struct stream *stream, int err)
{
	const struct stream_events *events = stream->events;

	stream->is_ours = true;
	discard_received(stream);
	if (events && events->closed)
		events->closed(stream, err, stream->context);
}

/* received() as long as it consumes; true if it should be asked again at the next poll. */
static bool tell_received(struct stream *stream)
{
	for (unsigned i = 0; i < RECEIVED_CALLS_MAX; i++) {
		size_t before = stream->inbox.bytes;

		if (before == 0 || stream->is_ours || !stream->events || !stream->events->received)
			return false;
		stream->events->received(stream, stream->context);
		if (stream->inbox.bytes == before)
			return false; /* it waits for more */
	}
	return stream->inbox.bytes > 0;
}

static bool tell(struct stream *stream)
{
	const struct listener *listener = stream->listener;
	const struct stream_events *events;
	bool is_more = false;

	if (listener) {
		stream->listener = NULL;
		listener->accept(stream, listener->context);
	}
	events = stream->events;
	if (stream->has_opened) {
		stream->has_opened = false;
		if (events && events->opened)
			events->opened(stream, stream->context);
	}
	if (stream->has_received && !stream->is_ours) {
		stream->has_received = tell_received(stream);
		is_more = stream->has_received;
	}
	if (stream->has_acked && !stream->is_ours) {
		stream->has_acked = false;
		events = stream->events;
		if (events && events->sent)
			events->sent(stream, stream->context);
	}
	if (stream->is_ours)
		return false;
	if (stream->has_failed)
		tell_closed(stream, stream->err);
	else if (stream->is_eof && stream->inbox.bytes == 0)
		tell_closed(stream, 0);
	return is_more;
}

/* --- The service's part ----------------------------------------------------------------- */

static void acknowledge(struct stream *stream)
{
	struct tcp_pcb *pcb = stream->pcb;

	report_consumed(stream);
	/* lwIP delays every other acknowledgement; the batch is in, so it goes now. */
	if (pcb->flags & TF_ACK_DELAY) {
		tcp_ack_now(pcb);
		tcp_output(pcb);
	}
}

bool stream_poll(void)
{
	bool is_more = false;

	list_for_each_safe(stream, &streams, struct stream, link) {
		is_more |= tell(stream);
		if (stream->pcb && stream->is_ours)
			linger(stream);
		push(stream);
		if (stream->pcb)
			acknowledge(stream);
		reap(stream);
	}
	return is_more;
}

/* The peer has not acknowledged in time, or was never reached. */
static void time_out(struct stream *stream)
{
	stream->err = -ETIMEDOUT;
	stream->has_failed = true;
	abort_pcb(stream);
	service_wake();
}

void stream_tick(void)
{
	u64 now = clock_now_ns();

	list_for_each(stream, &streams, struct stream, link) {
		if (stream->is_ours || stream->is_freeing)
			service_wake(); /* what could not be finished is tried again */
		if (!stream->pcb)
			continue;
		if (!stream->is_open) {
			/* The owner's time counts, not lwIP's number of SYNs. */
			stream->pcb->nrtx = 0;
			if (now >= stream->connect_by_ns)
				time_out(stream);
		} else if (stream->acked < stream->committed) {
			if (now - stream->progress_ns > STREAM_TIMEOUT_MS * NS_PER_MS)
				time_out(stream);
		} else {
			stream->progress_ns = now;
		}
	}
}

struct stream_address stream_peer(const struct stream *stream) { return stream->peer; }
unsigned stream_count(void) { return streams_count; }
