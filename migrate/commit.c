/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The destination's half of the hand-over: handover.c decides what an event means for the copy
 * held here; its actions are carried out here.
 */
#include "migrate/receive.h"

#include "kernel/log.h"
#include "migrate/migrate.h"
#include "vmm/vm.h"

#define RECEIPT_NS (10 * NS_PER_SEC)

/* No session may refer to the copy any more: it is about to become a VM like others, or nothing. */
static void release(struct arrival *arrival)
{
	list_for_each(receive, &migration->receives, struct receive, link)
		if (receive->arrival == arrival)
			receive->arrival = NULL;
}

static struct arrival *copy_of(const struct receive *receive)
{
	return receive->arrival ? receive->arrival : arrive_find(receive->hello.vm_id);
}

static void start(struct receive *receive, u64 elapsed_ns)
{
	struct arrival *arrival = copy_of(receive);

	receive->pages_verified = arrival->pages_verified;
	release(arrival);
	arrive_start(arrival, elapsed_ns, &receive->resume_ns, &receive->announce_ns);
}

static void wipe(struct receive *receive)
{
	struct arrival *arrival = copy_of(receive);

	release(arrival);
	log_info("move of %s: it runs on at %s; the copy here is forgotten",
		 arrival->vm->config.name, arrival->from);
	arrive_destroy(arrival);
}

static void send_ack(struct receive *receive, const struct handover_event *event)
{
	struct wire_ack ack = {
		.epoch = event->epoch,
		.incarnation = event->incarnation,
		.resume_ns = receive->resume_ns,
		.announce_ns = receive->announce_ns,
		.pages_verified = receive->pages_verified,
	};

	wire_put(&receive->wire, WIRE_ACK, &ack, sizeof(ack));
	receive_set_phase(receive, RECEIVE_STARTED, RECEIPT_NS);
}

static void execute(struct receive *receive, enum handover_action action,
		    const struct handover_event *event)
{
	struct wire_epoch aborted = { event->epoch, event->incarnation };

	switch (action) {
	case HANDOVER_LOG:
		durable_log(receive->record);
		break;
	case HANDOVER_SEND_READY:
		wire_put(&receive->wire, WIRE_READY, &receive->ready, sizeof(receive->ready));
		break;
	case HANDOVER_START:
		start(receive, receive->elapsed_ns);
		break;
	case HANDOVER_SEND_ACK:
		send_ack(receive, event);
		break;
	case HANDOVER_SEND_ABORTED:
		wire_put(&receive->wire, WIRE_ABORTED, &aborted, sizeof(aborted));
		break;
	case HANDOVER_WIPE:
		wipe(receive);
		break;
	default:
		break;
	}
}

/*
 * What the VM itself shows, since records of guests that nobody asked about for long are given to
 * others: it runs here under its epoch, so all earlier ones have come to their end.
 */
static void remember(struct handover_destination *destination, const struct vm *vm)
{
	destination->runs = vm && vm->state != VM_INCOMING;
	if (destination->runs && vm->epoch > destination->started + 1)
		destination->started = vm->epoch - 1;
}

/* Returns whether the event led to anything. */
bool receive_event(struct receive *receive, const struct handover_event *event)
{
	struct handover_actions actions;
	struct vm *vm = migrate_vm(receive->hello.vm_id);

	if (!receive->record)
		receive->record = durable_get(receive->hello.vm_id, "");
	if (!receive->record) {
		receive_fail(receive, "E-NO-MEMORY", "no memory to answer");
		return false;
	}
	remember(&receive->record->destination, vm);
	receive->record->destination = handover_destination_step(receive->record->destination,
								 event, &actions);
	for (u32 i = 0; i < actions.count; i++)
		execute(receive, actions.list[i], event);
	if (receive->wire.stream)
		stream_flush(receive->wire.stream);
	return actions.count > 0;
}

/* --- without a session --- */

/* The record's step for an event that the operator, not the peer, is the source of. */
static void step_record(struct arrival *arrival, enum handover_event_type type)
{
	struct handover_event event = { .type = type, .epoch = arrival->epoch + 1 };
	struct handover_actions actions;

	arrival->record->destination = handover_destination_step(arrival->record->destination,
								 &event, &actions);
	durable_log(arrival->record);
}

void receive_force_start(struct arrival *arrival)
{
	u64 resume_ns, announce_ns;

	step_record(arrival, EVENT_PEER_IS_OFF);
	release(arrival);
	arrive_start(arrival, 0, &resume_ns, &announce_ns);
}

void receive_force_drop(struct arrival *arrival)
{
	step_record(arrival, EVENT_OWNED);
	release(arrival);
	arrive_destroy(arrival);
}

void receive_vm_gone(struct arrival *arrival)
{
	step_record(arrival, EVENT_OWNED);
	release(arrival);
	arrival->vm->migration = NULL;
	arrival->vm = NULL;
	arrive_destroy(arrival);
}
