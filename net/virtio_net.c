/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net (virtio 1.1, 5.1): one receive and one send queue.
 *
 * Each frame is preceded by a header that says what the card has checked, or shall sum or
 * cut. Sending: a slot per possible frame in flight holds that header and the frame's own
 * headers, so a TCP frame is two descriptors. Receiving: a descriptor per buffer.
 */
#include "arch/cpu.h"
#include "arch/pci.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/string.h"
#include "net/checksum.h"
#include "net/nic.h"
#include "net/packet.h"
#include "net/virtio.h"

#define QUEUE_RX 0
#define QUEUE_TX 1
#define QUEUE_MAX 1024

/* 5.1.3 */
#define FEATURE_CSUM BIT(0)
#define FEATURE_GUEST_CSUM BIT(1)
#define FEATURE_MTU BIT(3)
#define FEATURE_MAC BIT(5)
#define FEATURE_HOST_TSO4 BIT(11)
#define FEATURE_STATUS BIT(16)

/* 5.1.4: device configuration. */
#define CONFIG_MAC 0
#define CONFIG_STATUS 6
#define CONFIG_MTU 10
#define CONFIG_LINK_UP 1

/* 5.1.6 */
struct virtio_net_header {
	u8 flags;
	u8 gso_type;
	u16 header_bytes;
	u16 gso_bytes;
	u16 sum_start;
	u16 sum_offset;
	u16 buffer_count; /* 1 without MRG_RXBUF */
};
_Static_assert(sizeof(struct virtio_net_header) == 12, "virtio 1.1, 5.1.6");
#define HEADER_NEEDS_SUM 1
#define HEADER_SUM_GOOD 2
#define HEADER_GSO_TCP4 1

/* A slot is free when it is on the list; in the ring it is the queue's token. */
struct tx_slot {
	struct tx_slot *next;
	void *owner;
	struct virtio_net_header header; /* what the card reads begins here */
	u8 frame[NIC_HEADER_MAX];
};

struct virtio_net {
	struct nic nic;
	struct virtio_device device;
	struct virtqueue rx, tx;
	struct tx_slot *slot_free;
	u16 slot_free_count;
};

static struct virtio_net *card_of(struct nic *nic) { return container_of(nic, struct virtio_net, nic); }

/* --- Receiving ------------------------------------------------------------------------ */

static void rx_arm(struct virtio_net *card, struct nic_buffer *buffer)
{
	struct virtio_piece piece = { buffer->dma, card->nic.buffer_bytes };

	virtqueue_add(&card->rx, &piece, 1, true, buffer);
}

static void rx_take(struct virtio_net *card, struct nic_buffer *buffer, u32 bytes)
{
	const struct virtio_net_header *header = (const void *)buffer->memory;
	struct nic_buffer *fresh;

	if (bytes < sizeof(*header) + ETHERNET_BYTES || bytes > card->nic.buffer_bytes) {
		card->nic.stats.rx_drop_length++;
		rx_arm(card, buffer);
		return;
	}
	fresh = nic_buffer_take(&card->nic);
	if (!fresh) {
		card->nic.stats.rx_drop_no_buffer++;
		rx_arm(card, buffer);
		return;
	}
	rx_arm(card, fresh);
	buffer->start = sizeof(*header);
	buffer->bytes = (u16)(bytes - sizeof(*header));
	/* 5.1.6.4.1: NEEDS_SUM frames never left the machine, so nothing can have damaged them. */
	buffer->is_sum_good = (card->device.features & FEATURE_GUEST_CSUM) &&
			      (header->flags & (HEADER_NEEDS_SUM | HEADER_SUM_GOOD));
	card->nic.stats.rx_frames++;
	card->nic.stats.rx_bytes += buffer->bytes;
	card->nic.on_received(&card->nic, buffer);
}

static unsigned virtio_net_receive(struct nic *nic, unsigned budget)
{
	struct virtio_net *card = card_of(nic);
	unsigned count = 0;
	u32 bytes;

	while (count < budget) {
		struct nic_buffer *buffer = virtqueue_pop(&card->rx, &bytes);

		if (!buffer)
			break;
		rx_take(card, buffer, bytes);
		count++;
	}
	if (count > 0)
		virtqueue_kick(&card->rx);
	return count;
}

/* --- Sending -------------------------------------------------------------------------- */

static bool virtio_net_has_room(struct nic *nic, unsigned frames, unsigned pieces, u32 bytes)
{
	const struct virtio_net *card = card_of(nic);

	(void)bytes;
	return frames <= card->slot_free_count && frames + pieces <= card->tx.free_count;
}

/* What the card shall do; the TCP checksum field holds the pseudo header's sum then (5.1.6.2). */
static void ask_card(struct tx_slot *slot, const struct nic_frame *frame)
{
	u32 tcp_total = frame->header_bytes - frame->tcp_offset + frame->payload_bytes;
	u16 seed = (u16)~checksum_finish(packet_pseudo_sum(slot->frame + frame->ip_offset, tcp_total));

	memcpy(slot->frame + frame->tcp_offset + TCP_OFF_CHECKSUM, &seed, 2);
	slot->header.flags = HEADER_NEEDS_SUM;
	slot->header.sum_start = frame->tcp_offset;
	slot->header.sum_offset = TCP_OFF_CHECKSUM;
	if (frame->segment_bytes) {
		slot->header.gso_type = HEADER_GSO_TCP4;
		slot->header.header_bytes = frame->header_bytes;
		slot->header.gso_bytes = frame->segment_bytes;
	}
}

static void virtio_net_send(struct nic *nic, const struct nic_frame *frame)
{
	struct virtio_net *card = card_of(nic);
	struct virtio_piece pieces[1 + NIC_PIECES_MAX];
	struct tx_slot *slot = card->slot_free;
	u16 count = 0;

	card->slot_free = slot->next;
	card->slot_free_count--;
	slot->owner = frame->owner;
	slot->header = (struct virtio_net_header){ 0 };
	memcpy(slot->frame, frame->header, frame->header_bytes);
	if (frame->tcp_offset)
		ask_card(slot, frame);

	pieces[count++] = (struct virtio_piece){ nic_dma(&slot->header),
						 (u32)sizeof(slot->header) + frame->header_bytes };
	for (unsigned i = 0; i < frame->piece_count; i++)
		pieces[count++] = (struct virtio_piece){ nic_dma(frame->piece[i].data), frame->piece[i].bytes };
	virtqueue_add(&card->tx, pieces, count, false, slot);
}

static void virtio_net_kick(struct nic *nic) { virtqueue_kick(&card_of(nic)->tx); }

static void virtio_net_reclaim(struct nic *nic)
{
	struct virtio_net *card = card_of(nic);
	struct tx_slot *slot;
	u32 bytes;

	while ((slot = virtqueue_pop(&card->tx, &bytes))) {
		void *owner = slot->owner;

		slot->next = card->slot_free;
		card->slot_free = slot;
		card->slot_free_count++;
		nic->is_tx_waiting = false;
		nic->tx_out++;
		if (owner) {
			nic->tx_done++;
			nic->on_sent(nic, owner);
		}
	}
}

/* --- Life ----------------------------------------------------------------------------- */

static void virtio_net_set_irq(struct nic *nic, bool is_on)
{
	struct virtio_net *card = card_of(nic);

	if (!is_on && !card->device.has_msix)
		virtio_acknowledge(&card->device);
	/* A neighbour on the same pin may interrupt before there are queues, or though there are none. */
	if (!card->tx.avail)
		return;
	virtqueue_set_irq(&card->rx, is_on);
	virtqueue_set_irq(&card->tx, is_on && nic->is_tx_waiting);
}

static bool virtio_net_is_link_up(struct nic *nic)
{
	const struct virtio_net *card = card_of(nic);

	/* 5.1.4: without STATUS the link is always up. */
	return !(card->device.features & FEATURE_STATUS) ||
	       (mmio_read16(card->device.config + CONFIG_STATUS) & CONFIG_LINK_UP);
}

static void virtio_net_update_stats(struct nic *nic)
{
	struct virtio_net *card = card_of(nic);

	nic->stats.rx_drop_card = card->rx.bad_count;
	nic->stats.tx_drop_card = card->tx.bad_count;
}

static int create_slots(struct virtio_net *card)
{
	struct tx_slot *slots = heap_alloc(card->tx.size * sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (u16 i = 0; i < card->tx.size; i++) {
		slots[i].next = card->slot_free;
		card->slot_free = &slots[i];
		card->slot_free_count++;
	}
	return 0;
}

static int virtio_net_start(struct nic *nic)
{
	struct virtio_net *card = card_of(nic);
	bool is_jumbo = nic->mtu > 1500;
	u32 held = is_jumbo ? 256 : 1024; /* by the stack: a receive window and more */
	int err = virtqueue_create(&card->rx, &card->device, QUEUE_RX, QUEUE_MAX);

	if (!err)
		err = virtqueue_create(&card->tx, &card->device, QUEUE_TX, QUEUE_MAX);
	if (!err)
		err = create_slots(card);
	if (!err)
		/* Jumbo: 9,018 bytes of frame and the header fit three pages. */
		err = nic_pool_create(nic, card->rx.size + held, is_jumbo ? 3 * PAGE_BYTES : 2048);
	if (err) {
		virtio_reset(&card->device);
		return err;
	}
	nic->rx_ring = card->rx.size;
	nic->tx_ring = card->tx.size;
	for (u16 i = 0; i < card->rx.size; i++)
		rx_arm(card, nic_buffer_take(nic));
	virtio_ready(&card->device);
	virtqueue_kick(&card->rx);
	return 0;
}

static const struct nic_ops virtio_net_ops = {
	.driver = "virtio-net",
	.start = virtio_net_start,
	.has_room = virtio_net_has_room,
	.send = virtio_net_send,
	.kick = virtio_net_kick,
	.reclaim = virtio_net_reclaim,
	.receive = virtio_net_receive,
	.set_irq = virtio_net_set_irq,
	.is_link_up = virtio_net_is_link_up,
	.update_stats = virtio_net_update_stats,
};

static void describe(struct virtio_net *card)
{
	struct nic *nic = &card->nic;
	const u8 *config = card->device.config;
	u64 features = card->device.features;

	nic->ops = &virtio_net_ops;
	nic->can_sum = features & FEATURE_CSUM;
	/* 5.1.3.1: HOST_TSO4 needs CSUM. */
	nic->has_cutter = nic->can_cut = nic->can_sum && (features & FEATURE_HOST_TSO4);
	nic->mtu_max = NIC_MTU_MAX;
	if (features & FEATURE_MTU)
		nic->mtu_max = MIN(nic->mtu_max, mmio_read16(config + CONFIG_MTU));
	for (unsigned i = 0; i < 6; i++)
		nic->mac[i] = mmio_read8(config + CONFIG_MAC + i);
}

static int virtio_net_probe(struct pci_device *pci)
{
	struct virtio_net *card = heap_alloc(sizeof(*card));
	int err;

	if (!card)
		return -ENOMEM;
	pci_enable(pci);
	err = virtio_start(&card->device, pci,
			   FEATURE_CSUM | FEATURE_GUEST_CSUM | FEATURE_MTU | FEATURE_MAC | FEATURE_HOST_TSO4 |
				   FEATURE_STATUS | BIT(VIRTIO_F_EVENT_IDX));
	if (err)
		goto disable;
	err = -ENODEV;
	if (!card->device.config || !(card->device.features & FEATURE_MAC))
		goto reset;
	describe(card);
	str_copy(card->nic.location, sizeof(card->nic.location), pci->name);
	err = nic_register(&card->nic);
	if (err)
		goto reset;
	err = pci_irq_request(pci, 0, nic_interrupt, &card->nic);
	card->nic.has_irq = err >= 0;
	card->nic.irq_kind = card->nic.has_irq ? pci_irq_kind(pci) : "polled";
	card->device.has_msix = card->nic.has_irq && strcmp(card->nic.irq_kind, "msi-x") == 0;
	return 0;

reset:
	virtio_reset(&card->device);
disable:
	pci_disable(pci);
	heap_free(card);
	log_warn("virtio-net %s: not usable: %s", pci->name, errno_name(err));
	return err;
}

static const struct pci_id virtio_net_ids[] = {
	{ 0x1af4, 0x1041 }, /* modern */
	{ 0x1af4, 0x1000 }, /* transitional */
	{ 0, 0 },
};

PCI_DRIVER(virtio_net_driver) = {
	.name = "virtio-net",
	.ids = virtio_net_ids,
	.probe = virtio_net_probe,
};
