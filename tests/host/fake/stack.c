/* SPDX-License-Identifier: BSD-2-Clause */
/* The network stack whole, with lwIP, less the services above it and the drivers below. */
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
#include "net/services.h"

void net_services_start(void) { }
