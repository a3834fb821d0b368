/* SPDX-License-Identifier: BSD-2-Clause */
/* The hand-over: every pair of state and event. */
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
	};

	return cmocka_run_group_tests_name("handover", tests, NULL, NULL);
}
