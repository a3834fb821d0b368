/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Merging received TCP frames that follow each other into one large packet, so that the
 * stack runs once for many. The reverse of gso.h. Knows no lwIP.
 *
 * Merged are frames of one poll whose Ethernet and IP addresses, ports, TTL and service
 * byte agree, without options, where each begins at the sequence number at which the last
 * ended, with no flags but ACK and PSH. The packet gets the newest acknowledgement number
 * and window. A frame that does not fit in ends the packet before it, so no frame of a
 * connection ever overtakes another.
 *
 * Behind a gap a few frames are given to the stack one by one: each makes it acknowledge,
 * and three such acknowledgements tell the sender at once that a frame was lost (fast
 * retransmit, RFC 5681 3.2), where one for all would leave it to a timer.
 */
#pragma once

#include "net/nic.h"
#include "net/packet.h"

#define GRO_FLOWS 4
#define GRO_SINGLES 6 /* frames behind a gap that are not merged */
#define GRO_PACKET_MAX 65000u /* IPv4 total length, and lwIP's u16_t */

/* A connection, and its packet under construction: buffers linked by next, headers in the first only. */
struct gro_packet {
	struct nic_buffer *first, *last; /* NULL: nothing is waiting */
	u64 addresses;                   /* of the connection seen here last, as in the header */
	u32 ports;
	u16 singles;                     /* frames still to be given one by one */
	struct packet at;
	u32 ip_total;
	u32 next_sequence;
	u16 frames;
};

struct gro {
	struct gro_packet flow[GRO_FLOWS];
	unsigned oldest;
	/* Takes the chain; total is the length of its valid bytes. */
	void (*deliver)(void *context, struct nic_buffer *first, u32 total);
	void *context;
	struct nic_stats *stats;
};

/* Takes a frame of any kind: merges it, delivers it, or drops and counts it. */
void gro_add(struct gro *gro, struct nic_buffer *buffer);
/* Delivers all that is waiting: at the end of a poll. */
void gro_flush(struct gro *gro);
