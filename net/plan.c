/* SPDX-License-Identifier: BSD-2-Clause */
/* Cards, sections and networks. Pure but for tern.conf, the list of cards and the log; CPU 0. */
#include "net/plan.h"

#include "kernel/config.h"
#include "kernel/errno.h"
#include "kernel/fmt.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "net/packet.h"

#define USUAL_MTU 1500

/* Where the values of a network are: [nic NAME], or with name NULL [host]. */
struct section {
	const char *kind, *name;
};

static const struct section host_section = { "host", NULL };

static const char *value_of(struct section from, const char *key)
{
	return config_get(from.kind, from.name, key);
}

#define SECTION_WARN(from, key, format, ...) \
	log_warn("tern.conf line %u: " format, config_line((from).kind, (from).name, key), ##__VA_ARGS__)

/* --- One network's values ------------------------------------------------------------------- */

/* The configured MTU, or with a warning Ethernet's usual one, as far as the card can do it. */
static u16 read_mtu(struct section from, const struct nic *nic)
{
	u16 usual = MIN(USUAL_MTU, nic->mtu_max);
	const char *text = value_of(from, "mtu");
	u64 mtu;

	/* [host] mtu= is for all cards that have none of their own. */
	if (!text) {
		from = host_section;
		text = value_of(from, "mtu");
	}
	if (!text)
		return usual;
	if (str_to_u64(text, &mtu) || mtu < NIC_MTU_MIN || mtu > nic->mtu_max) {
		SECTION_WARN(from, "mtu", "mtu=%s is not between %u and %u, which %s (%s) can do: using %u", text,
			     NIC_MTU_MIN, nic->mtu_max, nic->name, nic->ops->driver, usual);
		return usual;
	}
	return (u16)mtu;
}

static void read_address(struct section from, struct net_plan *plan)
{
	const char *text = value_of(from, "address");

	if (text && net_parse_subnet(text, &plan->ip, &plan->prefix_bits))
		SECTION_WARN(from, "address", "address=%s is not of the form 10.77.0.1/24: ignored", text);
	text = value_of(from, "gateway");
	if (text && net_parse_ip(text, &plan->gateway))
		SECTION_WARN(from, "gateway", "gateway=%s is not an IPv4 address such as 10.77.0.1: ignored", text);
}

static void read_cut(struct section from, struct net_plan *plan)
{
	const char *text = value_of(from, "cut");

	plan->is_cut_by_tern = !plan->nic->can_cut;
	if (!text)
		return;
	if (strcmp(text, "tern") == 0)
		plan->is_cut_by_tern = true;
	else if (strcmp(text, "card") == 0 && plan->nic->has_cutter)
		plan->is_cut_by_tern = false;
	else
		SECTION_WARN(from, "cut", "cut=%s is not \"tern\", or \"card\" for a card that can: ignored", text);
}

static void read_values(struct section from, struct net_plan *plan)
{
	read_address(from, plan);
	plan->mtu = read_mtu(from, plan->nic);
	read_cut(from, plan);
}

static int read_vlan(struct section from, u16 *vlan)
{
	const char *text = value_of(from, "vlan");
	u64 value = 0;

	if (text && (str_to_u64(text, &value) || value < 1 || value > VLAN_MAX)) {
		SECTION_WARN(from, "vlan", "[nic %s] vlan=%s is not between 1 and %u: the section is ignored",
			     from.name, text, VLAN_MAX);
		return -EINVAL;
	}
	*vlan = (u16)value;
	return 0;
}

/* --- Which card a section means -------------------------------------------------------------- */

static bool is_mac(const struct nic *nic, const char *text)
{
	char mac[20];

	fmt_snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", nic->mac[0], nic->mac[1], nic->mac[2],
		     nic->mac[3], nic->mac[4], nic->mac[5]);
	for (unsigned i = 0; i < 18; i++) {
		char c = text[i] >= 'A' && text[i] <= 'F' ? (char)(text[i] + 'a' - 'A') : text[i];

		if (c != mac[i])
			return false;
		if (!c)
			break;
	}
	return true;
}

/* Segment 0000 may be left out. */
static bool is_location(const struct nic *nic, const char *text)
{
	return strcmp(nic->location, text) == 0 ||
	       (strncmp(nic->location, "0000:", 5) == 0 && strcmp(nic->location + 5, text) == 0);
}

static struct nic *nic_named(const char *name)
{
	struct nic *nic;

	for (unsigned i = 0; (nic = nic_get(i)); i++)
		if (strcmp(nic->name, name) == 0)
			return nic;
	return NULL;
}

static struct nic *find_nic(struct section from)
{
	const char *mac = value_of(from, "mac"), *pci = value_of(from, "pci");
	struct nic *namesake = nic_named(from.name);
	struct nic *nic;

	for (unsigned i = 0; (nic = nic_get(i)); i++) {
		if (mac || pci ? (!mac || is_mac(nic, mac)) && (!pci || is_location(nic, pci)) : nic == namesake)
			break;
	}
	if (!nic && !mac && !pci)
		SECTION_WARN(from, NULL, "[nic %s] needs mac= or pci= of a card, or a card's own name (net0, net1, ...): "
			     "the section is ignored", from.name);
	else if (!nic)
		SECTION_WARN(from, mac ? "mac" : "pci", "[nic %s]: no card that Tern drives has %s%s%s%s: the section is "
			     "ignored; \"net show\" lists the cards", from.name, mac ? "mac=" : "", mac ? mac : "",
			     pci ? " pci=" : "", pci ? pci : "");
	else if (namesake && nic != namesake)
		SECTION_WARN(from, NULL, "[nic %s] means another card than the one that is called %s: choose another name; "
			     "the section is ignored", from.name, from.name);
	return namesake && nic != namesake ? NULL : nic;
}

static void check_keys(struct section from)
{
	static const char *const known[] = { "mac", "pci", "address", "gateway", "mtu", "vlan", "cut" };
	const char *key, *value;

	for (unsigned i = 0; config_entry(from.kind, from.name, i, &key, &value); i++) {
		bool is_known = false;

		for (unsigned k = 0; k < ARRAY_COUNT(known); k++)
			is_known |= strcmp(known[k], key) == 0;
		if (!is_known)
			SECTION_WARN(from, key, "[nic %s] has no key %s; there are mac, pci, address, gateway, mtu, "
				     "vlan, cut", from.name, key);
	}
}

/* --- All networks --------------------------------------------------------------------------- */

static bool is_taken(const struct net_plan *plan, unsigned count, const struct nic *nic, int vlan)
{
	for (unsigned i = 0; i < count; i++)
		if (plan[i].nic == nic && (vlan < 0 || plan[i].vlan == vlan))
			return true;
	return false;
}

static unsigned add_section(struct net_plan *plan, unsigned count, const char *name)
{
	struct section from = { "nic", name };
	struct nic *nic = find_nic(from);
	u16 vlan;

	check_keys(from);
	if (!nic || read_vlan(from, &vlan))
		return count;
	if (count == NETWORKS_MAX || strlen(name) >= NIC_NAME_MAX) {
		SECTION_WARN(from, NULL, "[nic %s] is ignored: at most %u networks, with names of at most %u letters", name,
			     NETWORKS_MAX, NIC_NAME_MAX - 1);
		return count;
	}
	if (is_taken(plan, count, nic, vlan)) {
		SECTION_WARN(from, NULL, "[nic %s]: another section has this card (%s) already, with the same VLAN: "
			     "the section is ignored", name, nic->name);
		return count;
	}
	plan[count] = (struct net_plan){ .nic = nic, .vlan = vlan };
	str_copy(plan[count].name, sizeof(plan[count].name), name);
	read_values(from, &plan[count]);
	return count + 1;
}

/* Cards without a section; the first of them has the values of [host]. */
static unsigned add_plain(struct net_plan *plan, unsigned count, unsigned sections)
{
	bool is_first = true;
	struct nic *nic;

	for (unsigned i = 0; (nic = nic_get(i)) && count < NETWORKS_MAX; i++) {
		if (is_taken(plan, sections, nic, -1))
			continue;
		plan[count] = (struct net_plan){ .nic = nic };
		str_copy(plan[count].name, sizeof(plan[count].name), nic->name);
		if (is_first)
			read_values(host_section, &plan[count]);
		plan[count].mtu = read_mtu(host_section, nic);
		plan[count].is_cut_by_tern = is_first ? plan[count].is_cut_by_tern : !nic->can_cut;
		is_first = false;
		count++;
	}
	if (is_first && nic_get(0) && value_of(host_section, "address"))
		SECTION_WARN(host_section, "address", "[host] address= is of no use: each card has a [nic] section; "
			     "write the address there");
	return count;
}

static u32 network_of(const struct net_plan *plan, unsigned bits) { return plan->ip & (~0u << (32 - bits)); }

/* Two cards in one subnet: lwIP sends by the first one that fits, whatever came in where. */
static void check_overlap(const struct net_plan *plan, unsigned count)
{
	for (unsigned a = 0; a < count; a++)
		for (unsigned b = a + 1; b < count; b++) {
			unsigned bits = MIN(plan[a].prefix_bits, plan[b].prefix_bits);

			if (bits && network_of(&plan[a], bits) == network_of(&plan[b], bits))
				log_warn("net: %s and %s are in the same subnet: answers go out by %s only; give each "
					 "card a subnet of its own", plan[a].name, plan[b].name, plan[a].name);
		}
}

/* In the order of the cards, and on one card by VLAN: the first one is the host's own. */
static void sort(struct net_plan *plan, unsigned count)
{
	for (unsigned i = 1; i < count; i++)
		for (unsigned k = i; k > 0; k--) {
			int order = strcmp(plan[k - 1].nic->name, plan[k].nic->name);
			struct net_plan swapped = plan[k];

			if (order < 0 || (order == 0 && plan[k - 1].vlan <= plan[k].vlan))
				break;
			plan[k] = plan[k - 1];
			plan[k - 1] = swapped;
		}
}

unsigned net_plan_make(struct net_plan plan[NETWORKS_MAX])
{
	unsigned count = 0;
	const char *name;

	for (unsigned i = 0; (name = config_name("nic", i)); i++)
		count = add_section(plan, count, name);
	count = add_plain(plan, count, count);
	sort(plan, count);
	check_overlap(plan, count);
	return count;
}

int net_plan_migration(const struct net_plan *plan, unsigned count)
{
	const char *name = value_of(host_section, "migration_nic");

	if (!name)
		return NETWORK_ANY;
	for (unsigned i = 0; i < count; i++) {
		if (strcmp(plan[i].name, name))
			continue;
		if (plan[i].ip)
			return (int)i;
		SECTION_WARN(host_section, "migration_nic", "migration_nic=%s has no address: no guest can be moved; "
			     "write address= in [nic %s]", name, name);
		return NETWORK_NONE;
	}
	SECTION_WARN(host_section, "migration_nic", "migration_nic=%s is neither a [nic] section in use nor a card: "
		     "no guest can be moved; \"net show\" lists the networks", name);
	return NETWORK_NONE;
}
