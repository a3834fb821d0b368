/* SPDX-License-Identifier: BSD-2-Clause */
/* Which network is on which card: tern.conf against two cards, and what is said of a wrong line. */
/* SOURCES: net/plan.c net/address.c kernel/config.c kernel/heap.c kernel/page.c kernel/page_map.c kernel/fmt.c
   kernel/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/host/fake/memory.h"
#include "tests/host/fake/panic.h"
#include "kernel/config.h"
#include "kernel/log.h"
#include "net/plan.h"

static char said[4096];

void log_write(enum log_level level, const char *format, ...)
{
	size_t used = strlen(said);
	va_list args;

	(void)level;
	va_start(args, format);
	vsnprintf(said + used, sizeof(said) - used, format, args);
	va_end(args);
	strncat(said, "\n", sizeof(said) - strlen(said) - 1);
}

static const struct nic_ops ops = { .driver = "fake" };
static struct nic cards[] = {
	{ .ops = &ops, .name = "net0", .location = "0000:00:02.0", .mac = { 0x52, 0x54, 0, 0, 0xab, 1 }, .mtu_max = 1500 },
	{ .ops = &ops, .name = "net1", .location = "0000:03:00.0", .mac = { 0x52, 0x54, 0, 0, 0xab, 2 }, .mtu_max = 9000,
	  .has_cutter = true, .can_cut = true },
};
static unsigned card_count;

struct nic *nic_get(unsigned index) { return index < card_count ? &cards[index] : NULL; }

static struct net_plan plan[NETWORKS_MAX];
static unsigned count;
static int migration;

static void make(unsigned with_cards, const char *conf)
{
	card_count = with_cards;
	said[0] = 0;
	assert_int_equal(config_parse(conf, strlen(conf)), 0);
	memset(plan, 0xa5, sizeof(plan));
	count = net_plan_make(plan);
	migration = net_plan_migration(plan, count);
}

#define assert_said(text) assert_non_null(strstr(said, text))

static void assert_network(unsigned index, const char *name, const char *card, u32 ip, unsigned mtu, unsigned vlan)
{
	assert_true(index < count);
	assert_string_equal(plan[index].name, name);
	assert_string_equal(plan[index].nic->name, card);
	assert_int_equal(plan[index].ip, ip);
	assert_int_equal(plan[index].mtu, mtu);
	assert_int_equal(plan[index].vlan, vlan);
}

static void one_card_needs_no_section(void **state)
{
	(void)state;
	make(1, "[host]\naddress = 10.77.0.1/24\ngateway = 10.77.0.254\nmtu = 1400\n");
	assert_int_equal(count, 1);
	assert_network(0, "net0", "net0", 0x0a4d0001, 1400, 0);
	assert_int_equal(plan[0].prefix_bits, 24);
	assert_int_equal(plan[0].gateway, 0x0a4d00fe);
	assert_int_equal(migration, NETWORK_ANY);
	assert_string_equal(said, "");
	make(1, "");
	assert_network(0, "net0", "net0", 0, 1500, 0);
	assert_string_equal(said, "");
	make(0, "[host]\naddress = 10.77.0.1/24\n");
	assert_int_equal(count, 0);
	assert_string_equal(said, "");
}

static void a_section_finds_its_card(void **state)
{
	static const char *const how[] = { "mac = 52:54:00:00:AB:02", "pci = 0000:03:00.0", "pci = 03:00.0",
					   "mac = 52:54:00:00:ab:02\npci = 03:00.0" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(how); i++) {
		char conf[300];

		snprintf(conf, sizeof(conf), "[host]\naddress = 10.77.0.1/24\nmigration_nic = fast\n[nic fast]\n%s\n"
			 "address = 10.78.0.1/24\nmtu = 9000\nvlan = 100\n", how[i]);
		make(2, conf);
		assert_int_equal(count, 2);
		assert_network(0, "net0", "net0", 0x0a4d0001, 1500, 0);
		assert_network(1, "fast", "net1", 0x0a4e0001, 9000, 100);
		assert_int_equal(migration, 1);
		assert_string_equal(said, "");
	}
	make(2, "[nic net1]\naddress = 10.78.0.1/24\n");
	assert_network(1, "net1", "net1", 0x0a4e0001, 1500, 0);
	assert_string_equal(said, "");
}

static void the_host_section_is_the_first_plain_cards(void **state)
{
	(void)state;
	make(2, "[host]\naddress = 10.77.0.1/24\n[nic net0]\naddress = 10.78.0.1/24\n");
	assert_network(0, "net0", "net0", 0x0a4e0001, 1500, 0);
	assert_network(1, "net1", "net1", 0x0a4d0001, 1500, 0);
	assert_string_equal(said, "");
	make(1, "[host]\naddress = 10.77.0.1/24\n[nic net0]\nvlan = 5\n");
	assert_network(0, "net0", "net0", 0, 1500, 5);
	assert_said("tern.conf line 2: [host] address= is of no use");
}

static void sections_share_a_card_by_vlan(void **state)
{
	(void)state;
	make(2, "[host]\nmigration_nic=m\n[nic m]\npci=03:00.0\nvlan=7\naddress=10.7.0.1/16\nmtu=9000\n"
		"[nic plain]\npci=03:00.0\naddress=10.8.0.1/16\n[nic again]\npci=03:00.0\nvlan=7\n");
	assert_int_equal(count, 3);
	assert_network(0, "net0", "net0", 0, 1500, 0);
	assert_network(1, "plain", "net1", 0x0a080001, 1500, 0);
	assert_network(2, "m", "net1", 0x0a070001, 9000, 7);
	assert_int_equal(migration, 2);
	assert_said("tern.conf line 11: [nic again]: another section has this card (net1) already");
}

static void wrong_cards_and_vlans_leave_the_section_out(void **state)
{
	(void)state;
	make(2, "[nic a]\nmac = 52:54:00:00:ab:03\n[nic b]\naddress = 10.1.0.1/24\n[nic net0]\npci = 03:00.0\n"
		"[nic c]\npci = 03:00.0\nvlan = 4095\n[nic d]\npci = 03:00.0\nvlan = 0\n");
	assert_int_equal(count, 2);
	assert_network(0, "net0", "net0", 0, 1500, 0);
	assert_network(1, "net1", "net1", 0, 1500, 0);
	assert_said("tern.conf line 2: [nic a]: no card that Tern drives has mac=52:54:00:00:ab:03");
	assert_said("tern.conf line 3: [nic b] needs mac= or pci=");
	assert_said("tern.conf line 5: [nic net0] means another card");
	assert_said("tern.conf line 9: [nic c] vlan=4095 is not between 1 and 4094");
	assert_said("tern.conf line 12: [nic d] vlan=0 is not between");
}

static void wrong_values_are_said_and_the_usual_ones_taken(void **state)
{
	(void)state;
	make(2, "[host]\nmtu = 9000\n[nic net1]\naddress = 10.0.0.1\ngateway = x\nmtu = 9001\nvlam = 5\ncut = axe\n");
	assert_network(0, "net0", "net0", 0, 1500, 0);
	assert_network(1, "net1", "net1", 0, 1500, 0);
	assert_int_equal(plan[1].gateway, 0);
	assert_said("tern.conf line 2: mtu=9000 is not between 576 and 1500, which net0 (fake) can do: using 1500");
	assert_said("tern.conf line 4: address=10.0.0.1 is not of the form");
	assert_said("tern.conf line 5: gateway=x is not");
	assert_said("tern.conf line 6: mtu=9001 is not between");
	assert_said("tern.conf line 7: [nic net1] has no key vlam");
	assert_said("tern.conf line 8: cut=axe is not");
}

static void who_cuts_can_be_chosen(void **state)
{
	(void)state;
	make(2, "[nic net0]\ncut = card\n[nic net1]\ncut = tern\n");
	assert_true(plan[0].is_cut_by_tern);
	assert_true(plan[1].is_cut_by_tern);
	assert_said("tern.conf line 2: cut=card is not");
	cards[1].can_cut = false;
	make(2, "[nic net1]\ncut = card\n");
	assert_false(plan[1].is_cut_by_tern);
	make(2, "");
	assert_true(plan[1].is_cut_by_tern);
	cards[1].can_cut = true;
}

static void moves_go_nowhere_else(void **state)
{
	(void)state;
	make(2, "[host]\naddress = 10.77.0.1/24\nmigration_nic = fats\n[nic net1]\naddress = 10.78.0.1/24\n");
	assert_int_equal(migration, NETWORK_NONE);
	assert_said("tern.conf line 3: migration_nic=fats is neither a [nic] section in use nor a card");
	make(2, "[host]\naddress = 10.77.0.1/24\nmigration_nic = net1\n");
	assert_int_equal(migration, NETWORK_NONE);
	assert_said("tern.conf line 3: migration_nic=net1 has no address");
	make(2, "[host]\naddress = 10.77.0.1/24\nmigration_nic = net0\n");
	assert_int_equal(migration, 0);
}

static void one_subnet_on_two_cards_is_said(void **state)
{
	(void)state;
	make(2, "[host]\naddress = 10.77.0.1/24\n[nic net1]\naddress = 10.77.1.1/16\n");
	assert_int_equal(count, 2);
	assert_said("net0 and net1 are in the same subnet");
	make(2, "[host]\naddress = 10.77.0.1/24\n[nic net1]\naddress = 10.77.1.1/24\n");
	assert_string_equal(said, "");
}

static void there_can_be_too_many(void **state)
{
	char conf[2000] = "", line[80];

	(void)state;
	for (unsigned i = 1; i <= 12; i++) {
		snprintf(line, sizeof(line), "[nic v%u]\npci=03:00.0\nvlan=%u\n", i, i);
		strcat(conf, line);
	}
	strcat(conf, "[nic a-name-of-sixteen]\npci=03:00.0\nvlan=99\n");
	make(2, conf);
	assert_int_equal(count, NETWORKS_MAX);
	assert_said("tern.conf line 25: [nic v9] is ignored: at most 8 networks");
	assert_said("[nic a-name-of-sixteen] is ignored");
}

static int start(void **state)
{
	(void)state;
	fake_memory_init(32 * MIB);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_card_needs_no_section),
		cmocka_unit_test(a_section_finds_its_card),
		cmocka_unit_test(the_host_section_is_the_first_plain_cards),
		cmocka_unit_test(sections_share_a_card_by_vlan),
		cmocka_unit_test(wrong_cards_and_vlans_leave_the_section_out),
		cmocka_unit_test(wrong_values_are_said_and_the_usual_ones_taken),
		cmocka_unit_test(who_cuts_can_be_chosen),
		cmocka_unit_test(moves_go_nowhere_else),
		cmocka_unit_test(one_subnet_on_two_cards_is_said),
		cmocka_unit_test(there_can_be_too_many),
	};

	return cmocka_run_group_tests(tests, start, NULL);
}
