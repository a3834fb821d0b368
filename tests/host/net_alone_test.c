/* SPDX-License-Identifier: BSD-2-Clause */
/* The network of a host without a card: whoever wants to connect is told so, at once. */
/* SOURCES: tests/host/fake/stack.c */
#include "tests/host/fake/machine.h"
#include "tests/host/fake/memory.h"

#include "kernel/clock.h"
#include "kernel/config.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/sched.h"
#include "net/net.h"
#include "net/services.h"
#include "net/stream.h"

static int closed_with;

static void closed(struct stream *stream, int err, void *context)
{
	(void)stream;
	(void)context;
	closed_with = err;
}

static const struct stream_events events = { .closed = closed };

static int start(void **state)
{
	static const char conf[] = "[host]\naddress=10.77.0.1/24\n";

	(void)state;
	fake_memory_init(32 * MIB);
	clock_init(1000000);
	fake_tsc = 1;
	assert_int_equal(config_parse(conf, sizeof(conf) - 1), 0);
	net_init();
	return 0;
}

static void connecting_fails_at_once(void **state)
{
	struct stream_address peer = { .ip = 0x0a4d0002, .port = 7 };

	(void)state;
	assert_non_null(stream_connect(peer, 2000, &events, NULL));
	for (unsigned i = 0; i < 10; i++)
		sched_turn();
	assert_int_equal(closed_with, -ENETUNREACH);
	assert_int_equal(stream_count(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connecting_fails_at_once),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
