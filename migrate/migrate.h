/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moves of running guests to other hosts and from them. One service on CPU 0 polls all sessions;
 * each is a state machine with short steps, so any number of moves, in both directions, share
 * the loop with each other and with the guests.
 *
 *   send.c     the source: session and phases     arrive.c   a copy of a guest that comes in
 *   copy.c     pages and rounds                   receive.c  the destination's sessions
 *   stun.c     the stop, the tail, the hand-over
 */
#pragma once

#include "kernel/list.h"
#include "kernel/sched.h"
#include "kernel/timer.h"
#include "kernel/types.h"
#include "migrate/durable.h"
#include "migrate/peer.h"
#include "migrate/receipt.h"

#define MIGRATE_STEP_NS (500 * NS_PER_US) /* one session's turn in the service loop */

/* All state of this folder. A host has one; the host tests have two and switch. */
struct migration {
	char host[32];
	u64 incarnation;
	u64 session_count;
	struct list sends;
	struct list receives;
	struct list arrivals;
	struct list spent;           /* arrivals whose guests were started; to be freed */
	struct peer peer[PEERS_MAX]; /* in the order in which they were added */
	u32 peer_count;
	struct kept_receipt receipt[RECEIPTS_KEPT]; /* a ring */
	u32 receipt_count;           /* ever kept */
	struct durable_record record[DURABLE_RECORDS_MAX];
	u64 record_use_count;
	struct service service;
	struct timer timer;
	u8 watched[16];              /* session that a console shows; it reports the end */
	bool is_watched;
	bool is_listening;
};

extern struct migration *migration;

/* Peers from tern.conf, port open, service running. After net_init and vm_init. */
void migrate_init(void);
/* The same, without the machine around it. */
void migrate_setup(struct migration *m, const char *host);
/* One turn of all sessions; true if there is more to do at once. */
bool migrate_poll(void);

/* A fresh 128-bit number: nobody else has it. */
void migrate_make_id(u8 id[16]);
/* The VM that has the identity on this host, running or not; NULL. */
struct vm *migrate_vm(const u8 vm_id[16]);
