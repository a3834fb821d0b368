/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The family's rings: descriptors in memory, head and tail registers.
 *
 * The card owns descriptors from head up to, not including, tail. Receive descriptors are
 * given back one by one with a fresh buffer; transmit descriptors of a frame are given
 * back together, when its last one is written back as done.
 *
 * TCP is cut and summed by the card: a context descriptor says where the headers are and
 * how large a piece is, and stays in force until the next one.
 */
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/page.h"
#include "kernel/string.h"
#include "net/checksum.h"
#include "net/e1000_card.h"
#include "net/packet.h"

#define TX_RING E1000_TX_RING
#define TX_BYTES_MAX 8192u /* per descriptor; the family's limit is just below 16 KiB */
#define HEADER_PAGES (TX_RING * NIC_HEADER_MAX / PAGE_BYTES)

const struct e1000_rx_format e1000_rx_legacy = { .length = 0, .status = 32, .errors = 40 };
const struct e1000_rx_format e1000_rx_extended = { .length = 32, .status = 0, .errors = 24 };

/* --- Receiving ------------------------------------------------------------------------ */

struct rx_done {
	u16 length;
	u8 status, errors;
};

static struct rx_done rx_parse(const struct e1000_rx_format *format, u64 word)
{
	return (struct rx_done){ (u16)(word >> format->length), (u8)(word >> format->status),
				 (u8)(word >> format->errors) };
}

static void rx_arm(struct e1000 *card, u32 index, struct nic_buffer *buffer)
{
	card->rx_buffer[index] = buffer;
	card->rx[index] = (struct e1000_rx){ { buffer->dma, 0 } };
}

/* Whether the frame in a done descriptor is whole and sound; counts it if not. */
static bool rx_is_good(struct e1000 *card, const struct rx_done *done)
{
	struct nic_stats *stats = &card->nic.stats;

	if (done->errors & RX_ERROR_FRAME) {
		stats->rx_drop_damaged++;
		return false;
	}
	/* Buffers hold the longest frame that the card accepts, so a frame in two of them is too long. */
	if (!(done->status & RX_EOP) || done->length < ETHERNET_BYTES ||
	    done->length > card->nic.buffer_bytes) {
		stats->rx_drop_length++;
		return false;
	}
	return true;
}

static void rx_take(struct e1000 *card, u32 index)
{
	struct rx_done done = rx_parse(card->model->rx, card->rx[index].word[1]);
	struct nic_buffer *buffer = card->rx_buffer[index];
	struct nic_buffer *fresh;

	if (!rx_is_good(card, &done)) {
		rx_arm(card, index, buffer);
		return;
	}
	fresh = nic_buffer_take(&card->nic);
	if (!fresh) {
		card->nic.stats.rx_drop_no_buffer++;
		rx_arm(card, index, buffer);
		return;
	}
	rx_arm(card, index, fresh);
	buffer->bytes = done.length;
	/* 3.2.3.2: TCPCS without IXSM means that the card has summed; TCPE that it was wrong. */
	buffer->is_sum_good = !(done.status & RX_IXSM) && (done.status & RX_TCPCS) &&
			      !(done.errors & RX_ERROR_TCPE);
	card->nic.stats.rx_frames++;
	card->nic.stats.rx_bytes += done.length;
	card->nic.on_received(&card->nic, buffer);
}

static void rx_show_tail(struct e1000 *card)
{
	card->rx_unshown = 0;
	barrier();
	reg_write(card, card->model->rx_queue + QUEUE_TAIL, (card->rx_next - 1) & (card->nic.rx_ring - 1u));
}

unsigned e1000_receive(struct nic *nic, unsigned budget)
{
	struct e1000 *card = e1000_of(nic);
	u64 is_done = RX_DD << card->model->rx->status;
	unsigned count = 0;

	while (count < budget) {
		u32 index = card->rx_next;

		if (!(*(volatile u64 *)&card->rx[index].word[1] & is_done))
			break;
		/* The rest of the descriptor and the frame were written before DD. */
		barrier();
		rx_take(card, index);
		card->rx_next = (index + 1) & (nic->rx_ring - 1u);
		count++;
	}
	card->rx_unshown += count;
	/* In groups: writing the tail register is dear, in an emulator above all. */
	if (card->rx_unshown >= nic->rx_ring / 2u)
		rx_show_tail(card);
	return count;
}

/* --- Sending -------------------------------------------------------------------------- */

static u32 tx_free(const struct e1000 *card)
{
	/* One stays empty: head equal to tail means an empty ring. */
	return (card->tx_clean + TX_RING - card->tx_next - 1) % TX_RING;
}

bool e1000_has_room(struct nic *nic, unsigned frames, unsigned pieces, u32 bytes)
{
	/* A context and a header for each frame; a piece more for each cut at TX_BYTES_MAX. */
	return 2 * frames + pieces + bytes / TX_BYTES_MAX <= tx_free(e1000_of(nic));
}

void e1000_tx_put(struct e1000 *card, u64 word0, u64 word1)
{
	card->tx[card->tx_next] = (struct e1000_tx){ { word0, word1 } };
	card->tx_next = (card->tx_next + 1) % TX_RING;
}

void e1000_tx_put_context(struct e1000 *card, struct e1000_tx context)
{
	if (memcmp(&context, &card->context, sizeof(context)) == 0)
		return;
	card->context = context;
	e1000_tx_put(card, context.word[0], context.word[1]);
}

u64 e1000_begin_frame(struct e1000 *card, const struct nic_frame *frame)
{
	u64 command = TX_CMD_DEXT | TX_DTYP_DATA | TX_CMD_IFCS;
	u64 ip = frame->ip_offset, tcp = frame->tcp_offset;
	struct e1000_tx context;

	if (!tcp)
		return command;
	/* IPCSE is the header's last byte; TUCSE 0 means to the end. */
	context.word[0] = ip | (ip + IP_CHECKSUM) << 8 | (tcp - 1) << 16 | tcp << 32 |
			  (tcp + TCP_OFF_CHECKSUM) << 40;
	context.word[1] = TX_CMD_DEXT | TX_TUCMD_TCP | TX_TUCMD_IP;
	if (frame->segment_bytes) {
		context.word[1] |= TX_CMD_TSE | frame->payload_bytes | (u64)frame->header_bytes << 40 |
				   (u64)frame->segment_bytes << 48;
		command |= TX_POPTS_IXSM | TX_CMD_TSE;
	}
	e1000_tx_put_context(card, context);
	return command | TX_POPTS_TXSM;
}

/*
 * What the card expects in the headers (3.5, 82576 7.2.4.4): the sum of the pseudo header where
 * the TCP checksum goes; when it cuts, without the length, and with IP length and checksum 0.
 */
static void tx_prepare_header(const struct nic_frame *frame, u8 *header)
{
	u32 tcp_total = frame->header_bytes - frame->tcp_offset + frame->payload_bytes;
	u8 *ip = header + frame->ip_offset;
	u16 seed;

	if (frame->segment_bytes) {
		put_be16(ip + IP_TOTAL_LENGTH, 0);
		put_be16(ip + IP_CHECKSUM, 0);
		tcp_total = 0;
	}
	seed = (u16)~checksum_finish(packet_pseudo_sum(ip, tcp_total));
	memcpy(header + frame->tcp_offset + TCP_OFF_CHECKSUM, &seed, 2);
}

void e1000_send(struct nic *nic, const struct nic_frame *frame)
{
	struct e1000 *card = e1000_of(nic);
	u32 first = card->tx_next, last;
	u64 command = card->model->begin_frame(card, frame);
	u8 *header = card->tx_header[card->tx_next];

	memcpy(header, frame->header, frame->header_bytes);
	if (frame->tcp_offset)
		tx_prepare_header(frame, header);
	e1000_tx_put(card, nic_dma(header), command | frame->header_bytes);

	for (unsigned i = 0; i < frame->piece_count; i++) {
		u64 dma = nic_dma(frame->piece[i].data);

		for (u32 at = 0; at < frame->piece[i].bytes; at += TX_BYTES_MAX)
			e1000_tx_put(card, dma + at, command | MIN(frame->piece[i].bytes - at, TX_BYTES_MAX));
	}
	last = (card->tx_next + TX_RING - 1) % TX_RING;
	card->tx[last].word[1] |= TX_CMD_EOP | TX_CMD_RS;
	card->tx_last[first] = (u16)last;
	card->tx_owner[last] = frame->owner;
}

void e1000_kick(struct nic *nic)
{
	struct e1000 *card = e1000_of(nic);

	if (card->tx_shown == card->tx_next)
		return;
	card->tx_shown = card->tx_next;
	barrier();
	reg_write(card, card->model->tx_queue + QUEUE_TAIL, card->tx_next);
}

/* The oldest frame's descriptors are free again; its last one is given. */
static void tx_release(struct e1000 *card, u32 last)
{
	void *owner = card->tx_owner[last];

	card->tx_clean = (last + 1) % TX_RING;
	card->nic.is_tx_waiting = false;
	card->nic.tx_out++;
	if (owner) {
		card->nic.tx_done++;
		card->nic.on_sent(&card->nic, owner);
	}
}

void e1000_reclaim(struct nic *nic)
{
	struct e1000 *card = e1000_of(nic);

	while (card->tx_clean != card->tx_shown) {
		u32 last = card->tx_last[card->tx_clean];

		if (!(*(volatile u64 *)&card->tx[last].word[1] & TX_STA_DD))
			break;
		tx_release(card, last);
	}
}

/* --- Life ----------------------------------------------------------------------------- */

int e1000_ring_create(struct e1000 *card)
{
	hpa_t run;

	card->rx = heap_alloc(E1000_RX_RING * sizeof(struct e1000_rx));
	card->tx = heap_alloc(TX_RING * sizeof(struct e1000_tx));
	if (!card->rx || !card->tx || page_alloc_run(HEADER_PAGES, &run)) {
		heap_free(card->rx);
		heap_free(card->tx);
		return -ENOMEM;
	}
	card->tx_header = phys_to_virt(run);
	return 0;
}

void e1000_ring_destroy(struct e1000 *card)
{
	page_free_run(virt_to_phys(card->tx_header), HEADER_PAGES);
	heap_free(card->rx);
	heap_free(card->tx);
}

void e1000_ring_fill(struct e1000 *card)
{
	for (u32 i = 0; i < card->nic.rx_ring; i++)
		rx_arm(card, i, nic_buffer_take(&card->nic));
}

u32 e1000_ring_rewind(struct e1000 *card)
{
	u32 unsent = 0;

	e1000_reclaim(&card->nic); /* what did go out */
	while (card->tx_clean != card->tx_next) {
		tx_release(card, card->tx_last[card->tx_clean]);
		unsent++;
	}
	card->tx_next = card->tx_clean = card->tx_shown = 0;
	card->context = (struct e1000_tx){ { 0 } };
	for (u32 i = 0; i < card->nic.rx_ring; i++)
		rx_arm(card, i, card->rx_buffer[i]);
	card->rx_next = 0;
	return unsent;
}

static void show_ring(struct e1000 *card, u32 queue, const void *ring, u64 bytes)
{
	reg_write(card, queue + QUEUE_BASE_LOW, nic_dma(ring));
	reg_write(card, queue + QUEUE_BASE_HIGH, nic_dma(ring) >> 32);
	reg_write(card, queue + QUEUE_BYTES, bytes);
	reg_write(card, queue + QUEUE_HEAD, 0);
	reg_write(card, queue + QUEUE_TAIL, 0);
}

void e1000_ring_show(struct e1000 *card)
{
	show_ring(card, card->model->rx_queue, card->rx, card->nic.rx_ring * sizeof(struct e1000_rx));
	show_ring(card, card->model->tx_queue, card->tx, TX_RING * sizeof(struct e1000_tx));
}

void e1000_ring_show_tails(struct e1000 *card)
{
	rx_show_tail(card); /* the send ring is empty: its tail is right */
}
