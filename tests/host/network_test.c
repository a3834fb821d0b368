/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Networks with lwIP before a card that notes what is sent: which frames are answered, with
 * which VLAN's tag, that a bound connection leaves by its own network only, and that a full
 * ring is waited for by interrupt.
 */
/* SOURCES: tests/host/fake/stack.c */
#include "tests/host/fake/machine.h"
#include "tests/host/fake/memory.h"

#include "kernel/clock.h"
#include "kernel/config.h"
#include "kernel/errno.h"
#include "kernel/sched.h"
#include "kernel/string.h"
#include "net/net.h"
#include "net/nic.h"
#include "net/packet.h"
#include "net/services.h"
#include "net/stream.h"

/* --- The card --------------------------------------------------------------------------------- */

static struct sent {
	u8 data[256]; /* header and what fits of the payload */
	u32 bytes;
	u16 ip_offset, tcp_offset, header_bytes, segment_bytes;
} sent[16];
static unsigned sent_count;
static bool link_is_up = true;

static int card_start(struct nic *nic) { return nic_pool_create(nic, 512, 2048); }

static bool is_full;

static bool card_has_room(struct nic *nic, unsigned frames, unsigned pieces, u32 bytes)
{
	return nic && frames && pieces < 1000 && bytes < MIB && !is_full;
}

static void *stuck; /* what a card that does not send keeps */
static bool is_stuck;
static unsigned restarts;

static int card_restart(struct nic *nic)
{
	restarts++;
	nic->tx_out = nic->tx_given;
	if (stuck) {
		nic->tx_done++;
		nic->on_sent(nic, stuck);
	}
	stuck = NULL;
	is_stuck = false;
	return 0;
}

static bool is_armed_for_room, is_to_fill;

/* is_to_fill: the ring becomes full when it has just been found to have room. */
static void card_set_irq(struct nic *nic, bool is_on)
{
	is_armed_for_room = is_on && nic->is_tx_waiting;
	is_full |= is_to_fill;
}

static void card_send(struct nic *nic, const struct nic_frame *frame)
{
	struct sent *to = &sent[sent_count++];

	assert_true(sent_count <= ARRAY_COUNT(sent));
	*to = (struct sent){ .bytes = frame->header_bytes + frame->payload_bytes, .ip_offset = frame->ip_offset,
			     .tcp_offset = frame->tcp_offset, .header_bytes = frame->header_bytes,
			     .segment_bytes = frame->segment_bytes };
	assert_in_range(frame->header_bytes, ETHERNET_BYTES, NIC_HEADER_MAX);
	memcpy(to->data, frame->header, frame->header_bytes);
	if (frame->piece_count)
		memcpy(to->data + frame->header_bytes, frame->piece[0].data, MIN(frame->piece[0].bytes, 100u));
	nic->tx_out += !is_stuck;
	if (frame->owner && is_stuck) {
		stuck = frame->owner;
	} else if (frame->owner) {
		nic->tx_done++;
		nic->on_sent(nic, frame->owner);
	}
}

static void card_nothing(struct nic *nic) { assert_non_null(nic); }
static bool card_is_link_up(struct nic *nic) { return nic && link_is_up; }

static u8 arrived[2048];
static u32 arrived_bytes;

static unsigned card_receive(struct nic *nic, unsigned budget)
{
	struct nic_buffer *buffer;

	if (!arrived_bytes || !budget)
		return 0;
	buffer = nic_buffer_take(nic);
	memcpy(buffer->memory, arrived, arrived_bytes);
	buffer->bytes = (u16)arrived_bytes;
	buffer->is_sum_good = true;
	arrived_bytes = 0;
	nic->on_received(nic, buffer);
	return 1;
}

static const struct nic_ops card_ops = {
	.driver = "fake",
	.start = card_start,
	.restart = card_restart,
	.has_room = card_has_room,
	.send = card_send,
	.kick = card_nothing,
	.reclaim = card_nothing,
	.receive = card_receive,
	.set_irq = card_set_irq,
	.is_link_up = card_is_link_up,
	.update_stats = card_nothing,
};
static struct nic card = {
	.ops = &card_ops,
	.location = "0000:00:02.0",
	.mac = { 2, 0, 0, 0, 0, 1 },
	.mtu_max = 9000,
	.has_cutter = true,
	.can_cut = true,
	.can_sum = true,
};

/* In no section: without an address, and silent. */
static struct nic other_card = {
	.ops = &card_ops,
	.location = "0000:00:03.0",
	.mac = { 2, 0, 0, 0, 0, 2 },
	.mtu_max = 9000,
};

/* --- Frames ------------------------------------------------------------------------------------ */

static void turns(void)
{
	for (unsigned i = 0; i < 20; i++)
		sched_turn();
}

static u8 asker = 9;

/* Who has the address? Asked by .9 (asker), on a VLAN, or with -1 without a tag. */
static void ask(u32 ip, int vlan)
{
	static const u8 request[] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1,
				      2,    0,    0,    0,    0,    9 };
	u8 frame[60] = { 0 };

	memcpy(frame, request, sizeof(request));
	put_be32(frame + 28, (ip & ~255u) | asker);
	put_be32(frame + 38, ip);
	sent_count = 0;
	arrived_bytes = 60;
	memcpy(arrived, frame, sizeof(frame));
	if (vlan >= 0) {
		packet_put_tag(arrived, frame, sizeof(frame), (u16)vlan);
		arrived_bytes += VLAN_BYTES;
	}
	turns();
}

/* The only frame that was sent answers ask. */
static void assert_answer(int vlan)
{
	const u8 *arp = sent[0].data + ETHERNET_BYTES + (vlan >= 0 ? VLAN_BYTES : 0);

	assert_int_equal(sent_count, 1);
	assert_int_equal(packet_vlan(sent[0].data, sent[0].bytes), vlan);
	assert_int_equal(get_be16(arp - 2), 0x0806);
	assert_int_equal(get_be16(arp + 6), 2);
	assert_memory_equal(arp + 8, card.mac, 6);
}

/* --- Tests ------------------------------------------------------------------------------------- */

static void each_network_answers_on_its_vlan(void **state)
{
	(void)state;
	ask(0x0a4d0001, -1);
	assert_answer(-1);
	ask(0x0a4e0001, 100);
	assert_answer(100);
	/* Priority and DEI are not part of the VLAN. */
	ask(0x0a4e0001, 0xf000 | 100);
	assert_answer(100);
	/* 802.1Q 6.9.1: a tag with VLAN 0 is only a priority. */
	ask(0x0a4d0001, 0x2000);
	assert_answer(-1);
	assert_int_equal(card.stats.rx_drop_vlan, 0);
}

static void other_vlans_are_dropped_and_counted(void **state)
{
	u64 before = card.stats.rx_drop_vlan;

	(void)state;
	ask(0x0a4e0001, 101);
	ask(0x0a4d0001, 1);
	assert_int_equal(sent_count, 0);
	assert_int_equal(card.stats.rx_drop_vlan, before + 2);
	/* The right VLAN, the other network's address: not ours there. */
	ask(0x0a4d0001, 100);
	ask(0x0a4e0001, -1);
	assert_int_equal(sent_count, 0);
	assert_int_equal(card.pool_free_count, card.pool_count);
}

static void a_tag_cut_short_is_no_tag(void **state)
{
	(void)state;
	for (u32 bytes = ETHERNET_BYTES; bytes < ETHERNET_BYTES + 8; bytes++) {
		memset(arrived, 0xff, 12);
		put_be16(arrived + 12, ETHERNET_VLAN);
		put_be16(arrived + 14, 100);
		arrived_bytes = bytes;
		sent_count = 0;
		turns();
		assert_int_equal(sent_count, 0);
	}
	assert_int_equal(card.pool_free_count, card.pool_count);
}

static int closed_with;

static void closed(struct stream *stream, int err, void *context)
{
	(void)stream;
	(void)context;
	closed_with = err;
}

static const struct stream_events events = { .closed = closed };

static void learn_neighbour(u32 ip, int vlan)
{
	ask(ip, vlan); /* lwIP keeps who asked */
	sent_count = 0;
}

static void moves_leave_by_their_network(void **state)
{
	struct stream_address near = { 0x0a4e0009, 8376 }, elsewhere = { 0x0a4d0009, 8376 };
	struct packet packet;
	struct stream *stream;
	u8 frame[256];

	(void)state;
	assert_int_equal(net_migration_network(), 1);
	learn_neighbour(0x0a4d0001, -1);
	learn_neighbour(0x0a4e0001, 100);
	stream = stream_connect_by(net_migration_network(), near, 1000, &events, NULL);
	assert_non_null(stream);
	assert_int_equal(sent_count, 1);
	assert_int_equal(packet_vlan(sent[0].data, sent[0].bytes), 100);
	assert_int_equal(sent[0].ip_offset, ETHERNET_BYTES + VLAN_BYTES);
	assert_int_equal(sent[0].tcp_offset, ETHERNET_BYTES + VLAN_BYTES + 20);
	/* Without its tag it is a SYN from that network's address, with the MSS of its MTU. */
	memcpy(frame, sent[0].data, sizeof(frame));
	packet_cut_tag(frame);
	assert_int_equal(packet_parse(frame + 4, sent[0].bytes - 4, sent[0].bytes - 4, &packet), PACKET_TCP);
	assert_int_equal(get_be32(frame + 4 + ETHERNET_BYTES + IP_SOURCE), 0x0a4e0001);
	assert_int_equal(get_be16(packet_find_mss(frame + 4, &packet)), 9000 - 40);
	stream_abort(stream);
	turns();

	/* A peer that the other network could reach is asked for on this one all the same. */
	sent_count = 0;
	stream = stream_connect_by(net_migration_network(), elsewhere, 1000, &events, NULL);
	for (unsigned i = 0; i < sent_count; i++)
		assert_int_equal(packet_vlan(sent[i].data, sent[i].bytes), 100);
	if (stream)
		stream_abort(stream);
	turns();

	sent_count = 0;
	stream = stream_connect(elsewhere, 1000, &events, NULL);
	assert_int_equal(sent_count, 1);
	assert_int_equal(packet_vlan(sent[0].data, sent[0].bytes), -1);
	stream_abort(stream);
	turns();
}

static void no_network_is_no_way(void **state)
{
	(void)state;
	closed_with = 0;
	sent_count = 0;
	assert_non_null(stream_connect_by(NETWORK_NONE, (struct stream_address){ 0x0a4e0009, 7 }, 1000, &events, NULL));
	turns();
	assert_int_equal(closed_with, -ENETUNREACH);
	assert_int_equal(stream_listen_on(NETWORK_NONE, 5000, NULL, NULL), -ENETUNREACH);
	assert_int_equal(sent_count, 0);
	assert_int_equal(stream_count(), 0);
}

static void what_the_card_cuts_has_the_tag_in_its_header(void **state)
{
	static u8 payload[20000];
	u8 header[54] = { 2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 1, 8, 0, 0x45 };
	struct nic_frame frame = { .header = header, .header_bytes = 54, .vlan = 100, .segment_bytes = 1460,
				   .piece_count = 1, .payload_bytes = 20000 };
	u64 before = card.stats.tx_bytes;

	(void)state;
	put_be16(header + 16, 20040);
	header[23] = IP_PROTOCOL_TCP;
	header[46] = 5 << 4;
	frame.piece[0] = (struct nic_piece){ payload, sizeof(payload) };
	sent_count = 0;
	assert_int_equal(nic_send(&card, &frame), 0);
	assert_int_equal(sent_count, 1);
	assert_int_equal(sent[0].header_bytes, 58);
	assert_int_equal(sent[0].tcp_offset, 38);
	assert_int_equal(sent[0].ip_offset, 18);
	assert_int_equal(sent[0].segment_bytes, 1460);
	assert_int_equal(packet_vlan(sent[0].data, 58), 100);
	assert_memory_equal(sent[0].data, header, 12);
	assert_memory_equal(sent[0].data + 16, header + 12, 42);
	assert_int_equal(card.stats.tx_bytes - before, 20000 + 14 * 58);
}

static u8 syn_and_ack[128];
static u32 syn_and_ack_bytes;

/* Answers the SYN that was sent, with SYN and ACK. */
static void accept_connection(void)
{
	const u8 *syn = sent[0].data;
	u8 *tcp = arrived + 34;

	memcpy(arrived, syn, sent[0].bytes);
	memcpy(arrived, syn + 6, 6);
	memcpy(arrived + 6, syn, 6);
	memcpy(arrived + 26, syn + 30, 4);
	memcpy(arrived + 30, syn + 26, 4);
	memcpy(tcp, syn + 36, 2);
	memcpy(tcp + 2, syn + 34, 2);
	put_be32(tcp + TCP_OFF_ACK, get_be32(tcp + TCP_OFF_SEQUENCE) + 1);
	put_be32(tcp + TCP_OFF_SEQUENCE, 1000);
	tcp[TCP_OFF_FLAGS] = TCP_FLAG_SYN | TCP_FLAG_ACK;
	arrived_bytes = syn_and_ack_bytes = sent[0].bytes;
	memcpy(syn_and_ack, arrived, arrived_bytes);
	turns();
}

/* The peer of accept_connection ends it. */
static void reset_connection(void)
{
	u8 *tcp = arrived + 34;

	memcpy(arrived, syn_and_ack, syn_and_ack_bytes);
	put_be32(tcp + TCP_OFF_SEQUENCE, 1001);
	tcp[TCP_OFF_FLAGS] = TCP_FLAG_RST | TCP_FLAG_ACK;
	arrived_bytes = syn_and_ack_bytes;
	turns();
}

/* Its neighbours fill the ARP table until the peer is forgotten. */
static void forget_neighbour(void)
{
	fake_tsc += 2 * NS_PER_SEC;
	turns();
	for (asker = 100; asker < 150; asker++)
		ask(0x0a4d0001, -1);
	asker = 9;
	sent_count = 0;
}

/* A frame waits for ARP, the connection ends, its memory is somebody else's: the frame has its own bytes. */
static void what_waits_for_arp_outlives_its_stream(void **state)
{
	struct stream *stream;
	const u8 *payload;
	char text[64];
	size_t room;
	u8 *ring;

	(void)state;
	memset(text, 'x', sizeof(text));
	learn_neighbour(0x0a4d0001, -1);
	stream = stream_connect((struct stream_address){ 0x0a4d0009, 7 }, 1000, &events, NULL);
	accept_connection();
	forget_neighbour();
	ring = stream_room(stream, sizeof(text), &room);
	assert_int_equal(room, sizeof(text));
	assert_int_equal(stream_send(stream, text, sizeof(text)), 0);
	turns();
	assert_int_equal(sent_count, 1);
	assert_int_equal(get_be16(sent[0].data + 12), 0x0806);
	reset_connection();
	assert_int_equal(stream_count(), 0);
	memset(ring + 32, '?', 32);
	ask(0x0a4d0001, -1); /* the peer is heard of again, so what waits is sent */
	assert_int_equal(sent_count, 2);
	assert_int_equal(get_be16(sent[0].data + 12), 0x0800);
	payload = sent[0].data + sent[0].bytes - sizeof(text);
	assert_memory_equal(payload, text, sizeof(text));
}

static void a_full_ring_is_waited_for_by_interrupt(void **state)
{
	struct stream *stream;

	(void)state;
	card.has_irq = true;
	learn_neighbour(0x0a4d0001, -1);
	stream = stream_connect((struct stream_address){ 0x0a4d0009, 7 }, 1000, &events, NULL);
	accept_connection();
	assert_false(is_armed_for_room);
	is_to_fill = true;
	assert_int_equal(stream_send(stream, "x", 1), 0);
	while (sched_turn()) /* until this CPU would sleep */
		;
	assert_true(card.is_tx_waiting);
	assert_true(is_armed_for_room);
	is_to_fill = is_full = card.is_tx_waiting = card.has_irq = false;
	stream_abort(stream);
	turns();
}

static void a_card_that_sends_nothing_is_reset(void **state)
{
	struct stream *stream;

	(void)state;
	learn_neighbour(0x0a4d0001, -1);
	stream = stream_connect((struct stream_address){ 0x0a4d0009, 7 }, 1000, &events, NULL);
	accept_connection();
	is_stuck = true;
	assert_int_equal(stream_send(stream, "x", 1), 0);
	turns();
	stream_abort(stream);
	turns();
	/* The card may still read the stream's bytes, so they stay. */
	assert_int_equal(stream_count(), 1);
	/* And that another card sends meanwhile changes nothing. */
	other_card.tx_queued += 5;
	other_card.tx_done += 5;
	turns();
	assert_int_equal(stream_count(), 1);
	for (unsigned ms = 0; ms < 1900; ms += 100) {
		fake_tsc += 100 * NS_PER_MS;
		turns();
	}
	assert_int_equal(restarts, 0);
	for (unsigned ms = 0; ms < 600; ms += 100) {
		fake_tsc += 100 * NS_PER_MS;
		turns();
	}
	assert_int_equal(restarts, 1);
	assert_int_equal(stream_count(), 0);
}

static void pass_seconds(unsigned seconds)
{
	for (unsigned i = 0; i < 10 * seconds; i++) {
		fake_tsc += 100 * NS_PER_MS;
		turns();
	}
}

/* Answers to ARP have no owner. */
static void a_card_that_does_not_answer_is_reset(void **state)
{
	unsigned before = restarts;

	(void)state;
	is_stuck = true;
	link_is_up = false;
	ask(0x0a4d0001, -1);
	pass_seconds(5);
	assert_int_equal(restarts, before); /* there is no cable */
	link_is_up = true;
	pass_seconds(5);
	assert_int_equal(restarts, before + 1);
	pass_seconds(5);
	assert_int_equal(restarts, before + 1);
}

static void a_link_that_is_down_is_no_way(void **state)
{
	(void)state;
	link_is_up = false;
	fake_tsc += NS_PER_SEC;
	turns();
	closed_with = 0;
	assert_non_null(stream_connect((struct stream_address){ 0x0a4d0009, 7 }, 1000, &events, NULL));
	turns();
	assert_int_equal(closed_with, -ENETUNREACH);
	link_is_up = true;
	fake_tsc += NS_PER_SEC;
	sent_count = 0;
	turns();
	/* Each network tells its neighbours where it is. */
	assert_int_equal(sent_count, 2);
	assert_int_equal(packet_vlan(sent[0].data, 60) + packet_vlan(sent[1].data, 60), 99);
}

static int start(void **state)
{
	static const char conf[] = "[host]\nmigration_nic = moves\n[nic net0]\naddress = 10.77.0.1/24\n"
				   "[nic moves]\npci = 00:02.0\nvlan = 100\naddress = 10.78.0.1/24\nmtu = 9000\n";

	(void)state;
	fake_memory_init(64 * MIB);
	clock_init(1000000);
	fake_tsc = 1;
	assert_int_equal(config_parse(conf, sizeof(conf) - 1), 0);
	assert_int_equal(nic_register(&card), 0);
	assert_int_equal(nic_register(&other_card), 0);
	net_init();
	assert_int_equal(card.mtu, 9000);
	fake_tsc += NS_PER_SEC;
	turns();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_network_answers_on_its_vlan),
		cmocka_unit_test(other_vlans_are_dropped_and_counted),
		cmocka_unit_test(a_tag_cut_short_is_no_tag),
		cmocka_unit_test(moves_leave_by_their_network),
		cmocka_unit_test(no_network_is_no_way),
		cmocka_unit_test(what_the_card_cuts_has_the_tag_in_its_header),
		cmocka_unit_test(what_waits_for_arp_outlives_its_stream),
		cmocka_unit_test(a_full_ring_is_waited_for_by_interrupt),
		cmocka_unit_test(a_card_that_sends_nothing_is_reset),
		cmocka_unit_test(a_card_that_does_not_answer_is_reset),
		cmocka_unit_test(a_link_that_is_down_is_no_way),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
