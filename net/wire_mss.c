/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Maximum segment sizes of peers: a small table, the one used longest ago makes room. It
 * has more places than there are connections, and who sends is used, so a flood of SYNs
 * cannot push out a peer that data flows to.
 */
#include "net/wire_mss.h"

#include "net/packet.h"

#define PEER_MAX 64
/* RFC 9293 3.7.1: what counts if the option is missing; and no peer may ask for crumbs. */
#define MSS_DEFAULT 536

static struct peer {
	u32 ip;
	u16 mss; /* 0: free */
	u64 used;
} peers[PEER_MAX];

static u64 now;

static struct peer *find(u32 ip)
{
	for (unsigned i = 0; i < PEER_MAX; i++)
		if (peers[i].mss && peers[i].ip == ip)
			return &peers[i];
	return NULL;
}

static struct peer *oldest(void)
{
	struct peer *choice = &peers[0];

	for (unsigned i = 1; i < PEER_MAX; i++)
		if (peers[i].used < choice->used)
			choice = &peers[i];
	return choice;
}

static bool is_syn(const u8 *frame, const struct packet *packet)
{
	return frame[packet->tcp_offset + TCP_OFF_FLAGS] & TCP_FLAG_SYN;
}

void wire_mss_receive(u8 *frame, const struct packet *packet, u16 mtu, u16 lwip_max)
{
	u32 ip = get_be32(frame + ETHERNET_BYTES + IP_SOURCE);
	struct peer *peer;
	u8 *option;

	if (!is_syn(frame, packet))
		return;
	peer = find(ip);
	if (!peer)
		peer = oldest();
	option = packet_find_mss(frame, packet);
	*peer = (struct peer){ ip, option ? MAX(get_be16(option), MSS_DEFAULT) : MSS_DEFAULT, ++now };
	if (option) {
		u16 wire = MIN(peer->mss, (u16)(mtu - 40));

		/*
		 * Whole frames, so that no segment ends with a crumb; but a word less: cards that
		 * cut an exact multiple may send an empty frame behind it (QEMU's e1000 does),
		 * which the receiver cannot merge.
		 */
		put_be16(option, (u16)(lwip_max / wire * wire - 8));
	}
}

u16 wire_mss_send(u8 *frame, const struct packet *packet, u16 mtu)
{
	u16 mss = (u16)(mtu - 40); /* RFC 6691: without IP and TCP options */
	struct peer *peer = find(get_be32(frame + ETHERNET_BYTES + IP_TARGET));
	u8 *option = is_syn(frame, packet) ? packet_find_mss(frame, packet) : NULL;

	if (option)
		put_be16(option, mss);
	if (peer) {
		peer->used = ++now;
		mss = MIN(mss, peer->mss);
	}
	/* RFC 6691: options of this packet go off the payload. */
	return (u16)(mss - (packet->ip_bytes + packet->tcp_bytes - 40));
}
