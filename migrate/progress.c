/* SPDX-License-Identifier: BSD-2-Clause */
/* How far a move is and when it will be over, for those who watch it. CPU 0. */
#include "migrate/progress.h"

#include "kernel/clock.h"
#include "migrate/send.h"

const char *progress_phase_name(const struct send *send)
{
	static const char *const names[SEND_PHASE_COUNT] = {
		[SEND_DIALLED] = "connecting",
		[SEND_GREETED] = "greeting",
		[SEND_OFFERED] = "reserving",
		[SEND_COPYING] = "copying",
		[SEND_ROUND_ENDED] = "copying",
		[SEND_WAITING] = "stopping",
		[SEND_HALTING] = "stopping",
		[SEND_TAIL] = "sending the rest",
		[SEND_PAUSED] = "verifying",
		[SEND_GIVEN] = "handing over",
		[SEND_DETACHED] = "given, peer silent",
	};

	return names[send->phase];
}

unsigned progress_remaining_percent(const struct send *send)
{
	const struct rounds *rounds = &send->rounds;

	if (send->phase != SEND_COPYING || !rounds->round_pages)
		return send->phase < SEND_COPYING ? 100 : 0;
	return (unsigned)((rounds->todo_count * 100 + rounds->round_pages - 1) /
			  rounds->round_pages);
}

u64 progress_bytes_per_sec(const struct send *send)
{
	if (send->phase == SEND_COPYING && send->round.bytes >= MIB && send->active_ns >= NS_PER_MS)
		return send->round.bytes * 1000 / (send->active_ns / NS_PER_US) * 1000;
	return send->rounds.bytes_per_sec;
}

u64 progress_end_ns(const struct send *send)
{
	u64 rate = progress_bytes_per_sec(send), rest;

	if (send->options.rate_bytes)
		rate = MIN(rate, send->options.rate_bytes);
	if (send->phase < SEND_COPYING || rate < KIB)
		return 0;
	rest = send->rounds.todo_count * send->rounds.page_bytes;
	return rest * (NS_PER_SEC / KIB) / (rate / KIB) + send->rounds.limit_ns;
}
