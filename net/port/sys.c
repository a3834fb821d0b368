/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What lwIP asks of its system: memory, time, randomness, and where to go when an
 * invariant is broken. Called from the network service on CPU 0 only.
 */
#include "lwip/opt.h"
#include "lwip/stats.h"
#include "lwip/sys.h"

#include "net/port/errors.h"
#include "net/port/hooks.h"

#include "arch/cpu.h"
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/panic.h"

void *lwip_port_alloc(size_t bytes) { return heap_alloc(bytes); }
void lwip_port_free(void *object) { heap_free(object); }

u32_t sys_now(void) { return (u32_t)(clock_now_ns() / NS_PER_MS); }

void lwip_port_panic(const char *what, const char *file, int line)
{
	panic("lwIP %s:%d: %s", file, line, what);
}

int lwip_port_errno(err_t err)
{
	switch (err) {
	case ERR_OK:
		return 0;
	case ERR_MEM:
	case ERR_BUF:
		return -ENOMEM;
	case ERR_RTE:
		return -ENETUNREACH;
	case ERR_USE:
		return -EADDRINUSE;
	case ERR_RST:
		return -ECONNRESET;
	case ERR_ABRT:
		return -ETIMEDOUT; /* lwIP gave up retransmitting */
	default:
		return -EIO;
	}
}

#define FRAMES_OF_A_WINDOW (TCP_WND / 1460 + 1)

/*
 * Segments that wait for one before them, and segments to be sent, are of one pool: whoever
 * sends us crumbs with holes between them could take all of it, and nobody could send. Half of it
 * is always left; what is dropped comes again.
 */
u16_t lwip_port_ooseq_limit(void)
{
	return lwip_stats.memp[MEMP_TCP_SEG]->used < MEMP_NUM_TCP_SEG / 2 ? FRAMES_OF_A_WINDOW : 0;
}

/* Not a cipher: enough that a stranger off the link cannot guess ports and sequence numbers. */
static u64 mix(u64 x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
	return x ^ (x >> 31);
}

static u64 secret(void)
{
	static u64 value;

	if (value == 0)
		value = mix(rdtsc()) | 1;
	return value;
}

uint32_t lwip_port_random(void)
{
	static u64 state;

	state += 0x9e3779b97f4a7c15ull;
	return (uint32_t)mix(state ^ secret() ^ rdtsc());
}

u32_t lwip_port_isn(const ip_addr_t *local_ip, u16_t local_port, const ip_addr_t *remote_ip,
		    u16_t remote_port)
{
	u64 who = (u64)ip4_addr_get_u32(local_ip) << 32 | ip4_addr_get_u32(remote_ip);
	u64 ports = (u64)local_port << 16 | remote_port;

	/* RFC 6528, section 3: the clock ticks every 4 us. */
	return (u32_t)(mix(mix(who ^ secret()) ^ ports ^ secret()) + clock_now_ns() / 4000);
}
