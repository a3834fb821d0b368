/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The migration protocol on a byte stream: records, limits, framing. PROTOCOL.md draws it.
 *
 *      0        4        8
 *     +--------+--------+----------------- ... -+-------+
 *     | type   | bytes  | payload               | zeros |   all little endian
 *     +--------+--------+----------------- ... -+-------+
 *                       |<-- bytes, a multiple of 8 --->|
 *
 * Framing trusts nothing: each type has a fixed least and greatest length and a side that
 * may send it; an unknown type ends the session unless its optional bit is set. Payloads are
 * gathered in a scratch buffer; page data is not, it is read in place (wire_data).
 */
#pragma once

#include "kernel/state.h"
#include "kernel/types.h"
#include "vmm/cpuid.h"

struct stream;

#define WIRE_PORT 8376
#define WIRE_MAGIC 0x3147494d4e524554ull /* "TERNMIG1" */
#define WIRE_VERSION 2

#define WIRE_HOST_MAX 32
#define WIRE_CODE_MAX 24
#define WIRE_WHY_MAX 168
#define WIRE_REASONS_MAX 8
#define WIRE_DEVICES_MAX 256
#define WIRE_PAGES_MAX 16            /* pages in one PAGES record */
#define WIRE_ZERO_MAX 512            /* pages in one ZERO record */
#define WIRE_ACKED_MAX 4096          /* pages in one ACKED record */
#define WIRE_STATE_MAX (64 * 1024)   /* bytes of one device's or vCPU's state */
#define WIRE_SKIP_MAX (1024 * 1024)  /* an optional record that is not known */
#define WIRE_OPTIONAL (1u << 31)

enum wire_type {
	WIRE_HELLO = 1,       /* both: first record of each side */
	WIRE_OFFER = 2,       /* source: what comes, before any page */
	WIRE_ACCEPT = 3,      /* destination: everything is reserved (or would be, for a check) */
	WIRE_REFUSE = 4,      /* destination: all reasons */
	WIRE_PAGES = 5,       /* source */
	WIRE_ZERO = 6,        /* source */
	WIRE_ROUND_END = 7,   /* source; waits for ROUND_DONE */
	WIRE_ACKED = 8,       /* destination: which pages of the round lie in its memory */
	WIRE_ROUND_DONE = 9,  /* destination */
	WIRE_DEVICE = 10,     /* source, guest stopped */
	WIRE_VCPU = 11,       /* source, guest stopped */
	WIRE_PAUSE_STATE = 12,/* source: all was sent */
	WIRE_READY = 13,      /* destination: verified, and could run */
	WIRE_COMMIT = 14,     /* source: from here the guest is the destination's */
	WIRE_ACK = 15,        /* destination: it runs */
	WIRE_ABORTREQ = 16,   /* source: give it back */
	WIRE_ABORTED = 17,    /* destination: never started, never will under this incarnation */
	WIRE_OWNED = 18,      /* source: it runs at the source under this newer epoch */
	WIRE_ERROR = 19,      /* either: why the session ends */
	WIRE_RECEIPT = 20,    /* source, after ACK */
	WIRE_DELTA = 21,      /* source: the lines of a page that changed since it was sent */
	WIRE_TYPE_COUNT
};

enum wire_purpose { WIRE_MOVE = 1, WIRE_CHECK = 2, WIRE_RESOLVE = 3 };

STATE_BEGIN
struct wire_header {
	u32 type;
	u32 bytes;
};

struct wire_hello {
	u64 magic;
	u32 version;
	u32 purpose;
	u8 session[16];      /* made by the source, the same in both directions */
	u8 vm_id[16];        /* of the guest, for its life */
	u64 epoch;           /* of the hand-over that is meant */
	u64 incarnation;     /* of the sender of this record */
	char host[WIRE_HOST_MAX];
};

struct wire_device_entry {
	char name[16];
	u32 instance;
	u16 version;
	u16 bytes;
};

struct wire_offer {
	char name[32];
	char kernel[64];
	char initrd[64];
	char cmdline[2048];
	char console[8];
	u64 ram_bytes;
	u64 xcr0;            /* what the guest may set */
	u64 tsc_khz;         /* what the guest was told */
	u32 vcpu_count;
	u32 physical_bits;   /* guest-physical address width that the guest was told */
	u32 device_count;    /* entries that follow */
	u32 reserved;
	struct cpuid_policy cpuid;
};

struct wire_accept {
	u64 free_bytes;      /* of the destination, when this guest is in */
	u32 is_tsc_trapped;  /* it would run, with slow RDTSC */
	u32 reserved;
};

/* WIRE_ERROR, and one reason of WIRE_REFUSE. Both texts end with NUL. */
struct wire_reason {
	char code[WIRE_CODE_MAX];
	char why[WIRE_WHY_MAX];
};

struct wire_pages {
	u64 first;           /* page index */
	u32 count;
	u32 reserved;
	u64 digest;          /* sum of digest_mix over the pages */
};

struct wire_delta {
	u64 page;
	u64 lines;           /* a bit for each line of 64 bytes; they follow */
	u64 digest;          /* digest_mix of the whole page */
};

struct wire_zero {
	u64 first;
	u64 count;
};

struct wire_round {
	u32 round;
	u32 reserved;
	u64 pages;           /* sent, zero pages included; in ROUND_DONE: held by the destination */
};

struct wire_acked {
	u64 first;           /* a multiple of 64 */
	u32 count;           /* bits that follow, padded with 0 to a word */
	u32 round;
};

struct wire_device {
	struct wire_device_entry entry; /* then its state, padded */
};

struct wire_vcpu {
	u32 index;
	u32 bytes;           /* then struct vcpu_state */
};

struct wire_pause_state {
	u64 epoch;
	u64 digest;          /* of memory, of all DEVICE and VCPU records, and of the OFFER */
	u64 page_count;
	u32 device_count;
	u32 vcpu_count;
};

struct wire_ready {
	u64 epoch;
	u64 digest;
	u64 apply_ns;        /* the destination's own work between PAUSE_STATE and READY */
	u64 verify_ns;
};

struct wire_commit {
	u64 epoch;
	u64 incarnation;
	u64 digest;          /* of the READY that it answers; 0 after a crash of the source */
	u64 elapsed_ns;      /* since the guest stopped, way to the destination included */
};

struct wire_ack {
	u64 epoch;
	u64 incarnation;     /* of the COMMIT or ABORTREQ that it answers */
	u64 resume_ns;       /* from COMMIT's arrival until the guest ran */
	u64 announce_ns;
	u64 pages_verified;
};

struct wire_epoch {          /* ABORTREQ, ABORTED, OWNED */
	u64 epoch;
	u64 incarnation;
};
STATE_END

enum wire_side { WIRE_FROM_SOURCE = 1, WIRE_FROM_DESTINATION = 2 };
enum wire_result { WIRE_WAITING, WIRE_GOT, WIRE_BROKEN };

/* One end of a session. The stream may be NULL: then nothing is sent and nothing comes. */
struct wire {
	struct stream *stream;
	enum wire_side peer;          /* which records may come */
	struct wire_header header;    /* of the record that comes in */
	bool has_header;
	u32 have;                     /* bytes of its payload in scratch */
	u32 data_left;                /* bytes of its page data not taken yet */
	u32 skip_left;
	u8 *scratch;
	struct wire_reason broken;    /* why, after WIRE_BROKEN */
};

/* 0 or -ENOMEM. Forgets what was half received before. */
int wire_init(struct wire *wire, struct stream *stream, enum wire_side peer);
void wire_fini(struct wire *wire);

/*
 * Takes what has arrived up to the end of one record. WIRE_GOT: header says which, payload is in
 * scratch with a length that suits the type; page data, if any, waits for wire_data. The next
 * call goes on behind the record.
 */
enum wire_result wire_next(struct wire *wire);
/* Copies page data that has arrived, at most want bytes, returns how many. */
size_t wire_data(struct wire *wire, void *to, size_t want);

/* Bytes that can be sent now. */
size_t wire_room(const struct wire *wire);
/* Bytes on the stream for a record with this payload. */
size_t wire_record_bytes(size_t payload_bytes);
/*
 * Sends a record whose payload is a then b (b may be empty), padded. All or nothing: 0, -EAGAIN,
 * -ENOTCONN.
 */
int wire_put2(struct wire *wire, u32 type, const void *a, size_t a_bytes, const void *b,
	      size_t b_bytes);
int wire_put(struct wire *wire, u32 type, const void *payload, size_t bytes);

/*
 * A text field of the peer: ends with NUL inside max bytes, and nothing but printable characters
 * before.
 */
bool wire_text_ok(const char *text, size_t max);
/* Fills a reason. */
void wire_reason_set(struct wire_reason *reason, const char *code, const char *format, ...)
	PRINTF_LIKE(3, 4);
