/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hand-over: every pair of state and event, and an explorer that runs both ends against a
 * network that loses, repeats and reorders, under crashes of either host, with durable records
 * and without, and asserts the invariants of the design after every step.
 */
/* SOURCES: migrate/handover.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "migrate/handover.h"

#define E 5ull         /* the epoch that is handed over */
#define INC 3ull
#define DIGEST 0xd1ull

static bool has(const struct handover_actions *actions, enum handover_action action)
{
	for (u32 i = 0; i < actions->count; i++)
		if (actions->list[i] == action)
			return true;
	return false;
}

static int place(const struct handover_actions *actions, enum handover_action action)
{
	for (u32 i = 0; i < actions->count; i++)
		if (actions->list[i] == action)
			return (int)i;
	return -1;
}

static struct handover_source source_in(enum handover_source_phase phase, bool has_copy,
					bool wants_back)
{
	return (struct handover_source){ phase, E, INC, DIGEST, has_copy, wants_back };
}

static struct handover_event event_of(enum handover_event_type type, u64 epoch, u64 incarnation,
				      u64 digest)
{
	return (struct handover_event){ type, epoch, incarnation, digest, false };
}

/* --- the source, pair by pair --- */

/* What the design says, as a table: phase x event -> phase, and actions in order. */
struct source_row {
	enum handover_source_phase phase;
	enum handover_event_type event;
	enum handover_source_phase next;
	enum handover_action actions[HANDOVER_ACTIONS_MAX];
	u32 count;
};

#define ROW(p, e, n, ...) \
	{ \
		p, e, n, { __VA_ARGS__ }, \
			sizeof((enum handover_action[]){ __VA_ARGS__ }) / \
				sizeof(enum handover_action) \
	}
#define BACK HANDOVER_LOG, HANDOVER_RESUME, HANDOVER_SEND_OWNED

/* With a copy, right epoch, incarnation and digest. Pairs that are not listed change nothing. */
static const struct source_row source_rows[] = {
	ROW(SOURCE_OWN, EVENT_PAUSED, SOURCE_PAUSED, HANDOVER_LOG, HANDOVER_SEND_STATE),
	ROW(SOURCE_OWN, EVENT_REBOOTED, SOURCE_GONE, HANDOVER_LOG, HANDOVER_LOST),
	ROW(SOURCE_PAUSED, EVENT_READY, SOURCE_GIVEN, HANDOVER_LOG, HANDOVER_SEND_COMMIT),
	ROW(SOURCE_PAUSED, EVENT_LINK_LOST, SOURCE_OWN, BACK),
	ROW(SOURCE_PAUSED, EVENT_TIMEOUT, SOURCE_OWN, BACK),
	ROW(SOURCE_PAUSED, EVENT_CANCEL, SOURCE_OWN, BACK),
	ROW(SOURCE_PAUSED, EVENT_PEER_IS_OFF, SOURCE_OWN, BACK),
	ROW(SOURCE_PAUSED, EVENT_REBOOTED, SOURCE_GIVEN, HANDOVER_LOG, HANDOVER_RECONNECT),
	ROW(SOURCE_GIVEN, EVENT_ACK, SOURCE_GONE, HANDOVER_LOG, HANDOVER_WIPE),
	ROW(SOURCE_GIVEN, EVENT_ABORTED, SOURCE_OWN, BACK),
	ROW(SOURCE_GIVEN, EVENT_PEER_IS_OFF, SOURCE_OWN, BACK),
	ROW(SOURCE_GIVEN, EVENT_CANCEL, SOURCE_GIVEN, HANDOVER_SEND_ABORTREQ),
	ROW(SOURCE_GIVEN, EVENT_LINK_UP, SOURCE_GIVEN, HANDOVER_SEND_COMMIT),
	ROW(SOURCE_GIVEN, EVENT_REPEAT, SOURCE_GIVEN, HANDOVER_SEND_COMMIT),
	ROW(SOURCE_GIVEN, EVENT_LINK_LOST, SOURCE_GIVEN, HANDOVER_RECONNECT),
	ROW(SOURCE_GIVEN, EVENT_REBOOTED, SOURCE_GIVEN, HANDOVER_LOG, HANDOVER_RECONNECT),
};

static const struct source_row *find_row(enum handover_source_phase phase,
					 enum handover_event_type event)
{
	for (size_t i = 0; i < ARRAY_COUNT(source_rows); i++)
		if (source_rows[i].phase == phase && source_rows[i].event == event)
			return &source_rows[i];
	return NULL;
}

static void every_pair_of_the_source(void **state)
{
	(void)state;
	for (u32 phase = 0; phase < SOURCE_PHASE_COUNT; phase++) {
		for (u32 type = 0; type < EVENT_TYPE_COUNT; type++) {
			struct handover_source before = source_in(phase, phase != SOURCE_GONE,
								  false),
					       after;
			struct handover_event event = event_of(
				type, E, type == EVENT_REBOOTED ? INC + 1 : INC, DIGEST);
			const struct source_row *row = find_row(phase, type);
			struct handover_actions actions;

			after = handover_source_step(before, &event, &actions);
			if (!row) {
				assert_int_equal(actions.count, 0);
				assert_memory_equal(&before, &after, sizeof(before));
				continue;
			}
			assert_int_equal(after.phase, row->next);
			assert_int_equal(actions.count, row->count);
			assert_memory_equal(actions.list, row->actions,
					    row->count * sizeof(row->actions[0]));
			/* Going back voids everything that was said of the old epoch. */
			assert_int_equal(after.epoch, phase != SOURCE_OWN && row->next == SOURCE_OWN
							      ? E + 1
							      : E);
		}
	}
}

static void messages_of_other_epochs_change_nothing(void **state)
{
	static const enum handover_event_type types[] = { EVENT_READY, EVENT_ACK, EVENT_ABORTED };

	(void)state;
	for (u32 phase = 0; phase < SOURCE_PHASE_COUNT; phase++)
		for (u32 i = 0; i < ARRAY_COUNT(types); i++)
			for (u64 epoch = E - 2; epoch <= E + 2; epoch++) {
				struct handover_source before = source_in(phase, true, false),
						       after;
				struct handover_event event = event_of(types[i], epoch, INC,
								       DIGEST);
				struct handover_actions actions;

				if (epoch == E)
					continue;
				after = handover_source_step(before, &event, &actions);
				assert_int_equal(actions.count, 0);
				assert_memory_equal(&before, &after, sizeof(before));
			}
}

static void the_source_believes_only_what_fits(void **state)
{
	struct handover_actions actions;
	struct handover_event event = event_of(EVENT_READY, E, 0, DIGEST + 1);
	struct handover_source after;

	(void)state;
	after = handover_source_step(source_in(SOURCE_PAUSED, true, false), &event, &actions);
	assert_int_equal(after.phase, SOURCE_PAUSED);
	event = event_of(EVENT_ABORTED, E, INC - 1, 0);
	after = handover_source_step(source_in(SOURCE_GIVEN, true, true), &event, &actions);
	assert_int_equal(after.phase, SOURCE_GIVEN);
	assert_int_equal(actions.count, 0);
	/* A destination that forgot may have run the guest: nobody may conclude anything. */
	event = event_of(EVENT_ABORTED, E, INC, 0);
	event.is_forgetful = true;
	after = handover_source_step(source_in(SOURCE_GIVEN, true, true), &event, &actions);
	assert_int_equal(after.phase, SOURCE_GIVEN);
	assert_int_equal(actions.count, 1);
	assert_int_equal(actions.list[0], HANDOVER_ASK_OPERATOR);
}

static void a_source_without_a_copy_never_asks_for_it(void **state)
{
	static const enum handover_event_type types[] = { EVENT_CANCEL, EVENT_LINK_UP, EVENT_REPEAT,
							  EVENT_PEER_IS_OFF };

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(types); i++) {
		struct handover_source after = source_in(SOURCE_GIVEN, false, true);
		struct handover_event event = event_of(types[i], E, INC, 0);
		struct handover_actions actions;

		after = handover_source_step(after, &event, &actions);
		assert_int_equal(after.phase, SOURCE_GIVEN);
		assert_false(has(&actions, HANDOVER_SEND_ABORTREQ));
		assert_false(has(&actions, HANDOVER_RESUME));
	}
}

static void durable_comes_before_its_consequence(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(source_rows); i++) {
		struct handover_source before = source_in(source_rows[i].phase, true, false), after;
		struct handover_event event = event_of(source_rows[i].event, E, INC, DIGEST);
		struct handover_actions actions;

		after = handover_source_step(before, &event, &actions);
		if (after.phase != before.phase || after.epoch != before.epoch)
			assert_int_equal(place(&actions, HANDOVER_LOG), 0);
	}
}

/* --- the destination, pair by pair --- */

static void every_pair_of_the_destination(void **state)
{
	(void)state;
	/* bits: copy, same epoch as the event, fenced, started, refused, runs */
	for (u32 bits = 0; bits < 64; bits++)
		for (u32 type = 0; type < EVENT_TYPE_COUNT; type++) {
			struct handover_destination before = {
				.started = bits & 8 ? E : E - 3,
				.refused = bits & 16 ? E : 0,
				.has_copy = (bits & 1) && !(bits & 8),
				.epoch = bits & 2 ? E : E - 1,
				.digest = DIGEST,
				.fence = bits & 4 ? INC : INC - 1,
				.runs = bits & 32,
			}, after;
			struct handover_event event = event_of(type, E, INC, DIGEST);
			struct handover_actions actions;

			after = handover_destination_step(before, &event, &actions);
			assert_true(actions.count <= HANDOVER_ACTIONS_MAX);
			/* Started and refused only grow. */
			assert_true(after.started >= before.started &&
				    after.refused >= before.refused);
			/* It starts on COMMIT, or on the operator's word, and on nothing else. */
			if (has(&actions, HANDOVER_START)) {
				assert_true(type == EVENT_COMMIT || type == EVENT_PEER_IS_OFF);
				assert_true(before.has_copy);
				assert_int_equal(after.started, before.epoch);
				assert_true(place(&actions, HANDOVER_LOG) <
					    place(&actions, HANDOVER_START));
				if (type == EVENT_COMMIT) {
					assert_int_equal(before.epoch, E);
					assert_true(before.fence < INC);
				}
			}
			/* Once started, the answer is ACK for ever. */
			if ((type == EVENT_COMMIT || type == EVENT_ABORTREQ) &&
			    before.started >= E) {
				assert_int_equal(actions.count, 1);
				assert_int_equal(actions.list[0], HANDOVER_SEND_ACK);
			} else if (type == EVENT_COMMIT || type == EVENT_ABORTREQ) {
				assert_true(has(&actions, HANDOVER_SEND_ABORTED) ||
					    has(&actions, HANDOVER_START));
			}
			/* Asked to give back, it keeps its copy. */
			if (type == EVENT_ABORTREQ)
				assert_int_equal(after.has_copy, before.has_copy);
			/* A copy goes only by starting it, for a newer epoch, or with the host. */
			if (before.has_copy && !after.has_copy)
				assert_true(has(&actions, HANDOVER_START) ||
					    has(&actions, HANDOVER_WIPE) || type == EVENT_REBOOTED);
			if (has(&actions, HANDOVER_WIPE))
				assert_true(type == EVENT_OWNED && before.epoch < E);
			/* Time and links mean nothing to it. */
			if (type == EVENT_LINK_LOST || type == EVENT_TIMEOUT ||
			    type == EVENT_REPEAT || type == EVENT_LINK_UP) {
				assert_int_equal(actions.count, 0);
				assert_memory_equal(&before, &after, sizeof(before));
			}
		}
}

static void a_commit_of_another_digest_is_refused(void **state)
{
	struct handover_destination d = { .has_copy = true, .epoch = E, .digest = DIGEST };
	struct handover_event event = event_of(EVENT_COMMIT, E, INC, DIGEST + 1);
	struct handover_actions actions;

	(void)state;
	d = handover_destination_step(d, &event, &actions);
	assert_true(has(&actions, HANDOVER_SEND_ABORTED));
	assert_true(d.has_copy);
	/* And the right one of the same incarnation comes too late: the source may have resumed. */
	event.digest = DIGEST;
	d = handover_destination_step(d, &event, &actions);
	assert_false(has(&actions, HANDOVER_START));
	/* A source that crashed does not know the digest any more, and has a higher incarnation. */
	event.incarnation = INC + 1;
	event.digest = 0;
	d = handover_destination_step(d, &event, &actions);
	assert_true(has(&actions, HANDOVER_START));
}

static void a_later_epoch_started_here_answers_for_earlier_ones(void **state)
{
	struct handover_destination d = { .started = E + 4, .runs = true };
	struct handover_event event = event_of(EVENT_COMMIT, E, INC, DIGEST);
	struct handover_actions actions;

	(void)state;
	handover_destination_step(d, &event, &actions);
	assert_int_equal(actions.count, 1);
	assert_int_equal(actions.list[0], HANDOVER_SEND_ACK);
}

/* --- the explorer --- */

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
	s_event(w, event_of(EVENT_REBOOTED, 0, w->s_boots, 0));
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
	d_event(w, event_of(EVENT_REBOOTED, 0, 0, 0), NULL);
}

struct limits {
	u32 s_crashes, d_crashes, aborts, cancels, moves;
};

/* One random thing happens. */
static void random_step(struct world *w, struct limits *left)
{
	struct channel *channel = pick(2) ? &w->to_d : &w->to_s;

	switch (pick(14)) {
	case 0: case 1: case 2: case 3:
		if (channel->count)
			deliver(w, channel, pick(channel->count), false);
		break;
	case 4:
		if (channel->count)
			deliver(w, channel, pick(channel->count), true); /* twice, or later again */
		break;
	case 5:
		if (channel->count)
			channel->list[pick(channel->count)] = channel->list[channel->count - 1],
			channel->count--;
		break;
	case 6:
		if (w->s_up && w->s_runs && w->s.phase == SOURCE_OWN && left->moves) {
			left->moves--;
			w->s_runs = false;
			w->d_forgot =
				false; /* the session's greeting tells which start of D it is */
			s_event(w, event_of(EVENT_PAUSED, 0, 0, digest_of(w->s_version)));
		}
		break;
	case 7:
		if (w->s_up && left->aborts && w->s.phase == SOURCE_PAUSED) {
			left->aborts--;
			s_event(w, event_of(pick(2) ? EVENT_TIMEOUT : EVENT_LINK_LOST, 0, 0, 0));
		}
		break;
	case 8:
		if (w->s_up && left->cancels) {
			left->cancels--;
			s_event(w, event_of(EVENT_CANCEL, 0, 0, 0));
		}
		break;
	case 9:
		if (w->s_up)
			s_event(w, event_of(pick(2) ? EVENT_REPEAT : EVENT_LINK_UP, 0, 0, 0));
		break;
	case 10:
		if (w->s_up && left->s_crashes) {
			left->s_crashes--;
			crash_s(w);
		} else if (!w->s_up) {
			boot_s(w);
		}
		break;
	case 11:
		if (w->d_up && left->d_crashes) {
			left->d_crashes--;
			crash_d(w);
		} else if (!w->d_up) {
			w->d_up = true;
		}
		break;
	case 12: /* the guest works on */
		if (w->s_runs)
			w->s_version = ++w->latest;
		if (w->d_runs)
			w->d_version = ++w->latest;
		break;
	default: /* time means nothing to the destination */
		if (w->d_up)
			d_event(w, event_of(pick(2) ? EVENT_TIMEOUT : EVENT_LINK_LOST, 0, 0, 0),
				NULL);
		break;
	}
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
		s_event(w, event_of(w->s.phase == SOURCE_PAUSED ? EVENT_TIMEOUT : EVENT_REPEAT, 0,
				    0, 0));
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
		cmocka_unit_test(every_pair_of_the_source),
		cmocka_unit_test(messages_of_other_epochs_change_nothing),
		cmocka_unit_test(the_source_believes_only_what_fits),
		cmocka_unit_test(a_source_without_a_copy_never_asks_for_it),
		cmocka_unit_test(durable_comes_before_its_consequence),
		cmocka_unit_test(every_pair_of_the_destination),
		cmocka_unit_test(a_commit_of_another_digest_is_refused),
		cmocka_unit_test(a_later_epoch_started_here_answers_for_earlier_ones),
		cmocka_unit_test(explorer_with_durable_records),
		cmocka_unit_test(explorer_without_durable_records),
	};

	return cmocka_run_group_tests_name("handover", tests, NULL, NULL);
}
