/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The whole network stack but the card: streams over lwIP over net.c over a wire with weather.
 *
 * The wire is a mirror: what is sent to 10.77.0.9 comes back as from 10.77.0.9, with the IP
 * addresses swapped. (Swapping does not change a sum, so checksums stay right.) So one stack
 * is both ends of a connection.
 */
/* SOURCES: net/net.c net/stream.c net/inbox.c net/listener.c net/nic.c net/gso.c net/gro.c net/packet.c
   net/checksum.c net/wire_mss.c
   net/address.c net/port/sys.c kernel/heap.c kernel/page.c kernel/page_map.c kernel/timer.c kernel/clock.c
   kernel/sched.c kernel/config.c kernel/log.c kernel/fmt.c kernel/str.c kernel/panic.c kernel/errno.c
   third_party/lwip/src/core/def.c third_party/lwip/src/core/inet_chksum.c third_party/lwip/src/core/init.c
   third_party/lwip/src/core/ip.c third_party/lwip/src/core/mem.c third_party/lwip/src/core/memp.c
   third_party/lwip/src/core/netif.c third_party/lwip/src/core/pbuf.c third_party/lwip/src/core/raw.c
   third_party/lwip/src/core/stats.c third_party/lwip/src/core/tcp.c third_party/lwip/src/core/tcp_in.c
   third_party/lwip/src/core/tcp_out.c third_party/lwip/src/core/ipv4/etharp.c
   third_party/lwip/src/core/ipv4/icmp.c third_party/lwip/src/core/ipv4/ip4.c
   third_party/lwip/src/core/ipv4/ip4_addr.c third_party/lwip/src/netif/ethernet.c */
#include "tests/host/fake/machine.h"
#include "tests/host/fake/memory.h"

#include "kernel/clock.h"
#include "kernel/config.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/sched.h"
#include "kernel/timer.h"
#include "net/net.h"
#include "net/netif.h"
#include "net/nic.h"
#include "net/packet.h"
#include "net/services.h"
#include "net/stream.h"

#define OTHER_IP 0x0a4d0009
#define NOBODY_IP 0x0a4d0063
#define ECHO_PORT 1000
#define SILENT_PORT 1001
#define CLOSED_PORT 1002
#define WIRE_MAX 4096
#define LATENCY_NS (100 * NS_PER_US)
#define TURN_NS (20 * NS_PER_US)

void net_services_start(void) { }

static u64 seed = 3;

static u32 random_below(u32 limit)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(seed >> 33) % limit;
}

/* --- The wire ----------------------------------------------------------------------------- */

struct wire_frame {
	u64 due_ns;
	u32 bytes;
	u8 data[1514];
};

static struct {
	struct wire_frame frame[WIRE_MAX];
	unsigned first, count;
	unsigned loss, twice, late, damage; /* in 1/1000 */
	bool is_cut, is_hostile;
	void *owner[WIRE_MAX];
	unsigned owners;
} wire;

static void wire_put(const u8 *data, u32 bytes, u64 delay_ns)
{
	struct wire_frame *frame = &wire.frame[(wire.first + wire.count) % WIRE_MAX];

	if (wire.count == WIRE_MAX || bytes > sizeof(frame->data))
		return;
	frame->due_ns = clock_now_ns() + delay_ns;
	frame->bytes = bytes;
	memcpy(frame->data, data, bytes);
	wire.count++;
}

static bool happens(unsigned per_mille) { return random_below(1000) < per_mille; }

/* A frame that means harm: a real one with a few bytes changed, or cut short, with right checksums or not. */
static void put_hostile(const u8 *data, u32 bytes)
{
	u8 copy[1514];

	memcpy(copy, data, bytes);
	for (unsigned i = random_below(6); i > 0; i--)
		copy[random_below(MIN(bytes, 70u))] = (u8)random_below(256);
	if (happens(200))
		bytes = random_below(bytes) + 1;
	wire_put(copy, bytes, LATENCY_NS);
}

static void weather(const u8 *data, u32 bytes)
{
	u8 copy[1514];
	u64 delay = LATENCY_NS + (happens(wire.late) ? random_below(2000000) : 0);

	if (wire.is_cut || happens(wire.loss))
		return;
	if (wire.is_hostile && happens(300))
		put_hostile(data, bytes);
	memcpy(copy, data, bytes);
	if (happens(wire.damage))
		copy[14 + random_below(bytes - 14)] ^= (u8)(1 << random_below(8));
	wire_put(copy, bytes, delay);
	if (happens(wire.twice))
		wire_put(copy, bytes, delay);
}

/* Who has 10.77.0.9? The mirror has. */
static void answer_arp(u8 *frame)
{
	static const u8 mac[6] = { 2, 0, 0, 0, 0, 9 };
	u8 asked[4];

	if (get_be16(frame + 20) != 1 || get_be32(frame + 38) != OTHER_IP)
		return;
	memcpy(asked, frame + 38, 4);
	put_be16(frame + 20, 2);
	memcpy(frame + 32, frame + 22, 10); /* the asker is the target */
	memcpy(frame + 22, mac, 6);
	memcpy(frame + 28, asked, 4);
	memcpy(frame, frame + 6, 6);
	memcpy(frame + 6, mac, 6);
	weather(frame, 60);
}

static void mirror(u8 *frame, u32 bytes)
{
	u8 keep[6];

	if (get_be16(frame + 12) == 0x0806) {
		answer_arp(frame);
		return;
	}
	memcpy(keep, frame, 6);
	memcpy(frame, frame + 6, 6);
	memcpy(frame + 6, keep, 6);
	memcpy(keep, frame + 26, 4);
	memcpy(frame + 26, frame + 30, 4);
	memcpy(frame + 30, keep, 4);
	weather(frame, bytes);
}

/* --- The card ----------------------------------------------------------------------------- */

static int card_start(struct nic *nic) { return nic_pool_create(nic, 768, 2048); }

static bool card_has_room(struct nic *nic, unsigned frames, unsigned pieces, u32 bytes)
{
	(void)nic;
	(void)pieces;
	(void)bytes;
	/* Full now and then. */
	return wire.owners < WIRE_MAX && wire.count + 4 * frames < WIRE_MAX && !happens(20);
}

static void card_send(struct nic *nic, const struct nic_frame *frame)
{
	u8 flat[1514] = { 0 };
	u32 at = frame->header_bytes;

	(void)nic;
	assert_true(frame->header_bytes + frame->payload_bytes <= sizeof(flat));
	assert_int_equal(frame->tcp_offset, 0);
	memcpy(flat, frame->header, frame->header_bytes);
	for (unsigned i = 0; i < frame->piece_count; i++) {
		memcpy(flat + at, frame->piece[i].data, frame->piece[i].bytes);
		at += frame->piece[i].bytes;
	}
	mirror(flat, MAX(at, 60u));
	if (frame->owner)
		wire.owner[wire.owners++] = frame->owner;
}

static void card_kick(struct nic *nic) { (void)nic; }

static void card_reclaim(struct nic *nic)
{
	nic->is_tx_waiting = false;
	while (wire.owners > 0) {
		nic->tx_done++;
		nic->on_sent(nic, wire.owner[--wire.owners]);
	}
}

static unsigned card_receive(struct nic *nic, unsigned budget)
{
	unsigned count = 0;

	/* Late frames let those behind them pass. */
	for (unsigned i = 0; i < wire.count && count < budget; i++) {
		struct wire_frame *frame = &wire.frame[(wire.first + i) % WIRE_MAX];
		struct nic_buffer *buffer;

		if (frame->bytes == 0 || frame->due_ns > clock_now_ns())
			continue;
		buffer = nic_buffer_take(nic);
		assert_non_null(buffer); /* net.c copies before the pool runs dry */
		memcpy(buffer->memory, frame->data, frame->bytes);
		buffer->bytes = (u16)frame->bytes;
		frame->bytes = 0;
		nic->on_received(nic, buffer);
		count++;
	}
	while (wire.count > 0 && wire.frame[wire.first].bytes == 0) {
		wire.first = (wire.first + 1) % WIRE_MAX;
		wire.count--;
	}
	return count;
}

static void card_set_irq(struct nic *nic, bool is_on)
{
	(void)nic;
	(void)is_on;
}

static bool card_is_link_up(struct nic *nic) { return nic != NULL; }

static const struct nic_ops card_ops = {
	.driver = "mirror",
	.start = card_start,
	.has_room = card_has_room,
	.send = card_send,
	.kick = card_kick,
	.reclaim = card_reclaim,
	.receive = card_receive,
	.set_irq = card_set_irq,
	.is_link_up = card_is_link_up,
};

static struct nic card = {
	.ops = &card_ops,
	.mac = { 2, 0, 0, 0, 0, 1 },
	.mtu_max = 1500,
	.has_irq = true,
	.irq_kind = "none",
	.rx_ring = 0,
};

/* --- Time --------------------------------------------------------------------------------- */

static void turn(void)
{
	fake_tsc += TURN_NS;
	service_wake();
	sched_turn();
}

static void run_ms(u64 ms)
{
	for (u64 i = 0; i < ms * NS_PER_MS / TURN_NS; i++)
		turn();
}

/* --- The two ends --------------------------------------------------------------------------- */

static struct end {
	struct stream *stream;
	bool is_open, is_closed;
	int err;
	u64 received;
	bool is_lazy; /* leaves what arrives */
} client, server;

/* The byte at a position: both ends know it. */
static u8 pattern(u64 position) { return (u8)(position * 7 + (position >> 9)); }

static void opened(struct stream *stream, void *context)
{
	(void)stream;
	((struct end *)context)->is_open = true;
}

static void check_received(struct stream *stream, void *context)
{
	struct end *end = context;
	const u8 *at;
	size_t bytes;

	if (end->is_lazy)
		return;
	while ((at = stream_peek(stream, &bytes))) {
		bytes = random_below((u32)bytes) + 1;
		for (size_t i = 0; i < bytes; i++)
			if (at[i] != pattern(end->received + i))
				fail_msg("byte %llu is wrong", (unsigned long long)(end->received + i));
		end->received += bytes;
		stream_consume(stream, bytes);
	}
}

static void echo(struct stream *stream, void *context)
{
	const void *from;
	size_t bytes, room;

	(void)context;
	while ((from = stream_peek(stream, &bytes))) {
		void *to = stream_room(stream, bytes, &room);

		if (room == 0)
			return;
		memcpy(to, from, room);
		stream_commit(stream, room);
		stream_consume(stream, room);
	}
}

static void closed(struct stream *stream, int err, void *context)
{
	struct end *end = context;

	(void)stream;
	assert_false(end->is_closed);
	end->is_closed = true;
	end->err = err;
	end->stream = NULL;
}

static const struct stream_events client_events = {
	.opened = opened,
	.received = check_received,
	.closed = closed,
};
static const struct stream_events echo_events = { .received = echo, .sent = echo, .closed = closed };
static const struct stream_events silent_events = { .received = check_received, .closed = closed };

static void accept_echo(struct stream *stream, void *context)
{
	(void)context;
	server = (struct end){ .stream = stream };
	stream_set_events(stream, &echo_events, &server);
}

static void accept_silent(struct stream *stream, void *context)
{
	(void)context;
	server.stream = stream;
	server.is_closed = false;
	stream_set_events(stream, &silent_events, &server);
}

static void connect_to(u32 ip, u16 port, u32 timeout_ms)
{
	client = (struct end){ 0 };
	client.stream = stream_connect((struct stream_address){ ip, port }, timeout_ms, &client_events, &client);
	assert_non_null(client.stream);
}

static void connect_and_wait(u16 port)
{
	connect_to(OTHER_IP, port, 5000);
	for (unsigned i = 0; i < 3000 && !client.is_open; i++)
		run_ms(1);
	assert_true(client.is_open);
	run_ms(5);
}

/* Writes up to bytes of the pattern from position on, in uneven pieces; returns how many. */
static u64 write_some(u64 position, u64 bytes)
{
	u64 written = 0;

	while (written < bytes) {
		size_t room, wish = random_below(70000) + 1, want = MIN(bytes - written, wish);
		u8 *to = stream_room(client.stream, want, &room);

		if (room == 0)
			break;
		for (size_t i = 0; i < room; i++)
			to[i] = pattern(position + written + i);
		stream_commit(client.stream, room);
		written += room;
	}
	return written;
}

static void echo_bytes(u64 bytes, u64 limit_ms)
{
	u64 written = 0, until_ns = clock_now_ns() + limit_ms * NS_PER_MS;

	while (client.received < bytes && clock_now_ns() < until_ns && !client.is_closed) {
		written += write_some(written, bytes - written);
		turn();
	}
	assert_false(client.is_closed);
	assert_int_equal(client.received, bytes);
}

/* --- Nothing leaks: before and after each test ------------------------------------------------ */

static struct heap_stats heap_before;

static int setup(void **state)
{
	(void)state;
	wire.loss = wire.twice = wire.late = wire.damage = 0;
	wire.is_cut = wire.is_hostile = false;
	server = client = (struct end){ 0 };
	run_ms(50);
	heap_get_stats(&heap_before);
	return 0;
}

static void close_all(void)
{
	wire.loss = wire.twice = wire.late = wire.damage = 0;
	wire.is_cut = wire.is_hostile = false;
	if (client.stream)
		stream_close(client.stream);
	run_ms(100);
	if (server.stream)
		stream_close(server.stream);
	client.stream = server.stream = NULL;
	run_ms(8000); /* lingering, time-outs, TIME-WAIT */
}

static int teardown(void **state)
{
	struct heap_stats heap_after;
	struct net_stats stats;

	(void)state;
	close_all();
	net_get_stats(&stats);
	heap_get_stats(&heap_after);
	assert_int_equal(stream_count(), 0);
	assert_int_equal(stats.pbufs_in_use, 0);
	assert_int_equal(stats.tcp_pcbs_in_use, 0);
	assert_int_equal(heap_after.objects, heap_before.objects);
	assert_int_equal(card.tx_queued, card.tx_done);
	return 0;
}

/* --- Tests ------------------------------------------------------------------------------------ */

static void carries_bytes_intact(void **state)
{
	(void)state;
	connect_and_wait(ECHO_PORT);
	echo_bytes(6000000, 20000);
	assert_int_equal(stream_unacked(client.stream), 0);
	assert_true(card.stats.rx_merged > 1000);
	assert_true(card.stats.tx_cut_by_tern > 50);
	assert_true(card.stats.tx_deferred > 0);
}

static void survives_bad_weather(void **state)
{
	(void)state;
	wire.loss = wire.twice = wire.late = wire.damage = 10;
	connect_and_wait(ECHO_PORT);
	echo_bytes(1500000, 120000);
	assert_true(card.stats.rx_drop_checksum + card.stats.rx_drop_header > 0);
}

static void a_lost_tail_costs_tens_of_ms(void **state)
{
	u64 start;

	(void)state;
	connect_and_wait(ECHO_PORT);
	echo_bytes(100000, 5000);
	wire.is_cut = true;
	write_some(100000, 100);
	turn();
	turn();
	wire.is_cut = false;
	start = clock_now_ns();
	while (client.received < 100100 && clock_now_ns() - start < NS_PER_SEC)
		turn();
	assert_int_equal(client.received, 100100);
	assert_in_range((clock_now_ns() - start) / NS_PER_MS, 1, 60);
}

static void closes_in_order(void **state)
{
	(void)state;
	connect_and_wait(SILENT_PORT);
	/* What was committed still arrives after stream_close. */
	assert_int_equal(write_some(0, 500000), 500000);
	stream_close(client.stream);
	client.stream = NULL;
	run_ms(500);
	assert_int_equal(server.received, 500000);
	assert_true(server.is_closed);
	assert_int_equal(server.err, 0);
	assert_false(client.is_closed);
}

static void a_reset_is_told(void **state)
{
	(void)state;
	connect_and_wait(SILENT_PORT);
	stream_abort(client.stream);
	client.stream = NULL;
	run_ms(50);
	assert_true(server.is_closed);
	assert_int_equal(server.err, -ECONNRESET);
}

static void a_dead_peer_is_found(void **state)
{
	u64 start;

	(void)state;
	connect_and_wait(SILENT_PORT);
	wire.is_cut = true;
	start = clock_now_ns();
	write_some(0, 1000);
	while (!client.is_closed && clock_now_ns() - start < 5 * NS_PER_SEC)
		turn();
	assert_int_equal(client.err, -ETIMEDOUT);
	assert_in_range((clock_now_ns() - start) / NS_PER_MS, STREAM_TIMEOUT_MS - 10, STREAM_TIMEOUT_MS + 100);
	/* The other end had nothing to send: keepalive finds it. */
	run_ms(6000);
	assert_true(server.is_closed);
	assert_int_equal(server.err, -ETIMEDOUT);
}

static void connecting_fails_with_the_reason(void **state)
{
	u64 start = clock_now_ns();

	(void)state;
	connect_to(OTHER_IP, CLOSED_PORT, 5000);
	run_ms(100);
	assert_int_equal(client.err, -ECONNREFUSED);
	start = clock_now_ns();
	connect_to(NOBODY_IP, ECHO_PORT, 3500);
	while (!client.is_closed && clock_now_ns() - start < 10 * NS_PER_SEC)
		turn();
	assert_int_equal(client.err, -ETIMEDOUT);
	assert_in_range((clock_now_ns() - start) / NS_PER_MS, 3400, 3600);
}

/* A sender of single bytes, and an owner that takes none of them: the card never starves. */
static void crumbs_do_not_eat_the_buffers(void **state)
{
	(void)state;
	server.is_lazy = true;
	connect_and_wait(SILENT_PORT);
	for (u64 i = 0; i < 20000; i++) {
		write_some(i, 1);
		stream_flush(client.stream);
		turn();
	}
	run_ms(50);
	assert_int_equal(server.received, 0);
	assert_int_equal(stream_unacked(client.stream), 0); /* all are there */
	assert_true(card.pool_free_count > card.pool_count / 2);
	server.is_lazy = false;
	write_some(20000, 1);
	run_ms(50);
	assert_int_equal(server.received, 20001);
}

/* A full window of frames that nobody takes, then all of it is taken. */
static void a_stalled_reader_stops_the_sender(void **state)
{
	u64 written = 0;

	(void)state;
	server.is_lazy = true;
	connect_and_wait(SILENT_PORT);
	for (unsigned i = 0; i < 30000; i++) {
		written += write_some(written, 2000000 - written);
		turn();
	}
	assert_in_range(written - stream_unacked(client.stream), 400000, 600000);
	assert_false(client.is_closed);
	server.is_lazy = false;
	check_received(server.stream, &server);
	for (unsigned i = 0; i < 30000; i++) {
		written += write_some(written, 2000000 - written);
		turn();
	}
	assert_int_equal(server.received, 2000000);
}

/* Its TCP lives and its owner talks all the time, but takes nothing. */
static void talk_is_no_progress(void **state)
{
	u64 written = 0, start;

	(void)state;
	server.is_lazy = true;
	connect_and_wait(SILENT_PORT);
	while (!client.is_closed && written - stream_unacked(client.stream) < 400000) {
		written += write_some(written, 2000000 - written);
		turn();
	}
	start = clock_now_ns();
	while (!client.is_closed && clock_now_ns() - start < 10 * NS_PER_SEC) {
		u8 byte = pattern(client.received);

		assert_int_equal(stream_send(server.stream, &byte, 1), 0);
		run_ms(20);
	}
	assert_true(client.received > 100);
	assert_int_equal(client.err, -ETIMEDOUT);
	assert_in_range((clock_now_ns() - start) / NS_PER_MS, STREAM_TIMEOUT_MS - 100, STREAM_TIMEOUT_MS + 200);
}

static void hostile_frames_do_no_harm(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 30; round++) {
		u64 written = 0;

		wire.is_hostile = true;
		connect_to(OTHER_IP, ECHO_PORT, 1000);
		/* A forged reset may end it; forged bytes may be in it: checksums are not signatures. */
		client.is_lazy = true;
		for (unsigned i = 0; i < 3000 && !client.is_closed; i++) {
			if (client.is_open)
				written += write_some(written, 100000 - MIN(written, 100000u));
			turn();
		}
		if (client.stream)
			stream_abort(client.stream);
		client.stream = NULL;
		run_ms(100);
		if (server.stream)
			stream_abort(server.stream);
		server.stream = NULL;
		run_ms(100);
	}
	assert_true(card.stats.rx_drop_checksum > 100);
	/* And the stack still works. */
	wire.is_hostile = false;
	connect_and_wait(ECHO_PORT);
	echo_bytes(100000, 5000);
}

static int start(void **state)
{
	(void)state;
	fake_memory_init(96 * MIB);
	clock_init(1000000); /* one tick is one ns */
	fake_tsc = 1;
	config_parse("[host]\naddress = 10.77.0.1/24\n", 30);
	assert_int_equal(nic_register(&card), 0);
	net_init();
	card.rx_ring = 0;
	assert_int_equal(stream_listen(ECHO_PORT, accept_echo, NULL), 0);
	assert_int_equal(stream_listen(SILENT_PORT, accept_silent, NULL), 0);
	assert_int_equal(stream_listen(SILENT_PORT, accept_silent, NULL), -EADDRINUSE);
	run_ms(100);
	return 0;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(carries_bytes_intact),
		TEST(survives_bad_weather),
		TEST(a_lost_tail_costs_tens_of_ms),
		TEST(closes_in_order),
		TEST(a_reset_is_told),
		TEST(a_dead_peer_is_found),
		TEST(connecting_fails_with_the_reason),
		TEST(crumbs_do_not_eat_the_buffers),
		TEST(a_stalled_reader_stops_the_sender),
		TEST(talk_is_no_progress),
		TEST(hostile_frames_do_no_harm),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
