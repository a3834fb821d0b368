/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * lwIP as Tern uses it: one owner (the network service on CPU 0), no threads, raw API.
 *
 * lwIP is shown a link on which segments of TCP_MSS bytes fit, sixteen times what Ethernet
 * carries. Below it the card or net/gso.c cuts them to the wire's size, and net/gro.c
 * merges what arrives. So lwIP's work per byte, the dearest part of a transfer, is a
 * sixteenth. On the wire all is plain TCP: net/wire_mss.c keeps the MSS options honest.
 */
#pragma once

#define NO_SYS 1
#define SYS_LIGHTWEIGHT_PROT 0
#define LWIP_TIMERS 0 /* net.c calls tcp_tmr and etharp_tmr from Tern's own timers */
#define LWIP_NETCONN 0
#define LWIP_SOCKET 0
#define LWIP_ERRNO_STDINCLUDE 0

/* Memory: header pbufs and copies from Tern's heap, the rest from fixed pools. */
#define MEM_LIBC_MALLOC 1 /* net/port/libc/stdlib.h */
#define MEM_ALIGNMENT 8
#define MEMP_NUM_PBUF 1024 /* one per run of referenced bytes in a segment */
#define MEMP_NUM_TCP_SEG 1024
#define MEMP_NUM_TCP_PCB 32
#define MEMP_NUM_TCP_PCB_LISTEN 8
#define MEMP_NUM_RAW_PCB 2
#define PBUF_POOL_SIZE 0 /* nobody allocates from it: received frames are in the cards' own buffers */
#define LWIP_SUPPORT_CUSTOM_PBUF 1
#define LWIP_PBUF_REF_T u16_t

/* IPv4 over Ethernet. Nothing that Tern says needs fragments, and reassembly is an attack surface. */
#define LWIP_IPV4 1
#define LWIP_IPV6 0
#define LWIP_ARP 1
#define LWIP_ICMP 1
#define LWIP_RAW 1 /* net ping */
#define LWIP_UDP 0
#define LWIP_DHCP 0
#define LWIP_DNS 0
#define LWIP_ACD 0
#define IP_FORWARD 0
#define IP_REASSEMBLY 0
#define IP_FRAG 0
#define IP_OPTIONS_ALLOWED 0
#define ARP_TABLE_SIZE 32
#define ARP_QUEUEING 0
/*
 * Of what waits for ARP, all that lies outside the pbuf: net/stream.c frees a stream's bytes when the
 * cards have sent what they got, and does not know of frames that have not got there.
 */
#define PBUF_NEEDS_COPY(p) \
	(((p)->type_internal & PBUF_TYPE_ALLOC_SRC_MASK) == PBUF_TYPE_ALLOC_SRC_MASK_STD_MEMP_PBUF)
/* In etharp_tmr ticks, of which net.c makes 4 a second, so that a lost ARP request costs 250 ms: 300 s. */
#define ARP_MAXAGE 1200
#define LWIP_NETIF_LINK_CALLBACK 0
#define LWIP_SINGLE_NETIF 0

#define LWIP_TCP 1
#define LWIP_CALLBACK_API 1
#define TCP_MSS (16 * 1460)
#define LWIP_WND_SCALE 1
#define TCP_RCV_SCALE 4
#define TCP_WND (512 * 1024)
#define TCP_SND_BUF (512 * 1024)
#define TCP_SND_QUEUELEN 1024
#define TCP_QUEUE_OOSEQ 1
#define TCP_OOSEQ_MAX_BYTES TCP_WND
#define TCP_OOSEQ_PBUFS_LIMIT(pcb) lwip_port_ooseq_limit()
#define LWIP_TCP_SACK_OUT 1
#define TCP_WND_UPDATE_THRESHOLD (TCP_WND / 4)
#define TCP_LISTEN_BACKLOG 1
#define TCP_OVERSIZE 0 /* net/stream.c never copies into lwIP */
#define LWIP_TCP_KEEPALIVE 1
/* Its upper bounds on TCP_MSS serve sockets, which we do not have. */
#define LWIP_DISABLE_TCP_SANITY_CHECKS 1

/*
 * Time in ms. Retransmission runs on ticks of 10 ms (twice TCP_TMR_INTERVAL) and waits at
 * least three of them (the variance term of Van Jacobson's filter stops at 3): a lost tail
 * costs 20 to 40 ms, on a link whose round trip is below one. TIME-WAIT is for stray
 * duplicates; on one Ethernet a second is long.
 */
#define TCP_TMR_INTERVAL 5
#define LWIP_TCP_RTO_TIME 100
#define TCP_MSL 500
#define TCP_MAXRTX 12
#define TCP_SYNMAXRTX 12

/* TCP's checksums are net.c's and the cards' work, both ways; the rest is lwIP's. */
#define LWIP_CHECKSUM_ON_COPY 0
#define CHECKSUM_GEN_TCP 0
#define CHECKSUM_CHECK_TCP 0

/* Counters. mem_ and memp_ ones are the leak counters. */
#define LWIP_STATS 1
#define LWIP_STATS_LARGE 1
#define MEMP_STATS 1
#define MEM_STATS 0
#define SYS_STATS 0

#define LWIP_RAND() lwip_port_random()
#define LWIP_HOOK_FILENAME "net/port/hooks.h"
#define LWIP_HOOK_TCP_ISN lwip_port_isn
