/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The destination's end of a session: moves, checks, and questions about hand-overs that were
 * cut. A session may come from anybody who reaches the port. CPU 0 only.
 */
#pragma once

#include "migrate/arrive.h"
#include "migrate/wire.h"
#include "net/stream.h"

#define RECEIVES_MAX 32

enum receive_phase {
	RECEIVE_CONNECTED, /* nothing said yet */
	RECEIVE_GREETED,
	RECEIVE_ACCEPTED,  /* pages and state come in */
	RECEIVE_HOLDING,   /* READY said */
	RECEIVE_STARTED,   /* ACK said; the receipt comes in */
	RECEIVE_PHASE_COUNT
};

struct receive {
	struct list link;
	enum receive_phase phase;
	struct wire wire;
	struct wire_hello hello;
	struct durable_record *record;
	struct arrival *arrival;   /* this session's own */
	bool is_closed;
	bool is_over;
	int close_err;
	bool is_in_pages;          /* page data of the last record is not complete */
	bool is_ending_round;      /* not all that is to be said about round_end fits the ring yet */
	struct wire_round round_end;
	u64 deadline_ns;
	struct wire_ready ready;   /* what the handover may send */
	u64 elapsed_ns;            /* of the COMMIT being handled */
	u64 resume_ns, announce_ns;
	u64 pages_verified;
};

/* For stream_listen. */
void receive_accept(struct stream *stream, void *context);
bool receive_poll(struct receive *receive);

/* The operator: the peer that sent this copy is powered off, run it; or forget it. */
void receive_force_start(struct arrival *arrival);
void receive_force_drop(struct arrival *arrival);
/* The VM of an arrival is about to be freed by someone else. */
void receive_vm_gone(struct arrival *arrival);

/* --- between receive.c and commit.c --- */

void receive_set_phase(struct receive *receive, enum receive_phase phase, u64 timeout_ns);
/* Ends the session; the next poll frees it. A verified copy stays, another is of no use. */
void receive_leave(struct receive *receive, const char *code, const char *why);
/* Tells the peer why, and ends the session. */
void receive_fail(struct receive *receive, const char *code, const char *why);
/* Gives the event to the hand-over and carries out what follows; true if anything did. */
bool receive_event(struct receive *receive, const struct handover_event *event);
