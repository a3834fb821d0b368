/* SPDX-License-Identifier: BSD-2-Clause */
/* Parsing and completing TCP over IPv4 headers. Every length is checked before it is used. */
#include "net/packet.h"

#include "net/checksum.h"

#define IP_BYTES_MIN 20
#define TCP_BYTES_MIN 20
#define IP_FRAGMENT_BITS 0x3fff /* more fragments, and the offset */

enum packet_kind packet_parse(const u8 *frame, u32 there, u32 total, struct packet *out)
{
	const u8 *ip = frame + ETHERNET_BYTES;
	u32 ip_bytes, ip_total, tcp_bytes;

	if (there < ETHERNET_BYTES + IP_BYTES_MIN || get_be16(frame + 12) != ETHERNET_IPV4)
		return PACKET_OTHER;
	if (ip[0] >> 4 != 4 || ip[IP_PROTOCOL] != IP_PROTOCOL_TCP)
		return PACKET_OTHER;
	if (get_be16(ip + IP_FLAGS) & IP_FRAGMENT_BITS)
		return PACKET_OTHER;
	ip_bytes = (ip[0] & 15u) * 4;
	ip_total = get_be16(ip + IP_TOTAL_LENGTH);
	if (ip_bytes < IP_BYTES_MIN || ip_total < ip_bytes + TCP_BYTES_MIN ||
	    total < ETHERNET_BYTES + ip_total || there < ETHERNET_BYTES + ip_bytes + TCP_BYTES_MIN)
		return PACKET_BROKEN;
	tcp_bytes = (u32)(ip[ip_bytes + TCP_OFF_HEADER_LENGTH] >> 4) * 4;
	if (tcp_bytes < TCP_BYTES_MIN || ip_total < ip_bytes + tcp_bytes ||
	    there < ETHERNET_BYTES + ip_bytes + tcp_bytes)
		return PACKET_BROKEN;

	out->ip_bytes = (u16)ip_bytes;
	out->tcp_offset = (u16)(ETHERNET_BYTES + ip_bytes);
	out->tcp_bytes = (u16)tcp_bytes;
	out->header_bytes = (u16)(out->tcp_offset + tcp_bytes);
	out->payload_bytes = ip_total - ip_bytes - tcp_bytes;
	return PACKET_TCP;
}

u32 packet_pseudo_sum(const u8 *ip, u32 tcp_total)
{
	u8 tail[4] = { 0, IP_PROTOCOL_TCP, (u8)(tcp_total >> 8), (u8)tcp_total };

	return checksum_add(checksum_add(0, ip + IP_SOURCE, 8), tail, 4);
}

void packet_finish_ip(u8 *frame, u16 ip_bytes)
{
	u8 *ip = frame + ETHERNET_BYTES;
	u16 sum;

	put_be16(ip + IP_CHECKSUM, 0);
	sum = checksum_finish(checksum_add(0, ip, ip_bytes));
	__builtin_memcpy(ip + IP_CHECKSUM, &sum, 2);
}

void packet_put_tag(u8 *to, const u8 *from, u16 bytes, u16 vlan)
{
	__builtin_memcpy(to, from, ETHERNET_ADDRESSES);
	put_be16(to + ETHERNET_ADDRESSES, ETHERNET_VLAN);
	put_be16(to + ETHERNET_ADDRESSES + 2, vlan);
	__builtin_memcpy(to + ETHERNET_ADDRESSES + VLAN_BYTES, from + ETHERNET_ADDRESSES,
			 bytes - (size_t)ETHERNET_ADDRESSES);
}

int packet_vlan(const u8 *frame, u32 bytes)
{
	if (get_be16(frame + ETHERNET_ADDRESSES) != ETHERNET_VLAN || bytes < ETHERNET_BYTES + VLAN_BYTES)
		return -1;
	return get_be16(frame + ETHERNET_ADDRESSES + 2) & VLAN_ID;
}

void packet_cut_tag(u8 *frame)
{
	__builtin_memmove(frame + VLAN_BYTES, frame, ETHERNET_ADDRESSES);
}

u8 *packet_find_mss(u8 *frame, const struct packet *packet)
{
	u8 *at = frame + packet->tcp_offset + TCP_OFF_OPTIONS;
	u8 *end = frame + packet->header_bytes;

	/* RFC 9293 3.1: kind 0 ends the list, 1 is padding, all others have a length. */
	while (at < end && *at != 0) {
		if (*at == 1) {
			at++;
			continue;
		}
		if (end - at < 2 || at[1] < 2 || at[1] > end - at)
			return NULL;
		if (at[0] == TCP_OPTION_MSS && at[1] == 4)
			return at + 2;
		at += at[1];
	}
	return NULL;
}
