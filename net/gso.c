/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Generic segmentation: what a card with TSO does, in software.
 *
 * A packet without payload, or one that fits, passes through as a single frame; so all TCP
 * of a card without checksum offload takes this way.
 */
#include "net/gso.h"

#include "kernel/string.h"
#include "net/checksum.h"

void gso_start(struct gso *gso, const struct nic_frame *whole, const struct packet *packet,
	       u16 segment_bytes, bool want_sum)
{
	*gso = (struct gso){
		.whole = whole,
		.packet = *packet,
		.segment_bytes = segment_bytes,
		.want_sum = want_sum,
	};
}

void gso_count(const struct nic_frame *whole, u16 segment_bytes, unsigned *frames, unsigned *pieces)
{
	unsigned count = (whole->payload_bytes + segment_bytes - 1) / segment_bytes;

	*frames = MAX(count, 1u);
	*pieces = *frames + whole->piece_count;
}

/* Moves `bytes` of payload from whole to frame, as references. */
static void take_pieces(struct gso *gso, struct nic_frame *frame, u32 bytes)
{
	frame->payload_bytes = bytes;
	while (bytes > 0) {
		const struct nic_piece *from = &gso->whole->piece[gso->piece];
		u32 part = MIN(bytes, from->bytes - gso->piece_offset);

		if (part > 0)
			frame->piece[frame->piece_count++] =
				(struct nic_piece){ (const u8 *)from->data + gso->piece_offset, part };
		gso->piece_offset += part;
		bytes -= part;
		if (gso->piece_offset == from->bytes) {
			gso->piece++;
			gso->piece_offset = 0;
		}
	}
}

static void sum_tcp(const struct gso *gso, const struct nic_frame *frame, u8 *header)
{
	u8 *tcp = header + gso->packet.tcp_offset;
	u32 tcp_total = gso->packet.tcp_bytes + frame->payload_bytes;
	u32 sum = packet_pseudo_sum(header + ETHERNET_BYTES, tcp_total);
	size_t offset = 0;
	u16 result;

	put_be16(tcp + TCP_OFF_CHECKSUM, 0);
	sum = checksum_add(sum, tcp, gso->packet.tcp_bytes);
	for (unsigned i = 0; i < frame->piece_count; i++) {
		sum = checksum_add_at(sum, frame->piece[i].data, frame->piece[i].bytes, offset);
		offset += frame->piece[i].bytes;
	}
	result = checksum_finish(sum);
	memcpy(tcp + TCP_OFF_CHECKSUM, &result, 2);
}

static void write_header(const struct gso *gso, const struct nic_frame *frame, u8 *header, bool is_last)
{
	const struct packet *packet = &gso->packet;
	u8 *ip = header + ETHERNET_BYTES;
	u8 *tcp = header + packet->tcp_offset;

	memcpy(header, gso->whole->header, packet->header_bytes);
	put_be16(ip + IP_TOTAL_LENGTH,
		 (u16)(packet->ip_bytes + packet->tcp_bytes + frame->payload_bytes));
	put_be16(ip + IP_ID, (u16)(get_be16(ip + IP_ID) + gso->frames));
	packet_finish_ip(header, packet->ip_bytes);

	put_be32(tcp + TCP_OFF_SEQUENCE, get_be32(tcp + TCP_OFF_SEQUENCE) + gso->sent);
	if (!is_last)
		tcp[TCP_OFF_FLAGS] &= (u8) ~(TCP_FLAG_FIN | TCP_FLAG_PSH);
	if (gso->frames > 0)
		tcp[TCP_OFF_FLAGS] &= (u8)~TCP_FLAG_CWR;
}

bool gso_next(struct gso *gso, struct nic_frame *frame, u8 header[NIC_HEADER_MAX])
{
	u32 left = gso->whole->payload_bytes - gso->sent;
	u32 bytes = MIN(left, gso->segment_bytes);
	bool is_last = bytes == left;

	if (left == 0 && gso->frames > 0)
		return false;
	frame->header = header;
	frame->header_bytes = gso->packet.header_bytes;
	frame->vlan = gso->whole->vlan;
	frame->tcp_offset = gso->want_sum ? 0 : gso->packet.tcp_offset;
	frame->segment_bytes = 0;
	frame->piece_count = 0;
	frame->owner = is_last ? gso->whole->owner : NULL;
	take_pieces(gso, frame, bytes);
	write_header(gso, frame, header, is_last);
	if (gso->want_sum)
		sum_tcp(gso, frame, header);
	gso->sent += bytes;
	gso->frames++;
	return true;
}
