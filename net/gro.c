/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Generic receive merging. A frame passes three gates: is it TCP with consistent lengths,
 * is its checksum right (the one place where TCP checksums are verified), may it be merged.
 * This is the dearest path per frame there is: headers are compared by words.
 */
#include "net/gro.h"

#include "net/checksum.h"

#define FLAGS_MERGED (TCP_FLAG_ACK | TCP_FLAG_PSH)
#define IP_WITHOUT_OPTIONS 20
#define TCP_WITHOUT_OPTIONS 20

static u8 *frame_of(const struct nic_buffer *buffer) { return buffer->memory + buffer->start; }

static void drop(struct nic_buffer *buffer, u64 *counter)
{
	(*counter)++;
	nic_buffer_give(buffer);
}

static void deliver(struct gro *gro, struct gro_packet *flow)
{
	u8 *header = frame_of(flow->first);
	struct nic_buffer *first = flow->first;

	if (flow->frames > 1) {
		put_be16(header + ETHERNET_BYTES + IP_TOTAL_LENGTH, (u16)flow->ip_total);
		packet_finish_ip(header, flow->at.ip_bytes);
	}
	flow->first = NULL;
	gro->stats->rx_packets++;
	gro->deliver(gro->context, first, ETHERNET_BYTES + flow->ip_total);
}

static bool is_sum_right(const u8 *frame, const struct packet *packet)
{
	u32 tcp_total = packet->tcp_bytes + packet->payload_bytes;
	u32 sum = packet_pseudo_sum(frame + ETHERNET_BYTES, tcp_total);

	return checksum_finish(checksum_add(sum, frame + packet->tcp_offset, tcp_total)) == 0;
}

static u64 addresses_of(const u8 *frame) { return load64(frame + ETHERNET_BYTES + IP_SOURCE); }
static u32 ports_of(const u8 *frame) { return load32(frame + ETHERNET_BYTES + IP_WITHOUT_OPTIONS); }

/* The place of the frame's connection; it is remembered over polls, to see gaps between them. */
static struct gro_packet *find_flow(struct gro *gro, const u8 *frame)
{
	u64 addresses = addresses_of(frame);
	u32 ports = ports_of(frame);

	for (unsigned i = 0; i < GRO_FLOWS; i++)
		if (gro->flow[i].addresses == addresses && gro->flow[i].ports == ports)
			return &gro->flow[i];
	return NULL;
}

/* The place that was taken longest ago, emptied, for a new connection. */
static struct gro_packet *take_place(struct gro *gro, const u8 *frame, u32 sequence)
{
	struct gro_packet *flow = &gro->flow[gro->oldest];

	gro->oldest = (gro->oldest + 1) % GRO_FLOWS;
	if (flow->first)
		deliver(gro, flow);
	*flow = (struct gro_packet){
		.addresses = addresses_of(frame),
		.ports = ports_of(frame),
		.next_sequence = sequence,
	};
	return flow;
}

static bool is_mergeable(const u8 *frame, const struct packet *packet)
{
	u8 flags = frame[packet->tcp_offset + TCP_OFF_FLAGS];

	return packet->ip_bytes == IP_WITHOUT_OPTIONS && packet->tcp_bytes == TCP_WITHOUT_OPTIONS &&
	       packet->payload_bytes > 0 && (flags & TCP_FLAG_ACK) && !(flags & ~FLAGS_MERGED);
}

static bool is_same_ethernet(const u8 *a, const u8 *b)
{
	return load64(a) == load64(b) && load32(a + 8) == load32(b + 8) && load16(a + 12) == load16(b + 12);
}

/* Ethernet and IP say the same but for length, id and checksum, and the payload follows at once. */
static bool is_next(const struct gro_packet *flow, const u8 *frame, const struct packet *packet)
{
	const u8 *head = frame_of(flow->first);
	const u8 *ip = frame + ETHERNET_BYTES, *head_ip = head + ETHERNET_BYTES;

	return is_same_ethernet(head, frame) && head_ip[1] == ip[1] && head_ip[8] == ip[8] &&
	       load16(head_ip + IP_FLAGS) == load16(ip + IP_FLAGS) &&
	       get_be32(frame + packet->tcp_offset + TCP_OFF_SEQUENCE) == flow->next_sequence &&
	       flow->ip_total + packet->payload_bytes <= GRO_PACKET_MAX;
}

static void append(struct gro *gro, struct gro_packet *flow, struct nic_buffer *buffer,
		   const struct packet *packet)
{
	u8 *from = frame_of(buffer) + packet->tcp_offset;
	u8 *to = frame_of(flow->first) + flow->at.tcp_offset;

	__builtin_memcpy(to + TCP_OFF_ACK, from + TCP_OFF_ACK, 4);
	__builtin_memcpy(to + TCP_OFF_WINDOW, from + TCP_OFF_WINDOW, 2);
	to[TCP_OFF_FLAGS] |= from[TCP_OFF_FLAGS] & TCP_FLAG_PSH;

	buffer->start = (u16)(buffer->start + packet->header_bytes);
	buffer->bytes = (u16)packet->payload_bytes;
	buffer->next = NULL;
	flow->last->next = buffer;
	flow->last = buffer;
	flow->ip_total += packet->payload_bytes;
	flow->next_sequence += packet->payload_bytes;
	flow->frames++;
	gro->stats->rx_merged++;
}

static void begin(struct gro_packet *flow, struct nic_buffer *buffer, const struct packet *packet)
{
	/* What follows the IP packet is Ethernet's padding. */
	buffer->bytes = (u16)(packet->header_bytes + packet->payload_bytes);
	flow->first = flow->last = buffer;
	flow->at = *packet;
	flow->ip_total = buffer->bytes - (u32)ETHERNET_BYTES;
	flow->next_sequence += packet->payload_bytes;
	flow->frames = 1;
}

static void add_data(struct gro *gro, struct gro_packet *flow, struct nic_buffer *buffer,
		     const struct packet *packet)
{
	u32 sequence = get_be32(frame_of(buffer) + packet->tcp_offset + TCP_OFF_SEQUENCE);

	if (sequence != flow->next_sequence) {
		/* Later than expected: something was lost. Earlier: it is what was lost. */
		flow->singles = (s32)(sequence - flow->next_sequence) > 0 ? GRO_SINGLES : 0;
		flow->next_sequence = sequence;
	}
	begin(flow, buffer, packet);
	if (flow->singles > 0) {
		flow->singles--;
		deliver(gro, flow);
	}
}

static void add_tcp(struct gro *gro, struct nic_buffer *buffer, const struct packet *packet)
{
	const u8 *frame = frame_of(buffer);
	bool is_plain = packet->ip_bytes == IP_WITHOUT_OPTIONS;
	struct gro_packet *flow = is_plain ? find_flow(gro, frame) : NULL;
	bool can_merge = is_mergeable(frame, packet);

	if (flow && flow->first && can_merge && is_next(flow, frame, packet)) {
		append(gro, flow, buffer, packet);
		return;
	}
	if (flow && flow->first)
		deliver(gro, flow);
	if (can_merge) {
		if (!flow)
			flow = take_place(gro, frame, get_be32(frame + packet->tcp_offset + TCP_OFF_SEQUENCE));
		add_data(gro, flow, buffer, packet);
		return;
	}
	gro->stats->rx_packets++;
	gro->deliver(gro->context, buffer, buffer->bytes);
}

void gro_add(struct gro *gro, struct nic_buffer *buffer)
{
	const u8 *frame = frame_of(buffer);
	struct packet packet;

	buffer->next = NULL;
	switch (packet_parse(frame, buffer->bytes, buffer->bytes, &packet)) {
	case PACKET_BROKEN:
		drop(buffer, &gro->stats->rx_drop_header);
		return;
	case PACKET_OTHER:
		gro->stats->rx_packets++;
		gro->deliver(gro->context, buffer, buffer->bytes);
		return;
	case PACKET_TCP:
		break;
	}
	if (!buffer->is_sum_good && !is_sum_right(frame, &packet)) {
		drop(buffer, &gro->stats->rx_drop_checksum);
		return;
	}
	add_tcp(gro, buffer, &packet);
}

void gro_flush(struct gro *gro)
{
	for (unsigned i = 0; i < GRO_FLOWS; i++)
		if (gro->flow[i].first)
			deliver(gro, &gro->flow[i]);
}
