/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Framing of the migration protocol. What comes in is the peer's word: lengths are checked
 * here, by type, before a byte of payload is taken; meaning is checked by those who know it.
 * CPU 0 only.
 */
#include "migrate/wire.h"

#include "arch/vcpu_state.h"
#include "kernel/errno.h"
#include "kernel/fmt.h"
#include "kernel/heap.h"
#include "kernel/string.h"
#include "migrate/receipt.h"
#include "net/stream.h"

_Static_assert(sizeof(struct wire_hello) == 96, "HELLO is drawn with 96 bytes");
_Static_assert(sizeof(struct wire_offer) == 3800,
	       "OFFER is drawn with 3800 bytes before its devices");
_Static_assert(sizeof(struct receipt) == 3088, "RECEIPT is drawn with 3088 bytes");
_Static_assert(sizeof(struct wire_pages) == 24, "PAGES is drawn with 24 bytes before its data");
_Static_assert(sizeof(struct vcpu_state) <= WIRE_STATE_MAX, "a vCPU fits a record");

#define SCRATCH_BYTES (WIRE_STATE_MAX + 64)
#define PAGE_DATA 4096u

#define FROM_S WIRE_FROM_SOURCE
#define FROM_D WIRE_FROM_DESTINATION
#define EXACTLY(structure, sides) { sizeof(structure), sizeof(structure), sides }
#define FROM_TO(structure, least, most, sides) \
	{ sizeof(structure) + (least), sizeof(structure) + (most), sides }

/* Lengths of payloads, and who may send them. */
static const struct wire_limits {
	u32 min;
	u32 max;
	u8 sides;
} limits[WIRE_TYPE_COUNT] = {
	[WIRE_HELLO] = EXACTLY(struct wire_hello, FROM_S | FROM_D),
	[WIRE_OFFER] = FROM_TO(struct wire_offer, 0,
			       WIRE_DEVICES_MAX * sizeof(struct wire_device_entry), FROM_S),
	[WIRE_ACCEPT] = EXACTLY(struct wire_accept, FROM_D),
	[WIRE_REFUSE] = FROM_TO(struct wire_reason, 0,
				(WIRE_REASONS_MAX - 1) * sizeof(struct wire_reason), FROM_D),
	[WIRE_PAGES] = FROM_TO(struct wire_pages, PAGE_DATA, WIRE_PAGES_MAX * PAGE_DATA, FROM_S),
	[WIRE_DELTA] = FROM_TO(struct wire_delta, 0, PAGE_DATA, FROM_S),
	[WIRE_ZERO] = EXACTLY(struct wire_zero, FROM_S),
	[WIRE_ROUND_END] = EXACTLY(struct wire_round, FROM_S),
	[WIRE_ACKED] = FROM_TO(struct wire_acked, 8, WIRE_ACKED_MAX / 8, FROM_D),
	[WIRE_ROUND_DONE] = EXACTLY(struct wire_round, FROM_D),
	[WIRE_DEVICE] = FROM_TO(struct wire_device, 0, WIRE_STATE_MAX, FROM_S),
	[WIRE_VCPU] = FROM_TO(struct wire_vcpu, 0, WIRE_STATE_MAX, FROM_S),
	[WIRE_PAUSE_STATE] = EXACTLY(struct wire_pause_state, FROM_S),
	[WIRE_READY] = EXACTLY(struct wire_ready, FROM_D),
	[WIRE_COMMIT] = EXACTLY(struct wire_commit, FROM_S),
	[WIRE_ACK] = EXACTLY(struct wire_ack, FROM_D),
	[WIRE_ABORTREQ] = EXACTLY(struct wire_epoch, FROM_S),
	[WIRE_ABORTED] = EXACTLY(struct wire_epoch, FROM_D),
	[WIRE_OWNED] = EXACTLY(struct wire_epoch, FROM_S),
	[WIRE_ERROR] = EXACTLY(struct wire_reason, FROM_S | FROM_D),
	[WIRE_RECEIPT] = EXACTLY(struct receipt, FROM_S),
};

int wire_init(struct wire *wire, struct stream *stream, enum wire_side peer)
{
	u8 *scratch = wire->scratch ? wire->scratch : heap_alloc(SCRATCH_BYTES);

	*wire = (struct wire){ .stream = stream, .peer = peer, .scratch = scratch };
	return scratch ? 0 : -ENOMEM;
}

void wire_fini(struct wire *wire)
{
	heap_free(wire->scratch);
	wire->scratch = NULL;
	wire->stream = NULL;
}

/* --- receiving --- */

static enum wire_result broken(struct wire *wire, const char *code, const char *what)
{
	wire_reason_set(&wire->broken, code, "%s (record type %u of %u bytes)", what,
			wire->header.type & ~WIRE_OPTIONAL, wire->header.bytes);
	return WIRE_BROKEN;
}

/* Checks the header, and decides what becomes of the record. */
static enum wire_result open_record(struct wire *wire)
{
	u32 type = wire->header.type, bytes = wire->header.bytes;
	bool is_known = type > 0 && type < WIRE_TYPE_COUNT;

	if (bytes % 8)
		return broken(wire, "E-PROTOCOL",
			      "the peer sent a length that is no multiple of 8");
	if (!is_known && !(type & WIRE_OPTIONAL))
		return broken(wire, "E-PROTOCOL",
			      "the peer sent a record that this version does not know");
	if (!is_known && bytes > WIRE_SKIP_MAX)
		return broken(wire, "E-PROTOCOL",
			      "the peer sent an optional record that is too long");
	if (!is_known) {
		wire->skip_left = bytes;
		return WIRE_GOT;
	}
	if (!(limits[type].sides & wire->peer))
		return broken(wire, "E-PROTOCOL",
			      "the peer sent a record that only the other side may send");
	if (bytes < limits[type].min || bytes > limits[type].max)
		return broken(wire, "E-PROTOCOL", "the peer sent a record of impossible length");
	return WIRE_GOT;
}

/* How much of the payload goes to scratch. */
static u32 scratch_bytes(const struct wire *wire)
{
	if (wire->header.type & WIRE_OPTIONAL)
		return 0;
	return wire->header.type == WIRE_PAGES ? sizeof(struct wire_pages) : wire->header.bytes;
}

static enum wire_result open_pages(struct wire *wire)
{
	const struct wire_pages *pages = (const void *)wire->scratch;

	wire->data_left = wire->header.bytes - (u32)sizeof(*pages);
	if (pages->count > WIRE_PAGES_MAX || wire->data_left != pages->count * PAGE_DATA)
		return broken(wire, "E-PROTOCOL", "the peer counts other pages than it sent");
	return WIRE_GOT;
}

static bool skip(struct wire *wire)
{
	while (wire->skip_left) {
		size_t bytes;

		if (!stream_peek(wire->stream, &bytes) || !bytes)
			return false;
		bytes = MIN(bytes, wire->skip_left);
		stream_consume(wire->stream, bytes);
		wire->skip_left -= (u32)bytes;
	}
	return true;
}

/* Gathers the payload, in as many pieces as it comes in. */
static bool gather(struct wire *wire, u32 want)
{
	while (wire->have < want) {
		size_t bytes;
		const void *piece = stream_peek(wire->stream, &bytes);

		if (!piece || !bytes)
			return false;
		bytes = MIN(bytes, want - wire->have);
		memcpy(wire->scratch + wire->have, piece, bytes);
		stream_consume(wire->stream, bytes);
		wire->have += (u32)bytes;
	}
	return true;
}

enum wire_result wire_next(struct wire *wire)
{
	while (wire->stream) {
		u32 want;

		wire->skip_left += wire->data_left;
		wire->data_left = 0;
		if (!skip(wire))
			return WIRE_WAITING;
		if (!wire->has_header) {
			if (!stream_read(wire->stream, &wire->header, sizeof(wire->header)))
				return WIRE_WAITING;
			wire->have = 0;
			if (open_record(wire) == WIRE_BROKEN)
				return WIRE_BROKEN;
			wire->has_header = true;
		}
		want = scratch_bytes(wire);
		if (!gather(wire, want))
			return WIRE_WAITING;
		wire->has_header = false;
		if (wire->header.type & WIRE_OPTIONAL)
			continue;
		return wire->header.type == WIRE_PAGES ? open_pages(wire) : WIRE_GOT;
	}
	return WIRE_WAITING;
}

size_t wire_data(struct wire *wire, void *to, size_t want)
{
	size_t bytes = 0;
	const void *piece = wire->stream ? stream_peek(wire->stream, &bytes) : NULL;

	if (!piece)
		return 0;
	bytes = MIN(MIN(bytes, want), wire->data_left);
	memcpy(to, piece, bytes);
	stream_consume(wire->stream, bytes);
	wire->data_left -= (u32)bytes;
	return bytes;
}

/* --- sending --- */

size_t wire_room(const struct wire *wire)
{
	return wire->stream ? STREAM_RING_BYTES - stream_unacked(wire->stream) : 0;
}

size_t wire_record_bytes(size_t payload_bytes)
{
	return sizeof(struct wire_header) + ALIGN_UP(payload_bytes, 8);
}

int wire_put2(struct wire *wire, u32 type, const void *a, size_t a_bytes, const void *b,
	      size_t b_bytes)
{
	static const u8 zeros[8];
	size_t payload = a_bytes + b_bytes;
	struct wire_header header = { type, (u32)ALIGN_UP(payload, 8) };

	if (!wire->stream)
		return -ENOTCONN;
	if (wire_room(wire) < wire_record_bytes(payload))
		return -EAGAIN;
	/* There is room for all of it, so none of these can be refused. */
	stream_send(wire->stream, &header, sizeof(header));
	stream_send(wire->stream, a, a_bytes);
	if (b_bytes)
		stream_send(wire->stream, b, b_bytes);
	if (header.bytes > payload)
		stream_send(wire->stream, zeros, header.bytes - payload);
	return 0;
}

int wire_put(struct wire *wire, u32 type, const void *payload, size_t bytes)
{
	return wire_put2(wire, type, payload, bytes, NULL, 0);
}

/* --- texts --- */

bool wire_text_ok(const char *text, size_t max)
{
	size_t length = strnlen(text, max);

	for (size_t i = 0; i < length; i++)
		if ((u8)text[i] < ' ' || (u8)text[i] > '~')
			return false;
	return length < max;
}

void wire_reason_set(struct wire_reason *reason, const char *code, const char *format, ...)
{
	va_list args;

	memset(reason, 0, sizeof(*reason));
	str_copy(reason->code, sizeof(reason->code), code);
	va_start(args, format);
	fmt_vsnprintf(reason->why, sizeof(reason->why), format, args);
	va_end(args);
}
