/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cutting a large TCP packet into frames that fit the wire, for cards that cannot.
 * Each frame gets its own sequence number, IP id and checksums; FIN and PSH stay with the
 * last, CWR with the first. Pure: no card, no lwIP.
 */
#pragma once

#include "net/nic.h"
#include "net/packet.h"

struct gso {
	const struct nic_frame *whole;
	struct packet packet;
	u16 segment_bytes;
	bool want_sum;       /* complete the TCP checksum here, else the card does */
	unsigned piece;      /* where the next payload byte is */
	u32 piece_offset;
	u32 sent;            /* payload bytes cut so far */
	u16 frames;
};

/* whole is TCP (packet says where things are) and stays in place until the last gso_next. */
void gso_start(struct gso *gso, const struct nic_frame *whole, const struct packet *packet,
	       u16 segment_bytes, bool want_sum);
/* The next frame, its header in header[]; false when all was cut. Only the last has an owner. */
bool gso_next(struct gso *gso, struct nic_frame *frame, u8 header[NIC_HEADER_MAX]);
/* How many frames and pieces gso_next will make, at most. */
void gso_count(const struct nic_frame *whole, u16 segment_bytes, unsigned *frames, unsigned *pieces);
