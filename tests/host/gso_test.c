/* SPDX-License-Identifier: BSD-2-Clause */
/* Cutting and merging: what gso cuts is right frame by frame, and gro puts it together again. */
/* SOURCES: net/gso.c net/gro.c net/packet.c net/checksum.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/checksum.h"
#include "net/gro.h"
#include "net/gso.h"

#define HEADER 54
#define FRAMES_MAX 300
#define ROOM 9100

static u64 seed = 7;

static u32 random_below(u32 limit)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(seed >> 33) % limit;
}

/* --- The wire: frames as they would lie in buffers -------------------------------------- */

static struct nic_buffer wire[FRAMES_MAX];
static unsigned wire_count, given_back;

void nic_buffer_give(struct nic_buffer *buffer)
{
	free(buffer->memory);
	buffer->memory = NULL;
	given_back++;
}

static struct nic_buffer *put_on_wire(const u8 *bytes, u32 count)
{
	struct nic_buffer *buffer = &wire[wire_count++];

	*buffer = (struct nic_buffer){ .memory = malloc(count), .bytes = (u16)count };
	memcpy(buffer->memory, bytes, count);
	return buffer;
}

static void wire_clear(void)
{
	for (unsigned i = 0; i < wire_count; i++)
		free(wire[i].memory);
	wire_count = given_back = 0;
}

/* --- A large packet ------------------------------------------------------------------------ */

struct whole {
	u8 header[HEADER];
	u8 payload[65000];
	struct nic_frame frame;
	struct packet packet;
};

static void make_whole(struct whole *whole, u32 bytes, u8 flags, u16 port, u32 sequence)
{
	u8 *h = whole->header;
	u32 at = 0;

	memset(h, 0, HEADER);
	memcpy(h, "\x52\x54\0\0\0\x01\x52\x54\0\0\0\x02\x08\0\x45", 15);
	put_be16(h + 16, (u16)(40 + bytes));
	put_be16(h + 18, 0xfffe); /* the id wraps */
	h[22] = 64;
	h[23] = IP_PROTOCOL_TCP;
	put_be32(h + 26, 0x0a4d0001);
	put_be32(h + 30, 0x0a4d0002);
	put_be16(h + 34, port);
	put_be16(h + 36, 9);
	put_be32(h + 38, sequence);
	put_be32(h + 42, 77);
	h[46] = 0x50;
	h[47] = flags;
	put_be16(h + 48, 1000);
	for (u32 i = 0; i < bytes; i++)
		whole->payload[i] = (u8)random_below(256);
	whole->frame = (struct nic_frame){ .header = h, .header_bytes = HEADER, .payload_bytes = bytes,
					   .owner = whole };
	while (at < bytes) {
		bool is_last = whole->frame.piece_count == 3;
		u32 wish = is_last ? bytes : random_below(bytes) + 1;
		u32 part = MIN(wish, bytes - at);

		whole->frame.piece[whole->frame.piece_count++] = (struct nic_piece){ whole->payload + at, part };
		at += part;
	}
	assert_int_equal(packet_parse(h, HEADER, HEADER + bytes, &whole->packet), PACKET_TCP);
}

/* Both checksums of a frame, by definition. */
static void assert_sums_right(const u8 *frame, u32 bytes)
{
	u32 tcp_total = bytes - 34, sum;

	assert_int_equal(checksum_finish(checksum_add(0, frame + 14, 20)), 0);
	sum = packet_pseudo_sum(frame + ETHERNET_BYTES, tcp_total);
	assert_int_equal(checksum_finish(checksum_add(sum, frame + 34, tcp_total)), 0);
}

/* Cuts it, checks each frame, and leaves the frames on the wire. */
static unsigned cut(struct whole *whole, u16 segment_bytes, u32 sequence, u8 flags)
{
	u8 header[NIC_HEADER_MAX], flat[ROOM];
	struct nic_frame frame;
	struct gso gso;
	unsigned count = 0, frames, pieces, pieces_seen = 0;
	u32 sent = 0;

	gso_count(&whole->frame, segment_bytes, &frames, &pieces);
	gso_start(&gso, &whole->frame, &whole->packet, segment_bytes, true);
	while (gso_next(&gso, &frame, header)) {
		u32 at = frame.header_bytes;
		bool is_last = sent + frame.payload_bytes == whole->frame.payload_bytes;

		memcpy(flat, frame.header, frame.header_bytes);
		for (unsigned i = 0; i < frame.piece_count; i++) {
			memcpy(flat + at, frame.piece[i].data, frame.piece[i].bytes);
			at += frame.piece[i].bytes;
		}
		assert_int_equal(at, HEADER + frame.payload_bytes);
		assert_true(frame.payload_bytes <= segment_bytes);
		assert_true(is_last || frame.payload_bytes == segment_bytes);
		assert_sums_right(flat, at);
		assert_int_equal(get_be32(flat + 38), sequence + sent);
		assert_int_equal(get_be16(flat + 18), (u16)(0xfffe + count));
		assert_int_equal(get_be16(flat + 16), at - 14);
		assert_int_equal(flat[47], is_last ? flags : flags & ~(TCP_FLAG_FIN | TCP_FLAG_PSH));
		assert_ptr_equal(frame.owner, is_last ? whole : NULL);
		assert_memory_equal(flat + HEADER, whole->payload + sent, frame.payload_bytes);
		put_on_wire(flat, at);
		sent += frame.payload_bytes;
		pieces_seen += frame.piece_count;
		count++;
	}
	assert_int_equal(sent, whole->frame.payload_bytes);
	assert_int_equal(count, frames);
	assert_true(pieces_seen <= pieces);
	return count;
}

static struct whole whole, other;

static void cuts_right(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 300; round++) {
		u16 segment_bytes = (u16)(round % 5 ? 1460 : 200 + random_below(8000));
		u32 bytes = random_below(round % 2 ? 65000 : 3000) * (round % 10 > 0);
		u8 flags = TCP_FLAG_ACK | (round % 3 ? TCP_FLAG_PSH : 0) | (round % 7 ? 0 : TCP_FLAG_FIN);

		if (bytes / segment_bytes >= FRAMES_MAX)
			bytes = segment_bytes;
		make_whole(&whole, bytes, flags, 1000, 0xfffffff0u);
		cut(&whole, segment_bytes, 0xfffffff0u, flags);
		wire_clear();
	}
}

/* --- Merging ---------------------------------------------------------------------------- */

static struct nic_stats stats;
static u8 stack_bytes[2][200000]; /* payload in order, by connection (source port 1000, 1001) */
static u32 stack_count[2];
static unsigned packets;

static void take(void *context, struct nic_buffer *first, u32 total)
{
	const u8 *frame = first->memory + first->start;
	u32 headers = HEADER, seen = 0;
	struct packet packet;
	unsigned connection;

	(void)context;
	packets++;
	assert_int_equal(packet_parse(frame, first->bytes, total, &packet), PACKET_TCP);
	assert_int_equal(packet.payload_bytes + HEADER, total);
	assert_int_equal(checksum_finish(checksum_add(0, frame + 14, 20)), 0);
	connection = get_be16(frame + 34) - 1000u;
	for (struct nic_buffer *at = first, *next; at; at = next) {
		next = at->next;
		memcpy(stack_bytes[connection] + stack_count[connection], at->memory + at->start + headers,
		       at->bytes - headers);
		stack_count[connection] += at->bytes - headers;
		seen += at->bytes;
		headers = 0;
		nic_buffer_give(at);
	}
	assert_int_equal(seen, total);
}

static struct gro gro;

static void gro_clear(void)
{
	memset(&stats, 0, sizeof(stats));
	memset(stack_count, 0, sizeof(stack_count));
	packets = 0;
	gro = (struct gro){ .deliver = take, .stats = &stats };
}

static void merges_what_was_cut(void **state)
{
	unsigned count;

	(void)state;
	gro_clear();
	make_whole(&whole, 60000, TCP_FLAG_ACK | TCP_FLAG_PSH, 1000, 5);
	count = cut(&whole, 1460, 5, TCP_FLAG_ACK | TCP_FLAG_PSH);
	for (unsigned i = 0; i < count; i++)
		gro_add(&gro, &wire[i]);
	gro_flush(&gro);
	assert_int_equal(packets, 1);
	assert_int_equal(stats.rx_merged, count - 1);
	assert_int_equal(stack_count[0], 60000);
	assert_memory_equal(stack_bytes[0], whole.payload, 60000);
	assert_int_equal(given_back, count);
	wire_clear();
}

static void keeps_connections_apart(void **state)
{
	unsigned a, b;

	(void)state;
	gro_clear();
	make_whole(&whole, 30000, TCP_FLAG_ACK, 1000, 5);
	a = cut(&whole, 1460, 5, TCP_FLAG_ACK);
	make_whole(&other, 30000, TCP_FLAG_ACK, 1001, 900);
	b = cut(&other, 1460, 900, TCP_FLAG_ACK);
	for (unsigned i = 0; i < a; i++) {
		gro_add(&gro, &wire[i]);
		gro_add(&gro, &wire[a + i]);
	}
	assert_int_equal(a, b);
	gro_flush(&gro);
	assert_int_equal(packets, 2);
	assert_memory_equal(stack_bytes[0], whole.payload, 30000);
	assert_memory_equal(stack_bytes[1], other.payload, 30000);
	wire_clear();
}

/* A FIN, a gap, a lone acknowledgement: each ends the packet before it, and nothing overtakes. */
static void never_reorders(void **state)
{
	u8 flat[HEADER];
	unsigned count;

	(void)state;
	gro_clear();
	make_whole(&whole, 20000, TCP_FLAG_ACK | TCP_FLAG_FIN, 1000, 5);
	count = cut(&whole, 1460, 5, TCP_FLAG_ACK | TCP_FLAG_FIN);
	make_whole(&other, 0, TCP_FLAG_ACK, 1000, 5);
	cut(&other, 1460, 5, TCP_FLAG_ACK);
	memcpy(flat, wire[count].memory, HEADER);
	for (unsigned i = 0; i < count; i++) {
		if (i == 6)
			gro_add(&gro, put_on_wire(flat, HEADER));
		gro_add(&gro, &wire[i]);
	}
	gro_flush(&gro);
	/* 0..5, the acknowledgement, 6..12, the FIN. */
	assert_int_equal(packets, 4);
	assert_int_equal(stack_count[0], 20000);
	assert_memory_equal(stack_bytes[0], whole.payload, 20000);
	wire_clear();
}

static void drops_what_is_damaged(void **state)
{
	unsigned count, damaged = 0;

	(void)state;
	for (unsigned round = 0; round < 200; round++) {
		gro_clear();
		make_whole(&whole, 20000, TCP_FLAG_ACK, 1000, 5);
		count = cut(&whole, 1460, 5, TCP_FLAG_ACK);
		/* One bit of a TCP segment: its checksum sees every single one. */
		wire[3].memory[34 + random_below(wire[3].bytes - 34u)] ^= (u8)(1 << random_below(8));
		for (unsigned i = 0; i < count; i++)
			gro_add(&gro, &wire[i]);
		gro_flush(&gro);
		damaged += (unsigned)(stats.rx_drop_checksum + stats.rx_drop_header);
		assert_int_equal(stack_count[0], 20000 - 1460);
		assert_int_equal(given_back, count);
		wire_clear();
	}
	assert_int_equal(damaged, 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cuts_right),
		cmocka_unit_test(merges_what_was_cut),
		cmocka_unit_test(keeps_connections_apart),
		cmocka_unit_test(never_reorders),
		cmocka_unit_test(drops_what_is_damaged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
