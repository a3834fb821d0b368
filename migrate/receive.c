/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sessions at the port. Each record must fit the session's phase; what breaks a rule ends the
 * session with a sentence. A copy that is not verified goes with its session; a verified one
 * stays, and only the hand-over (handover.c) or the operator starts or frees it.
 */
#include "migrate/receive.h"

#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/log.h"
#include "kernel/sched.h"
#include "kernel/status.h"
#include "kernel/string.h"
#include "migrate/migrate.h"
#include "migrate/receipt.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

#define HELLO_NS (3 * NS_PER_SEC)
#define OFFER_NS (10 * NS_PER_SEC)
#define IDLE_NS (15 * NS_PER_SEC)
#define STATUS_HOLD_NS (50 * NS_PER_MS) /* a hand-over is done by then */
#define TYPE(type) (1u << (type))

#define EPOCH_MAX (1ull << 62) /* no honest guest moves so often; it leaves room to grow */
#define NEVER (~0ull)

/* --- stream events: flags only --- */

static void on_progress(struct stream *stream, void *context)
{
	(void)stream;
	(void)context;
	service_wake();
}

static void on_closed(struct stream *stream, int err, void *context)
{
	struct receive *receive = context;

	(void)stream;
	receive->wire.stream = NULL;
	receive->is_closed = true;
	receive->close_err = err;
	service_wake();
}

static const struct stream_events events = {
	.received = on_progress,
	.sent = on_progress,
	.closed = on_closed,
};

/* --- life --- */

void receive_set_phase(struct receive *receive, enum receive_phase phase, u64 timeout_ns)
{
	receive->phase = phase;
	receive->deadline_ns = timeout_ns == NEVER ? NEVER : clock_now_ns() + timeout_ns;
}

void receive_accept(struct stream *stream, void *context)
{
	struct receive *receive = NULL;
	u32 count = 0;

	(void)context;
	list_for_each(other, &migration->receives, struct receive, link)
		count++;
	if (count < RECEIVES_MAX)
		receive = heap_alloc(sizeof(*receive));
	if (!receive || wire_init(&receive->wire, stream, WIRE_FROM_SOURCE)) {
		heap_free(receive);
		stream_abort(stream);
		return;
	}
	list_add_tail(&migration->receives, &receive->link);
	stream_set_events(stream, &events, receive);
	receive_set_phase(receive, RECEIVE_CONNECTED, HELLO_NS);
	service_wake();
}

static void free_receive(struct receive *receive)
{
	if (receive->wire.stream && receive->phase == RECEIVE_CONNECTED)
		stream_abort(receive->wire.stream); /* a stranger is not waited for */
	else if (receive->wire.stream)
		stream_close(receive->wire.stream);
	wire_fini(&receive->wire);
	durable_put(receive->record);
	list_remove(&receive->link);
	heap_free(receive);
}

/* Ends the session. A verified copy stays; another is of no use. */
void receive_leave(struct receive *receive, const char *code, const char *why)
{
	struct arrival *arrival = receive->arrival;

	receive->is_over = true;
	receive->arrival = NULL;
	if (!arrival)
		return;
	arrival->is_session_open = false;
	if (arrival->is_verified) {
		log_warn("move of %s: %s lost; its whole copy is kept here and waits for %s "
			 "(migrate resolve %s)",
			 arrival->vm->config.name, arrival->from, arrival->from,
			 arrival->vm->config.name);
		return;
	}
	log_warn("move of %s from %s: %s (%s)", arrival->vm->config.name, arrival->from, why, code);
	arrive_destroy(arrival);
}

/* Tells the peer why, and ends the session. */
void receive_fail(struct receive *receive, const char *code, const char *why)
{
	struct wire_reason reason;
	u32 ip = 0;

	wire_reason_set(&reason, code, "%s", why);
	if (receive->phase == RECEIVE_CONNECTED) {
		if (receive->wire.stream)
			ip = stream_peer(receive->wire.stream).ip;
		log_warn("migration port: %u.%u.%u.%u: %s (%s)", ip >> 24, ip >> 16 & 255,
			 ip >> 8 & 255, ip & 255, why, code);
	} else {
		wire_put(&receive->wire, WIRE_ERROR, &reason, sizeof(reason));
	}
	receive_leave(receive, reason.code, reason.why);
}

/* --- greeting and offer --- */

static void take_error(struct receive *receive)
{
	const struct wire_reason *reason = (const void *)receive->wire.scratch;

	if (wire_text_ok(reason->code, sizeof(reason->code)) &&
	    wire_text_ok(reason->why, sizeof(reason->why)))
		receive_leave(receive, reason->code, reason->why);
	else
		receive_leave(receive, "E-PROTOCOL", "the peer's error report is broken");
}

static void answer_hello(struct receive *receive)
{
	struct wire_hello hello = receive->hello;

	hello.version = WIRE_VERSION;
	hello.incarnation = durable_incarnation();
	memset(hello.host, 0, sizeof(hello.host));
	str_copy(hello.host, sizeof(hello.host), migration->host);
	wire_put(&receive->wire, WIRE_HELLO, &hello, sizeof(hello));
	stream_flush(receive->wire.stream);
}

static void take_hello(struct receive *receive)
{
	struct wire_hello *hello = &receive->hello;

	memcpy(hello, receive->wire.scratch, sizeof(*hello));
	if (hello->magic != WIRE_MAGIC) {
		receive_fail(receive, "E-PROTOCOL", "what was sent is not the migration protocol");
	} else if (hello->version != WIRE_VERSION) {
		answer_hello(receive); /* so that the other end can name both versions */
		receive_fail(receive, "E-VERSION",
			     "the peer speaks another version of the migration protocol");
		receive->phase = RECEIVE_GREETED; /* no stranger: it may read the answer */
	} else if (hello->purpose < WIRE_MOVE || hello->purpose > WIRE_RESOLVE || !hello->epoch ||
		   hello->epoch > EPOCH_MAX || !wire_text_ok(hello->host, sizeof(hello->host))) {
		receive_fail(receive, "E-PROTOCOL", "the peer's greeting is broken");
	} else {
		answer_hello(receive);
		receive_set_phase(receive, RECEIVE_GREETED, OFFER_NS);
	}
}

static void refuse(struct receive *receive, const struct compat *compat)
{
	wire_put(&receive->wire, WIRE_REFUSE, compat->reason,
		 compat->count * sizeof(compat->reason[0]));
	receive_leave(receive, compat->reason[0].code, compat->reason[0].why);
}

static void accept_offer(struct receive *receive, const struct wire_offer *offer)
{
	struct wire_accept accept = { .is_tsc_trapped = vtime_would_trap(offer->tsc_khz) };
	struct page_stats stats;

	page_get_stats(&stats);
	accept.free_bytes = stats.free_bytes;
	wire_put(&receive->wire, WIRE_ACCEPT, &accept, sizeof(accept));
	stream_flush(receive->wire.stream);
}

/* The same guest again: what an earlier, broken session left behind must not be in the way. */
static void clear_the_way(struct receive *receive)
{
	struct arrival *old = arrive_find(receive->hello.vm_id);

	if (!old)
		return;
	if (old->is_verified) {
		/* The owner offers a newer epoch, so the guest ran on there. */
		receive_event(receive, &(struct handover_event){ .type = EVENT_OWNED,
								 .epoch = receive->hello.epoch });
		return;
	}
	list_for_each(other, &migration->receives, struct receive, link)
		if (other->arrival == old) {
			receive_leave(other, "E-PEER-LOST", "a newer session took its place");
			return;
		}
}

static void take_offer(struct receive *receive)
{
	const struct wire_offer *offer = (const void *)receive->wire.scratch;
	u32 bytes = receive->wire.header.bytes;
	struct compat *compat = heap_alloc(sizeof(*compat));

	if (!compat) {
		receive_fail(receive, "E-NO-MEMORY", "no memory to look at the offer");
		return;
	}
	if (receive->hello.purpose == WIRE_CHECK) {
		compat_check(compat, offer, bytes);
	} else {
		clear_the_way(receive);
		if (arrive_find(receive->hello.vm_id))
			compat_add(compat, "E-VM-EXISTS", "a copy of this guest is held here");
		receive->arrival = arrive_create(&receive->hello, offer, bytes, compat);
	}
	if (compat->count) {
		refuse(receive, compat);
	} else {
		if (receive->arrival) {
			receive->arrival->is_session_open = true;
			log_info("move of %s from %s: %llu MiB reserved", offer->name,
				 receive->hello.host, (unsigned long long)(offer->ram_bytes / MIB));
			receive_set_phase(receive, RECEIVE_ACCEPTED, IDLE_NS);
		}
		accept_offer(receive, offer);
	}
	heap_free(compat);
}

/* --- pages and state --- */

static void take_pages(struct receive *receive)
{
	struct wire_reason reason = { .code = "" };

	if (!arrive_take_pages(receive->arrival, &receive->wire, &reason))
		return;
	receive->is_in_pages = false;
	if (reason.code[0])
		receive_fail(receive, reason.code, reason.why);
}

/* The answer for a large guest is longer than the ring: the rest waits until the peer took some. */
static void end_round(struct receive *receive)
{
	receive->is_ending_round =
		!arrive_end_round(receive->arrival, &receive->wire, &receive->round_end);
	if (receive->is_ending_round && receive->wire.stream)
		stream_flush(receive->wire.stream);
}

static void take_pause_state(struct receive *receive)
{
	const struct wire_pause_state *state = (const void *)receive->wire.scratch;
	struct wire_reason reason;

	if (!arrive_verify(receive->arrival, state, &receive->ready, &reason)) {
		receive_fail(receive, reason.code, reason.why);
		return;
	}
	receive->arrival->is_verified = true;
	if (receive_event(receive, &(struct handover_event){ .type = EVENT_VERIFIED,
							     .epoch = state->epoch,
							     .digest = state->digest })) {
		receive_set_phase(receive, RECEIVE_HOLDING, NEVER);
		return;
	}
	receive->arrival->is_verified = false;
	receive_fail(receive, "E-PROTOCOL",
		     "this epoch of the guest has come to its end here before");
}

static void take_copy_record(struct receive *receive)
{
	struct arrival *arrival = receive->arrival;
	const void *payload = receive->wire.scratch;
	u32 bytes = receive->wire.header.bytes;
	struct wire_reason reason;
	bool is_good = true;

	receive->deadline_ns = clock_now_ns() + IDLE_NS;
	switch (receive->wire.header.type) {
	case WIRE_PAGES:
		is_good = arrive_open_pages(arrival, payload, &reason);
		receive->is_in_pages = is_good;
		break;
	case WIRE_DELTA:
		is_good = arrive_take_delta(arrival, payload, bytes, &reason);
		break;
	case WIRE_ZERO:
		is_good = arrive_take_zero(arrival, payload, &reason);
		break;
	case WIRE_ROUND_END:
		memcpy(&receive->round_end, payload, sizeof(receive->round_end));
		end_round(receive);
		break;
	case WIRE_DEVICE:
		/* State comes when the guest stands still. */
		status_hold(clock_now_ns() + STATUS_HOLD_NS);
		is_good = image_take_device(&arrival->image, payload, bytes, &reason);
		break;
	case WIRE_VCPU:
		is_good = image_take_vcpu(&arrival->image, payload, bytes, &reason);
		break;
	default:
		take_pause_state(receive);
		break;
	}
	if (!is_good)
		receive_fail(receive, reason.code, reason.why);
}

static void take_receipt(struct receive *receive)
{
	const struct receipt *receipt = (const void *)receive->wire.scratch;

	if (receipt_check(receipt))
		receipt_keep(receipt, true);
	else
		log_warn("migration: the peer's receipt is broken and was not kept");
	receive_leave(receive, "", "");
}

/* --- records --- */

static bool is_expected(const struct receive *receive, u32 type)
{
	static const u32 handover = TYPE(WIRE_COMMIT) | TYPE(WIRE_ABORTREQ) | TYPE(WIRE_OWNED);
	static const u32 expected[RECEIVE_PHASE_COUNT] = {
		[RECEIVE_CONNECTED] = TYPE(WIRE_HELLO),
		[RECEIVE_GREETED] = TYPE(WIRE_ERROR),
		[RECEIVE_ACCEPTED] = TYPE(WIRE_PAGES) | TYPE(WIRE_DELTA) | TYPE(WIRE_ZERO) |
				     TYPE(WIRE_ROUND_END) | TYPE(WIRE_DEVICE) | TYPE(WIRE_VCPU) |
				     TYPE(WIRE_PAUSE_STATE) | TYPE(WIRE_ERROR),
		[RECEIVE_HOLDING] = handover | TYPE(WIRE_ERROR),
		[RECEIVE_STARTED] = handover | TYPE(WIRE_ERROR) | TYPE(WIRE_RECEIPT),
	};
	u32 types = expected[receive->phase];

	if (receive->phase == RECEIVE_GREETED)
		types |= receive->hello.purpose == WIRE_RESOLVE ? handover : TYPE(WIRE_OFFER);
	return types & TYPE(type);
}

static void take_handover(struct receive *receive)
{
	const struct wire_commit *commit = (const void *)receive->wire.scratch;
	const struct wire_epoch *epoch = (const void *)receive->wire.scratch;
	struct handover_event event = { .epoch = epoch->epoch, .incarnation = epoch->incarnation };

	if (epoch->epoch != receive->hello.epoch && receive->wire.header.type != WIRE_OWNED) {
		receive_fail(receive, "E-PROTOCOL",
			     "the peer speaks of another epoch than in its greeting");
		return;
	}
	switch (receive->wire.header.type) {
	case WIRE_COMMIT:
		event.type = EVENT_COMMIT;
		event.digest = commit->digest;
		receive->elapsed_ns = commit->elapsed_ns;
		break;
	case WIRE_ABORTREQ:
		event.type = EVENT_ABORTREQ;
		break;
	default:
		event.type = EVENT_OWNED;
		break;
	}
	receive_event(receive, &event);
}

static void take_record(struct receive *receive)
{
	u32 type = receive->wire.header.type;

	if (!is_expected(receive, type)) {
		receive_fail(receive, "E-PROTOCOL", "the peer sent a record out of order");
		return;
	}
	switch (type) {
	case WIRE_HELLO:
		take_hello(receive);
		break;
	case WIRE_OFFER:
		take_offer(receive);
		break;
	case WIRE_COMMIT:
	case WIRE_ABORTREQ:
	case WIRE_OWNED:
		take_handover(receive);
		break;
	case WIRE_RECEIPT:
		take_receipt(receive);
		break;
	case WIRE_ERROR:
		take_error(receive);
		break;
	default:
		take_copy_record(receive);
		break;
	}
}

/* One record, or a piece of one. False: nothing more has arrived. */
static bool step(struct receive *receive)
{
	enum wire_result result;

	if (receive->is_in_pages) {
		take_pages(receive);
		return !receive->is_in_pages;
	}
	if (receive->is_ending_round) {
		end_round(receive);
		return !receive->is_ending_round;
	}
	result = wire_next(&receive->wire);
	if (result == WIRE_GOT)
		take_record(receive);
	else if (result == WIRE_BROKEN)
		receive_fail(receive, receive->wire.broken.code, receive->wire.broken.why);
	return result != WIRE_WAITING;
}

bool receive_poll(struct receive *receive)
{
	u64 start = clock_now_ns();
	bool has_more = true;

	while (!receive->is_over && has_more && clock_now_ns() - start < MIGRATE_STEP_NS)
		has_more = step(receive);
	if (!receive->is_over && !has_more && receive->is_closed)
		receive_leave(receive, "E-PEER-LOST",
			      receive->close_err ? errno_name(receive->close_err)
						 : "the peer closed the connection");
	if (!receive->is_over && clock_now_ns() >= receive->deadline_ns)
		receive_fail(receive, "E-PEER-SILENT", "the peer fell silent");
	if (receive->is_over) {
		free_receive(receive);
		return false;
	}
	return has_more;
}
