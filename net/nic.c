/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all cards share: the list of cards, pools of receive buffers, and the choice between
 * the card's own cutting and summing and Tern's.
 *
 * A pool never grows. A buffer is in exactly one place: free in its pool, in the card's
 * ring, or held by the stack until the bytes in it are consumed.
 */
#include "net/nic.h"

#include "kernel/errno.h"
#include "kernel/fmt.h"
#include "kernel/heap.h"
#include "kernel/layout.h"
#include "kernel/page.h"
#include "kernel/panic.h"
#include "kernel/sched.h"
#include "kernel/string.h"
#include "net/gso.h"
#include "net/packet.h"

static struct nic *nics[NIC_COUNT_MAX];
static unsigned nic_count;

/* --- Receive buffers ------------------------------------------------------------------ */

/* Buffers are cut from runs of pages, so that each is contiguous for the card. */
static int fill_pool(struct nic *nic, u32 count, u32 bytes)
{
	unsigned run_pages = (unsigned)MAX(bytes, PAGE_BYTES) / PAGE_BYTES;
	u32 per_run = (u32)(run_pages * PAGE_BYTES / bytes);
	hpa_t run = HPA(0);

	for (u32 i = 0; i < count; i++) {
		struct nic_buffer *buffer = &nic->pool[i];

		if (i % per_run == 0 && page_alloc_run(run_pages, &run))
			return -ENOMEM;
		buffer->nic = nic;
		buffer->dma = run.value + (u64)(i % per_run) * bytes;
		buffer->memory = phys_to_virt(HPA(buffer->dma));
		nic->pool_count++;
		nic_buffer_give(buffer);
	}
	return 0;
}

int nic_pool_create(struct nic *nic, u32 count, u32 bytes)
{
	nic->pool = heap_alloc(count * sizeof(struct nic_buffer));
	if (!nic->pool)
		return -ENOMEM;
	nic->buffer_bytes = bytes;
	/* What a failure leaves taken stays with the pool: a card without memory is a host without use. */
	return fill_pool(nic, count, bytes);
}

struct nic_buffer *nic_buffer_take(struct nic *nic)
{
	struct nic_buffer *buffer = nic->pool_free;

	if (!buffer)
		return NULL;
	nic->pool_free = buffer->next;
	nic->pool_free_count--;
	buffer->next = NULL;
	return buffer;
}

void nic_buffer_give(struct nic_buffer *buffer)
{
	struct nic *nic = buffer->nic;

	buffer->start = 0;
	buffer->bytes = 0;
	buffer->is_sum_good = false;
	buffer->next = nic->pool_free;
	nic->pool_free = buffer;
	nic->pool_free_count++;
}

/* --- Sending -------------------------------------------------------------------------- */

static int defer(struct nic *nic)
{
	nic->stats.tx_deferred++;
	nic->is_tx_waiting = true;
	return -ENOBUFS;
}

/* To the driver, with the VLAN's tag as part of the header: no card needs to know of VLANs. */
static void queue(struct nic *nic, const struct nic_frame *frame)
{
	struct nic_frame final = *frame;
	u8 tagged[NIC_HEADER_MAX];

	final.ip_offset = ETHERNET_BYTES;
	if (frame->vlan) {
		packet_put_tag(tagged, frame->header, frame->header_bytes, frame->vlan);
		final.header = tagged;
		final.header_bytes += VLAN_BYTES;
		final.ip_offset += VLAN_BYTES;
		final.tcp_offset += frame->tcp_offset ? VLAN_BYTES : 0;
	}
	nic->tx_given++;
	nic->stats.tx_frames++;
	nic->stats.tx_bytes += final.header_bytes + final.payload_bytes;
	nic->ops->send(nic, &final);
}

static int send_one(struct nic *nic, const struct nic_frame *frame)
{
	if (!nic->ops->has_room(nic, 1, frame->piece_count, frame->payload_bytes))
		return defer(nic);
	if (frame->owner)
		nic->tx_queued++;
	nic->stats.tx_packets++;
	queue(nic, frame);
	return 0;
}

static int send_cut_by_card(struct nic *nic, const struct nic_frame *whole, const struct packet *packet,
			    u16 segment_bytes)
{
	struct nic_frame frame = *whole;
	u32 count = (whole->payload_bytes + segment_bytes - 1) / segment_bytes;
	int err;

	frame.tcp_offset = packet->tcp_offset;
	frame.segment_bytes = segment_bytes;
	err = send_one(nic, &frame);
	if (err)
		return err;
	nic->stats.tx_frames += count - 1;
	nic->stats.tx_bytes += (u64)(count - 1) * (whole->header_bytes + (whole->vlan ? VLAN_BYTES : 0));
	nic->stats.tx_cut_by_card++;
	return 0;
}

static int send_cut_by_tern(struct nic *nic, const struct nic_frame *whole, const struct packet *packet,
			    u16 segment_bytes)
{
	u8 header[NIC_HEADER_MAX];
	struct nic_frame frame;
	struct gso gso;
	unsigned frames, pieces;

	gso_count(whole, segment_bytes, &frames, &pieces);
	if (!nic->ops->has_room(nic, frames, pieces, whole->payload_bytes))
		return defer(nic);
	if (whole->owner)
		nic->tx_queued++;
	nic->stats.tx_packets++;
	nic->stats.tx_cut_by_tern += frames > 1;
	gso_start(&gso, whole, packet, segment_bytes, !nic->can_sum);
	while (gso_next(&gso, &frame, header))
		queue(nic, &frame);
	return 0;
}

int nic_send(struct nic *nic, const struct nic_frame *frame)
{
	u32 total = frame->header_bytes + frame->payload_bytes;
	u16 segment_bytes = frame->segment_bytes;
	struct packet packet;

	if (packet_parse(frame->header, frame->header_bytes, total, &packet) != PACKET_TCP) {
		if (total > ETHERNET_BYTES + (u32)nic->mtu) {
			nic->stats.tx_drop_too_long++;
			return -E2BIG;
		}
		return send_one(nic, frame);
	}
	segment_bytes = MIN(segment_bytes, (u16)(nic->mtu - packet.ip_bytes - packet.tcp_bytes));
	if (frame->payload_bytes > segment_bytes && nic->can_cut)
		return send_cut_by_card(nic, frame, &packet, segment_bytes);
	return send_cut_by_tern(nic, frame, &packet, segment_bytes);
}

u64 nic_dma(const void *va)
{
	u64 offset = (u64)((const u8 *)va - direct_map);

	/* PML4 entries 256 to 383 (kernel/layout.h). The core's own image is not among them. */
	assert_or_panic(offset < DYNAMIC_BASE - DIRECT_MAP_BASE);
	return offset;
}

void nic_interrupt(void *context)
{
	struct nic *nic = context;

	nic->stats.interrupts++;
	nic->ops->set_irq(nic, false);
	service_wake();
}

/* --- The list of cards ---------------------------------------------------------------- */

int nic_register(struct nic *nic)
{
	if (nic_count == NIC_COUNT_MAX)
		return -ENOSPC;
	fmt_snprintf(nic->name, sizeof(nic->name), "net%u", nic_count);
	nics[nic_count++] = nic;
	return 0;
}

struct nic *nic_get(unsigned index) { return index < nic_count ? nics[index] : NULL; }
