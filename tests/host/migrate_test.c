/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Both ends of a move in one process: good moves, and each way in which one can fail. After
 * every one of them exactly one copy of the guest runs, it has the memory and state that it should
 * have, and nothing is leaked on either host.
 */
/* SOURCES: migrate/arrive.c migrate/codes.c migrate/commit.c migrate/compat.c migrate/copy.c migrate/delta.c migrate/digest.c
   migrate/durable.c migrate/greet.c migrate/handover.c migrate/image.c migrate/migrate.c migrate/pace.c migrate/peer.c
   migrate/receipt.c migrate/receive.c migrate/rounds.c migrate/send.c migrate/stun.c migrate/wire.c
   kernel/errno.c kernel/fmt.c kernel/str.c net/address.c tests/host/fake/heap_fake.c tests/host/fake/shell_fake.c
   tests/host/fake/stream_fake.c tests/host/fake/two_hosts.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernel/errno.h"
#include "migrate/receive.h"
#include "migrate/send.h"
#include "tests/host/fake/heap_fake.h"
#include "tests/host/fake/two_hosts.h"

#define RAM (16 * MIB)
#define HOST1 0
#define HOST2 1
#define MANY 400000

static const struct send_options defaults = { .stun_limit_ns = 20 * NS_PER_MS };


static int teardown(void **state)
{
	(void)state;
	fake_world_fini();
	return 0;
}

static void start_world(void)
{
	srand(1);
	fake_world_init();
	fake_guest_start(HOST1, "web1", RAM);
}

static struct send *move_from(u32 host, const char *name, const struct send_options *options)
{
	struct stream_address address = { 0x0a4d0001 + !host, WIRE_PORT };
	struct wire_reason reason;
	struct send *send;

	fake_enter(host);
	send = send_start(vm_find(name), host ? "host1" : "host2", address, options, &reason);
	if (!send)
		print_message("%s (%s)\n", reason.why, reason.code);
	return send;
}

static bool are_sessions_over(void)
{
	for (u32 i = 0; i < 2; i++) {
		struct migration *m = &fake_hosts[i].migration;

		if (!list_is_empty(&m->sends) || !list_is_empty(&m->receives))
			return false;
	}
	return true;
}

static bool is_over_on_1(void) { return list_is_empty(&fake_hosts[HOST1].migration.sends); }

static const struct receipt *newest_receipt(u32 host)
{
	const struct kept_receipt *kept;

	fake_enter(host);
	kept = receipt_find(NULL);
	return kept ? &kept->receipt : NULL;
}

static void assert_runs_on(u32 host)
{
	u32 where = 9;

	assert_int_equal(fake_running_count(&where), 1);
	assert_int_equal(where, host);
	fake_check_guest();
	assert_null(fake_vm_on(!host, "web1"));
	assert_int_equal(fake_vm_on(host, "web1")->vm.state, VM_RUNNING);
	assert_null(fake_vm_on(host, "web1")->vm.migration);
	assert_false(fake_vm_on(host, "web1")->vm.gmem.is_tracking);
}

/* The move failed before it was given: one clear line, with the code. */
static void assert_failed_with(const char *code)
{
	assert_true(fake_run(are_sessions_over, MANY));
	assert_runs_on(HOST1);
	assert_string_equal(newest_receipt(HOST1)->code, code);
	assert_non_null(strstr(fake_hosts[HOST1].last_error, code));
	assert_int_equal(fake_hosts[HOST1].error_count, 1);
}

/* --- good moves --- */

static void a_guest_moves(void **state)
{
	const struct receipt *here, *there;
	u64 sum = 0;

	(void)state;
	start_world();
	assert_non_null(move_from(HOST1, "web1", &defaults));
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

		assert_non_null(move_from(i % 2, "web1", &defaults));
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
		assert_non_null(move_from(HOST1, "web1", &defaults));
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
	assert_non_null(move_from(HOST1, "web1", &defaults));
	assert_true(fake_run(are_sessions_over, MANY));
	assert_runs_on(HOST2);
}

static void two_moves_cross(void **state)
{
	(void)state;
	start_world();
	fake_guest_start(HOST2, "db1", RAM);
	assert_non_null(move_from(HOST1, "web1", &defaults));
	assert_non_null(move_from(HOST2, "db1", &defaults));
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
	assert_non_null(move_from(HOST1, "web1", &defaults));
	assert_true(fake_run(are_sessions_over, MANY));
	assert_runs_on(HOST2);
}

/* A device is in the middle of something: its end is waited for, but not for ever. */
static void a_quiet_moment_is_waited_for(void **state)
{
	(void)state;
	start_world();
	fake_busy_polls = 3;
	assert_non_null(move_from(HOST1, "web1", &defaults));
	assert_true(fake_run(are_sessions_over, MANY));
	assert_runs_on(HOST2);
	assert_int_equal(fake_busy_polls, 0);
}

static void a_guest_never_quiet_moves_too(void **state)
{
	(void)state;
	start_world();
	fake_busy_polls = ~0u;
	assert_non_null(move_from(HOST1, "web1", &defaults));
	assert_true(fake_run(are_sessions_over, MANY));
	assert_runs_on(HOST2);
	fake_busy_polls = 0;
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
	assert_non_null(move_from(HOST1, "web1", &defaults));
	assert_failed_with(code);
	assert_null(fake_vm_on(HOST2, "web1"));
	fake_world_fini();
}

static void a_destination_refuses_with_the_reason(void **state)
{
	(void)state;
	start_world();
	fake_hosts[HOST2].free_chunks = 5;
	assert_non_null(move_from(HOST1, "web1", &defaults));
	assert_failed_with("E-NO-MEMORY");
	fake_hosts[HOST2].free_chunks = 64;
	fake_world_fini();

	start_world();
	fake_hosts[HOST2].cpuid_key = 99;
	assert_refused("E-CPU-MISMATCH");

	start_world();
	fake_hosts[HOST1].is_off = false;
	fake_hosts[HOST2].is_off = true;
	assert_non_null(move_from(HOST1, "web1", &defaults));
	assert_failed_with("E-PEER-UNREACHABLE");
	fake_world_fini();

	start_world();
	fake_guest_start(HOST2, "web1", RAM)->runs = false;
	fake_vm_on(HOST2, "web1")->vm.state = VM_STOPPED;
	assert_non_null(move_from(HOST1, "web1", &defaults));
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

static void only_a_running_vm_moves_and_only_once(void **state)
{
	struct wire_reason reason;
	struct stream_address address = { 0x0a4d0002, WIRE_PORT };
	struct vm *vm;

	(void)state;
	start_world();
	assert_non_null(move_from(HOST1, "web1", &defaults));
	vm = &fake_vm_on(HOST1, "web1")->vm;
	assert_null(send_start(vm, "host2", address, &defaults, &reason));
	assert_string_equal(reason.code, "E-MOVING");
	assert_true(fake_run(are_sessions_over, MANY));
	fake_guest_start(HOST1, "db1", RAM)->vm.state = VM_PAUSED;
	assert_null(send_start(&fake_vm_on(HOST1, "db1")->vm, "host2", address, &defaults, &reason));
	assert_string_equal(reason.code, "E-VM-STATE");
}

/* --- the link breaks --- */

static bool does_it_run(void) { return fake_running_count(NULL) == 1; }

static bool is_it_settled(void)
{
	return does_it_run() && are_sessions_over() && list_is_empty(&fake_hosts[HOST1].migration.arrivals) &&
	       list_is_empty(&fake_hosts[HOST2].migration.arrivals);
}

/* Moves to the end with the link cut at a record. Returns how many records there were. */
static u64 move_with_cut(u64 record, u32 extra, bool cancels)
{
	u32 where;

	start_world();
	fake_net.cut_at_record = record;
	fake_net.cut_extra = extra;
	assert_non_null(move_from(HOST1, "web1", &defaults));
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
		assert_non_null(move_from(HOST1, "web1", &defaults));
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
	assert_non_null(move_from(HOST1, "web1", &defaults));
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
		assert_non_null(move_from(HOST1, "web1", &defaults));
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
		send = move_from(HOST1, "web1", &defaults);
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

/* --- the operator --- */

static void a_cancel_at_any_time_leaves_one_guest(void **state)
{
	u32 stayed = 0, moved = 0;

	(void)state;
	for (u32 turn = 0; turn < 400; turn += 1 + turn / 6) {
		u32 where;

		start_world();
		fake_net.bytes_per_turn = 4 * KIB;
		assert_non_null(move_from(HOST1, "web1", &defaults));
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
	assert_non_null(move_from(HOST1, "web1", &defaults));
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

/* The guest runs at host 2, ACK was lost, and what answers host 1's next call makes no sense. */
static void a_given_guest_is_not_run_for_a_broken_greeting(void **state)
{
	(void)state;
	for (u64 byte = 1; byte <= sizeof(struct wire_header) + sizeof(struct wire_hello); byte += 3) {
		start_world();
		fake_net.cut_at_type = WIRE_ACK;
		assert_non_null(move_from(HOST1, "web1", &defaults));
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
	assert_non_null(move_from(HOST1, "web1", &defaults));
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
	assert_non_null(move_from(HOST1, "web2", &defaults));
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

/* --- the guest or a host goes away --- */

static void a_guest_that_switches_itself_off_stays(void **state)
{
	(void)state;
	start_world();
	assert_non_null(move_from(HOST1, "web1", &defaults));
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
	assert_non_null(move_from(HOST1, "web1", &defaults));
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
	assert_non_null(move_from(HOST1, "web1", &defaults));
	assert_true(fake_run(are_sessions_over, MANY));
	records = fake_net.records;
	fake_world_fini();
	for (u32 host = 0; host < 2; host++)
		for (u64 record = 1; record <= records; record += record + 12 > records ? 1 : 7) {
			start_world();
			fake_net.cut_at_record = record;
			fake_net.cut_extra = 1 << 20;
			assert_non_null(move_from(HOST1, "web1", &defaults));
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

/* --- strangers at the port --- */

static bool no_receives(void) { return list_is_empty(&fake_hosts[HOST2].migration.receives); }

static void raw_closed(struct stream *stream, int err, void *context)
{
	(void)stream, (void)err;
	*(struct stream **)context = NULL;
}

/* Talks to host 2's port; what it says must do no harm. */
static void talk(const u8 *bytes, size_t count)
{
	static const struct stream_events quiet = { .closed = raw_closed };
	struct stream *stream;

	fake_enter(HOST1);
	stream = stream_connect((struct stream_address){ 0x0a4d0002, 1 }, 1000, &quiet, &stream);
	fake_turn();
	for (size_t at = 0; stream && at < count;) {
		size_t some = MIN(count - at, 60000ul);

		if (stream_send(stream, bytes + at, some) == 0)
			at += some;
		fake_turn();
	}
	for (u32 i = 0; i < 20; i++)
		fake_turn();
	if (stream)
		stream_abort(stream);
	assert_true(fake_run(no_receives, MANY));
}

static void garbage_at_the_port_is_shown_the_door(void **state)
{
	static u8 bytes[100000];

	(void)state;
	start_world();
	for (u32 i = 0; i < 50; i++) {
		for (size_t at = 0; at < sizeof(bytes); at++)
			bytes[at] = (u8)rand();
		talk(bytes, (size_t)rand() % sizeof(bytes));
	}
	talk((const u8 *)"GET / HTTP/1.0\r\n\r\n", 18);
	assert_runs_on(HOST1);
	assert_non_null(strstr(fake_hosts[HOST2].last_error, "migration port"));
}

static void a_silent_stranger_is_hung_up_on(void **state)
{
	static const struct stream_events quiet = { .closed = raw_closed };
	struct stream *stream;

	(void)state;
	start_world();
	fake_enter(HOST1);
	stream = stream_connect((struct stream_address){ 0x0a4d0002, 1 }, 1000, &quiet, &stream);
	for (u32 i = 0; i < 100; i++)
		fake_turn();
	assert_false(no_receives());
	assert_true(fake_run(no_receives, MANY));
	for (u32 i = 0; i < 10; i++)
		fake_turn();
	assert_null(stream);
}

static void strangers_cannot_take_all_sessions_for_ever(void **state)
{
	static const struct stream_events quiet = { .closed = raw_closed };
	struct stream *stream[31];

	(void)state;
	start_world();
	fake_enter(HOST1);
	for (u32 i = 0; i < ARRAY_COUNT(stream); i++)
		stream[i] = stream_connect((struct stream_address){ 0x0a4d0002, 1 }, 1000, &quiet, &stream[i]);
	for (u32 i = 0; i < 100; i++)
		fake_turn();
	assert_true(fake_run(no_receives, MANY));
	assert_non_null(move_from(HOST1, "web1", &defaults));
	assert_true(fake_run(are_sessions_over, MANY));
	assert_runs_on(HOST2);
}

/* A whole good session, with random bytes changed, cut and repeated, against a host alone. */
static void a_mutated_session_does_no_harm(void **state)
{
	static u8 tape[2 * MIB], copy[2 * MIB];
	u64 bytes;

	(void)state;
	start_world();
	fake_net.tape = tape;
	fake_net.tape_max = sizeof(tape);
	assert_non_null(move_from(HOST1, "web1", &defaults));
	assert_true(fake_run(are_sessions_over, MANY));
	bytes = fake_net.tape_bytes;
	assert_true(bytes < sizeof(tape));
	fake_world_fini();
	for (u32 i = 0; i < 60; i++) {
		fake_world_init();
		memcpy(copy, tape, bytes);
		for (u32 n = 1 + (u32)rand() % 4; n; n--) {
			u64 at = rand() % 2 ? (u64)rand() % 8000 : bytes - 1 - (u64)rand() % 30000;

			copy[at] = (u8)rand();
		}
		talk(copy, rand() % 4 ? bytes : (u64)rand() % bytes);
		assert_true(fake_running_count(NULL) <= 1);
		fake_world_fini();
	}
	start_world();
}

static void another_version_is_named(void **state)
{
	struct {
		struct wire_header header;
		struct wire_hello hello;
	} record = { { WIRE_HELLO, sizeof(record.hello) }, { WIRE_MAGIC, WIRE_VERSION + 1, WIRE_MOVE, { 1 }, { 2 }, 1, 1, "x" } };

	(void)state;
	start_world();
	talk((const u8 *)&record, sizeof(record));
	assert_non_null(strstr(fake_hosts[HOST2].last_error, "E-VERSION"));
}

int main(void)
{
#define T(name) cmocka_unit_test_teardown(name, teardown)
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
		T(only_a_running_vm_moves_and_only_once),
		T(the_link_is_cut_at_every_record),
		T(a_damaged_byte_never_reaches_the_guest),
		T(memory_runs_out_at_every_allocation),
		T(a_cancel_at_any_time_leaves_one_guest),
		T(a_cut_before_commit_heals_by_itself),
		T(a_given_guest_is_not_run_for_a_broken_greeting),
		T(a_running_guest_is_its_own_record),
		T(a_given_guest_is_taken_back),
		T(a_forgetful_destination_needs_the_operator),
		T(the_operator_starts_a_held_copy),
		T(a_held_copy_has_no_twin),
		T(the_operator_drops_a_held_copy),
		T(a_guest_that_switches_itself_off_stays),
		T(a_vm_is_destroyed_while_it_moves),
		T(a_host_dies_at_any_time),
		T(garbage_at_the_port_is_shown_the_door),
		T(a_silent_stranger_is_hung_up_on),
		T(strangers_cannot_take_all_sessions_for_ever),
		T(a_mutated_session_does_no_harm),
		T(another_version_is_named),
	};

	return cmocka_run_group_tests_name("migrate", tests, NULL, NULL);
}
