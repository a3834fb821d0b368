/* SPDX-License-Identifier: BSD-2-Clause */
/* Moves on the status page: those under way, in both directions, else how the last one went. CPU 0. */
#include "kernel/status.h"
#include "migrate/arrive.h"
#include "migrate/migrate.h"
#include "migrate/peer.h"
#include "migrate/progress.h"
#include "migrate/receipt.h"
#include "migrate/send.h"
#include "vmm/vm.h"

typedef unsigned long long ull;

#define BAR 20

/* "[#####---------------]" */
static void draw_bar(unsigned percent, char bar[BAR + 3])
{
	unsigned full = MIN(percent, 100u) * BAR / 100;

	bar[0] = '[';
	for (unsigned i = 0; i < BAR; i++)
		bar[1 + i] = i < full ? '#' : '-';
	bar[BAR + 1] = ']';
	bar[BAR + 2] = 0;
}

static bool say_send(struct status_line *line, const struct send *send)
{
	unsigned done = 100 - progress_remaining_percent(send);
	char bar[BAR + 3];

	draw_bar(done, bar);
	return status_say(line, STATUS_PLAIN, "%s to %s: %s %u%% of round %u, %s, %llu Mbit/s", send->receipt.vm,
			  send->receipt.to, bar, done, send->rounds.number, progress_phase_name(send),
			  (ull)progress_bytes_per_sec(send) * 8 / 1000000);
}

static bool say_arrival(struct status_line *line, const struct arrival *arrival)
{
	u64 pages = arrival->digests.page_count;
	unsigned done = pages ? (unsigned)(arrival->digests.known_count * 100 / pages) : 0;
	char bar[BAR + 3];

	draw_bar(done, bar);
	return status_say(line, STATUS_PLAIN, "%s from %s: %s %u%% is here", arrival->vm->config.name, arrival->from, bar,
			  done);
}

/* The newest receipt, when nothing moves. */
static bool say_last(struct status_line *line)
{
	const struct kept_receipt *kept = receipt_find(NULL);
	const struct receipt *last;

	if (!kept)
		return status_say(line, STATUS_PLAIN, "none");
	last = &kept->receipt;
	if (last->result != RECEIPT_MOVED)
		return status_say(line, STATUS_WARN, "the last one, %s to %s: %s, %s (%s)", last->vm, last->to,
				  receipt_result_name(last->result), last->why, last->code);
	return status_say(line, STATUS_GOOD, "the last one, %s from %s to %s: ok, stun %llu us, all in %llu ms", last->vm,
			  last->from, last->to, (ull)last->stun_us, (ull)last->total_us / 1000);
}

static bool moves_line(unsigned index, struct status_line *line)
{
	unsigned count = 0;

	list_for_each(send, &migration->sends, struct send, link)
		if (!send->is_over && !send->options.is_check && count++ == index)
			return say_send(line, send);
	list_for_each(arrival, &migration->arrivals, struct arrival, link)
		if (count++ == index)
			return say_arrival(line, arrival);
	return count == 0 && index == 0 && say_last(line);
}

static bool moves_next(struct status_line *line)
{
	const struct peer *peer = peer_nth(0);

	list_for_each(vm, &vm_list, struct vm, link) {
		if (vm->state != VM_RUNNING)
			continue;
		if (vm->migration)
			return status_say(line, STATUS_PLAIN, "migrate status");
		if (!peer)
			return status_say(line, STATUS_PLAIN, "peer add NAME ADDRESS, then: migrate %s to NAME", vm->config.name);
		return status_say(line, STATUS_PLAIN, "migrate %s to %s", vm->config.name, peer->name);
	}
	return status_say(line, STATUS_PLAIN, "help");
}

STATUS_SOURCE(50, moves_status) = { .label = "Moves", .line = moves_line, .next = moves_next };
