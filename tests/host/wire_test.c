/* SPDX-License-Identifier: BSD-2-Clause */
/* Framing: what goes in comes out, whatever the pieces; what breaks a rule is refused before it is
 * used. */
/* SOURCES: migrate/wire.c kernel/fmt.c kernel/str.c tests/host/fake/heap_fake.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/vcpu_state.h"
#include "kernel/errno.h"
#include "migrate/receipt.h"
#include "migrate/wire.h"
#include "net/stream.h"
#include "tests/host/fake/heap_fake.h"

/* --- a stream that is an array --- */

struct stream {
	u8 bytes[512 * KIB];
	size_t head, tail, piece, unacked;
};

static struct stream stream;

const void *stream_peek(struct stream *s, size_t *bytes)
{
	*bytes = MIN(s->head - s->tail, s->piece);
	return *bytes ? s->bytes + s->tail : NULL;
}

void stream_consume(struct stream *s, size_t bytes)
{
	s->tail += bytes;
	assert_true(s->tail <= s->head);
}

bool stream_read(struct stream *s, void *to, size_t bytes)
{
	if (s->head - s->tail < bytes)
		return false;
	memcpy(to, s->bytes + s->tail, bytes);
	s->tail += bytes;
	return true;
}

int stream_send(struct stream *s, const void *data, size_t bytes)
{
	memcpy(s->bytes + s->head, data, bytes);
	s->head += bytes;
	s->unacked += bytes;
	return 0;
}

size_t stream_unacked(const struct stream *s) { return s->unacked; }

static struct wire wire;

static void open_wire(enum wire_side peer)
{
	memset(&stream, 0, sizeof(stream));
	stream.piece = sizeof(stream.bytes);
	assert_int_equal(wire_init(&wire, &stream, peer), 0);
}

static int teardown(void **state)
{
	(void)state;
	wire_fini(&wire);
	return fake_heap.objects != 0;
}

static void put_header(u32 type, u32 bytes)
{
	struct wire_header header = { type, bytes };

	stream_send(&stream, &header, sizeof(header));
}

/* --- */

static void records_come_out_as_they_went_in(void **state)
{
	static u8 payload[70000];

	(void)state;
	srand(1);
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (u8)rand();
	for (size_t piece = 1; piece < 70000; piece = piece * 3 + 1) {
		struct wire_device device = { { "beta", 3, 1, 3001 } };

		open_wire(WIRE_FROM_SOURCE);
		stream.piece = piece;
		/* A length that is no multiple of 8 is padded with zeros. */
		assert_int_equal(
			wire_put2(&wire, WIRE_DEVICE, &device, sizeof(device), payload, 3001), 0);
		assert_int_equal(stream.head % 8, 0);
		assert_int_equal(stream.head, wire_record_bytes(sizeof(device) + 3001));
		assert_int_equal(wire_put(&wire, WIRE_HELLO, payload, sizeof(struct wire_hello)),
				 0);
		assert_int_equal(wire_next(&wire), WIRE_GOT);
		assert_int_equal(wire.header.type, WIRE_DEVICE);
		assert_memory_equal(wire.scratch, &device, sizeof(device));
		assert_memory_equal(wire.scratch + sizeof(device), payload, 3001);
		for (u32 i = 3001; i % 8 != 0; i++)
			assert_int_equal(wire.scratch[sizeof(device) + i], 0);
		assert_int_equal(wire_next(&wire), WIRE_GOT);
		assert_int_equal(wire.header.type, WIRE_HELLO);
		assert_memory_equal(wire.scratch, payload, sizeof(struct wire_hello));
		assert_int_equal(wire_next(&wire), WIRE_WAITING);
		wire_fini(&wire);
	}
}

static void a_record_that_comes_byte_by_byte_waits(void **state)
{
	static u8 bytes[4096];
	size_t count;

	(void)state;
	open_wire(WIRE_FROM_SOURCE);
	wire_put(&wire, WIRE_HELLO, bytes, sizeof(struct wire_hello));
	count = stream.head;
	for (size_t head = 0; head < count; head++) {
		stream.head = head;
		assert_int_equal(wire_next(&wire), WIRE_WAITING);
	}
	stream.head = count;
	assert_int_equal(wire_next(&wire), WIRE_GOT);
}

static void page_data_is_read_in_place(void **state)
{
	static u8 data[2 * 4096], out[2 * 4096];
	struct wire_pages pages = { .first = 7, .count = 2 };

	(void)state;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (u8)(i * 7);
	for (size_t piece = 1; piece < 9000; piece = piece * 2 + 5) {
		size_t at = 0, got;

		open_wire(WIRE_FROM_SOURCE);
		stream.piece = piece;
		wire_put2(&wire, WIRE_PAGES, &pages, sizeof(pages), data, sizeof(data));
		wire_put(&wire, WIRE_PAUSE_STATE, data, sizeof(struct wire_pause_state));
		assert_int_equal(wire_next(&wire), WIRE_GOT);
		assert_int_equal(wire.data_left, sizeof(data));
		/* Never more than the record has, though the next one has arrived. */
		while ((got = wire_data(&wire, out + at, sizeof(out) + 100 - at)))
			at += got;
		assert_int_equal(at, sizeof(data));
		assert_memory_equal(out, data, sizeof(data));
		assert_int_equal(wire_next(&wire), WIRE_GOT);
		assert_int_equal(wire.header.type, WIRE_PAUSE_STATE);
		wire_fini(&wire);
	}
	open_wire(WIRE_FROM_SOURCE);
	/* Data that nobody takes is passed over. */
	wire_put2(&wire, WIRE_PAGES, &pages, sizeof(pages), data, sizeof(data));
	wire_put(&wire, WIRE_ROUND_END, data, sizeof(struct wire_round));
	assert_int_equal(wire_next(&wire), WIRE_GOT);
	assert_int_equal(wire_next(&wire), WIRE_GOT);
	assert_int_equal(wire.header.type, WIRE_ROUND_END);
}

static void expect_broken(u32 type, u32 bytes, enum wire_side peer)
{
	open_wire(peer);
	put_header(type, bytes);
	assert_int_equal(wire_next(&wire), WIRE_BROKEN);
	assert_string_equal(wire.broken.code, "E-PROTOCOL");
	wire_fini(&wire);
}

static void expect_waiting(u32 type, u32 bytes, enum wire_side peer)
{
	open_wire(peer);
	put_header(type, bytes);
	assert_int_equal(wire_next(&wire), WIRE_WAITING);
	wire_fini(&wire);
}

static void lengths_are_checked_by_type(void **state)
{
	static const struct {
		u32 type, bytes;
		enum wire_side side;
	} fixed[] = {
		{ WIRE_HELLO, 96, WIRE_FROM_SOURCE },
		{ WIRE_HELLO, 96, WIRE_FROM_DESTINATION },
		{ WIRE_ACCEPT, 16, WIRE_FROM_DESTINATION },
		{ WIRE_ZERO, 16, WIRE_FROM_SOURCE },
		{ WIRE_ROUND_END, 16, WIRE_FROM_SOURCE },
		{ WIRE_ROUND_DONE, 16, WIRE_FROM_DESTINATION },
		{ WIRE_PAUSE_STATE, 32, WIRE_FROM_SOURCE },
		{ WIRE_READY, 32, WIRE_FROM_DESTINATION },
		{ WIRE_COMMIT, 32, WIRE_FROM_SOURCE },
		{ WIRE_ACK, 40, WIRE_FROM_DESTINATION },
		{ WIRE_ABORTREQ, 16, WIRE_FROM_SOURCE },
		{ WIRE_ABORTED, 16, WIRE_FROM_DESTINATION },
		{ WIRE_OWNED, 16, WIRE_FROM_SOURCE },
		{ WIRE_ERROR, 192, WIRE_FROM_SOURCE },
		{ WIRE_RECEIPT, sizeof(struct receipt), WIRE_FROM_SOURCE },
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(fixed); i++) {
		expect_waiting(fixed[i].type, fixed[i].bytes, fixed[i].side);
		expect_broken(fixed[i].type, fixed[i].bytes + 8, fixed[i].side);
		expect_broken(fixed[i].type, fixed[i].bytes - 8, fixed[i].side);
		expect_broken(fixed[i].type, 0, fixed[i].side);
		expect_broken(fixed[i].type, 0xfffffff8, fixed[i].side);
		expect_broken(fixed[i].type, fixed[i].bytes + 1, fixed[i].side);
	}
}

static void variable_lengths_have_a_maximum(void **state)
{
	(void)state;
	expect_waiting(WIRE_DEVICE, sizeof(struct wire_device) + WIRE_STATE_MAX, WIRE_FROM_SOURCE);
	expect_broken(WIRE_DEVICE, sizeof(struct wire_device) + WIRE_STATE_MAX + 8,
		      WIRE_FROM_SOURCE);
	expect_waiting(WIRE_PAGES, 24 + 16 * 4096, WIRE_FROM_SOURCE);
	expect_broken(WIRE_PAGES, 24 + 17 * 4096, WIRE_FROM_SOURCE);
	expect_broken(WIRE_PAGES, 24, WIRE_FROM_SOURCE);
	expect_waiting(WIRE_ACKED, 16 + 512, WIRE_FROM_DESTINATION);
	expect_broken(WIRE_ACKED, 16 + 520, WIRE_FROM_DESTINATION);
	expect_waiting(WIRE_REFUSE, 8 * 192, WIRE_FROM_DESTINATION);
	expect_broken(WIRE_REFUSE, 9 * 192, WIRE_FROM_DESTINATION);
}

static void each_side_sends_only_its_own(void **state)
{
	(void)state;
	expect_broken(WIRE_COMMIT, 32, WIRE_FROM_DESTINATION);
	expect_broken(WIRE_READY, 32, WIRE_FROM_SOURCE);
	expect_broken(WIRE_PAGES, 24 + 4096, WIRE_FROM_DESTINATION);
	expect_broken(WIRE_ACK, 40, WIRE_FROM_SOURCE);
}

static void page_counts_must_agree_with_the_length(void **state)
{
	static u8 data[4 * 4096];

	(void)state;
	for (u32 count = 0; count < 6; count++) {
		struct wire_pages pages = { .count = count == 5 ? 0xffffffff : count };

		open_wire(WIRE_FROM_SOURCE);
		wire_put2(&wire, WIRE_PAGES, &pages, sizeof(pages), data, 2 * 4096);
		assert_int_equal(wire_next(&wire), count == 2 ? WIRE_GOT : WIRE_BROKEN);
		wire_fini(&wire);
	}
}

static void unknown_records_are_refused_unless_optional(void **state)
{
	static u8 data[5000];

	(void)state;
	expect_broken(WIRE_TYPE_COUNT, 8, WIRE_FROM_SOURCE);
	expect_broken(0, 8, WIRE_FROM_SOURCE);
	expect_broken(0x12345, 8, WIRE_FROM_SOURCE);
	expect_broken(WIRE_OPTIONAL | 0x12345, WIRE_SKIP_MAX + 8, WIRE_FROM_SOURCE);
	open_wire(WIRE_FROM_SOURCE);
	stream.piece = 100;
	for (u32 i = 0; i < 3; i++) {
		put_header(WIRE_OPTIONAL | (0x12345 + i), 4000);
		stream_send(&stream, data, 4000);
	}
	wire_put(&wire, WIRE_HELLO, data, sizeof(struct wire_hello));
	assert_int_equal(wire_next(&wire), WIRE_GOT);
	assert_int_equal(wire.header.type, WIRE_HELLO);
}

static void a_full_ring_takes_nothing_of_a_record(void **state)
{
	static u8 data[4096];

	(void)state;
	open_wire(WIRE_FROM_SOURCE);
	stream.unacked = STREAM_RING_BYTES - wire_record_bytes(96) + 8;
	assert_int_equal(wire_put(&wire, WIRE_HELLO, data, 96), -EAGAIN);
	assert_int_equal(stream.head, 0);
	stream.unacked -= 8;
	assert_int_equal(wire_put(&wire, WIRE_HELLO, data, 96), 0);
	wire.stream = NULL;
	assert_int_equal(wire_put(&wire, WIRE_HELLO, data, 96), -ENOTCONN);
	assert_int_equal(wire_next(&wire), WIRE_WAITING);
}

static void texts_end_and_are_printable(void **state)
{
	(void)state;
	assert_true(wire_text_ok("host1", 8));
	assert_true(wire_text_ok("", 1));
	assert_false(wire_text_ok("12345678", 8));
	assert_false(wire_text_ok("a\033[2J", 8));
	assert_false(wire_text_ok("a\x80", 8));
}

/* Random bytes are waited for or refused; lengths and scratch are never overrun (the sanitizer sees
 * it). */
static void random_bytes_do_no_harm(void **state)
{
	(void)state;
	srand(3);
	for (u32 i = 0; i < 6000; i++) {
		open_wire(rand() % 2 ? WIRE_FROM_SOURCE : WIRE_FROM_DESTINATION);
		stream.piece = 1 + (size_t)rand() % 300;
		for (u32 n = 0; n < 4; n++) {
			put_header(rand() % 4 ? (u32)rand() % 24 : (u32)rand() << 1,
				   rand() % 4 ? (u32)rand() % 200 * 8 : (u32)rand());
			stream.head += (size_t)rand() % 600;
		}
		while (wire_next(&wire) == WIRE_GOT)
			assert_true(wire.header.bytes <=
				    sizeof(struct wire_device) + WIRE_STATE_MAX);
		wire_fini(&wire);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, teardown)
	const struct CMUnitTest tests[] = {
		T(records_come_out_as_they_went_in),
		T(a_record_that_comes_byte_by_byte_waits),
		T(page_data_is_read_in_place),
		T(lengths_are_checked_by_type),
		T(variable_lengths_have_a_maximum),
		T(each_side_sends_only_its_own),
		T(page_counts_must_agree_with_the_length),
		T(unknown_records_are_refused_unless_optional),
		T(a_full_ring_takes_nothing_of_a_record),
		T(texts_end_and_are_printable),
		T(random_bytes_do_no_harm),
	};

	return cmocka_run_group_tests_name("wire", tests, NULL, NULL);
}
