/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Raw TCP throughput between two Terns, "net bench ADDRESS": a stream of whatever lies in
 * the send ring to the peer's discard service, which copies every byte once, as a real
 * receiver would. And the echo service of RFC 862, for tests.
 */
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/log.h"
#include "kernel/shell.h"
#include "kernel/string.h"
#include "net/command.h"
#include "net/services.h"
#include "net/stream.h"

#define ECHO_PORT 7    /* RFC 862 */
#define DISCARD_PORT 9 /* RFC 863 */
#define SERVED_MAX 8   /* connections to both; there are few streams, and moves need them */
#define SINK_BYTES (256 * KIB)
#define SECONDS_DEFAULT 2
#define SECONDS_MAX 60
#define CONNECT_MS 2000

SHELL_ERROR(bench_failed, "E-CONNECTION", "the connection could not be made, or broke");

/* --- Discard and echo ----------------------------------------------------------------- */

static u8 *sink;
static size_t sink_at;
static unsigned served; /* connections now */

static void discard_received(struct stream *stream, void *context)
{
	size_t bytes;
	const void *from;

	(void)context;
	while ((from = stream_peek(stream, &bytes))) {
		bytes = MIN(bytes, SINK_BYTES - sink_at);
		memcpy(sink + sink_at, from, bytes);
		sink_at = (sink_at + bytes) % SINK_BYTES;
		stream_consume(stream, bytes);
	}
}

static void echo_received(struct stream *stream, void *context)
{
	size_t bytes, room;
	const void *from;
	void *to;

	(void)context;
	while ((from = stream_peek(stream, &bytes))) {
		to = stream_room(stream, bytes, &room);
		if (room == 0)
			return; /* sent() comes when there is room again */
		memcpy(to, from, room);
		stream_commit(stream, room);
		stream_consume(stream, room);
	}
}

static void served_closed(struct stream *stream, int err, void *context)
{
	(void)stream;
	(void)err;
	(void)context;
	served--;
}

static const struct stream_events discard_events = { .received = discard_received, .closed = served_closed };
static const struct stream_events echo_events = {
	.received = echo_received, .sent = echo_received, .closed = served_closed,
};

/* context: the service's events. */
static void accepted(struct stream *stream, void *context)
{
	if (served == SERVED_MAX) {
		stream_abort(stream);
		return;
	}
	served++;
	stream_set_events(stream, context, NULL);
}

void net_services_start(void)
{
	sink = heap_alloc(SINK_BYTES);
	if (!sink || stream_listen(DISCARD_PORT, accepted, (void *)&discard_events) ||
	    stream_listen(ECHO_PORT, accepted, (void *)&echo_events))
		log_warn("net: no memory for the echo and discard services");
}

/* --- The sender ------------------------------------------------------------------------ */

static struct {
	struct stream *stream;
	u64 until_ns, start_ns, end_ns;
	u64 seconds;
	u64 committed;
	bool is_running, is_over;
	int err;
} bench;

static void fill(struct stream *stream, void *context)
{
	size_t room;

	(void)context;
	if (clock_now_ns() >= bench.until_ns)
		return;
	/* Whatever is there is sent: only the speed matters. */
	for (;;) {
		stream_room(stream, STREAM_RING_BYTES, &room);
		if (room == 0)
			return;
		stream_commit(stream, room);
		bench.committed += room;
	}
}

static void bench_opened(struct stream *stream, void *context)
{
	bench.start_ns = clock_now_ns();
	bench.until_ns = bench.start_ns + bench.seconds * NS_PER_SEC;
	fill(stream, context);
}

static void bench_sent(struct stream *stream, void *context)
{
	fill(stream, context);
	bench.end_ns = clock_now_ns();
	bench.is_over |= stream_unacked(stream) == 0;
}

static void bench_closed(struct stream *stream, int err, void *context)
{
	(void)stream;
	(void)context;
	bench.stream = NULL;
	bench.err = err ? err : -ECONNRESET;
	bench.is_over = true;
}

static const struct stream_events bench_events = {
	.opened = bench_opened,
	.sent = bench_sent,
	.closed = bench_closed,
};

static enum cmd_result finish(struct shell *shell)
{
	u64 us = MAX((bench.end_ns - bench.start_ns) / NS_PER_US, 1u);
	u64 bytes = bench.committed - (bench.stream ? stream_unacked(bench.stream) : 0);
	u64 bps = bytes * 8 * 1000 / us * 1000;

	bench.is_running = false;
	if (bench.stream)
		stream_close(bench.stream);
	bench.stream = NULL;
	if (bench.err)
		return shell_fail(shell, &bench_failed, "net bench", "%s", errno_name(bench.err));
	json_u64(shell, "throughput_bps", bps);
	json_u64(shell, "bytes", bytes);
	json_u64(shell, "us", us);
	shell_print(shell, "%llu MB in %llu ms: %llu Mbit/s\n", (unsigned long long)(bytes / 1000000),
		    (unsigned long long)(us / 1000), (unsigned long long)(bps / 1000000));
	return CMD_OK;
}

static enum cmd_result tick(struct shell *shell, void *context)
{
	(void)context;
	return bench.is_over ? finish(shell) : CMD_RUNNING;
}

static void interrupt(struct shell *shell, void *context)
{
	(void)shell;
	(void)context;
	bench.is_over = true;
}

static enum cmd_result net_bench(struct shell *shell, const struct cmd_args *args)
{
	struct stream_address peer = { .port = DISCARD_PORT };
	u64 seconds = SECONDS_DEFAULT;

	if (!net_command_begin(shell, args, bench.is_running, &peer.ip) ||
	    !shell_take_u64(shell, "seconds", args_option(args, "seconds"), 1, SECONDS_MAX, &seconds))
		return CMD_FAILED;
	memset(&bench, 0, sizeof(bench));
	bench.seconds = seconds;
	bench.until_ns = ~0ull;
	bench.stream = stream_connect(peer, CONNECT_MS, &bench_events, NULL);
	if (!bench.stream)
		return shell_fail(shell, &bench_failed, "net bench", "%s", errno_name(-ENOMEM));
	bench.is_running = true;
	return shell_wait(shell, tick, interrupt, NULL);
}

static const char *const bench_options[] = { "seconds", NULL };

SHELL_COMMAND(net_bench) = {
	.noun = "net",
	.verb = "bench",
	.usage = "net bench ADDRESS [seconds=2]",
	.help = "TCP throughput to the other Tern",
	.min_words = 1,
	.max_words = 1,
	.options = bench_options,
	.run = net_bench,
};
