/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hand-over explored: both ends against a network that loses, repeats and reorders, under
 * crashes of either host, with durable records and without. The invariants of the design are
 * asserted after every step.
 */
/* SOURCES: migrate/handover.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "migrate/handover.h"

#define CHANNEL_MAX 12

enum message_type { M_STATE, M_READY, M_COMMIT, M_ACK, M_ABORTREQ, M_ABORTED, M_OWNED };

struct message {
	enum message_type type;
	u64 epoch, incarnation, digest;
	u64 version;              /* STATE: of the memory */
	bool is_from_new_host;    /* of a destination that forgot */
};

struct channel {
	struct message list[CHANNEL_MAX];
	u32 count;
};

/* The whole world, with what only an outside observer knows. */
struct world {
	bool is_durable;
	struct handover_source s, s_log;
	struct handover_destination d, d_log;
	bool s_up, d_up, s_runs, d_runs;
	u64 s_version, d_version;   /* of each memory; valid with a copy */
	u64 latest;                 /* newest version that ever ran */
	u64 s_boots;
	bool d_forgot;              /* booted without records since the hand-over began */
	bool is_excused;            /* a crash destroyed the only current copy */
	bool needs_operator;
	bool is_cut;
	struct channel to_d, to_s;
	u32 starts, resumes, commits_sent;
};

static u32 seed;

static u32 pick(u32 below)
{
	seed = seed * 1664525 + 1013904223;
	return (u32)((u64)(seed >> 8) * below >> 24);
}

static struct handover_event event_of(enum handover_event_type type)
{
	return (struct handover_event){ .type = type };
}

static void say(struct world *w, struct channel *channel, struct message message)
{
	if (!w->is_cut && channel->count < CHANNEL_MAX)
		channel->list[channel->count++] = message;
}

static u64 digest_of(u64 version) { return 0x1000 + version; }

static void s_run(struct world *w)
{
	assert_true(w->s.has_copy);
	assert_false(w->d_runs);                        /* I1 */
	assert_int_equal(w->s_version, w->latest);      /* I2 */
	w->s_runs = true;
	w->resumes++;
	w->s_version = ++w->latest;
}

static void s_act(struct world *w, const struct handover_actions *actions)
{
	struct handover_source *s = &w->s;

	for (u32 i = 0; i < actions->count; i++) {
		switch (actions->list[i]) {
		case HANDOVER_LOG:
			w->s_log = *s;
			break;
		case HANDOVER_SEND_STATE:
			say(w, &w->to_d,
			    (struct message){ M_STATE, s->epoch, 0, s->digest, w->s_version,
					      false });
			break;
		case HANDOVER_SEND_COMMIT:
			assert_int_equal(w->s_log.phase, SOURCE_GIVEN);   /* I4 */
			w->commits_sent++;
			say(w, &w->to_d,
			    (struct message){ M_COMMIT, s->epoch, s->incarnation, s->digest, 0,
					      false });
			break;
		case HANDOVER_SEND_ABORTREQ:
			assert_true(s->has_copy);
			say(w, &w->to_d,
			    (struct message){ M_ABORTREQ, s->epoch, s->incarnation, 0, 0, false });
			break;
		case HANDOVER_SEND_OWNED:
			say(w, &w->to_d, (struct message){ M_OWNED, s->epoch, 0, 0, 0, false });
			break;
		case HANDOVER_RESUME:
			assert_int_equal(w->s_log.phase, SOURCE_OWN);     /* I4 */
			assert_int_equal(w->s_log.epoch, s->epoch);
			s_run(w);
			break;
		case HANDOVER_LOST:
			assert_true(w->is_excused);
			break;
		case HANDOVER_ASK_OPERATOR:
			w->needs_operator = true;
			break;
		default:
			break;
		}
	}
}

static void s_event(struct world *w, struct handover_event event)
{
	u64 epoch = w->s.epoch;
	struct handover_actions actions;

	w->s = handover_source_step(w->s, &event, &actions);
	assert_true(w->s.epoch >= epoch);                        /* I5 */
	s_act(w, &actions);
}

static void d_act(struct world *w, const struct handover_actions *actions,
		  const struct message *about)
{
	for (u32 i = 0; i < actions->count; i++) {
		switch (actions->list[i]) {
		case HANDOVER_LOG:
			w->d_log = w->d;
			break;
		case HANDOVER_SEND_READY:
			say(w, &w->to_s,
			    (struct message){ M_READY, w->d.epoch, 0, w->d.digest, 0, false });
			break;
		case HANDOVER_START:
			assert_int_equal(w->d_log.started, w->d.started); /* I4 */
			assert_true(w->commits_sent > 0);                 /* I6 */
			assert_false(w->s_runs);                          /* I1 */
			assert_int_equal(w->d_version, w->latest);        /* I2 */
			w->d_runs = true;
			w->starts++;
			w->d_version = ++w->latest;
			break;
		case HANDOVER_SEND_ACK:
			say(w, &w->to_s,
			    (struct message){ M_ACK, about->epoch, about->incarnation, 0, 0,
					      false });
			break;
		case HANDOVER_SEND_ABORTED:
			say(w, &w->to_s,
			    (struct message){ M_ABORTED, about->epoch, about->incarnation, 0, 0,
					      w->d_forgot && !w->is_durable });
			break;
		case HANDOVER_WIPE:
			/* I3, I13: not the last current copy. */
			assert_true(w->s_runs || w->is_excused || w->d_version != w->latest);
			break;
		default:
			break;
		}
	}
}

static void d_event(struct world *w, struct handover_event event, const struct message *about)
{
	struct handover_destination before = w->d;
	struct handover_actions actions;

	w->d.runs = w->d_runs;
	w->d = handover_destination_step(w->d, &event, &actions);
	if (event.type == EVENT_VERIFIED && w->d.has_copy && actions.count)
		w->d_version = about->version;
	assert_true(w->d.started >= before.started);             /* I5, I7 */
	d_act(w, &actions, about);
}

static void deliver(struct world *w, struct channel *channel, u32 which, bool keep)
{
	static const enum handover_event_type types[] = {
		[M_STATE] = EVENT_VERIFIED,    [M_READY] = EVENT_READY,
		[M_COMMIT] = EVENT_COMMIT,     [M_ACK] = EVENT_ACK,
		[M_ABORTREQ] = EVENT_ABORTREQ, [M_ABORTED] = EVENT_ABORTED,
		[M_OWNED] = EVENT_OWNED,
	};
	struct message m = channel->list[which];
	struct handover_event event = { types[m.type], m.epoch, m.incarnation, m.digest,
					m.is_from_new_host };

	if (!keep)
		channel->list[which] = channel->list[--channel->count];
	if (channel == &w->to_d && w->d_up)
		d_event(w, event, &m);
	else if (channel == &w->to_s && w->s_up)
		s_event(w, event);
}

static void check_world(const struct world *w)
{
	bool is_live = (w->s.has_copy && w->s_version == w->latest) ||
		       ((w->d.has_copy || w->d_runs) && w->d_version == w->latest);

	assert_false(w->s_runs && w->d_runs);                    /* I1 */
	assert_true(is_live || w->is_excused);                   /* I3 */
}

/* Without durable records the rest of the safety is the session's: no message outlives a TCP
 * connection's end. */
static void end_sessions(struct world *w)
{
	if (!w->is_durable)
		w->to_d.count = w->to_s.count = 0;
}

static void crash_s(struct world *w)
{
	end_sessions(w);
	if (!((w->d.has_copy || w->d_runs) && w->d_version == w->latest))
		w->is_excused = true;
	w->s_up = w->s_runs = false;
	w->s.has_copy = false;
}

static void boot_s(struct world *w)
{
	w->s_up = true;
	w->s_boots++;
	if (!w->is_durable) {
		/* Nothing is known of the guest: it asks nothing and answers nothing. */
		w->s = (struct handover_source){ .phase = SOURCE_GONE, .incarnation = w->s_boots };
		w->needs_operator = true;
		return;
	}
	w->s = w->s_log;
	w->s.has_copy = false;
	s_event(w, (struct handover_event){ .type = EVENT_REBOOTED, .incarnation = w->s_boots });
}

static void crash_d(struct world *w)
{
	end_sessions(w);
	if (!(w->s.has_copy && w->s_version == w->latest))
		w->is_excused = true;
	w->d_up = w->d_runs = false;
	w->d = w->is_durable ? w->d_log : (struct handover_destination){ .started = 0 };
	w->d_forgot = true;
	w->d.has_copy = false;
	d_event(w, event_of(EVENT_REBOOTED), NULL);
}

struct limits {
	u32 s_crashes, d_crashes, aborts, cancels, moves;
};

/* One message arrives, arrives and stays on its way, or is lost. */
static void network_acts(struct world *w, u32 what)
{
	struct channel *channel = pick(2) ? &w->to_d : &w->to_s;

	if (!channel->count)
		return;
	if (what == 5)
		channel->list[pick(channel->count)] = channel->list[channel->count - 1], channel->count--;
	else
		deliver(w, channel, pick(channel->count), what == 4);
}

static void source_acts(struct world *w, struct limits *left, u32 what)
{
	if (!w->s_up)
		return;
	if (what == 6 && w->s_runs && w->s.phase == SOURCE_OWN && left->moves) {
		left->moves--;
		w->s_runs = false;
		w->d_forgot = false; /* the session's greeting tells which start of D it is */
		s_event(w, (struct handover_event){ .type = EVENT_PAUSED, .digest = digest_of(w->s_version) });
	} else if (what == 7 && left->aborts && w->s.phase == SOURCE_PAUSED) {
		left->aborts--;
		s_event(w, event_of(pick(2) ? EVENT_TIMEOUT : EVENT_LINK_LOST));
	} else if (what == 8 && left->cancels) {
		left->cancels--;
		s_event(w, event_of(EVENT_CANCEL));
	} else if (what == 9) {
		s_event(w, event_of(pick(2) ? EVENT_REPEAT : EVENT_LINK_UP));
	}
}

static void source_falls_or_rises(struct world *w, struct limits *left)
{
	if (!w->s_up)
		boot_s(w);
	else if (left->s_crashes) {
		left->s_crashes--;
		crash_s(w);
	}
}

static void destination_falls_or_rises(struct world *w, struct limits *left)
{
	if (!w->d_up)
		w->d_up = true;
	else if (left->d_crashes) {
		left->d_crashes--;
		crash_d(w);
	}
}

static void guest_works(struct world *w)
{
	if (w->s_runs)
		w->s_version = ++w->latest;
	if (w->d_runs)
		w->d_version = ++w->latest;
}

/* One random thing happens. */
static void random_step(struct world *w, struct limits *left)
{
	u32 what = pick(14);

	if (what < 6)
		network_acts(w, what);
	else if (what < 10)
		source_acts(w, left, what);
	else if (what == 10)
		source_falls_or_rises(w, left);
	else if (what == 11)
		destination_falls_or_rises(w, left);
	else if (what == 12)
		guest_works(w);
	else if (w->d_up) /* time means nothing to the destination */
		d_event(w, event_of(pick(2) ? EVENT_TIMEOUT : EVENT_LINK_LOST), NULL);
	check_world(w);
}

/* The link heals, nobody crashes any more: within bounded talk somebody runs, or there is an
 * excuse. */
static void settle(struct world *w)
{
	if (!w->s_up)
		boot_s(w);
	w->d_up = true;
	w->is_cut = false;
	for (u32 i = 0; i < 200 && !w->s_runs && !w->d_runs; i++) {
		s_event(w, event_of(w->s.phase == SOURCE_PAUSED ? EVENT_TIMEOUT : EVENT_REPEAT));
		while (w->to_d.count)
			deliver(w, &w->to_d, 0, false);
		while (w->to_s.count)
			deliver(w, &w->to_s, 0, false);
		check_world(w);
	}
	assert_true(w->s_runs || w->d_runs || w->is_excused || w->needs_operator); /* I9 */
	if (w->is_durable)
		assert_false(w->needs_operator);
}

static struct world new_world(bool is_durable)
{
	struct world w = {
		.is_durable = is_durable,
		.s = { SOURCE_OWN, 1, 1, 0, true, false },
		.s_up = true, .d_up = true, .s_runs = true,
		.s_version = 1, .latest = 1, .s_boots = 1,
	};

	w.s_log = w.s;
	return w;
}

static void explore(bool is_durable, u32 runs)
{
	u32 starts = 0, resumes = 0, excused = 0;

	for (u32 run = 0; run < runs; run++) {
		struct world w = new_world(is_durable);
		struct limits left = { pick(3), pick(3), pick(3), pick(3), 1 + pick(3) };

		for (u32 i = 0; i < 30 + pick(120); i++) {
			w.is_cut = pick(12) == 0 ? !w.is_cut : w.is_cut;
			random_step(&w, &left);
		}
		settle(&w);
		starts += w.starts;
		resumes += w.resumes;
		excused += w.is_excused;
	}
	/* The explorer went where the interesting things are. */
	assert_true(starts > runs / 50);
	assert_true(resumes > runs / 20);
	assert_true(excused > runs / 20 && excused < runs - runs / 20);
}

static void explorer_with_durable_records(void **state)
{
	(void)state;
	seed = 1;
	explore(true, 60000);
}

static void explorer_without_durable_records(void **state)
{
	(void)state;
	seed = 2;
	explore(false, 60000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(explorer_with_durable_records),
		cmocka_unit_test(explorer_without_durable_records),
	};

	return cmocka_run_group_tests_name("handover_explorer", tests, NULL, NULL);
}
