/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moves in a world that breaks: the link, bytes on it, memory, the guest, a host. Whatever breaks
 * and whenever, never do two copies of the guest run, and what runs is what should.
 */
/* SOURCES: tests/host/fake/move.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "migrate/send.h"
#include "tests/host/fake/heap_fake.h"
#include "tests/host/fake/move.h"
#include "tests/host/fake/two_hosts.h"

/* --- the link breaks --- */

/* Moves to the end with the link cut at a record. Returns how many records there were. */
static u64 move_with_cut(u64 record, u32 extra, bool cancels)
{
	u32 where;

	start_world();
	fake_net.cut_at_record = record;
	fake_net.cut_extra = extra;
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	for (u32 i = 0; i < 4000 && !fake_net.is_cut && !are_sessions_over(); i++)
		fake_turn();
	if (fake_net.is_cut) {
		for (u32 i = 0; i < 200; i++)
			fake_turn();
		fake_net_break();
		for (u32 i = 0; i < 200; i++)
			fake_turn(); /* nobody may start anything twice: fake_turn asserts it */
		if (cancels && !is_over_on_1()) {
			fake_enter(HOST1);
			send_cancel(list_first(&migration->sends, struct send, link));
		}
		fake_net_heal();
	}
	assert_true(fake_run(does_it_run, MANY));
	assert_true(fake_run(are_sessions_over, MANY));
	assert_int_equal(fake_running_count(&where), 1);
	fake_check_guest();
	/* A copy that the destination holds in vain goes when the guest comes again. */
	if (!is_it_settled()) {
		assert_int_equal(where, HOST1);
		assert_non_null(move_from(HOST1, "web1", &move_defaults));
		assert_true(fake_run(is_it_settled, MANY));
		assert_runs_on(HOST2);
	} else {
		assert_runs_on(where);
	}
	return fake_net.records;
}

static void the_link_is_cut_at_every_record(void **state)
{
	static const u32 extra[] = { 0, 20, 1 << 20 };
	u64 records = move_with_cut(0, 0, false);

	(void)state;
	fake_world_fini();
	for (u32 i = 0; i < ARRAY_COUNT(extra); i++)
		for (u64 record = 1; record <= records; record++) {
			/* Page records are alike: some of them are enough. */
			if (record > 15 && record + 30 < records && record % 6 != i)
				continue;
			move_with_cut(record, extra[i], false);
			fake_world_fini();
			if (record + 8 > records) {
				move_with_cut(record, extra[i], true);
				fake_world_fini();
			}
		}
	start_world();
}

/* --- bytes are damaged --- */

static void a_damaged_byte_never_reaches_the_guest(void **state)
{
	u64 total[2];

	(void)state;
	start_world();
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	assert_true(fake_run(are_sessions_over, MANY));
	total[0] = fake_net.bytes_to[0];
	total[1] = fake_net.bytes_to[1];
	fake_world_fini();
	for (u32 i = 0; i < 90; i++) {
		u32 to = i % 3 == 0 ? 0 : 1;
		u64 at = 1 + (u64)rand() % total[to];

		if (i % 3 == 2) /* the end, where the state is */
			at = total[to] - (u64)rand() % MIN(total[to], 30000ull);
		start_world();
		fake_net.damage_at[to] = at;
		assert_non_null(move_from(HOST1, "web1", &move_defaults));
		assert_true(fake_run(does_it_run, MANY));
		for (u32 turn = 0; turn < 3000; turn++)
			fake_turn();
		assert_true(fake_run(does_it_run, MANY));
		fake_check_guest(); /* vm_go compares every byte, too */
		fake_world_fini();
	}
	start_world();
}

/* --- memory runs out --- */

static void memory_runs_out_at_every_allocation(void **state)
{
	u32 failures = 0;

	(void)state;
	for (u64 allocation = 1; allocation < 60; allocation++) {
		struct send *send;

		start_world();
		fake_heap_fail_after(allocation);
		send = move_from(HOST1, "web1", &move_defaults);
		if (send)
			fake_run(is_over_on_1, 2000);
		fake_heap_fail_after(0);
		assert_true(fake_run(are_sessions_over, MANY));
		assert_true(does_it_run());
		fake_check_guest();
		failures += fake_vm_on(HOST1, "web1") != NULL;
		fake_world_fini();
	}
	assert_true(failures > 15); /* the allocations were really there */
	start_world();
}

/* --- the guest or a host goes away --- */

static void a_guest_that_switches_itself_off_stays(void **state)
{
	(void)state;
	start_world();
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	for (u32 i = 0; i < 5; i++)
		fake_turn();
	fake_vm_on(HOST1, "web1")->wants_attention = true;
	assert_true(fake_run(are_sessions_over, MANY));
	assert_string_equal(newest_receipt(HOST1)->code, "E-GUEST-STOPPED");
	assert_non_null(fake_vm_on(HOST1, "web1"));
	assert_null(fake_vm_on(HOST1, "web1")->vm.migration);
}

static void a_vm_is_destroyed_while_it_moves(void **state)
{
	(void)state;
	start_world();
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	for (u32 i = 0; i < 5; i++)
		fake_turn();
	fake_enter(HOST1);
	vm_destroy(&fake_vm_on(HOST1, "web1")->vm);
	assert_true(fake_run(are_sessions_over, MANY));
	assert_null(fake_vm_on(HOST2, "web1"));
	assert_string_equal(newest_receipt(HOST1)->code, "E-GUEST-STOPPED");
}

static void a_host_dies_at_any_time(void **state)
{
	u64 records;

	(void)state;
	start_world();
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	assert_true(fake_run(are_sessions_over, MANY));
	records = fake_net.records;
	fake_world_fini();
	for (u32 host = 0; host < 2; host++)
		for (u64 record = 1; record <= records; record += record + 12 > records ? 1 : 7) {
			start_world();
			fake_net.cut_at_record = record;
			fake_net.cut_extra = 1 << 20;
			assert_non_null(move_from(HOST1, "web1", &move_defaults));
			for (u32 i = 0; i < 20000 && !fake_net.is_cut && !are_sessions_over(); i++)
				fake_turn();
			for (u32 i = 0; i < 5; i++)
				fake_turn();
			fake_host_crash(host);
			fake_net_heal();
			for (u32 i = 0; i < 3000; i++)
				fake_turn(); /* never two, and vm_go compares with the newest state */
			assert_true(fake_running_count(NULL) <= 1);
			fake_world_fini();
		}
	start_world();
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, end_world)
	const struct CMUnitTest tests[] = {
		T(the_link_is_cut_at_every_record),
		T(a_damaged_byte_never_reaches_the_guest),
		T(memory_runs_out_at_every_allocation),
		T(a_guest_that_switches_itself_off_stays),
		T(a_vm_is_destroyed_while_it_moves),
		T(a_host_dies_at_any_time),
	};

	return cmocka_run_group_tests_name("migrate_break", tests, NULL, NULL);
}
