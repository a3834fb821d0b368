/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moves that wait for somebody: cancelled ones, guests that were given and never heard of again,
 * copies held for a COMMIT. Nobody concludes anything from silence; the other side, when it is
 * heard again, or the operator says who runs the guest.
 */
/* SOURCES: tests/host/fake/move.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "migrate/receive.h"
#include "migrate/send.h"
#include "tests/host/fake/move.h"
#include "tests/host/fake/two_hosts.h"

/* --- the operator --- */

static void a_cancel_at_any_time_leaves_one_guest(void **state)
{
	u32 stayed = 0, moved = 0;

	(void)state;
	for (u32 turn = 0; turn < 400; turn += 1 + turn / 6) {
		u32 where;

		start_world();
		fake_net.bytes_per_turn = 4 * KIB;
		assert_non_null(move_from(HOST1, "web1", &move_defaults));
		for (u32 i = 0; i < turn; i++)
			fake_turn();
		if (!is_over_on_1()) {
			fake_enter(HOST1);
			send_cancel(list_first(&migration->sends, struct send, link));
		}
		assert_true(fake_run(is_it_settled, MANY));
		fake_running_count(&where);
		assert_runs_on(where);
		stayed += where == HOST1;
		moved += where == HOST2;
		fake_world_fini();
	}
	assert_true(stayed > 10 && moved > 0);
	start_world();
}

static bool is_given(void)
{
	struct send *send = list_first(&fake_hosts[HOST1].migration.sends, struct send, link);

	return send && send->phase == SEND_DETACHED;
}

/* Cuts the link with COMMIT on its way: given away here, a whole copy there. */
static void cut_before_commit(void)
{
	start_world();
	fake_net.cut_at_type = WIRE_COMMIT;
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	for (u32 i = 0; i < 20000 && !fake_net.is_cut; i++)
		fake_turn();
	assert_true(fake_net.is_cut);
	fake_net_break();
	assert_true(fake_run(is_given, MANY));
	assert_int_equal(fake_running_count(NULL), 0);
	assert_false(list_is_empty(&fake_hosts[HOST2].migration.arrivals));
}

static void a_cut_before_commit_heals_by_itself(void **state)
{
	(void)state;
	cut_before_commit();
	for (u32 i = 0; i < 100000; i++)
		fake_turn();
	assert_int_equal(fake_running_count(NULL), 0); /* nobody concludes anything from silence */
	fake_net_heal();
	assert_true(fake_run(is_it_settled, MANY));
	assert_runs_on(HOST2);
}

/* The longer nobody answers, the rarer the calls; but one answer, and a lost line is tried again soon. */
static void calls_are_frequent_again_after_an_answer(void **state)
{
	const struct send *send;
	u64 slow_ns;

	(void)state;
	cut_before_commit();
	fake_turn_ns = NS_PER_MS;
	for (u32 i = 0; i < 60000; i++)
		fake_turn();
	send = list_first(&fake_hosts[HOST1].migration.sends, struct send, link);
	slow_ns = send->retry_ns;
	assert_true(slow_ns >= NS_PER_SEC);
	fake_net_heal();
	fake_net.cut_at_type = WIRE_COMMIT;
	for (u32 i = 0; i < MANY && !fake_net.is_cut; i++)
		fake_turn();
	assert_true(fake_net.is_cut);
	fake_net_break();
	assert_true(fake_run(is_given, MANY));
	assert_true(send->retry_ns < slow_ns / 4);
	fake_net_heal();
	assert_true(fake_run(is_it_settled, MANY));
	assert_runs_on(HOST2);
}

/* The guest runs at host 2, ACK was lost, and what answers host 1's next call makes no sense. */
static void a_given_guest_is_not_run_for_a_broken_greeting(void **state)
{
	(void)state;
	for (u64 byte = 1; byte <= sizeof(struct wire_header) + sizeof(struct wire_hello); byte += 3) {
		start_world();
		fake_net.cut_at_type = WIRE_ACK;
		assert_non_null(move_from(HOST1, "web1", &move_defaults));
		for (u32 i = 0; i < 20000 && !fake_net.is_cut; i++)
			fake_turn();
		fake_net_break();
		assert_true(fake_run(is_given, MANY));
		fake_net_heal();
		fake_net.damage_at[HOST1] = fake_net.bytes_to[HOST1] + byte;
		assert_true(fake_run(is_it_settled, MANY));
		assert_runs_on(HOST2);
		fake_world_fini();
	}
	start_world();
}

/* Strangers asked about so many guests that the record of this one was given away. */
static void a_running_guest_is_its_own_record(void **state)
{
	(void)state;
	start_world();
	fake_net.cut_at_type = WIRE_ACK;
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	for (u32 i = 0; i < 20000 && !fake_net.is_cut; i++)
		fake_turn();
	fake_net_break();
	assert_true(fake_run(is_given, MANY));
	for (u32 i = 0; i < 100; i++)
		fake_turn();
	assert_true(list_is_empty(&fake_hosts[HOST2].migration.receives));
	memset(fake_hosts[HOST2].migration.record, 0, sizeof(fake_hosts[HOST2].migration.record));
	fake_net_heal();
	assert_true(fake_run(is_it_settled, MANY));
	assert_runs_on(HOST2);
}

static void a_given_guest_is_taken_back(void **state)
{
	(void)state;
	cut_before_commit();
	fake_enter(HOST1);
	send_cancel(list_first(&migration->sends, struct send, link));
	assert_int_equal(fake_running_count(NULL), 0); /* the destination has not agreed yet */
	fake_net_heal();
	assert_true(fake_run(is_it_settled, MANY));
	assert_runs_on(HOST1);
	assert_string_equal(newest_receipt(HOST1)->code, "E-CANCELLED");
}

static void a_forgetful_destination_needs_the_operator(void **state)
{
	(void)state;
	cut_before_commit();
	fake_host_crash(HOST2);
	fake_net_heal();
	for (u32 i = 0; i < 300000; i++)
		fake_turn();
	assert_int_equal(fake_running_count(NULL), 0);
	assert_non_null(strstr(fake_hosts[HOST1].last_error, "migrate resolve"));
	fake_enter(HOST1);
	send_force(list_first(&migration->sends, struct send, link));
	assert_true(fake_run(is_it_settled, MANY));
	assert_runs_on(HOST1);
}

static void the_operator_starts_a_held_copy(void **state)
{
	(void)state;
	cut_before_commit();
	fake_host_crash(HOST1);
	for (u32 i = 0; i < 100000; i++)
		fake_turn();
	assert_int_equal(fake_running_count(NULL), 0);
	fake_enter(HOST2);
	receive_force_start(arrive_named("web1"));
	assert_int_equal(fake_running_count(NULL), 1);
	fake_check_guest();
	assert_true(list_is_empty(&fake_hosts[HOST2].migration.arrivals));
}

/* Another source that says it has the same guest, under another name: COMMIT must mean one copy. */
static void a_held_copy_has_no_twin(void **state)
{
	const struct arrival *held;
	struct vm *twin;

	(void)state;
	cut_before_commit();
	fake_host_crash(HOST1);
	fake_net_heal();
	held = list_first(&fake_hosts[HOST2].migration.arrivals, struct arrival, link);
	twin = &fake_guest_start(HOST1, "web2", RAM)->vm;
	memcpy(twin->id, held->record->vm_id, sizeof(twin->id));
	twin->epoch = held->epoch;
	assert_non_null(move_from(HOST1, "web2", &move_defaults));
	assert_true(fake_run(is_over_on_1, MANY));
	assert_string_equal(newest_receipt(HOST1)->code, "E-VM-EXISTS");
	assert_ptr_equal(list_first(&fake_hosts[HOST2].migration.arrivals, struct arrival, link), held);
	assert_null(fake_vm_on(HOST2, "web2"));
}

static void the_operator_drops_a_held_copy(void **state)
{
	(void)state;
	cut_before_commit();
	fake_host_crash(HOST1);
	fake_enter(HOST2);
	receive_force_drop(arrive_named("web1"));
	assert_null(fake_vm_on(HOST2, "web1"));
	assert_true(list_is_empty(&fake_hosts[HOST2].migration.arrivals));
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, end_world)
	const struct CMUnitTest tests[] = {
		T(a_cancel_at_any_time_leaves_one_guest),
		T(a_cut_before_commit_heals_by_itself),
		T(calls_are_frequent_again_after_an_answer),
		T(a_given_guest_is_not_run_for_a_broken_greeting),
		T(a_running_guest_is_its_own_record),
		T(a_given_guest_is_taken_back),
		T(a_forgetful_destination_needs_the_operator),
		T(the_operator_starts_a_held_copy),
		T(a_held_copy_has_no_twin),
		T(the_operator_drops_a_held_copy),
	};

	return cmocka_run_group_tests_name("migrate_operator", tests, NULL, NULL);
}
