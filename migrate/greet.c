/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The first words of a session, said by the source: greeting, offer, and what the destination makes
 * of them.
 */
#include "migrate/send.h"

#include "kernel/fmt.h"
#include "kernel/heap.h"
#include "kernel/string.h"
#include "migrate/migrate.h"
#include "vmm/vm.h"

#define ANSWER_NS (10 * NS_PER_SEC)
#define REPEAT_NS (1 * NS_PER_SEC)

void greet_say_hello(struct send *send, enum wire_purpose purpose)
{
	struct wire_hello hello = {
		.magic = WIRE_MAGIC,
		.version = WIRE_VERSION,
		.purpose = purpose,
		.epoch = send->options.is_check ? send->vm->epoch : send->record->source.epoch,
		.incarnation = durable_incarnation(),
	};

	memcpy(hello.session, send->receipt.session, sizeof(hello.session));
	memcpy(hello.vm_id, send->record->vm_id, sizeof(hello.vm_id));
	str_copy(hello.host, sizeof(hello.host), migration->host);
	wire_put(&send->wire, WIRE_HELLO, &hello, sizeof(hello));
}

static bool make_offer(struct send *send)
{
	struct wire_device_entry *entries;
	struct wire_offer *offer = heap_alloc(sizeof(*offer) + WIRE_DEVICES_MAX * sizeof(*entries));
	bool is_sent = false;

	if (!offer)
		return false;
	entries = (void *)(offer + 1);
	if (compat_offer(send->vm, offer, entries)) {
		size_t bytes = sizeof(*offer) + offer->device_count * sizeof(*entries);

		send->offer_digest = digest_mix(DIGEST_ORDINAL_OFFER, digest_bytes(offer, bytes));
		is_sent = wire_put(&send->wire, WIRE_OFFER, offer, bytes) == 0;
	}
	heap_free(offer);
	return is_sent;
}

void greet_take_hello(struct send *send)
{
	const struct wire_hello *hello = (const void *)send->wire.scratch;
	char why[WIRE_WHY_MAX];

	/* Whoever answers wrongly has not said that the guest is not his: send_break knows the difference. */
	if (hello->magic != WIRE_MAGIC) {
		send_break(send, "E-PROTOCOL", "what answers at the peer's port is not Tern");
	} else if (hello->version != WIRE_VERSION) {
		fmt_snprintf(why, sizeof(why),
			     "the peer speaks version %u of the protocol, this host version %u",
			     hello->version, WIRE_VERSION);
		send_break(send, "E-VERSION", why);
	} else if (memcmp(hello->session, send->receipt.session, sizeof(hello->session)) ||
		   !wire_text_ok(hello->host, sizeof(hello->host))) {
		send_break(send, "E-PROTOCOL", "the peer's greeting is broken");
	} else if (send_is_given(send)) {
		send->retry_ns = 0;
		send_set_phase(send, SEND_GIVEN, REPEAT_NS);
		send->repeat_count = 0;
		send->is_peer_new = hello->incarnation != send->peer_incarnation;
		stun_event(send, &(struct handover_event){ .type = EVENT_LINK_UP });
	} else {
		send->peer_incarnation = hello->incarnation;
		str_copy(send->receipt.to, sizeof(send->receipt.to), hello->host);
		if (make_offer(send))
			send_set_phase(send, SEND_OFFERED, ANSWER_NS);
		else
			send_fail(send, "E-NO-MEMORY", "the offer could not be made");
	}
}

void greet_take_refuse(struct send *send)
{
	const struct wire_reason *reason = (const void *)send->wire.scratch;
	u32 count = send->wire.header.bytes / sizeof(*reason);

	for (u32 i = 0; i < count && send->wire.header.bytes % sizeof(*reason) == 0; i++)
		if (wire_text_ok(reason[i].code, WIRE_CODE_MAX) &&
		    wire_text_ok(reason[i].why, WIRE_WHY_MAX))
			compat_add(&send->compat, reason[i].code, "%s", reason[i].why);
	if (send->compat.count)
		send_fail(send, send->compat.reason[0].code, "%s", send->compat.reason[0].why);
	else
		send_fail(send, "E-PROTOCOL", "the peer refused without a reason");
}

void greet_take_accept(struct send *send)
{
	memcpy(&send->accepted, send->wire.scratch, sizeof(send->accepted));
	if (send->options.is_check) {
		send_hang_up(send);
		send_finish(send);
	} else if (copy_start(send)) {
		send_fail(send, "E-NO-MEMORY", "no memory to track what the guest writes");
	}
}
