/* SPDX-License-Identifier: BSD-2-Clause */
/* Checksums against a plain reference; the frame parser and the MSS option against hostile bytes. */
/* SOURCES: net/checksum.c net/packet.c net/wire_mss.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "net/checksum.h"
#include "net/packet.h"
#include "net/wire_mss.h"

static u64 seed = 1;

static u32 random_below(u32 limit)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(seed >> 33) % limit;
}

/* RFC 1071, as it is written: 16-bit words in network order. */
static u16 reference(const u8 *data, size_t bytes)
{
	u64 sum = 0;

	for (size_t i = 0; i < bytes; i++)
		sum += i % 2 ? data[i] : (u64)data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (u16)~sum;
}

static void sums_like_the_reference(void **state)
{
	static u8 data[70000];

	(void)state;
	for (unsigned round = 0; round < 3000; round++) {
		size_t bytes = random_below(round % 10 ? 200 : sizeof(data) - 8), start = random_below(8);
		bool is_high = round % 3 == 0; /* all ones: every carry there can be */

		for (size_t i = 0; i < bytes + start; i++)
			data[i] = is_high ? 0xff : (u8)random_below(256);
		assert_int_equal(__builtin_bswap16(checksum_finish(checksum_add(0, data + start, bytes))),
				 reference(data + start, bytes));
	}
}

static void sums_pieces_of_odd_lengths(void **state)
{
	u8 data[3000];

	(void)state;
	for (unsigned round = 0; round < 1000; round++) {
		size_t bytes = random_below(sizeof(data)) + 1, at = 0;
		u32 sum = 0;

		for (size_t i = 0; i < bytes; i++)
			data[i] = (u8)random_below(256);
		while (at < bytes) {
			size_t wish = random_below(400) + 1, part = MIN(wish, bytes - at);

			sum = checksum_add_at(sum, data + at, part, at);
			at += part;
		}
		assert_int_equal(__builtin_bswap16(checksum_finish(sum)), reference(data, bytes));
	}
}

static void make_tcp(u8 *frame, u32 options, u32 payload, u8 flags)
{
	memset(frame, 0, 54 + options);
	put_be16(frame + 12, ETHERNET_IPV4);
	frame[14] = 0x45;
	put_be16(frame + 16, (u16)(40 + options + payload));
	frame[23] = IP_PROTOCOL_TCP;
	frame[46] = (u8)((20 + options) / 4 << 4);
	frame[47] = flags;
}

static void parses_tcp(void **state)
{
	u8 frame[200] = { 0 };
	struct packet packet;

	(void)state;
	make_tcp(frame, 12, 30, TCP_FLAG_ACK);
	assert_int_equal(packet_parse(frame, 66, 96, &packet), PACKET_TCP);
	assert_int_equal(packet.header_bytes, 66);
	assert_int_equal(packet.payload_bytes, 30);
	assert_int_equal(packet.tcp_offset, 34);
	/* Ethernet padding behind the packet is not payload. */
	assert_int_equal(packet_parse(frame, 66, 120, &packet), PACKET_TCP);
	assert_int_equal(packet.payload_bytes, 30);
	assert_int_equal(packet_parse(frame, 66, 95, &packet), PACKET_BROKEN);
	assert_int_equal(packet_parse(frame, 65, 96, &packet), PACKET_BROKEN);
	put_be16(frame + 20, 0x2000); /* more fragments */
	assert_int_equal(packet_parse(frame, 66, 96, &packet), PACKET_OTHER);
}

/* Whatever the bytes say, what is accepted lies within the frame; ASan watches the reads. */
static void believes_no_length(void **state)
{
	unsigned accepted = 0;

	(void)state;
	for (unsigned round = 0; round < 200000; round++) {
		u32 total = random_below(120);
		u8 *frame = malloc(total + 1);
		struct packet packet;

		for (u32 i = 0; i < total; i++)
			frame[i] = (u8)random_below(256);
		if (total >= 54 && round % 4) {
			make_tcp(frame, 0, total - 54, TCP_FLAG_SYN);
			for (unsigned i = 0; i < 3; i++)
				frame[12 + random_below(36)] = (u8)random_below(256);
			for (u32 i = 54; i < total; i++)
				frame[i] = (u8)random_below(6);
		}
		if (packet_parse(frame, total, total, &packet) == PACKET_TCP) {
			u8 *mss = packet_find_mss(frame, &packet);

			accepted++;
			assert_true(packet.header_bytes + packet.payload_bytes <= total);
			assert_true(!mss || (mss >= frame + packet.tcp_offset + 22 &&
					     mss + 2 <= frame + packet.header_bytes));
			wire_mss_receive(frame, &packet, 1500, 23360);
			assert_true(wire_mss_send(frame, &packet, 1500) <= 1460);
		}
		free(frame);
	}
	assert_true(accepted > 1000);
}

static void put_mss(u8 *frame, u16 mss)
{
	make_tcp(frame, 4, 0, TCP_FLAG_SYN);
	frame[54] = TCP_OPTION_MSS;
	frame[55] = 4;
	put_be16(frame + 56, mss);
}

static void translates_the_mss_option(void **state)
{
	u8 frame[64];
	struct packet packet;

	(void)state;
	/* Out: lwIP's wish becomes what the MTU allows. */
	put_mss(frame, 23360);
	assert_int_equal(packet_parse(frame, 58, 58, &packet), PACKET_TCP);
	wire_mss_send(frame, &packet, 9000);
	assert_int_equal(get_be16(frame + 56), 8960);
	/* In: lwIP is told a multiple of what fits both ends. */
	put_mss(frame, 1460);
	put_be32(frame + 26, 0x0a4d0063);
	wire_mss_receive(frame, &packet, 9000, 23360);
	assert_int_equal(get_be16(frame + 56), 16 * 1460 - 8);
	/* And data to that peer is cut by its value, less the options. */
	make_tcp(frame, 8, 0, TCP_FLAG_ACK);
	put_be32(frame + 30, 0x0a4d0063);
	assert_int_equal(packet_parse(frame, 62, 62, &packet), PACKET_TCP);
	assert_int_equal(wire_mss_send(frame, &packet, 9000), 1452);
	put_be32(frame + 30, 0x0a4d0064);
	assert_int_equal(wire_mss_send(frame, &packet, 9000), 8952);
	/* Nobody may ask for crumbs. */
	put_mss(frame, 1);
	put_be32(frame + 26, 0x0a4d0063);
	assert_int_equal(packet_parse(frame, 58, 58, &packet), PACKET_TCP);
	wire_mss_receive(frame, &packet, 1500, 23360);
	make_tcp(frame, 0, 0, TCP_FLAG_ACK);
	put_be32(frame + 30, 0x0a4d0063);
	assert_int_equal(packet_parse(frame, 54, 54, &packet), PACKET_TCP);
	assert_int_equal(wire_mss_send(frame, &packet, 1500), 536);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_like_the_reference),
		cmocka_unit_test(sums_pieces_of_odd_lengths),
		cmocka_unit_test(parses_tcp),
		cmocka_unit_test(believes_no_length),
		cmocka_unit_test(translates_the_mss_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
