/* SPDX-License-Identifier: BSD-2-Clause */
/* The command "net show": links, addresses, counters. */
#include "kernel/fmt.h"
#include "kernel/shell.h"
#include "net/link.h"
#include "net/net.h"
#include "net/netif.h"
#include "net/nic.h"
#include "net/plan.h"
#include "net/stream.h"

#include "lwip/netif.h"
#include "lwip/stats.h"

struct counter {
	const char *name;  /* JSON key */
	const char *words;
	u16 offset;
};

#define COUNTER(name, words) { #name, words, offsetof(struct nic_stats, name) },
static const struct counter counters[] = { NIC_COUNTERS(COUNTER) };
static const struct counter drops[] = { NIC_DROPS(COUNTER) };
#undef COUNTER

static u64 value_of(const struct nic *nic, const struct counter *counter)
{
	return *(const u64 *)((const u8 *)&nic->stats + counter->offset);
}

static void show_counters(struct shell *shell, const struct nic *nic, const struct counter *table,
			  unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		u64 value = value_of(nic, &table[i]);

		json_u64(shell, table[i].name, value);
		if (value > 0)
			shell_print(shell, "  %12llu  %s\n", (unsigned long long)value, table[i].words);
	}
}

static void show_address(struct shell *shell, const struct netif *netif, const struct nic *nic)
{
	u32 mask = lwip_ntohl(ip4_addr_get_u32(netif_ip4_netmask(netif)));
	unsigned prefix_bits = mask ? 32 - (unsigned)__builtin_ctz(mask) : 0;
	char address[16], gateway[16], mac[20];

	net_format_ip(lwip_ntohl(ip4_addr_get_u32(netif_ip4_addr(netif))), address);
	net_format_ip(lwip_ntohl(ip4_addr_get_u32(netif_ip4_gw(netif))), gateway);
	fmt_snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", nic->mac[0], nic->mac[1], nic->mac[2],
		     nic->mac[3], nic->mac[4], nic->mac[5]);
	shell_print(shell, "  address %s/%u gateway %s mac %s\n", address, prefix_bits, gateway,
		    mac);
	json_string(shell, "address", address);
	json_u64(shell, "prefix_bits", prefix_bits);
	json_string(shell, "gateway", gateway);
	json_string(shell, "mac", mac);
}

static void show_link(struct shell *shell, unsigned index)
{
	const struct net_plan *plan = net_plan_of(index);
	struct nic *nic = plan->nic;
	bool is_for_migration = net_migration_network() == (int)index;
	char vlan[16] = "";
	bool is_up = nic->ops->is_link_up(nic);

	nic->ops->update_stats(nic);
	json_open_object(shell, NULL);
	if (plan->vlan)
		fmt_snprintf(vlan, sizeof(vlan), ", VLAN %u", plan->vlan);
	shell_print(shell, "%s: %s at %s, link %s, %s, MTU %u%s%s\n", plan->name, nic->ops->driver, nic->location,
		    is_up ? "up" : "down", nic->irq_kind, plan->mtu, vlan, is_for_migration ? ", for migration" : "");
	json_string(shell, "name", plan->name);
	json_string(shell, "card", nic->name);
	json_string(shell, "driver", nic->ops->driver);
	json_string(shell, "location", nic->location);
	json_string(shell, "interrupt", nic->irq_kind);
	json_bool(shell, "is_link_up", is_up);
	json_u64(shell, "mtu_bytes", plan->mtu);
	json_u64(shell, "vlan", plan->vlan);
	json_bool(shell, "is_for_migration", is_for_migration);
	show_address(shell, net_netif(index), nic);
	shell_print(shell, "  rings %u receive, %u send; %u of %u receive buffers free\n", nic->rx_ring,
		    nic->tx_ring, nic->pool_free_count, nic->pool_count);
	shell_print(shell, "  TCP cut by %s, summed by %s\n", nic->can_cut ? "card" : "Tern",
		    nic->can_sum ? "card" : "Tern");
	json_u64(shell, "rx_ring", nic->rx_ring);
	json_u64(shell, "tx_ring", nic->tx_ring);
	json_u64(shell, "rx_buffers", nic->pool_count);
	json_u64(shell, "rx_buffers_free", nic->pool_free_count);
	json_bool(shell, "is_cut_by_card", nic->can_cut);
	json_bool(shell, "is_summed_by_card", nic->can_sum);
	show_counters(shell, nic, counters, ARRAY_COUNT(counters));
	json_open_object(shell, "drops");
	show_counters(shell, nic, drops, ARRAY_COUNT(drops));
	json_close_object(shell);
	json_close_object(shell);
}

/* One of lwIP's layers: what it dropped, by reason. */
static void show_layer(struct shell *shell, const char *name, const struct stats_proto *layer)
{
	const struct {
		const char *key;
		u64 value;
	} rows[] = {
		{ "sent", layer->xmit },         { "received", layer->recv },
		{ "dropped", layer->drop },      { "wrong_checksum", layer->chkerr },
		{ "wrong_length", layer->lenerr }, { "no_memory", layer->memerr },
		{ "no_route", layer->rterr },    { "wrong_protocol", layer->proterr },
		{ "wrong_option", layer->opterr }, { "other_error", layer->err },
	};

	json_open_object(shell, name);
	shell_print(shell, "%s:", name);
	for (unsigned i = 0; i < ARRAY_COUNT(rows); i++) {
		json_u64(shell, rows[i].key, rows[i].value);
		if (rows[i].value > 0)
			shell_print(shell, " %s %llu", rows[i].key, (unsigned long long)rows[i].value);
	}
	shell_print(shell, "\n");
	json_close_object(shell);
}

static void show_stack(struct shell *shell)
{
	struct net_stats stats;

	net_get_stats(&stats);
	json_open_object(shell, "stack");
	show_layer(shell, "arp", &lwip_stats.etharp);
	show_layer(shell, "ip", &lwip_stats.ip);
	show_layer(shell, "icmp", &lwip_stats.icmp);
	show_layer(shell, "tcp", &lwip_stats.tcp);
	json_close_object(shell);
	shell_print(shell, "in use: %llu pbufs, %llu connections, %u streams\n",
		    (unsigned long long)stats.pbufs_in_use, (unsigned long long)stats.tcp_pcbs_in_use,
		    stream_count());
	json_u64(shell, "drops", stats.drops);
	json_u64(shell, "pbufs_in_use", stats.pbufs_in_use);
	json_u64(shell, "tcp_pcbs_in_use", stats.tcp_pcbs_in_use);
	json_u64(shell, "streams_in_use", stream_count());
}

static enum cmd_result net_show(struct shell *shell, const struct cmd_args *args)
{
	(void)args;
	json_open_array(shell, "links");
	for (unsigned i = 0; net_netif(i); i++)
		show_link(shell, i);
	json_close_array(shell);
	if (!net_netif(0))
		shell_print(shell, "no network card that Tern knows\n");
	show_stack(shell);
	return CMD_OK;
}

SHELL_COMMAND(net_show) = {
	.noun = "net",
	.verb = "show",
	.usage = "net show",
	.help = "links, addresses and counters",
	.run = net_show,
};
