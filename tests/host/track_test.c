/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dirty tracking: that no written page is ever missed by a collection, whoever wrote it, that all
 * methods find the same pages, and what each costs. The fake back end caches translations that
 * may be written, logs and faults as hardware does, so a forgotten flush loses writes here too.
 */
/* SOURCES: vmm/track.c vmm/gmem.c arch/nested.c arch/vcpu_state.c kernel/page.c kernel/page_map.c kernel/heap.c
 * kernel/panic.c kernel/log.c kernel/fmt.c kernel/clock.c kernel/str.c tests/host/fake/hv_fake.c */
#include "tests/host/fake/machine.h"
#include "tests/host/fake/memory.h"
#include "tests/host/fake/hv_fake.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "vmm/vm.h"

#define ARENA (256 * MIB)
#define RAM (32 * MIB)
#define PAGES (RAM / PAGE_BYTES)
#define CHUNKS (RAM / LARGE_PAGE_BYTES)
#define VCPUS 2
#define METHODS 3

static struct vm vm;
static struct vcpu vcpus[VCPUS];
static struct page_stats pages_before;
static struct heap_stats heap_before;
static u64 random_state, exit_count;
static u64 map[BITMAP_WORDS(PAGES)];

static u64 next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	return random_state ^= random_state << 17;
}

/* *state is the method's name. */
static int setup(void **state)
{
	random_state = 0x9e3779b97f4a7c15ull;
	exit_count = 0;
	fake_memory_init(ARENA);
	fake_hv_init();
	page_get_stats(&pages_before);
	heap_get_stats(&heap_before);
	memset(map, 0, sizeof(map));
	memset(&vm, 0, sizeof(vm));
	vm.config.vcpu_count = VCPUS;
	assert_int_equal(gmem_init(&vm.gmem, RAM), 0);
	assert_true(gmem_scrub(&vm.gmem, ~0ull));
	for (unsigned i = 0; i < VCPUS; i++) {
		vcpus[i] = (struct vcpu){ .vm = &vm, .index = i };
		vm.vcpu[i] = &vcpus[i];
		assert_int_equal(hv->vcpu_init(&vcpus[i].hv, &vm.gmem.nested), 0);
	}
	track_init(NULL);
	if (*state)
		assert_int_equal(track_use(*state), 0);
	return 0;
}

static int teardown(void **state)
{
	struct page_stats pages;
	struct heap_stats heap;

	(void)state;
	for (unsigned i = 0; i < VCPUS; i++)
		hv->vcpu_fini(vcpus[i].hv);
	gmem_fini(&vm.gmem);
	page_get_stats(&pages);
	heap_get_stats(&heap);
	assert_int_equal(pages.free_bytes, pages_before.free_bytes);
	assert_int_equal(heap.objects, heap_before.objects);
	return 0;
}

static u64 page_to_write, value_to_write;

static void write_a_page(struct fake_vcpu *guest, struct hv_exit *exit)
{
	fake_guest_try_write(guest, exit, GPA(page_to_write * PAGE_BYTES + 8), &value_to_write, sizeof(value_to_write));
}

/* One entry and its exit, as vcpu.c and exit.c do it. */
static enum hv_exit_reason run_once(struct vcpu *vcpu)
{
	vcpu->entry_count++;
	if (vcpu->want_flush) {
		vcpu->want_flush = false;
		hv->flush(vcpu->hv);
	}
	hv->enter(vcpu->hv, &vcpu->exit);
	track_left_guest(vcpu);
	vcpu->entry_count++;
	if (vcpu->exit.reason == HV_EXIT_NESTED_FAULT && !track_fault(&vm, vcpu->exit.nested.gpa))
		hv->flush(vcpu->hv);
	return vcpu->exit.reason;
}

static void guest_writes(unsigned vcpu, u64 page)
{
	page_to_write = page;
	value_to_write = next_random();
	fake_guest = write_a_page;
	for (unsigned tries = 0; run_once(&vcpus[vcpu]) != HV_EXIT_HLT; tries++) {
		assert_in_range(tries, 0, 3);
		exit_count++;
	}
}

static void door_writes(u64 page)
{
	u64 value = next_random();

	assert_int_equal(gmem_write(&vm.gmem, GPA(page * PAGE_BYTES + 16), &value, sizeof(value)), 0);
}

static void arm_all(void)
{
	for (u64 chunk = 0; chunk < CHUNKS; chunk++)
		assert_int_equal(track_arm(&vm, chunk), 0);
	gmem_flush_vcpus(&vm);
}

static u64 collect(void)
{
	memset(map, 0, sizeof(map));
	return track_collect(&vm, map);
}

/* --- each method --- */

static void each_door_is_marked_once_and_only_while_tracking(void **state)
{
	(void)state;
	door_writes(3);
	assert_int_equal(track_start(&vm), 0);
	assert_int_equal(collect(), 0);
	door_writes(4);
	door_writes(4);
	assert_int_equal(gmem_or32(&vm.gmem, GPA(9 * PAGE_BYTES), 4), 0);
	assert_int_equal(collect(), 2);
	assert_true(bitmap_test(map, 4));
	assert_true(bitmap_test(map, 9));
	assert_int_equal(collect(), 0);
	door_writes(5);
	track_stop(&vm);
	assert_int_equal(track_start(&vm), 0);
	assert_int_equal(collect(), 0);
	track_stop(&vm);
}

/* A write across a border dirties both pages. */
static void a_write_across_pages_marks_both(void **state)
{
	u64 value = 1;

	(void)state;
	assert_int_equal(track_start(&vm), 0);
	assert_int_equal(gmem_write(&vm.gmem, GPA(7 * PAGE_BYTES - 4), &value, 8), 0);
	assert_int_equal(collect(), 2);
	assert_true(bitmap_test(map, 6));
	assert_true(bitmap_test(map, 7));
	track_stop(&vm);
}

/* The page is found once for each collection before which it was written, by any vCPU or by the door. */
static void each_round_finds_what_was_written_in_it(void **state)
{
	(void)state;
	guest_writes(0, 700); /* may be cached as dirty from here on */
	assert_int_equal(track_start(&vm), 0);
	arm_all();
	for (unsigned round = 0; round < 5; round++) {
		guest_writes(round % 2, 700);
		guest_writes(1, 800 + round);
		door_writes(900);
		guest_writes(0, 900);
		assert_int_equal(collect(), 3);
		assert_true(bitmap_test(map, 700) && bitmap_test(map, 800 + round) && bitmap_test(map, 900));
		assert_int_equal(collect(), 0);
	}
	guest_writes(0, 700);
	track_stop(&vm);
	assert_int_equal(track_start(&vm), 0);
	arm_all();
	assert_int_equal(collect(), 0);
	track_stop(&vm);
}

static void copy_page(u8 *copy, u64 page)
{
	memcpy(copy + page * PAGE_BYTES, gmem_page(&vm.gmem, page), PAGE_BYTES);
}

static void somebody_writes(void)
{
	if (next_random() % 8 == 0)
		door_writes(next_random() % PAGES);
	else
		guest_writes(next_random() % VCPUS, next_random() % PAGES);
}

/*
 * The property that a move rests on: copy a page whenever it is collected, after the
 * collection; when the guest stands still, one more collection makes the copy equal.
 */
static void a_copy_of_what_is_collected_is_whole(void **state)
{
	u8 *copy = calloc(1, RAM);

	(void)state;
	for (unsigned i = 0; i < 300; i++)
		guest_writes(i % VCPUS, next_random() % PAGES);
	assert_int_equal(track_start(&vm), 0);
	/* Round 0: chunk by chunk, armed just before it is read, the guest writing in between. */
	for (u64 chunk = 0; chunk < CHUNKS; chunk++) {
		assert_int_equal(track_arm(&vm, chunk), 0);
		gmem_flush_vcpus(&vm);
		for (u64 page = chunk * 512; page < (chunk + 1) * 512; page++)
			copy_page(copy, page);
		for (unsigned i = 0; i < 20; i++)
			somebody_writes();
	}
	for (unsigned round = 0; round < 40; round++) {
		track_collect(&vm, map);
		for (u64 page = bitmap_next(map, PAGES, 0); page < PAGES; page = bitmap_next(map, PAGES, page + 1)) {
			if (round < 39 && next_random() % 4 == 0)
				somebody_writes();
			copy_page(copy, page);
			bitmap_clear(map, page);
		}
		for (unsigned i = 0; round < 38 && i < next_random() % 30; i++)
			somebody_writes();
	}
	for (u64 page = 0; page < PAGES; page++)
		assert_memory_equal(copy + page * PAGE_BYTES, gmem_page(&vm.gmem, page), PAGE_BYTES);
	track_stop(&vm);
	free(copy);
}

static void stopping_restores_large_pages(void **state)
{
	const u64 *leaf_count = vm.gmem.nested.leaf_count;

	(void)state;
	assert_int_equal(leaf_count[PAGE_2M], CHUNKS);
	assert_int_equal(track_start(&vm), 0);
	arm_all();
	guest_writes(0, 5);
	assert_int_equal(leaf_count[PAGE_2M], 0);
	assert_int_equal(leaf_count[PAGE_4K], PAGES);
	assert_int_equal(track_start(&vm), -EBUSY);
	track_stop(&vm);
	assert_int_equal(leaf_count[PAGE_2M], CHUNKS);
	assert_int_equal(leaf_count[PAGE_4K], 0);
	assert_int_equal(vm.gmem.nested.split_count, CHUNKS);
	assert_int_equal(vm.gmem.nested.merge_count, CHUNKS);
	assert_int_equal(bitmap_count(vm.gmem.track.armed, CHUNKS), 0);
	assert_true(vcpus[0].want_flush && vcpus[1].want_flush);
	exit_count = 0;
	guest_writes(1, 6);
	assert_int_equal(exit_count, 0);
}

/* Exits that the guest would not have had, and work at a collection, for so many dirtied pages. */
static void the_cost_is_that_of_the_method(void **state)
{
	const struct track_cost *cost = &vm.gmem.track.cost;
	const u64 pages = 64;

	assert_int_equal(track_start(&vm), 0);
	arm_all();
	for (unsigned i = 0; i < 3; i++)
		collect();
	memset(&vm.gmem.track.cost, 0, sizeof(vm.gmem.track.cost));
	exit_count = 0;
	/* Each page twice: the second write costs nothing. */
	for (u64 i = 0; i < 2 * pages; i++)
		guest_writes(0, 512 + i % pages * 3);
	assert_int_equal(collect(), pages);
	assert_int_equal(cost->dirty_pages, pages);
	assert_int_equal(cost->exits, exit_count);
	if (!strcmp(*state, "log")) {
		assert_int_equal(cost->entries, pages);
		assert_int_equal(cost->log_entries, pages);
		/* Here each write ends in an exit, so the log never fills. */
		assert_int_equal(cost->exits, 0);
	} else if (!strcmp(*state, "bits")) {
		/* One table of 512 entries and the way to it, not all 16 tables. */
		assert_in_range(cost->entries, 1, 3 * 512);
		assert_int_equal(cost->exits, 0);
	} else {
		assert_int_equal(cost->entries, pages);
		assert_int_equal(cost->exits, pages);
	}
	track_stop(&vm);
}

/* --- the methods beside each other --- */

#define WORKLOAD_ROUNDS 30

/* The same reads, writes, armings and collections each time; keeps what every round finds. */
static void play_workload(u64 (*found)[BITMAP_WORDS(PAGES)])
{
	assert_int_equal(track_start(&vm), 0);
	for (unsigned round = 0; round < WORKLOAD_ROUNDS; round++) {
		for (u64 chunk = round; chunk < MIN(round + 1, (unsigned)CHUNKS); chunk++)
			assert_int_equal(track_arm(&vm, chunk), 0);
		gmem_flush_vcpus(&vm);
		for (unsigned i = 0; i < 200; i++)
			somebody_writes();
		track_collect(&vm, found[round]);
	}
	track_stop(&vm);
}

static void a_recorded_workload_gives_equal_sets(void **state)
{
	static u64 found[METHODS][WORKLOAD_ROUNDS][BITMAP_WORDS(PAGES)];

	(void)state;
	memset(found, 0, sizeof(found));
	for (unsigned i = 0; i < METHODS; i++) {
		random_state = 0x1234567;
		assert_int_equal(track_use(track_method_nth(i)), 0);
		play_workload(found[i]);
	}
	assert_null(track_method_nth(METHODS));
	for (unsigned round = 0; round < WORKLOAD_ROUNDS; round++) {
		/* Two hundred writes to half of memory and more, some of them double. */
		assert_in_range(bitmap_count(found[0][round], PAGES), round < CHUNKS ? 1 : 150, 200);
		for (unsigned i = 1; i < METHODS; i++)
			assert_memory_equal(found[0][round], found[i][round], sizeof(found[0][round]));
	}
}

static u64 pages_left;

/* Dirties many pages without leaving, but for what the tracking asks. */
static void write_many_pages(struct fake_vcpu *guest, struct hv_exit *exit)
{
	u64 value = 1;

	while (pages_left && fake_guest_try_write(guest, exit, GPA(pages_left * PAGE_BYTES), &value, sizeof(value)))
		pages_left--;
}

static void a_full_log_is_one_exit_and_loses_nothing(void **state)
{
	(void)state;
	assert_int_equal(track_use("log"), 0);
	assert_int_equal(track_start(&vm), 0);
	arm_all();
	fake_guest = write_many_pages;
	pages_left = 10 * FAKE_LOG_ENTRIES;
	for (unsigned i = 0; i < 9; i++)
		assert_int_equal(run_once(&vcpus[0]), HV_EXIT_LOG_FULL);
	assert_int_equal(run_once(&vcpus[0]), HV_EXIT_HLT);
	assert_int_equal(collect(), 10 * FAKE_LOG_ENTRIES);
	assert_int_equal(vm.gmem.track.cost.exits, 9);
	track_stop(&vm);
	run_once(&vcpus[0]);
	assert_false(fake_vcpu(vcpus[0].hv)->is_logging);
	assert_false(vm.gmem.track.is_logging);
}

static void kick_that_ends_the_run(unsigned cpu)
{
	fake.kicks[cpu]++;
	track_left_guest(&vcpus[0]);
	vcpus[0].entry_count++;
}

/* By a vCPU that has been inside since before the tracking began, if nothing has made it leave. */
static void write_from_inside(u64 page)
{
	bool is_inside = vcpus[0].entry_count % 2;
	u64 value = next_random();

	if (is_inside && fake_guest_write(fake_vcpu(vcpus[0].hv), GPA(page * PAGE_BYTES), &value, sizeof(value)))
		return;
	if (is_inside)
		kick_that_ends_the_run(0);
	guest_writes(0, page);
}

/* A page that a vCPU writes between its arming and the flush is found when it is written again. */
static void who_was_inside_at_the_start_is_tracked_too(void **state)
{
	struct machine_ops ops = *machine;
	const struct machine_ops *before = machine;

	(void)state;
	ops.kick = kick_that_ends_the_run;
	machine = &ops;
	run_once(&vcpus[0]);
	vcpus[0].entry_count++; /* on its CPU it goes on from here */
	assert_int_equal(track_start(&vm), 0);
	assert_int_equal(track_arm(&vm, 0), 0);
	write_from_inside(7);
	gmem_flush_vcpus(&vm);
	machine = before;
	collect(); /* and 7 is read */
	guest_writes(0, 7);
	assert_int_equal(collect(), 1);
	assert_true(bitmap_test(map, 7));
	track_stop(&vm);
}

/* What is not armed is dirty already, and so never in the log. */
static void large_pages_do_not_fill_the_log(void **state)
{
	(void)state;
	assert_int_equal(track_use("log"), 0);
	/* Nor is what was armed once. */
	assert_int_equal(track_start(&vm), 0);
	arm_all();
	track_stop(&vm);
	assert_int_equal(track_start(&vm), 0);
	assert_int_equal(track_arm(&vm, 0), 0);
	gmem_flush_vcpus(&vm);
	for (u64 page = 512; page < PAGES; page += 100)
		guest_writes(0, page);
	assert_int_equal(vm.gmem.track.cost.log_entries, 0);
	track_stop(&vm);
}

/* Two vCPUs meet the same protected page: the second finds it open, drops what it cached and goes on. */
static void a_second_fault_finds_the_page_open(void **state)
{
	u64 flushes;

	(void)state;
	assert_int_equal(track_use("protect"), 0);
	assert_int_equal(track_start(&vm), 0);
	arm_all();
	assert_true(track_fault(&vm, GPA(5 * PAGE_BYTES + 12)));
	assert_false(track_fault(&vm, GPA(5 * PAGE_BYTES + 12)));
	flushes = fake_vcpu(vcpus[1].hv)->flush_count;
	guest_writes(1, 5);
	assert_in_range(fake_vcpu(vcpus[1].hv)->flush_count, flushes, flushes + 1);
	assert_int_equal(vm.gmem.track.cost.exits, 1);
	assert_int_equal(collect(), 1);
	assert_true(bitmap_test(map, 5));
	track_stop(&vm);
	assert_false(track_fault(&vm, GPA(5 * PAGE_BYTES)));
	assert_false(track_fault(&vm, GPA(RAM)));
}

/* --- the choice --- */

static void expect_choice(const char *wanted, const char *name, const char *why)
{
	track_init(wanted);
	assert_string_equal(track_chosen_name(), name);
	assert_string_equal(track_chosen_why(), why);
}

static void the_cpu_decides_and_the_operator_may_differ(void **state)
{
	(void)state;
	expect_choice(NULL, "log", "the best there is");
	expect_choice("protect", "protect", "as tern.conf says");
	expect_choice("pml", "log", "the best there is");
	fake_ops.limits.has_dirty_log = false;
	expect_choice(NULL, "bits", "not log: the CPU keeps no log of dirtied pages");
	expect_choice("log", "bits", "not log: the CPU keeps no log of dirtied pages");
	fake_ops.limits.has_dirty_bits = false;
	expect_choice(NULL, "protect", "not log: the CPU keeps no log of dirtied pages; "
		      "not bits: the CPU keeps no dirty bits in nested tables");
	assert_int_equal(track_use("bits"), -EOPNOTSUPP);
	assert_int_equal(track_use("none"), -EINVAL);
	assert_string_equal(track_chosen_name(), "protect");
	assert_string_equal(track_method_name(&vm.gmem.track), "none");
	assert_int_equal(track_start(&vm), 0);
	assert_string_equal(track_method_name(&vm.gmem.track), "protect");
	track_stop(&vm);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
#define WITH(name, method) { #name ": " method, name, setup, teardown, method }
#define EACH(name) WITH(name, "log"), WITH(name, "bits"), WITH(name, "protect")

int main(void)
{
	const struct CMUnitTest tests[] = {
		EACH(each_door_is_marked_once_and_only_while_tracking),
		EACH(a_write_across_pages_marks_both),
		EACH(each_round_finds_what_was_written_in_it),
		EACH(who_was_inside_at_the_start_is_tracked_too),
		EACH(a_copy_of_what_is_collected_is_whole),
		EACH(stopping_restores_large_pages),
		EACH(the_cost_is_that_of_the_method),
		TEST(a_recorded_workload_gives_equal_sets),
		TEST(a_full_log_is_one_exit_and_loses_nothing),
		TEST(large_pages_do_not_fill_the_log),
		TEST(a_second_fault_finds_the_page_open),
		TEST(the_cpu_decides_and_the_operator_may_differ),
	};

	return cmocka_run_group_tests_name("track", tests, NULL, NULL);
}
