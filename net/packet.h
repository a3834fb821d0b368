/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where things are in a frame that carries TCP over IPv4: what cards, splitters and
 * mergers must know. All lengths are hostile until packet_parse has accepted them. Pure.
 *
 *   | Ethernet 14 | IPv4 20 (more with options) | TCP 20 (more with options) | payload |
 */
#pragma once

#include "kernel/types.h"

#define ETHERNET_BYTES 14
#define ETHERNET_ADDRESSES 12 /* before the type, or a VLAN tag */
#define ETHERNET_IPV4 0x0800
#define ETHERNET_VLAN 0x8100
#define VLAN_BYTES 4          /* IEEE 802.1Q 9.3: type 0x8100, then priority 3, DEI 1, VLAN 12 */
#define VLAN_ID 0x0fff
#define VLAN_MAX 4094
#define IP_PROTOCOL_TCP 6

#define IP_TOTAL_LENGTH 2 /* offsets, RFC 791 3.1 */
#define IP_ID 4
#define IP_FLAGS 6
#define IP_PROTOCOL 9
#define IP_CHECKSUM 10
#define IP_SOURCE 12
#define IP_TARGET 16

#define TCP_OFF_PORTS 0 /* offsets, RFC 9293 3.1 */
#define TCP_OFF_SEQUENCE 4
#define TCP_OFF_ACK 8
#define TCP_OFF_HEADER_LENGTH 12
#define TCP_OFF_FLAGS 13
#define TCP_OFF_WINDOW 14
#define TCP_OFF_CHECKSUM 16
#define TCP_OFF_OPTIONS 20

#define TCP_FLAG_FIN 0x01
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_RST 0x04
#define TCP_FLAG_PSH 0x08
#define TCP_FLAG_ACK 0x10
#define TCP_FLAG_CWR 0x80

#define TCP_OPTION_MSS 2

static inline u16 get_be16(const u8 *at) { return (u16)(at[0] << 8 | at[1]); }
/* Unaligned loads in memory order: for comparing. */
static inline u16 load16(const u8 *at)
{
	u16 value;

	__builtin_memcpy(&value, at, 2);
	return value;
}
static inline u32 load32(const u8 *at)
{
	u32 value;

	__builtin_memcpy(&value, at, 4);
	return value;
}
static inline u64 load64(const u8 *at)
{
	u64 value;

	__builtin_memcpy(&value, at, 8);
	return value;
}
static inline u32 get_be32(const u8 *at) { return __builtin_bswap32(load32(at)); }
static inline void put_be16(u8 *at, u16 value)
{
	at[0] = (u8)(value >> 8);
	at[1] = (u8)value;
}
static inline void put_be32(u8 *at, u32 value)
{
	value = __builtin_bswap32(value);
	__builtin_memcpy(at, &value, 4);
}

enum packet_kind {
	PACKET_OTHER,   /* not TCP over IPv4, or a fragment: lwIP's own checks apply */
	PACKET_TCP,
	PACKET_BROKEN,  /* a TCP packet whose lengths contradict each other */
};

struct packet {
	u16 ip_bytes;      /* IPv4 header; it starts at ETHERNET_BYTES */
	u16 tcp_offset;    /* from the frame's start */
	u16 tcp_bytes;     /* TCP header */
	u16 header_bytes;  /* Ethernet, IP and TCP */
	u32 payload_bytes;
};

/*
 * Looks at a frame whose first `there` bytes are at `frame` and which is `total` long. On
 * PACKET_TCP all headers are within `there`, and header_bytes + payload_bytes <= total.
 */
enum packet_kind packet_parse(const u8 *frame, u32 there, u32 total, struct packet *out);

/* Sum of the pseudo header, by the IP header, for so many bytes of TCP header and payload; RFC 9293 3.1. */
u32 packet_pseudo_sum(const u8 *ip, u32 tcp_total);

/* Writes the IPv4 header's checksum. */
void packet_finish_ip(u8 *frame, u16 ip_bytes);

/* Copies bytes of a frame's start, at least ETHERNET_ADDRESSES, and puts a VLAN tag in: VLAN_BYTES longer. */
void packet_put_tag(u8 *to, const u8 *from, u16 bytes, u16 vlan);
/* The VLAN in a tagged frame's tag, 0 for "only a priority"; -1: no tag. ETHERNET_BYTES are at frame. */
int packet_vlan(const u8 *frame, u32 bytes);
/* Takes the tag out of a tagged frame, whose start is VLAN_BYTES further on then. */
void packet_cut_tag(u8 *frame);

/* The two bytes of a SYN's MSS option, or NULL. header_bytes are at frame. */
u8 *packet_find_mss(u8 *frame, const struct packet *packet);
