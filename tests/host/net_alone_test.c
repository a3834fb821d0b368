/* SPDX-License-Identifier: BSD-2-Clause */
/* The network of a host without a card: whoever wants to connect is told so, at once. */
/* SOURCES: net/net.c net/stream.c net/inbox.c net/listener.c net/nic.c net/gso.c net/gro.c net/packet.c
   net/checksum.c net/wire_mss.c net/plan.c net/watch.c
   net/address.c net/port/sys.c kernel/heap.c kernel/page.c kernel/page_map.c kernel/timer.c kernel/clock.c
   kernel/sched.c kernel/config.c kernel/log.c kernel/fmt.c kernel/str.c kernel/panic.c kernel/errno.c
   third_party/lwip/src/core/def.c third_party/lwip/src/core/inet_chksum.c third_party/lwip/src/core/init.c
   third_party/lwip/src/core/ip.c third_party/lwip/src/core/mem.c third_party/lwip/src/core/memp.c
   third_party/lwip/src/core/netif.c third_party/lwip/src/core/pbuf.c third_party/lwip/src/core/raw.c
   third_party/lwip/src/core/stats.c third_party/lwip/src/core/tcp.c third_party/lwip/src/core/tcp_in.c
   third_party/lwip/src/core/tcp_out.c third_party/lwip/src/core/ipv4/etharp.c
   third_party/lwip/src/core/ipv4/icmp.c third_party/lwip/src/core/ipv4/ip4.c
   third_party/lwip/src/core/ipv4/ip4_addr.c third_party/lwip/src/netif/ethernet.c */
#include "tests/host/fake/machine.h"
#include "tests/host/fake/memory.h"

#include "kernel/clock.h"
#include "kernel/config.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/sched.h"
#include "net/net.h"
#include "net/services.h"
#include "net/stream.h"

void net_services_start(void) { }

static int closed_with;

static void closed(struct stream *stream, int err, void *context)
{
	(void)stream;
	(void)context;
	closed_with = err;
}

static const struct stream_events events = { .closed = closed };

static int start(void **state)
{
	static const char conf[] = "[host]\naddress=10.77.0.1/24\n";

	(void)state;
	fake_memory_init(32 * MIB);
	clock_init(1000000);
	fake_tsc = 1;
	assert_int_equal(config_parse(conf, sizeof(conf) - 1), 0);
	net_init();
	return 0;
}

static void connecting_fails_at_once(void **state)
{
	struct stream_address peer = { .ip = 0x0a4d0002, .port = 7 };

	(void)state;
	assert_non_null(stream_connect(peer, 2000, &events, NULL));
	for (unsigned i = 0; i < 10; i++)
		sched_turn();
	assert_int_equal(closed_with, -ENETUNREACH);
	assert_int_equal(stream_count(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(connecting_fails_at_once),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
