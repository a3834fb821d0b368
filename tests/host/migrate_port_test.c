/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What strangers say at the migration port: noise, nothing, too much, a session that was damaged.
 * They are shown the door, and neither a guest nor a move suffers.
 */
/* SOURCES: tests/host/fake/move.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/host/fake/move.h"
#include "tests/host/fake/two_hosts.h"

/* --- strangers at the port --- */

static bool no_receives(void) { return list_is_empty(&fake_hosts[HOST2].migration.receives); }

static void raw_closed(struct stream *stream, int err, void *context)
{
	(void)stream, (void)err;
	*(struct stream **)context = NULL;
}

/* Talks to host 2's port; what it says must do no harm. */
static void talk(const u8 *bytes, size_t count)
{
	static const struct stream_events quiet = { .closed = raw_closed };
	struct stream *stream;

	fake_enter(HOST1);
	stream = stream_connect((struct stream_address){ 0x0a4d0002, 1 }, 1000, &quiet, &stream);
	fake_turn();
	for (size_t at = 0; stream && at < count;) {
		size_t some = MIN(count - at, 60000ul);

		if (stream_send(stream, bytes + at, some) == 0)
			at += some;
		fake_turn();
	}
	for (u32 i = 0; i < 20; i++)
		fake_turn();
	if (stream)
		stream_abort(stream);
	assert_true(fake_run(no_receives, MANY));
}

static void garbage_at_the_port_is_shown_the_door(void **state)
{
	static u8 bytes[100000];

	(void)state;
	start_world();
	for (u32 i = 0; i < 50; i++) {
		for (size_t at = 0; at < sizeof(bytes); at++)
			bytes[at] = (u8)rand();
		talk(bytes, (size_t)rand() % sizeof(bytes));
	}
	talk((const u8 *)"GET / HTTP/1.0\r\n\r\n", 18);
	assert_runs_on(HOST1);
	assert_non_null(strstr(fake_hosts[HOST2].last_error, "migration port"));
}

static void a_silent_stranger_is_hung_up_on(void **state)
{
	static const struct stream_events quiet = { .closed = raw_closed };
	struct stream *stream;

	(void)state;
	start_world();
	fake_enter(HOST1);
	stream = stream_connect((struct stream_address){ 0x0a4d0002, 1 }, 1000, &quiet, &stream);
	for (u32 i = 0; i < 100; i++)
		fake_turn();
	assert_false(no_receives());
	assert_true(fake_run(no_receives, MANY));
	for (u32 i = 0; i < 10; i++)
		fake_turn();
	assert_null(stream);
}

static void strangers_cannot_take_all_sessions_for_ever(void **state)
{
	static const struct stream_events quiet = { .closed = raw_closed };
	struct stream *stream[31];

	(void)state;
	start_world();
	fake_enter(HOST1);
	for (u32 i = 0; i < ARRAY_COUNT(stream); i++)
		stream[i] = stream_connect((struct stream_address){ 0x0a4d0002, 1 }, 1000, &quiet, &stream[i]);
	for (u32 i = 0; i < 100; i++)
		fake_turn();
	assert_true(fake_run(no_receives, MANY));
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	assert_true(fake_run(are_sessions_over, MANY));
	assert_runs_on(HOST2);
}

/* A whole good session, with random bytes changed, cut and repeated, against a host alone. */
static void a_mutated_session_does_no_harm(void **state)
{
	static u8 tape[2 * MIB], copy[2 * MIB];
	u64 bytes;

	(void)state;
	start_world();
	fake_net.tape = tape;
	fake_net.tape_max = sizeof(tape);
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	assert_true(fake_run(are_sessions_over, MANY));
	bytes = fake_net.tape_bytes;
	assert_true(bytes < sizeof(tape));
	fake_world_fini();
	for (u32 i = 0; i < 60; i++) {
		fake_world_init();
		memcpy(copy, tape, bytes);
		for (u32 n = 1 + (u32)rand() % 4; n; n--) {
			u64 at = rand() % 2 ? (u64)rand() % 8000 : bytes - 1 - (u64)rand() % 30000;

			copy[at] = (u8)rand();
		}
		talk(copy, rand() % 4 ? bytes : (u64)rand() % bytes);
		assert_true(fake_running_count(NULL) <= 1);
		fake_world_fini();
	}
	start_world();
}

static void another_version_is_named(void **state)
{
	struct {
		struct wire_header header;
		struct wire_hello hello;
	} record = { { WIRE_HELLO, sizeof(record.hello) }, { WIRE_MAGIC, WIRE_VERSION + 1, WIRE_MOVE, { 1 }, { 2 }, 1, 1, "x" } };

	(void)state;
	start_world();
	talk((const u8 *)&record, sizeof(record));
	assert_non_null(strstr(fake_hosts[HOST2].last_error, "E-VERSION"));
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, end_world)
	const struct CMUnitTest tests[] = {
		T(garbage_at_the_port_is_shown_the_door),
		T(a_silent_stranger_is_hung_up_on),
		T(strangers_cannot_take_all_sessions_for_ever),
		T(a_mutated_session_does_no_harm),
		T(another_version_is_named),
	};

	return cmocka_run_group_tests_name("migrate_port", tests, NULL, NULL);
}
