/* SPDX-License-Identifier: BSD-2-Clause */
/* The network on the status page: each card, its address and its cable. CPU 0. */
#include "kernel/status.h"
#include "net/net.h"
#include "net/netif.h"
#include "net/nic.h"
#include "net/plan.h"

#include "lwip/netif.h"

static bool network_line(unsigned index, struct status_line *line)
{
	struct netif *netif = net_netif(index);
	struct nic *nic = net_nic(index);
	char address[16] = "no address";
	bool is_up;

	if (!netif)
		return index == 0 && status_say(line, STATUS_BAD, "no network card that Tern knows: guests cannot be moved");
	if (!ip4_addr_isany(netif_ip4_addr(netif)))
		net_format_ip(lwip_ntohl(ip4_addr_get_u32(netif_ip4_addr(netif))), address);
	is_up = nic->ops->is_link_up(nic);
	return status_say(line, is_up ? STATUS_GOOD : STATUS_WARN, "%s: %s, %s (%s, %02x:%02x:%02x:%02x:%02x:%02x)",
			  net_plan_of(index)->name, address, is_up ? "link up" : "no link: is the cable in?", nic->ops->driver,
			  nic->mac[0], nic->mac[1], nic->mac[2], nic->mac[3], nic->mac[4], nic->mac[5]);
}

static bool network_next(struct status_line *line)
{
	if (!net_netif(0) || !ip4_addr_isany(netif_ip4_addr(net_netif(0))))
		return false;
	return status_say(line, STATUS_PLAIN, "this host has no address: write \"address = 10.77.0.1/24\" (your own) under "
			  "[host] in tern.conf on the boot volume, and start it again");
}

STATUS_SOURCE(30, network_status) = { .label = "Network", .line = network_line, .next = network_next };
