/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Moves between two hosts in one process: good ones, those that do not converge, and refusals.
 * After every one of them exactly one copy of the guest runs, it has the memory and state that it
 * should have, and nothing is leaked on either host.
 */
/* SOURCES: tests/host/fake/move.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "migrate/send.h"
#include "tests/host/fake/move.h"
#include "tests/host/fake/two_hosts.h"

/* --- good moves --- */

static void a_guest_moves(void **state)
{
	const struct receipt *here, *there;
	u64 sum = 0;

	(void)state;
	start_world();
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	assert_true(fake_run(are_sessions_over, MANY));
	assert_runs_on(HOST2);
	assert_true(oracle.ticks > 5); /* it ran while it moved */
	here = newest_receipt(HOST1);
	there = newest_receipt(HOST2);
	assert_memory_equal(here, there, sizeof(*here));
	assert_int_equal(here->result, RECEIPT_MOVED);
	assert_true(here->round_count >= 2);
	assert_int_equal(here->round[0].pages, RAM / 4096);
	assert_true(here->round[0].zero_pages > RAM / 4096 - 100);
	assert_int_equal(here->digest_match, 1);
	assert_true(here->pages_verified >= RAM / 4096);
	for (u32 i = 0; i < PART_COUNT; i++)
		sum += here->part_us[i];
	assert_int_equal(sum, here->stun_us);
	assert_true(here->stun_us > 0 && here->stun_us < here->total_us);
	assert_int_equal(fake_hosts[HOST1].error_count + fake_hosts[HOST2].error_count, 0);
}

static void there_and_back_ten_times(void **state)
{
	(void)state;
	start_world();
	for (u32 i = 0; i < 20; i++) {
		u64 epoch = fake_vm_on(i % 2, "web1")->vm.epoch;

		assert_non_null(move_from(i % 2, "web1", &move_defaults));
		assert_true(fake_run(are_sessions_over, MANY));
		assert_runs_on(!(i % 2));
		assert_true(fake_vm_on(!(i % 2), "web1")->vm.epoch > epoch);
	}
	/* One record of the guest on each host, not twenty. */
	for (u32 host = 0; host < 2; host++)
		for (u32 i = 0; i < DURABLE_RECORDS_MAX; i++)
			assert_int_equal(fake_hosts[host].migration.record[i].used_at != 0, i == 0);
}

/* Streams may show what came in pieces of any length, also single bytes. */
static void pieces_of_any_length_do(void **state)
{
	static const u32 pieces[] = { 1, 7, 8, 24, 4095, 4097, 1000000 };

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(pieces); i++) {
		start_world();
		fake_net.piece = pieces[i];
		assert_non_null(move_from(HOST1, "web1", &move_defaults));
		assert_true(fake_run(are_sessions_over, MANY));
		assert_runs_on(HOST2);
		fake_world_fini();
	}
}

/* As of a guest with so much memory that the answer to a round is longer than the ring. */
static void the_answer_to_a_round_may_take_its_time(void **state)
{
	(void)state;
	start_world();
	fake_net.answer_ring = 552; /* ACKED for 4096 pages fits, ROUND_DONE beside it does not */
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	assert_true(fake_run(are_sessions_over, MANY));
	assert_runs_on(HOST2);
}

static void two_moves_cross(void **state)
{
	(void)state;
	start_world();
	fake_guest_start(HOST2, "db1", RAM);
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	assert_non_null(move_from(HOST2, "db1", &move_defaults));
	assert_true(fake_run(are_sessions_over, MANY));
	assert_runs_on(HOST2);
	assert_non_null(fake_vm_on(HOST1, "db1"));
	assert_null(fake_vm_on(HOST2, "db1"));
}

static void a_slow_halt_is_waited_for(void **state)
{
	(void)state;
	start_world();
	fake_vm_on(HOST1, "web1")->halt_delay = 3000;
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	assert_true(fake_run(are_sessions_over, MANY));
	assert_runs_on(HOST2);
}

/* A device is in the middle of something: its end is waited for, but not for ever. */
static void a_quiet_moment_is_waited_for(void **state)
{
	(void)state;
	start_world();
	fake_busy_polls = 3;
	fake_due_polls = 2;
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	assert_true(fake_run(are_sessions_over, MANY));
	assert_runs_on(HOST2);
	assert_int_equal(fake_busy_polls, 0);
	assert_int_equal(fake_due_polls, 0);
}

static void a_guest_never_quiet_moves_too(void **state)
{
	(void)state;
	start_world();
	fake_busy_polls = fake_due_polls = ~0u;
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	assert_true(fake_run(are_sessions_over, MANY));
	assert_runs_on(HOST2);
	fake_busy_polls = fake_due_polls = 0;
}

/* --- convergence --- */

static void a_guest_that_writes_too_much_stays(void **state)
{
	struct send_options tight = { .stun_limit_ns = 2 * NS_PER_MS };

	(void)state;
	start_world();
	oracle.writes_per_turn = 400;
	oracle.working_set = 3000;
	fake_turn_ns = 5 * NS_PER_MS;
	assert_non_null(move_from(HOST1, "web1", &tight));
	assert_failed_with("E-NOT-CONVERGING");
	assert_non_null(strstr(newest_receipt(HOST1)->why, "needs stun="));
}

static bool is_stalled(void)
{
	struct send *send = list_first(&fake_hosts[HOST1].migration.sends, struct send, link);

	return send && rounds_are_stalled(&send->rounds);
}

static void a_new_limit_ends_a_stalled_move(void **state)
{
	struct send_options tight = { .stun_limit_ns = 2 * NS_PER_MS };
	struct send *send;

	(void)state;
	start_world();
	oracle.writes_per_turn = 400;
	oracle.working_set = 3000;
	fake_turn_ns = 5 * NS_PER_MS;
	send = move_from(HOST1, "web1", &tight);
	assert_true(fake_run(is_stalled, MANY));
	send->rounds.limit_ns = 60 * NS_PER_SEC;
	assert_true(fake_run(are_sessions_over, MANY));
	assert_runs_on(HOST2);
}

static void the_rate_limit_is_kept(void **state)
{
	struct send_options slow = { .stun_limit_ns = 100 * NS_PER_MS, .rate_bytes = 1000000 };
	const struct receipt *receipt;

	(void)state;
	start_world();
	assert_non_null(move_from(HOST1, "web1", &slow));
	assert_true(fake_run(are_sessions_over, MANY));
	assert_runs_on(HOST2);
	receipt = newest_receipt(HOST1);
	assert_true(receipt->total_us + 20000 >= receipt->round[0].bytes);     /* 1 byte per us */
	assert_true(receipt->throttled_us > receipt->total_us / 2);
}

/* --- refusals --- */

static void assert_refused(const char *code)
{
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	assert_failed_with(code);
	assert_null(fake_vm_on(HOST2, "web1"));
	fake_world_fini();
}

static void a_destination_refuses_with_the_reason(void **state)
{
	(void)state;
	start_world();
	fake_hosts[HOST2].free_chunks = 5;
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	assert_failed_with("E-NO-MEMORY");
	fake_hosts[HOST2].free_chunks = 64;
	fake_world_fini();

	start_world();
	fake_hosts[HOST2].cpuid_key = 99;
	assert_refused("E-CPU-MISMATCH");

	start_world();
	fake_hosts[HOST2].cpuid_key = 0x11234;
	assert_refused("E-CPU-VENDOR");

	start_world();
	fake_hosts[HOST1].is_off = false;
	fake_hosts[HOST2].is_off = true;
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	assert_failed_with("E-PEER-UNREACHABLE");
	fake_world_fini();

	start_world();
	fake_guest_start(HOST2, "web1", RAM)->runs = false;
	fake_vm_on(HOST2, "web1")->vm.state = VM_STOPPED;
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	assert_true(fake_run(are_sessions_over, MANY));
	assert_string_equal(newest_receipt(HOST1)->code, "E-VM-EXISTS");
}

static void a_check_moves_nothing(void **state)
{
	struct send_options check = { .stun_limit_ns = NS_PER_MS, .is_check = true };
	struct send *send;

	(void)state;
	start_world();
	for (u32 i = 0; i < 2; i++) {
		fake_hosts[HOST2].cpuid_key = i ? 99 : 0x1234;
		fake_hosts[HOST2].free_chunks = i ? 2 : 64;
		send = move_from(HOST1, "web1", &check);
		send->is_held = true;
		for (u32 turn = 0; turn < 1000 && !send->is_over; turn++)
			fake_turn();
		assert_true(send->is_over);
		/* All reasons, not only the first. */
		assert_int_equal(send->compat.count, i ? 2 : 0);
		send->is_held = false;
		assert_true(fake_run(are_sessions_over, MANY));
		fake_hosts[HOST2].free_chunks = 64;
		assert_runs_on(HOST1);
		assert_null(newest_receipt(HOST1));
	}
}

/* Said by migrate check too, alone of all that is said of the CPU, with both names. */
static void another_vendor_is_the_only_word_about_the_cpu(void **state)
{
	struct send_options check = { .stun_limit_ns = NS_PER_MS, .is_check = true };
	struct send *send;

	(void)state;
	start_world();
	fake_hosts[HOST2].cpuid_key = 0x21234;
	fake_vm_on(HOST1, "web1")->vm.cpuid.leaf[0].eax = 50; /* address bits that no fake host has */
	send = move_from(HOST1, "web1", &check);
	send->is_held = true;
	for (u32 turn = 0; turn < 1000 && !send->is_over; turn++)
		fake_turn();
	assert_int_equal(send->compat.count, 1);
	assert_string_equal(send->compat.reason[0].code, "E-CPU-VENDOR");
	assert_non_null(strstr(send->compat.reason[0].why, "vendor 0, here 2"));
	send->is_held = false;
	assert_true(fake_run(are_sessions_over, MANY));
	assert_runs_on(HOST1);
}

static void only_a_running_vm_moves_and_only_once(void **state)
{
	struct wire_reason reason;
	struct stream_address address = { 0x0a4d0002, WIRE_PORT };
	struct vm *vm;

	(void)state;
	start_world();
	assert_non_null(move_from(HOST1, "web1", &move_defaults));
	vm = &fake_vm_on(HOST1, "web1")->vm;
	assert_null(send_start(vm, "host2", address, &move_defaults, &reason));
	assert_string_equal(reason.code, "E-MOVING");
	assert_true(fake_run(are_sessions_over, MANY));
	fake_guest_start(HOST1, "db1", RAM)->vm.state = VM_PAUSED;
	assert_null(send_start(&fake_vm_on(HOST1, "db1")->vm, "host2", address, &move_defaults, &reason));
	assert_string_equal(reason.code, "E-VM-STATE");
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, end_world)
	const struct CMUnitTest tests[] = {
		T(a_guest_moves),
		T(there_and_back_ten_times),
		T(pieces_of_any_length_do),
		T(the_answer_to_a_round_may_take_its_time),
		T(two_moves_cross),
		T(a_slow_halt_is_waited_for),
		T(a_quiet_moment_is_waited_for),
		T(a_guest_never_quiet_moves_too),
		T(a_guest_that_writes_too_much_stays),
		T(a_new_limit_ends_a_stalled_move),
		T(the_rate_limit_is_kept),
		T(a_destination_refuses_with_the_reason),
		T(a_check_moves_nothing),
		T(another_vendor_is_the_only_word_about_the_cpu),
		T(only_a_running_vm_moves_and_only_once),
	};

	return cmocka_run_group_tests_name("migrate", tests, NULL, NULL);
}
