/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network service on CPU 0: card to lwIP and timers.
 */
#pragma once

#include "kernel/types.h"

#define NETWORKS_MAX 8
#define NETWORK_ANY (-1)  /* whichever leads to the peer */
#define NETWORK_NONE (-2) /* one was asked for that does not exist: nothing may take its place */

/*
 * Starts lwIP on the cards that were found, with the addresses of tern.conf (net/plan.h), and
 * adds the service. After pci_probe_all.
 */
void net_init(void);

/* The network that guests move over, by its number: [host] migration_nic. Or NETWORK_ANY, NETWORK_NONE. */
int net_migration_network(void);
/* "fast (VLAN 100)"; NULL for NETWORK_ANY and what is not there. */
const char *net_network_name(int network);

/* "10.77.0.2" to host byte order; 0 or -EINVAL. */
int net_parse_ip(const char *text, u32 *ip);
/* "10.77.0.1/24" to address and length of the network's prefix, 1..32; 0 or -EINVAL. */
int net_parse_subnet(const char *text, u32 *ip, unsigned *bits);
void net_format_ip(u32 ip, char text[16]);

struct net_stats {
	u64 rx_frames, rx_bytes, tx_frames, tx_bytes;
	u64 drops;               /* all reasons together; net show tells them apart */
	u64 pbufs_in_use;        /* leak counters */
	u64 tcp_pcbs_in_use;
};
void net_get_stats(struct net_stats *stats);
