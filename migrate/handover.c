/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hand-over as two pure functions; handover.h states the rules. The host test feeds every pair
 * of state and event, and explores two instances under loss, duplication, reordering and crashes.
 */
#include "migrate/handover.h"

static void act(struct handover_actions *actions, enum handover_action action)
{
	actions->list[actions->count++] = action;
}

/* --- source --- */

/* The guest runs here again, under a new epoch that voids all that was said about the old one. */
static void take_back(struct handover_source *s, struct handover_actions *actions)
{
	s->phase = SOURCE_OWN;
	s->epoch++;
	s->wants_back = false;
	act(actions, HANDOVER_LOG);
	act(actions, HANDOVER_RESUME);
	act(actions, HANDOVER_SEND_OWNED);
}

static void ask_destination(const struct handover_source *s, struct handover_actions *actions)
{
	/*
	 * Without a copy of its own the source must not ask for it back: that would lose the last
	 * one.
	 */
	act(actions, s->wants_back && s->has_copy ? HANDOVER_SEND_ABORTREQ : HANDOVER_SEND_COMMIT);
}

static void source_own(struct handover_source *s, const struct handover_event *event,
		       struct handover_actions *actions)
{
	if (event->type == EVENT_PAUSED && s->has_copy) {
		s->phase = SOURCE_PAUSED;
		s->digest = event->digest;
		s->wants_back = false;
		act(actions, HANDOVER_LOG);
		act(actions, HANDOVER_SEND_STATE);
	} else if (event->type == EVENT_REBOOTED) {
		/* It ran here and nowhere else. */
		s->phase = SOURCE_GONE;
		s->has_copy = false;
		act(actions, HANDOVER_LOG);
		act(actions, HANDOVER_LOST);
	}
}

/* Started anew, without the copy. Paused may have been given an instant before: the destination knows. */
static void come_back(struct handover_source *s, const struct handover_event *event, struct handover_actions *actions)
{
	s->phase = SOURCE_GIVEN;
	s->has_copy = false;
	s->wants_back = false;
	s->digest = 0;
	s->incarnation = event->incarnation;
	act(actions, HANDOVER_LOG);
	act(actions, HANDOVER_RECONNECT);
}

static void source_paused(struct handover_source *s, const struct handover_event *event,
			  struct handover_actions *actions)
{
	switch (event->type) {
	case EVENT_READY:
		if (event->epoch != s->epoch || event->digest != s->digest)
			break;
		s->phase = SOURCE_GIVEN;
		act(actions, HANDOVER_LOG);
		act(actions, HANDOVER_SEND_COMMIT);
		break;
	case EVENT_LINK_LOST:
	case EVENT_TIMEOUT:
	case EVENT_CANCEL:
	case EVENT_PEER_IS_OFF:
		take_back(s, actions);
		break;
	case EVENT_REBOOTED:
		come_back(s, event, actions);
		break;
	default:
		break;
	}
}

static void source_given(struct handover_source *s, const struct handover_event *event,
			 struct handover_actions *actions)
{
	switch (event->type) {
	case EVENT_ACK:
		if (event->epoch != s->epoch)
			break;
		s->phase = SOURCE_GONE;
		s->has_copy = false;
		act(actions, HANDOVER_LOG);
		act(actions, HANDOVER_WIPE);
		break;
	case EVENT_ABORTED:
		if (event->epoch != s->epoch || event->incarnation != s->incarnation)
			break;
		if (event->is_forgetful) {
			act(actions, HANDOVER_ASK_OPERATOR);
			break;
		}
		if (s->has_copy) {
			take_back(s, actions);
			break;
		}
		s->phase = SOURCE_GONE;
		act(actions, HANDOVER_LOG);
		act(actions, HANDOVER_LOST);
		break;
	case EVENT_PEER_IS_OFF:
		if (s->has_copy)
			take_back(s, actions);
		break;
	case EVENT_CANCEL:
		s->wants_back = true;
		ask_destination(s, actions);
		break;
	case EVENT_LINK_UP:
	case EVENT_REPEAT:
		ask_destination(s, actions);
		break;
	case EVENT_LINK_LOST:
		act(actions, HANDOVER_RECONNECT);
		break;
	case EVENT_REBOOTED:
		come_back(s, event, actions);
		break;
	default:
		break;
	}
}

struct handover_source handover_source_step(struct handover_source state,
					    const struct handover_event *event,
					    struct handover_actions *actions)
{
	actions->count = 0;
	switch (state.phase) {
	case SOURCE_OWN:
		source_own(&state, event, actions);
		break;
	case SOURCE_PAUSED:
		source_paused(&state, event, actions);
		break;
	case SOURCE_GIVEN:
		source_given(&state, event, actions);
		break;
	default: /* GONE is final: nothing brings a stale copy back */
		break;
	}
	return state;
}

/* --- destination --- */

static void verified(struct handover_destination *d, const struct handover_event *event,
		     struct handover_actions *actions)
{
	if (event->epoch <= d->started || event->epoch <= d->refused || d->runs)
		return;
	if (d->has_copy && d->epoch > event->epoch)
		return;
	/* The same state once more, late: what was promised about this epoch stays promised. */
	if (!d->has_copy || d->epoch != event->epoch)
		d->fence = 0;
	d->has_copy = true;
	d->epoch = event->epoch;
	d->digest = event->digest;
	act(actions, HANDOVER_SEND_READY);
}

/*
 * Both questions about an epoch that lies elsewhere: it cannot be started here, and never will be.
 */
static void refuse(struct handover_destination *d, const struct handover_event *event,
		   struct handover_actions *actions)
{
	if (event->epoch > d->refused) {
		d->refused = event->epoch;
		act(actions, HANDOVER_LOG);
	}
	act(actions, HANDOVER_SEND_ABORTED);
}

/*
 * The copy will not be started by this incarnation. The source may crash before it resumes, so the
 * copy stays.
 */
static void fence(struct handover_destination *d, const struct handover_event *event,
		  struct handover_actions *actions)
{
	d->fence = MAX(d->fence, event->incarnation);
	act(actions, HANDOVER_SEND_ABORTED);
}

/*
 * Epochs only grow: when a later one was started here, the guest has gone on from the earlier one.
 */
static bool is_over(const struct handover_destination *d, const struct handover_event *event)
{
	return event->epoch <= d->started;
}

static void commit(struct handover_destination *d, const struct handover_event *event,
		   struct handover_actions *actions)
{
	if (is_over(d, event)) {
		act(actions, HANDOVER_SEND_ACK);
	} else if (!d->has_copy || d->epoch != event->epoch) {
		refuse(d, event, actions);
	} else if (event->incarnation <= d->fence ||
		   (event->digest && event->digest != d->digest)) {
		fence(d, event, actions);
	} else {
		d->started = event->epoch;
		d->has_copy = false;
		d->runs = true;
		act(actions, HANDOVER_LOG);
		act(actions, HANDOVER_START);
		act(actions, HANDOVER_SEND_ACK);
	}
}

static void abort_request(struct handover_destination *d, const struct handover_event *event,
			  struct handover_actions *actions)
{
	if (is_over(d, event))
		act(actions, HANDOVER_SEND_ACK);
	else if (!d->has_copy || d->epoch != event->epoch)
		refuse(d, event, actions);
	else
		fence(d, event, actions);
}

static void drop_copy(struct handover_destination *d, struct handover_actions *actions)
{
	d->has_copy = false;
	if (d->epoch > d->refused)
		d->refused = d->epoch;
	act(actions, HANDOVER_LOG);
	act(actions, HANDOVER_WIPE);
}

struct handover_destination handover_destination_step(struct handover_destination state,
						      const struct handover_event *event,
						      struct handover_actions *actions)
{
	actions->count = 0;
	switch (event->type) {
	case EVENT_VERIFIED:
		verified(&state, event, actions);
		break;
	case EVENT_COMMIT:
		commit(&state, event, actions);
		break;
	case EVENT_ABORTREQ:
		abort_request(&state, event, actions);
		break;
	case EVENT_OWNED:
		if (state.has_copy && event->epoch > state.epoch)
			drop_copy(&state, actions);
		break;
	case EVENT_PEER_IS_OFF: /* a hand-carried COMMIT: the operator has made sure that nobody
				   else runs it */
		if (!state.has_copy)
			break;
		state.started = state.epoch;
		state.has_copy = false;
		state.runs = true;
		act(actions, HANDOVER_LOG);
		act(actions, HANDOVER_START);
		break;
	case EVENT_REBOOTED:
		state.has_copy = state.runs = false;
		state.fence = 0;
		break;
	default: /* LINK_LOST and time change nothing: the destination never decides alone */
		break;
	}
	return state;
}

const char *handover_phase_name(enum handover_source_phase phase)
{
	static const char *const names[SOURCE_PHASE_COUNT] = { "own", "paused", "given", "gone" };

	return phase < SOURCE_PHASE_COUNT ? names[phase] : "?";
}
