/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Internet checksum: ones' complement sum of 16-bit words (RFC 1071).
 *
 * The sum does not care how words are grouped, so eight bytes are added at a time. No carry
 * is needed: `all` adds the 64-bit words and wraps, `high` adds their upper halves exactly,
 * and what `all` lost by wrapping is made good by subtracting `high` from its upper half:
 * modulo 2^64, all - (high << 32) is the exact sum of the lower halves. Two additions, a
 * shift and a load for eight bytes; adc chains are slower in emulators.
 */
#include "net/checksum.h"

#include "net/packet.h"

static u32 fold32(u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (u32)sum;
}

static u32 fold16(u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

u32 checksum_add(u32 sum, const void *data, size_t bytes)
{
	const u8 *at = data;
	u64 all = 0, high = 0, tail = 0;

	for (; bytes >= 32; at += 32, bytes -= 32) {
		u64 a = load64(at), b = load64(at + 8), c = load64(at + 16), d = load64(at + 24);

		all += a;
		high += a >> 32;
		all += b;
		high += b >> 32;
		all += c;
		high += c >> 32;
		all += d;
		high += d >> 32;
	}
	for (; bytes >= 8; at += 8, bytes -= 8) {
		u64 a = load64(at);

		all += a;
		high += a >> 32;
	}
	/* RFC 1071, 4.1: an odd last byte is padded with zero. */
	for (size_t i = 0; i < bytes; i++)
		tail |= (u64)at[i] << (8 * i);
	all += tail;
	high += tail >> 32;

	return fold16(fold32((u64)fold32(all - (high << 32)) + fold32(high) + sum));
}

u32 checksum_add_at(u32 sum, const void *data, size_t bytes, size_t offset)
{
	u32 part;

	if (offset % 2 == 0)
		return checksum_add(sum, data, bytes);
	/* RFC 1071, 2 (B): shifted by one byte, the sum is byte-swapped. */
	part = checksum_add(0, data, bytes);
	return fold16(sum + (u32)__builtin_bswap16((u16)part));
}

u16 checksum_finish(u32 sum) { return (u16)~fold16(sum); }
