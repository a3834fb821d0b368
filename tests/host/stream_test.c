/* SPDX-License-Identifier: BSD-2-Clause */
/* Streams over lwIP over net.c over a wire with weather: all of the network but the card. */
/* SOURCES: tests/host/fake/mirror.c */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "net/net.h"
#include "net/stream.h"
#include "tests/host/fake/mirror.h"

#define ECHO_PORT 1000
#define SILENT_PORT 1001
#define CLOSED_PORT 1002

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
	wire = (struct wire){ 0 };
	server = client = (struct end){ 0 };
	run_ms(50);
	heap_get_stats(&heap_before);
	return 0;
}

static void close_all(void)
{
	wire = (struct wire){ 0 };
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

/* Crumbs with holes between them, for which TCP would have to keep a segment each. */
static void holes_do_not_eat_the_segments(void **state)
{
	struct net_stats stats;
	u64 most = 0;

	(void)state;
	connect_and_wait(SILENT_PORT);
	assert_int_equal(stream_send(server.stream, &(u8){ pattern(0) }, 1), 0);
	run_ms(50);
	for (u32 i = 1; i < 3000; i++) {
		mirror_forge(SILENT_PORT, 2 * i);
		turn();
		net_get_stats(&stats);
		most = MAX(most, stats.pbufs_in_use);
	}
	assert_in_range(most, 300, 400); /* a window of whole frames would need so many */
	write_some(0, 1000);
	run_ms(50);
	assert_int_equal(server.received, 1000);
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
	mirror_start();
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
		TEST(holes_do_not_eat_the_segments),
		TEST(hostile_frames_do_no_harm),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
