/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a move cost, microsecond by microsecond. Both ends keep it; it is also a record on
 * the wire, so the layout is fixed.
 */
#pragma once

#include "kernel/state.h"
#include "kernel/types.h"

struct shell;

#define RECEIPT_ROUNDS_MAX 64
#define RECEIPTS_KEPT 32
#define RECEIPT_ID_MAX 9

enum receipt_result {
	RECEIPT_RUNNING,
	RECEIPT_MOVED,
	RECEIPT_FAILED,
	RECEIPT_CANCELLED,
	RECEIPT_RESULT_COUNT
};

/* Where the stun goes, in order. They sum to stun_us. */
enum receipt_part {
	PART_STOP,         /* last vCPU out of the guest, devices stopped, state complete */
	PART_HARVEST,      /* last look at dirty pages */
	PART_SEND_TAIL,    /* last pages and state into the send ring */
	PART_REMOTE_APPLY, /* destination: states checked and loaded */
	PART_VERIFY,       /* destination: digests compared */
	PART_READY,        /* on the wire, tail and READY */
	PART_COMMIT,       /* the source's answer, on the wire */
	PART_RESUME,       /* destination: the guest runs */
	PART_ANNOUNCE,     /* destination: ports and network told */
	PART_COUNT
};

STATE_BEGIN
struct receipt_round {
	u64 pages;         /* zero pages included */
	u64 zero_pages;
	u64 bytes;         /* on the stream */
	u64 dirty_pages;   /* written by the guest meanwhile */
	u64 us;
};

struct receipt {
	u8 session[16];
	char vm[32];
	char from[32];
	char to[32];
	char code[24];     /* of the error, or "" */
	char why[168];
	u32 result;        /* enum receipt_result */
	u32 round_count;
	u64 total_us;
	u64 stun_us;
	u64 part_us[PART_COUNT];
	u64 bytes_sent;
	u64 pages_sent;
	u64 zero_pages;
	u64 guest_ram_bytes;
	u64 throughput_bps;  /* bits per second from the first page to the end */
	u64 throttled_us;
	u64 stun_limit_us;
	u64 predicted_stun_us;
	u64 pages_verified;
	u64 digest;
	u64 epoch;
	char tracking[8];    /* how written pages were found; what that cost: */
	u64 entries_scanned; /* of nested tables */
	u64 log_entries;     /* of the hardware's log */
	u64 tracking_exits;  /* that the guest would not have had */
	u32 digest_match;
	u32 reserved;
	struct receipt_round round[RECEIPT_ROUNDS_MAX];
};
STATE_END

struct kept_receipt {
	bool is_incoming;
	struct receipt receipt;
};

/* One more round at the end; the last one takes the sum when there are more than fit. */
void receipt_add_round(struct receipt *receipt, const struct receipt_round *round);
/* Sets stun_us to the sum of its parts. */
void receipt_sum_stun(struct receipt *receipt);
/* The peer may be lying: true if every text ends and every count is in range. */
bool receipt_check(const struct receipt *receipt);
/* Keeps a copy, forgetting the oldest. */
void receipt_keep(const struct receipt *receipt, bool is_incoming);
/* The index-th from the oldest that is kept; NULL at the end. */
const struct kept_receipt *receipt_nth(u32 index);
/* By the id that is shown, the same on both hosts; NULL: the newest. NULL if there is none. */
const struct kept_receipt *receipt_find(const char *id);
/* The id of a session: its first 8 hexadecimal digits. */
void receipt_id(const u8 session[16], char id[RECEIPT_ID_MAX]);
/* NULL if there is none, yet. */
const struct kept_receipt *receipt_of_session(const u8 session[16]);
/* As a table, or with --json as keys of the open object. */
void receipt_show(struct shell *shell, const struct kept_receipt *kept);
const char *receipt_result_name(u32 result);
