/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stun: stop the guest, send the rest, hand it over. Everything it needs was allocated before,
 * and nothing in it takes longer for a larger guest. Who owns the guest is decided by handover.c
 * alone; here its actions are carried out.
 */
#include "migrate/send.h"

#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/log.h"
#include "kernel/status.h"
#include "kernel/string.h"
#include "migrate/image.h"
#include "migrate/migrate.h"
#include "vmm/vm.h"

/* A good moment to stop is waited for this long; one comes in each period of a guest's 250 Hz tick. */
#define BUSY_NS (2 * NS_PER_MS)
#define DUE_NS (6 * NS_PER_MS)
#define HALT_NS (1 * NS_PER_SEC)
#define HALT_SPIN_NS (30 * NS_PER_US)
#define TAIL_LIMITS 4 /* the tail is given this many stun limits, at least HALT_NS */
#define READY_NS_MIN (1 * NS_PER_SEC)
#define READY_LIMITS 20 /* READY is waited for this many stun limits, at least READY_NS_MIN */
#define ACK_NS (1 * NS_PER_SEC)
#define STATUS_HOLD_LIMITS 2 /* stun limits in which the status page stands still too */
#define ATTEMPTS_MAX 5             /* stops that found more dirty pages than predicted */

void stun_start(struct send *send)
{
	send->waiting_ns = clock_now_ns();
	send_set_phase(send, SEND_WAITING, HALT_NS);
}

static void halt(struct send *send)
{
	send->receipt.predicted_stun_us = send->rounds.predicted_ns / NS_PER_US;
	send->round = (struct receipt_round){ .pages = 0 };
	send->stun_attempts++;
	send->is_stunned = true;
	send->halted_ns = clock_now_ns();
	send->settled_ns = 0;
	status_hold(send->halted_ns + STATUS_HOLD_LIMITS * send->rounds.limit_ns);
	send->vm->state = VM_STUNNED;
	vm_halt(send->vm);
	send_set_phase(send, SEND_HALTING, HALT_NS);
}

/* The guest runs on and another round is made of what is dirty. */
static void back_out(struct send *send)
{
	send_resume_guest(send);
	send->rounds.number++;
	copy_resume(send);
}

static bool harvest(struct send *send)
{
	struct vm *vm = send->vm;
	u64 dirty;

	vm_settle(vm);
	send->settled_ns = clock_now_ns();
	if (vm_wants_attention(vm)) {
		/* Its end is near: that is for this host to carry out. */
		send_resume_guest(send);
		send_fail(send, "E-GUEST-STOPPED",
			  "the guest is switching itself off or resetting");
		return false;
	}
	dirty = send->rounds.todo_count + track_collect(vm, send->rounds.todo);
	send->harvested_ns = clock_now_ns();
	rounds_start(&send->rounds, dirty);
	if (rounds_predict_ns(&send->rounds, dirty) > 2 * send->rounds.limit_ns &&
	    send->stun_attempts < ATTEMPTS_MAX) {
		back_out(send);
		return false;
	}
	send_set_phase(send, SEND_TAIL, MAX(HALT_NS, TAIL_LIMITS * send->rounds.limit_ns));
	return true;
}

/* False: still some vCPU in the guest. The wait is short where vCPUs have CPUs of their own. */
static bool wait_halted(const struct vm *vm)
{
	u64 until = clock_now_ns() + HALT_SPIN_NS;

	while (!vm_is_halted(vm))
		if (clock_now_ns() > until)
			return false;
	return true;
}

static bool send_rest(struct send *send)
{
	u64 digest;

	if (!copy_tail(send) || wire_room(&send->wire) < send->state_bytes + 1024)
		return false; /* the ring is full: on with it when there is room */
	digest = send->digests.root + send->offer_digest;
	if (image_send(send->vm, &send->wire, send->vcpu_scratch, &digest))
		return false;
	send->receipt.digest = digest;
	send->receipt.bytes_sent += send->state_bytes;
	stun_event(send, &(struct handover_event){ .type = EVENT_PAUSED, .digest = digest });
	return false;
}

/* A timer interrupt that falls into the stun is late, and the guest's first work on the new host. */
static bool is_good_moment(const struct send *send)
{
	u64 waited_ns = clock_now_ns() - send->waiting_ns;

	return (waited_ns > BUSY_NS || !vm_is_busy(send->vm)) &&
	       (waited_ns > DUE_NS || !vm_is_due(send->vm, send->rounds.limit_ns / 2));
}

bool stun_poll(struct send *send)
{
	if (send->phase == SEND_WAITING) {
		if (!is_good_moment(send))
			return true;
		halt(send);
	}
	if (send->phase == SEND_HALTING && (!wait_halted(send->vm) || !harvest(send)))
		return !send->is_over;
	return send_rest(send);
}

/* --- actions of the hand-over --- */

static void send_state(struct send *send)
{
	struct wire_pause_state state = {
		.epoch = send->record->source.epoch,
		.digest = send->record->source.digest,
		.page_count = send->rounds.page_count,
		.vcpu_count = send->vm->config.vcpu_count,
	};

	list_for_each(dev, &send->vm->devices, struct device, link)
		state.device_count++;
	wire_put(&send->wire, WIRE_PAUSE_STATE, &state, sizeof(state));
	stream_flush(send->wire.stream);
	send->sent_ns = clock_now_ns();
	send_set_phase(send, SEND_PAUSED, MAX(READY_NS_MIN, READY_LIMITS * send->rounds.limit_ns));
}

static void send_commit(struct send *send)
{
	const struct handover_source *source = &send->record->source;
	struct wire_commit commit = {
		.epoch = source->epoch,
		.incarnation = source->incarnation,
		.digest = source->digest,
	};

	send->committed_ns = clock_now_ns();
	commit.elapsed_ns = send->committed_ns - send->settled_ns + send->rounds.rtt_ns / 2;
	if (wire_put(&send->wire, WIRE_COMMIT, &commit, sizeof(commit)) == 0)
		stream_flush(send->wire.stream);
	if (send->phase != SEND_GIVEN) {
		send->repeat_count = 0;
		send_set_phase(send, SEND_GIVEN, ACK_NS);
	}
}

static void send_epoch(struct send *send, enum wire_type type)
{
	struct wire_epoch record = { send->record->source.epoch, send->record->source.incarnation };

	if (wire_put(&send->wire, type, &record, sizeof(record)) == 0)
		stream_flush(send->wire.stream);
}

/* It runs at the destination: this copy is history. */
static void wipe(struct send *send)
{
	struct vm *vm = send->vm;

	/* Its large pages are not made whole again: that grows with memory, and it is freed at once. */
	send_note_tracking(send);
	send->receipt.digest_match = 1;
	send_finish(send);
	wire_put(&send->wire, WIRE_RECEIPT, &send->receipt, sizeof(send->receipt));
	send_hang_up(send);
	send->vm = NULL;
	send->is_stunned = false;
	vm->migration = NULL;
	vm_destroy(vm);
}

static void ask_operator(struct send *send)
{
	log_error("migrate %s: %s was started anew since it was given the guest, and keeps no "
		  "durable record: if it "
		  "ran there, this copy is old (migrate resolve %s)",
		  send->receipt.vm, send->receipt.to, send->receipt.vm);
	send_hang_up(send);
	send_set_phase(send, SEND_DETACHED, HALT_NS);
	send->deadline_ns = ~0ull;
}

static void execute(struct send *send, enum handover_action action)
{
	switch (action) {
	case HANDOVER_LOG:
		durable_log(send->record);
		break;
	case HANDOVER_SEND_STATE:
		send_state(send);
		break;
	case HANDOVER_SEND_COMMIT:
		send_commit(send);
		break;
	case HANDOVER_SEND_ABORTREQ:
		send_epoch(send, WIRE_ABORTREQ);
		break;
	case HANDOVER_RESUME:
		send->vm->epoch = send->record->source.epoch;
		send_resume_guest(send);
		break;
	case HANDOVER_SEND_OWNED:
		send_epoch(send, WIRE_OWNED);
		break;
	case HANDOVER_RECONNECT:
		send_detach(send);
		break;
	case HANDOVER_WIPE:
		wipe(send);
		break;
	case HANDOVER_ASK_OPERATOR:
		ask_operator(send);
		break;
	default:
		break;
	}
}

/* Why the guest runs here again. */
static void report_return(struct send *send, enum handover_event_type event)
{
	struct wire_reason reason;

	switch (event) {
	case EVENT_TIMEOUT:
		send_fail(send, "E-STUN-TIMEOUT", "the destination was not ready in time");
		break;
	case EVENT_ABORTED:
		if (send->is_cancelled)
			send_fail(send, "E-CANCELLED", "cancelled by the operator, and given back");
		else
			send_fail(send, "E-PEER-LOST",
				  "the destination lost its copy and gave the guest back");
		break;
	case EVENT_LINK_LOST:
		reason = send->lost;
		send_fail(send, reason.code[0] ? reason.code : "E-PEER-LOST", "%s",
			  reason.code[0] ? reason.why : "the connection broke");
		break;
	case EVENT_PEER_IS_OFF:
		send_fail(send, "E-CANCELLED",
			  "taken back by the operator, who says that the peer is off");
		break;
	default:
		send_fail(send, "E-CANCELLED", "cancelled by the operator");
		break;
	}
}

void stun_event(struct send *send, const struct handover_event *event)
{
	enum handover_source_phase before = send->record->source.phase;
	struct handover_actions actions;

	send->record->source = handover_source_step(send->record->source, event, &actions);
	for (u32 i = 0; i < actions.count; i++)
		execute(send, actions.list[i]);
	if (before != SOURCE_OWN && send->record->source.phase == SOURCE_OWN)
		report_return(send, event->type);
}

/* --- the end --- */

static u64 span_us(u64 from_ns, u64 to_ns)
{
	return to_ns > from_ns ? (to_ns - from_ns) / NS_PER_US : 0;
}

static u64 less(u64 a, u64 b) { return a > b ? a - b : 0; }

/*
 * Each end measures its own work with its own clock. What is left of a question's time when the
 * other end's work is taken away was spent on the wire.
 */
static void fill_stun_parts(struct send *send, const struct wire_ack *ack)
{
	u64 *part = send->receipt.part_us;
	u64 there = (ack->resume_ns + ack->announce_ns) / NS_PER_US;
	u64 wire = less(span_us(send->committed_ns, clock_now_ns()), there) / 2;

	part[PART_STOP] = span_us(send->halted_ns, send->settled_ns);
	part[PART_HARVEST] = span_us(send->settled_ns, send->harvested_ns);
	part[PART_SEND_TAIL] = span_us(send->harvested_ns, send->sent_ns);
	part[PART_READY] = less(span_us(send->sent_ns, send->ready_ns),
				part[PART_REMOTE_APPLY] + part[PART_VERIFY]);
	part[PART_COMMIT] = span_us(send->ready_ns, send->committed_ns) + wire;
	part[PART_RESUME] = ack->resume_ns / NS_PER_US;
	part[PART_ANNOUNCE] = ack->announce_ns / NS_PER_US;
	receipt_sum_stun(&send->receipt);
	send->receipt.pages_verified = ack->pages_verified;
	send->receipt.epoch = ack->epoch;
}

void stun_take_ack(struct send *send)
{
	const struct wire_ack *ack = (const void *)send->wire.scratch;

	if (send->record->source.phase == SOURCE_GIVEN && ack->epoch == send->record->source.epoch)
		fill_stun_parts(send, ack);
	stun_event(send, &(struct handover_event){ .type = EVENT_ACK, .epoch = ack->epoch });
}
