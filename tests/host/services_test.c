/* SPDX-License-Identifier: BSD-2-Clause */
/* The echo and discard services: strangers take no more than their share of the streams. */
/* SOURCES: net/bench.c net/command.c net/address.c kernel/shell.c kernel/shell_edit.c kernel/shell_parse.c
	    kernel/shell_complete.c kernel/shell_output.c kernel/shell_help.c kernel/json.c kernel/log.c kernel/heap.c
	    kernel/page.c kernel/page_map.c kernel/sched.c kernel/timer.c kernel/clock.c kernel/errno.c kernel/fmt.c
	    kernel/str.c kernel/panic.c */
#include "tests/host/fake/machine.h"
#include "tests/host/fake/memory.h"

#include "net/netif.h"
#include "net/services.h"
#include "net/stream.h"

#define STREAMS 100

/* ---- streams that only stand for themselves ---- */

struct stream {
	const struct stream_events *events;
	bool is_aborted;
};

static struct stream streams[STREAMS];

static struct {
	void (*accept)(struct stream *stream, void *context);
	void *context;
} services[2];
static unsigned service_count;

int stream_listen_on(int network, u16 port, void (*accept)(struct stream *stream, void *context), void *context)
{
	assert_int_equal(network, NETWORK_ANY);
	assert_true(port == 7 || port == 9);
	services[service_count].accept = accept;
	services[service_count++].context = context;
	return 0;
}

void stream_set_events(struct stream *stream, const struct stream_events *events, void *context)
{
	(void)context;
	stream->events = events;
}

void stream_abort(struct stream *stream) { stream->is_aborted = true; }
void stream_close(struct stream *stream) { stream->is_aborted = true; }

struct stream *stream_connect_by(int network, struct stream_address peer, u32 timeout_ms,
				 const struct stream_events *events, void *context)
{
	(void)network, (void)peer, (void)timeout_ms, (void)events, (void)context;
	return NULL;
}

void *stream_room(struct stream *stream, size_t want, size_t *room)
{
	(void)want;
	*room = 0;
	return stream;
}

const void *stream_peek(struct stream *stream, size_t *bytes)
{
	(void)stream;
	*bytes = 0;
	return NULL;
}

void stream_commit(struct stream *stream, size_t bytes) { (void)stream, (void)bytes; }
void stream_consume(struct stream *stream, size_t bytes) { (void)stream, (void)bytes; }
size_t stream_unacked(const struct stream *stream) { return stream->is_aborted; }
struct netif *net_netif(unsigned index) { return index ? NULL : (struct netif *)streams; }

/* ---- tests ---- */

static unsigned count_served(void)
{
	unsigned count = 0;

	for (unsigned i = 0; i < STREAMS; i++)
		count += streams[i].events && !streams[i].is_aborted;
	return count;
}

static void most_streams_are_left_for_others(void **state)
{
	(void)state;
	fake_memory_init(16 * MIB);
	net_services_start();
	assert_int_equal(service_count, 2);
	for (unsigned i = 0; i < STREAMS / 2; i++)
		services[i % 2].accept(&streams[i], services[i % 2].context);
	assert_in_range(count_served(), 2, 12);

	/* Who goes makes room. */
	streams[0].events->closed(&streams[0], 0, NULL);
	services[0].accept(&streams[STREAMS / 2], services[0].context);
	services[0].accept(&streams[STREAMS / 2 + 1], services[0].context);
	assert_false(streams[STREAMS / 2].is_aborted);
	assert_true(streams[STREAMS / 2 + 1].is_aborted);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(most_streams_are_left_for_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
