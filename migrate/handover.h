/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who owns the guest: two pure functions, (state, event) -> (state, actions), one for each end.
 *
 * The rules, for a hand-over that ends epoch e:
 *   - The source may run the guest while it is OWN. PAUSED it may go back by itself (own e+1).
 *     From GIVEN on it runs the guest only when the destination says ABORTED.
 *   - The destination starts only on COMMIT(e, incarnation) for the copy whose digest it
 *     reported, never by itself and never because time passed. Asked to give back, it fences e
 *     against COMMITs of that incarnation and keeps its copy until a newer epoch is known to run.
 *   - Messages of another epoch or an older incarnation change nothing.
 * Nothing here knows of streams, clocks or memory: send.c and receive.c turn what happens into
 * events, and execute the actions in the order given. HANDOVER_LOG is durable before the next
 * action is executed (migrate/durable.h).
 */
#pragma once

#include "kernel/types.h"

enum handover_event_type {
	/* source */
	EVENT_PAUSED,      /* the guest has stopped and all was sent; digest */
	EVENT_READY,       /* epoch, digest */
	EVENT_ACK,         /* epoch */
	EVENT_ABORTED,     /* epoch, incarnation */
	EVENT_LINK_UP,     /* a session with the destination is open (again) */
	EVENT_LINK_LOST,
	EVENT_TIMEOUT,     /* READY took too long */
	EVENT_CANCEL,      /* the operator wants the guest here */
	EVENT_REPEAT,      /* no answer for a while */
	EVENT_REBOOTED,    /* incarnation is the new one; the state given is the logged one */
	EVENT_PEER_IS_OFF, /* the operator swears that the destination is powered off */
	/* destination */
	EVENT_VERIFIED,    /* epoch, digest: a whole copy lies here and could run */
	EVENT_COMMIT,      /* epoch, incarnation, digest (0: not known any more) */
	EVENT_ABORTREQ,    /* epoch, incarnation */
	EVENT_OWNED,       /* epoch: the guest runs elsewhere under it */
	EVENT_TYPE_COUNT
};

struct handover_event {
	enum handover_event_type type;
	u64 epoch;
	u64 incarnation;
	u64 digest;
	/*
	 * ABORTED from a destination that has no durable records and was started since: it may have
	 * run the guest.
	 */
	bool is_forgetful;
};

enum handover_action {
	HANDOVER_LOG,           /* make the new state durable */
	HANDOVER_SEND_STATE,    /* PAUSE_STATE(epoch, digest) */
	HANDOVER_SEND_COMMIT,   /* COMMIT(epoch, incarnation, digest) */
	HANDOVER_SEND_ABORTREQ, /* ABORTREQ(epoch, incarnation) */
	HANDOVER_SEND_OWNED,    /* OWNED(epoch), the new one */
	HANDOVER_RESUME,        /* run the guest here again */
	HANDOVER_RECONNECT,     /* and report LINK_UP */
	HANDOVER_WIPE,          /* free this copy: it is not the current one */
	HANDOVER_LOST,          /* no copy anywhere: the guest died with its host */
	HANDOVER_ASK_OPERATOR,  /* no message can settle it any more */
	HANDOVER_SEND_READY,    /* READY(epoch, digest) */
	HANDOVER_START,         /* run the guest here */
	HANDOVER_SEND_ACK,      /* ACK(event's epoch) */
	HANDOVER_SEND_ABORTED,  /* ABORTED(event's epoch and incarnation) */
	HANDOVER_ACTION_COUNT
};

#define HANDOVER_ACTIONS_MAX 5

struct handover_actions {
	u32 count;
	enum handover_action list[HANDOVER_ACTIONS_MAX];
};

enum handover_source_phase {
	SOURCE_OWN,
	SOURCE_PAUSED,
	SOURCE_GIVEN,
	SOURCE_GONE,
	SOURCE_PHASE_COUNT
};

struct handover_source {
	enum handover_source_phase phase; /* durable */
	u64 epoch;                        /* durable: of the current ownership */
	u64 incarnation;                  /* durable: grows at each start of the host */
	u64 digest;                       /* of the paused state */
	bool has_copy;                    /* the guest's memory is here and frozen, or running */
	bool wants_back;                  /* take-back: ABORTREQ instead of COMMIT */
};

struct handover_destination {
	u64 started;      /* durable: highest epoch started here */
	u64 refused;      /* durable: highest epoch answered ABORTED without a copy */
	bool has_copy;    /* a whole, verified copy that does not run */
	u64 epoch;        /* of that copy */
	u64 digest;
	u64 fence;        /* COMMITs of incarnations up to this are void */
	bool runs;        /* it was started here and has not left since */
};

/* Returns the next state; actions is filled. */
struct handover_source handover_source_step(struct handover_source state,
					    const struct handover_event *event,
					    struct handover_actions *actions);
struct handover_destination handover_destination_step(struct handover_destination state,
						      const struct handover_event *event,
						      struct handover_actions *actions);

const char *handover_phase_name(enum handover_source_phase phase);
