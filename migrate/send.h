/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The source's end of a move. Whatever fails before the guest was given away leaves it
 * running here. CPU 0 only.
 *
 *   DIALLED -> GREETED -> OFFERED -> COPYING <-> ROUND_ENDED -> HALTING -> TAIL -> PAUSED -> GIVEN
 *                            |                                                         |
 *                            +-> (check: done)                         DETACHED <- link lost
 */
#pragma once

#include "kernel/list.h"
#include "migrate/compat.h"
#include "migrate/delta.h"
#include "migrate/digest.h"
#include "migrate/durable.h"
#include "migrate/pace.h"
#include "migrate/receipt.h"
#include "migrate/rounds.h"
#include "migrate/wire.h"
#include "net/stream.h"

struct vcpu_state;
struct vm;

enum send_phase {
	SEND_DIALLED,      /* connecting */
	SEND_GREETED,      /* HELLO sent */
	SEND_OFFERED,      /* the destination decides and reserves */
	SEND_COPYING,      /* a round is being sent */
	SEND_ROUND_ENDED,  /* the destination catches up */
	SEND_WAITING,      /* for the end of what a device is doing, a moment at most */
	SEND_HALTING,      /* the guest is leaving the CPUs; from here on it stands still */
	SEND_TAIL,         /* last pages */
	SEND_PAUSED,       /* all was sent; waiting for READY */
	SEND_GIVEN,        /* COMMIT sent; waiting for ACK */
	SEND_DETACHED,     /* given, link lost: dialling again */
	SEND_PHASE_COUNT
};

struct send_options {
	u64 stun_limit_ns;
	u64 rate_bytes;    /* per second; 0: no limit */
	bool is_check;     /* ask only */
};

struct send {
	struct list link;
	enum send_phase phase;
	struct vm *vm;
	struct stream_address address;
	struct wire wire;
	struct durable_record *record;
	u64 peer_incarnation;          /* of the destination when the offer was accepted */
	struct send_options options;
	bool is_peer_new;              /* the destination was started anew since then */
	bool is_over;                  /* concluded; the next poll frees it, unless it is held */
	bool is_held;                  /* a console still wants to read the outcome */
	bool is_opened;
	bool is_closed;                /* the stream is gone, with close_err */
	bool is_cancelled;
	int close_err;
	u64 deadline_ns;               /* of the phase; ~0: none */
	u64 retry_ns;                  /* back-off between dials; from the start when the peer has answered */
	u32 repeat_count;              /* of COMMIT on this stream */

	/* copying */
	struct rounds rounds;
	struct digest_map digests;
	struct delta delta;
	bool is_small_round;           /* pages go one by one, as differences where that is less */
	u64 *acked; /* bitmap: the destination has the page's last collected content */
	u64 acked_count;
	bool is_tracking;
	u64 armed_chunks;
	u64 zero_first, zero_count;    /* a ZERO record that grows */
	struct pace pace;
	u64 held_at_ns, held_until_ns; /* by the rate limit; 0, ~0: not */
	bool was_held; /* in the middle of this round: it says nothing of the link's rate */
	u64 active_at_ns, active_ns;   /* time with something on its way, this round */
	u64 round_start_ns, round_end_ns;
	u64 dirty_per_sec;             /* pages, in the last round */
	u8 *staging;                   /* one page that does not fit before the ring's end */
	u64 copy_start_ns;
	struct receipt_round round;

	/* the stun */
	u64 start_ns, waiting_ns, halted_ns, settled_ns, harvested_ns, sent_ns, ready_ns,
		committed_ns;
	u64 state_bytes;
	u64 offer_digest;
	u32 stun_attempts;
	bool is_stunned;               /* vm_halt was asked and vm_go was not */
	struct vcpu_state *vcpu_scratch;

	struct wire_reason lost;       /* why the session broke after the guest was paused */
	struct compat compat;          /* REFUSE's reasons */
	struct wire_accept accepted;
	struct receipt receipt;
};

/*
 * Starts a move (or a check) of the VM. Returns NULL with the reason when it cannot even start. The
 * session's id is in send->receipt.session; after the end only the receipt of that session remains.
 */
struct send *send_start(struct vm *vm, const char *peer_name, struct stream_address address,
			const struct send_options *options, struct wire_reason *reason);
bool send_poll(struct send *send);
/* When poll wants to be called next at the latest. */
u64 send_deadline_ns(const struct send *send);
/*
 * The operator wants the guest here: ends the move before it is given away, asks for it back after.
 */
void send_cancel(struct send *send);
/* The operator swears that the peer is powered off: the guest goes on here. */
void send_force(struct send *send);
/* The VM is about to be freed by someone else. */
void send_vm_gone(struct send *send);
struct send *send_of_vm(const struct vm *vm);
struct send *send_find(const u8 session[16]);

/* --- between send.c, copy.c and stun.c --- */

void send_set_phase(struct send *send, enum send_phase phase, u64 timeout_ns);
/* Ends the move with the guest running here. The send is freed by the next poll. */
void send_fail(struct send *send, const char *code, const char *format, ...) PRINTF_LIKE(3, 4);
/* The move is over, well: receipt, records. */
void send_finish(struct send *send);
/* Leaves the stream, in order. */
void send_hang_up(struct send *send);
void send_resume_guest(struct send *send);
/* What finding written pages cost, into the receipt; once. */
void send_note_tracking(struct send *send);
void send_restore_tracking(struct send *send);
/* The peer broke the protocol, or the session is of no use any more. */
void send_break(struct send *send, const char *code, const char *why);
/* The guest was given and the destination does not answer: dials again after a while. */
void send_detach(struct send *send);

/* The guest is not this host's any more, unless the destination gives it back. */
bool send_is_given(const struct send *send);

/* greet.c */
void greet_say_hello(struct send *send, enum wire_purpose purpose);
void greet_take_hello(struct send *send);
void greet_take_refuse(struct send *send);
void greet_take_accept(struct send *send);

/* copy.c */
int copy_start(struct send *send);
void copy_stop(struct send *send);
/* Goes on with what is in rounds.todo. */
void copy_resume(struct send *send);
bool copy_poll(struct send *send);
/* Pages of the stopped guest, without a rate limit. True: all are on the stream. */
bool copy_tail(struct send *send);
void copy_take_acked(struct send *send);
bool copy_take_round_done(struct send *send);
void copy_count_active(struct send *send, u64 now_ns);

/* stun.c */
void stun_start(struct send *send);
bool stun_poll(struct send *send);
void stun_event(struct send *send, const struct handover_event *event);
void stun_take_ack(struct send *send);
