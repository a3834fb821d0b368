/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which network is on which card: tern.conf against the cards that were found.
 *
 *   [host]                          the first card without a section of its own
 *   address = 10.77.0.1/24
 *   migration_nic = fast            guests move over this network only
 *   [nic fast]
 *   mac = 52:54:00:12:34:56         or pci = 0000:03:00.0; without both the section is called
 *   address = 10.78.0.1/24          as its card is: net0, net1, ... (net show)
 *   gateway = 10.78.0.254
 *   vlan = 100                      several sections may share a card if their VLANs differ
 *   mtu = 9000
 *   cut = tern                      TCP segments are cut by the card, or by Tern
 *
 * What is wrong is said with its line and what to do. A section that is wrong about which card
 * it means, or about its VLAN, is left out; of anything else the usual value is taken.
 */
#pragma once

#include "net/net.h"
#include "net/nic.h"

struct net_plan {
	struct nic *nic;
	char name[NIC_NAME_MAX]; /* the section's, or the card's */
	u32 ip;                  /* 0: no address */
	unsigned prefix_bits;
	u32 gateway;             /* 0: none */
	u16 mtu;
	u16 vlan;                /* 0: frames without a tag */
	bool is_cut_by_tern;
};

/* Fills in networks for all cards; returns how many. */
unsigned net_plan_make(struct net_plan plan[NETWORKS_MAX]);
/* The number of the network that [host] migration_nic names, NETWORK_ANY or NETWORK_NONE. */
int net_plan_migration(const struct net_plan *plan, unsigned count);
