/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The source's session: dial, greet, offer, and the end of every move. Stream callbacks only leave
 * flags; all work is done in send_poll, in short steps, so nothing here can be entered twice.
 */
#include "migrate/send.h"

#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/fmt.h"
#include "kernel/heap.h"
#include "kernel/log.h"
#include "kernel/sched.h"
#include "kernel/string.h"
#include "migrate/migrate.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

#define DIAL_MS 3000
#define ANSWER_NS (10 * NS_PER_SEC)
#define RETRY_MIN_NS (100 * NS_PER_MS)
#define RETRY_MAX_NS (5 * NS_PER_SEC)
#define REPEAT_NS (1 * NS_PER_SEC)
#define REPEATS_MAX 3
#define NEVER (~0ull)

/* --- stream events --- */

static void on_opened(struct stream *stream, void *context)
{
	struct send *send = context;

	(void)stream;
	send->is_opened = true;
	service_wake();
}

static void on_progress(struct stream *stream, void *context)
{
	(void)stream;
	(void)context;
	service_wake();
}

static void on_closed(struct stream *stream, int err, void *context)
{
	struct send *send = context;

	(void)stream;
	send->wire.stream = NULL;
	send->is_closed = true;
	send->close_err = err;
	service_wake();
}

static const struct stream_events events = {
	.opened = on_opened,
	.received = on_progress,
	.sent = on_progress,
	.closed = on_closed,
};

static bool dial(struct send *send)
{
	struct stream *stream = stream_connect_by(net_migration_network(), send->address, DIAL_MS, &events, send);

	send->is_opened = send->is_closed = false;
	return wire_init(&send->wire, stream, WIRE_FROM_DESTINATION) == 0 && stream;
}

void send_hang_up(struct send *send)
{
	if (send->wire.stream)
		stream_close(send->wire.stream);
	send->wire.stream = NULL;
}

/* --- life --- */

struct send *send_of_vm(const struct vm *vm)
{
	list_for_each(send, &migration->sends, struct send, link)
		if (send->vm == vm && !send->options.is_check)
			return send;
	return NULL;
}

struct send *send_find(const u8 session[16])
{
	list_for_each(send, &migration->sends, struct send, link)
		if (!memcmp(send->receipt.session, session, sizeof(send->receipt.session)))
			return send;
	return NULL;
}

static void free_send(struct send *send)
{
	if (send->wire.stream)
		stream_abort(send->wire.stream);
	wire_fini(&send->wire);
	copy_stop(send);
	heap_free(send->vcpu_scratch);
	durable_put(send->record);
	list_remove(&send->link);
	heap_free(send);
}

static bool may_move(const struct vm *vm, struct wire_reason *reason)
{
	if (vm->state != VM_RUNNING)
		wire_reason_set(reason, "E-VM-STATE", "it is not running");
	else if (vm->migration)
		wire_reason_set(reason, "E-MOVING", "it is being moved already");
	else if (net_migration_network() == NETWORK_NONE)
		wire_reason_set(reason, "E-MIGRATION-NIC",
				"what migration_nic names in tern.conf is not there, or has no address: see host log, net show");
	else
		return true;
	return false;
}

static void fill_receipt(struct send *send, const char *peer_name)
{
	struct receipt *receipt = &send->receipt;

	migrate_make_id(receipt->session);
	str_copy(receipt->vm, sizeof(receipt->vm), send->vm->config.name);
	str_copy(receipt->from, sizeof(receipt->from), migration->host);
	str_copy(receipt->to, sizeof(receipt->to), peer_name);
	receipt->guest_ram_bytes = send->vm->gmem.ram_bytes;
	receipt->stun_limit_us = send->options.stun_limit_ns / NS_PER_US;
}

struct send *send_start(struct vm *vm, const char *peer_name, struct stream_address address,
			const struct send_options *options, struct wire_reason *reason)
{
	static const u8 no_id[sizeof(vm->id)];
	struct send *send;

	if (!may_move(vm, reason))
		return NULL;
	if (!memcmp(vm->id, no_id, sizeof(no_id)))
		migrate_make_id(vm->id);
	vm->epoch = MAX(vm->epoch, 1u);
	wire_reason_set(reason, "E-NO-MEMORY", "no memory for the move's own records");
	send = heap_alloc(sizeof(*send));
	if (!send)
		return NULL;
	list_init(&send->link);
	send->vm = vm;
	send->address = address;
	send->options = *options;
	send->start_ns = clock_now_ns();
	fill_receipt(send, peer_name);
	send->vcpu_scratch = heap_alloc(sizeof(*send->vcpu_scratch));
	send->record = durable_get(vm->id, vm->config.name);
	if (!send->vcpu_scratch || !send->record || !dial(send)) {
		free_send(send);
		return NULL;
	}
	if (!options->is_check) {
		str_copy(send->record->peer, sizeof(send->record->peer), peer_name);
		send->record->source = (struct handover_source){
			.phase = SOURCE_OWN,
			.epoch = vm->epoch,
			.incarnation = durable_incarnation(),
			.has_copy = true,
		};
		vm->migration = send;
	}
	list_add_tail(&migration->sends, &send->link);
	send_set_phase(send, SEND_DIALLED, (DIAL_MS + 1000) * NS_PER_MS);
	return send;
}

void send_set_phase(struct send *send, enum send_phase phase, u64 timeout_ns)
{
	send->phase = phase;
	send->deadline_ns = timeout_ns == NEVER ? NEVER : clock_now_ns() + timeout_ns;
}

/* Marks the send for the end of this poll: its caller may still look at it. */
static void conclude(struct send *send, enum receipt_result result)
{
	send->receipt.result = result;
	send->receipt.total_us = (clock_now_ns() - send->start_ns) / NS_PER_US;
	if (send->copy_start_ns)
		send->receipt.throughput_bps = send->receipt.bytes_sent * 8 * 1000 /
					       ((clock_now_ns() - send->copy_start_ns) / NS_PER_MS +
						1);
	if (!send->options.is_check)
		receipt_keep(&send->receipt, false);
	send->is_over = true;
}

void send_resume_guest(struct send *send)
{
	if (!send->is_stunned)
		return;
	send->is_stunned = false;
	if (send->settled_ns) {
		lock_take(&send->vm->lock);
		vtime_add(send->vm, clock_now_ns() - send->settled_ns);
		lock_give(&send->vm->lock);
		send->settled_ns = 0;
	}
	send->vm->state = VM_RUNNING;
	vm_go(send->vm);
}

void send_note_tracking(struct send *send)
{
	struct receipt *receipt = &send->receipt;
	const struct track *track;

	if (!send->is_tracking)
		return;
	track = &send->vm->gmem.track;
	str_copy(receipt->tracking, sizeof(receipt->tracking), track_method_name(track));
	receipt->entries_scanned = track->cost.entries;
	receipt->log_entries = track->cost.log_entries;
	receipt->tracking_exits = track->cost.exits;
	send->is_tracking = false;
}

void send_restore_tracking(struct send *send)
{
	if (send->is_tracking)
		track_stop(send->vm);
	send_note_tracking(send);
}

bool send_is_given(const struct send *send)
{
	return !send->options.is_check && send->record->source.phase == SOURCE_GIVEN;
}

static bool is_watched(const struct send *send)
{
	return migration->is_watched &&
	       !memcmp(migration->watched, send->receipt.session, sizeof(migration->watched));
}

/* Who is not known to be Tern, or does not answer, is not waited for. */
static void tell_why(struct send *send)
{
	struct wire_reason reason;

	if (!send->wire.stream)
		return;
	if (send->phase <= SEND_GREETED || !strcmp(send->receipt.code, "E-PEER-SILENT")) {
		stream_abort(send->wire.stream);
		send->wire.stream = NULL;
		return;
	}
	wire_reason_set(&reason, send->receipt.code, "%s", send->receipt.why);
	wire_put(&send->wire, WIRE_ERROR, &reason, sizeof(reason));
	send_hang_up(send);
}

void send_fail(struct send *send, const char *code, const char *format, ...)
{
	struct receipt *receipt = &send->receipt;
	va_list args;

	if (send->is_over)
		return;
	str_copy(receipt->code, sizeof(receipt->code), code);
	va_start(args, format);
	fmt_vsnprintf(receipt->why, sizeof(receipt->why), format, args);
	va_end(args);
	send_resume_guest(send); /* first: everything else can wait */
	tell_why(send);
	send_restore_tracking(send);
	if (send->vm && !send->options.is_check)
		send->vm->migration = NULL;
	conclude(send, send->is_cancelled ? RECEIPT_CANCELLED : RECEIPT_FAILED);
	if (!is_watched(send) && !send->options.is_check)
		log_error("migrate %s to %s: %s%s (%s)", receipt->vm, receipt->to, receipt->why,
			  send->vm && send->vm->state == VM_RUNNING ? "; it runs on here" : "",
			  code);
}

void send_finish(struct send *send)
{
	conclude(send, RECEIPT_MOVED);
	if (!is_watched(send) && !send->options.is_check)
		log_info("migrate %s to %s: moved in %llu ms, stun %llu us", send->receipt.vm,
			 send->receipt.to, (unsigned long long)send->receipt.total_us / 1000,
			 (unsigned long long)send->receipt.stun_us);
}

void send_break(struct send *send, const char *code, const char *why)
{
	if (send->phase < SEND_PAUSED && !send_is_given(send)) {
		send_fail(send, code, "%s", why);
		return;
	}
	/* What a lost session means is the hand-over's to decide. */
	wire_reason_set(&send->lost, code, "%s", why);
	send_hang_up(send);
	stun_event(send, &(struct handover_event){ .type = EVENT_LINK_LOST });
}

/* --- records that come in --- */

static void take_error(struct send *send)
{
	const struct wire_reason *reason = (const void *)send->wire.scratch;

	if (!wire_text_ok(reason->code, sizeof(reason->code)) ||
	    !wire_text_ok(reason->why, sizeof(reason->why)))
		send_break(send, "E-PROTOCOL", "the peer's error report is broken");
	else
		send_break(send, reason->code, reason->why);
}

static void take_handover(struct send *send)
{
	const struct wire_ready *ready = (const void *)send->wire.scratch;
	const struct wire_epoch *epoch = (const void *)send->wire.scratch;
	struct handover_event event = { .epoch = epoch->epoch };

	switch (send->wire.header.type) {
	case WIRE_READY:
		event.type = EVENT_READY;
		event.digest = ready->digest;
		send->ready_ns = clock_now_ns();
		send->receipt.part_us[PART_REMOTE_APPLY] = ready->apply_ns / NS_PER_US;
		send->receipt.part_us[PART_VERIFY] = ready->verify_ns / NS_PER_US;
		stun_event(send, &event);
		break;
	case WIRE_ACK:
		stun_take_ack(send);
		break;
	default:
		event.type = EVENT_ABORTED;
		event.incarnation = epoch->incarnation;
		event.is_forgetful = send->is_peer_new && !strcmp(durable_kind(), "none");
		stun_event(send, &event);
		break;
	}
}

/* Which records make sense in which phase. */
static bool is_expected(const struct send *send, u32 type)
{
	switch (type) {
	case WIRE_HELLO:
		return send->phase == SEND_GREETED;
	case WIRE_ACCEPT:
	case WIRE_REFUSE:
		return send->phase == SEND_OFFERED;
	case WIRE_ACKED:
		return send->phase == SEND_COPYING || send->phase == SEND_ROUND_ENDED;
	case WIRE_ROUND_DONE:
		return send->phase == SEND_ROUND_ENDED;
	case WIRE_READY:
	case WIRE_ACK:
	case WIRE_ABORTED: /* the hand-over ignores what does not fit */
		return send->phase >= SEND_PAUSED;
	default:
		return true;
	}
}

static void take_record(struct send *send)
{
	u32 type = send->wire.header.type;

	if (!is_expected(send, type)) {
		send_break(send, "E-PROTOCOL", "the peer sent a record out of order");
		return;
	}
	switch (type) {
	case WIRE_HELLO:
		greet_take_hello(send);
		break;
	case WIRE_ACCEPT:
		greet_take_accept(send);
		break;
	case WIRE_REFUSE:
		greet_take_refuse(send);
		break;
	case WIRE_ACKED:
		copy_take_acked(send);
		break;
	case WIRE_ROUND_DONE:
		if (!copy_take_round_done(send))
			send_break(send, "E-PROTOCOL",
				   "the peer counts other rounds than were sent");
		break;
	case WIRE_ERROR:
		take_error(send);
		break;
	default:
		take_handover(send);
		break;
	}
}

/* --- what time and streams do --- */

void send_detach(struct send *send)
{
	if (send->phase != SEND_DETACHED)
		log_warn("migrate %s to %s: given away, but %s does not answer; trying again until "
			 "it does (migrate cancel %s asks for it back)",
			 send->receipt.vm, send->receipt.to, send->receipt.to, send->receipt.vm);
	if (send->wire.stream)
		stream_abort(send->wire.stream);
	send->wire.stream = NULL;
	send->is_opened = send->is_closed = false;
	send->retry_ns = MIN(MAX(2 * send->retry_ns, RETRY_MIN_NS), RETRY_MAX_NS);
	send_set_phase(send, SEND_DETACHED, send->retry_ns);
}

/* Why there is no connection, with what the operator can compare: address and network. */
static void say_unreachable(const struct send *send, int err, char why[WIRE_WHY_MAX])
{
	const char *network = net_network_name(net_migration_network());
	char ip[16];

	net_format_ip(send->address.ip, ip);
	fmt_snprintf(why, WIRE_WHY_MAX, "no connection to %s%s%s (%s)", ip, network ? " over " : "",
		     network ? network : "", errno_name(err));
}

static void take_close(struct send *send)
{
	char why[WIRE_WHY_MAX];

	send->is_closed = false;
	if (send->is_opened || !send->close_err)
		fmt_snprintf(why, sizeof(why), "the connection broke (%s)",
			     send->close_err ? errno_name(send->close_err) : "the peer closed it");
	else
		say_unreachable(send, send->close_err, why);
	if (send->phase == SEND_DETACHED)
		send_detach(send);
	else
		send_break(send, send->is_opened ? "E-PEER-LOST" : "E-PEER-UNREACHABLE", why);
}

static void take_open(struct send *send)
{
	if (send->phase != SEND_DIALLED && send->phase != SEND_DETACHED)
		return;
	greet_say_hello(send, send->options.is_check ? WIRE_CHECK
			      : send_is_given(send)  ? WIRE_RESOLVE
						     : WIRE_MOVE);
	send_set_phase(send, SEND_GREETED, ANSWER_NS);
}

static void take_deadline(struct send *send)
{
	switch (send->phase) {
	case SEND_DETACHED:
		if (!send->wire.stream && dial(send))
			send->deadline_ns = clock_now_ns() + (DIAL_MS + 1000) * NS_PER_MS;
		else
			send_detach(send);
		break;
	case SEND_PAUSED:
		stun_event(send, &(struct handover_event){ .type = EVENT_TIMEOUT });
		break;
	case SEND_GIVEN:
		if (++send->repeat_count < REPEATS_MAX) {
			send->deadline_ns = clock_now_ns() + REPEAT_NS;
			stun_event(send, &(struct handover_event){ .type = EVENT_REPEAT });
			break;
		}
		/* fall through */
	default:
		if (send->phase == SEND_DIALLED) {
			char why[WIRE_WHY_MAX];

			say_unreachable(send, -ETIMEDOUT, why);
			send_fail(send, "E-PEER-UNREACHABLE", "%s", why);
		} else {
			send_break(send, "E-PEER-SILENT", "the peer did not answer in time");
		}
		break;
	}
}

static bool has_guest_stopped(const struct send *send)
{
	return !send->options.is_check && !send->is_stunned && send->phase < SEND_PAUSED &&
	       !send_is_given(send) &&
	       (send->vm->state != VM_RUNNING || vm_wants_attention(send->vm));
}

static void take_events(struct send *send)
{
	enum wire_result result = WIRE_WAITING;

	if (send->is_opened && send->wire.stream)
		take_open(send);
	while (!send->is_over && (result = wire_next(&send->wire)) == WIRE_GOT)
		take_record(send);
	if (result == WIRE_BROKEN && !send->is_over)
		send_break(send, send->wire.broken.code, send->wire.broken.why);
	if (send->is_closed && !send->is_over)
		take_close(send);
	if (!send->is_over && has_guest_stopped(send))
		send_fail(send, "E-GUEST-STOPPED", "the guest did not go on: %s",
			  vm_wants_attention(send->vm) ? "it switched itself off, reset or died"
						       : "paused or stopped here");
	if (!send->is_over && clock_now_ns() >= send->deadline_ns)
		take_deadline(send);
}

bool send_poll(struct send *send)
{
	bool has_more = false;

	if (send->is_over) {
		if (!send->is_held)
			free_send(send);
		return false;
	}
	copy_count_active(send, clock_now_ns());
	take_events(send);
	if (!send->is_over && send->phase == SEND_COPYING)
		has_more = copy_poll(send);
	if (!send->is_over && send->phase >= SEND_WAITING && send->phase <= SEND_TAIL)
		has_more = stun_poll(send);
	return has_more || send->is_over;
}

u64 send_deadline_ns(const struct send *send)
{
	return send->phase == SEND_COPYING ? MIN(send->deadline_ns, send->held_until_ns)
					   : send->deadline_ns;
}

/* --- the operator --- */

void send_cancel(struct send *send)
{
	send->is_cancelled = true;
	if (send->phase >= SEND_PAUSED || send_is_given(send))
		stun_event(send, &(struct handover_event){ .type = EVENT_CANCEL });
	else
		send_fail(send, "E-CANCELLED", "cancelled by the operator");
	service_wake();
}

void send_force(struct send *send)
{
	stun_event(send, &(struct handover_event){ .type = EVENT_PEER_IS_OFF });
	service_wake();
}

void send_vm_gone(struct send *send)
{
	send_restore_tracking(send);
	send->is_stunned = false;
	if (!send->options.is_check)
		send->vm->migration = NULL;
	send->vm = NULL;
	send_fail(send, "E-GUEST-STOPPED", "the VM was destroyed");
	service_wake();
}
