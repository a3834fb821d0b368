/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory: layout, the door, and that no written page is ever missed by a collection,
 * whoever wrote it. The fake back end caches "dirty" translations as hardware does, so a
 * forgotten flush loses writes here too.
 */
/* SOURCES: vmm/gmem.c arch/nested.c arch/vcpu_state.c kernel/page.c kernel/page_map.c kernel/heap.c
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

static struct vm vm;
static struct vcpu vcpu;
static struct page_stats pages_before;
static struct heap_stats heap_before;
static u64 random_state;

static u64 next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	return random_state ^= random_state << 17;
}

static int setup(void **state)
{
	(void)state;
	random_state = 0x9e3779b97f4a7c15ull;
	fake_memory_init(ARENA);
	fake_hv_init();
	page_get_stats(&pages_before);
	heap_get_stats(&heap_before);
	memset(&vm, 0, sizeof(vm));
	vm.config.vcpu_count = 1;
	vm.vcpu[0] = &vcpu;
	assert_int_equal(gmem_init(&vm.gmem, RAM), 0);
	assert_true(gmem_scrub(&vm.gmem, ~0ull));
	vcpu = (struct vcpu){ .vm = &vm };
	assert_int_equal(hv->vcpu_init(&vcpu.hv, &vm.gmem.nested), 0);
	return 0;
}

static int teardown(void **state)
{
	struct page_stats pages;
	struct heap_stats heap;

	(void)state;
	hv->vcpu_fini(vcpu.hv);
	gmem_fini(&vm.gmem);
	page_get_stats(&pages);
	heap_get_stats(&heap);
	assert_int_equal(pages.free_bytes, pages_before.free_bytes);
	assert_int_equal(heap.objects, heap_before.objects);
	return 0;
}

static u64 page_to_write;

static void write_a_page(struct fake_vcpu *guest, struct hv_exit *exit)
{
	u64 value = next_random();

	(void)exit;
	assert_true(fake_guest_write(guest, GPA(page_to_write * PAGE_BYTES + 8), &value, sizeof(value)));
}

/* An entry as vcpu.c does it. */
static void guest_writes(u64 page)
{
	struct hv_exit exit;

	if (vcpu.want_flush) {
		vcpu.want_flush = false;
		hv->flush(vcpu.hv);
	}
	page_to_write = page;
	fake_guest = write_a_page;
	hv->enter(vcpu.hv, &exit);
}

static void door_writes(u64 page)
{
	u64 value = next_random();

	assert_int_equal(gmem_write(&vm.gmem, GPA(page * PAGE_BYTES + 16), &value, sizeof(value)), 0);
}

static void arm_all(void)
{
	for (u64 chunk = 0; chunk < CHUNKS; chunk++)
		assert_int_equal(gmem_arm(&vm, chunk), 0);
	gmem_flush_vcpus(&vm);
}

/* --- layout --- */

static void a_hole_below_4_gib_is_not_ram(void **state)
{
	struct gmem gmem = { .ram_bytes = 5 * GIB, .page_count = 5 * GIB / PAGE_BYTES };
	u64 index;

	(void)state;
	assert_true(gmem_index(&gmem, 3 * GIB / PAGE_BYTES - 1, &index));
	assert_int_equal(index, 3 * GIB / PAGE_BYTES - 1);
	assert_false(gmem_index(&gmem, 3 * GIB / PAGE_BYTES, &index));
	assert_false(gmem_index(&gmem, 4 * GIB / PAGE_BYTES - 1, &index));
	assert_true(gmem_index(&gmem, 4 * GIB / PAGE_BYTES, &index));
	assert_int_equal(index, 3 * GIB / PAGE_BYTES);
	assert_true(gmem_index(&gmem, 6 * GIB / PAGE_BYTES - 1, &index));
	assert_false(gmem_index(&gmem, 6 * GIB / PAGE_BYTES, &index));
	for (u64 i = 0; i < gmem.page_count; i += 7919) {
		assert_true(gmem_index(&gmem, gmem_gfn(&gmem, i), &index));
		assert_int_equal(index, i);
	}
	assert_true(gmem_is_ram(&gmem, GPA(3 * GIB - 1), 1));
	assert_false(gmem_is_ram(&gmem, GPA(3 * GIB - 1), 2));
	assert_true(gmem_is_ram(&gmem, GPA(6 * GIB - 8), 8));
	assert_false(gmem_is_ram(&gmem, GPA(6 * GIB - 8), 9));
	assert_false(gmem_is_ram(&gmem, GPA(~0ull), 2));
	assert_false(gmem_is_ram(&gmem, GPA(0), ~0ull));
}

static void sizes_that_cannot_be_are_refused(void **state)
{
	struct gmem gmem;

	(void)state;
	assert_int_equal(gmem_init(&gmem, 0), -EINVAL);
	assert_int_equal(gmem_init(&gmem, GMEM_RAM_MIN - LARGE_PAGE_BYTES), -EINVAL);
	assert_int_equal(gmem_init(&gmem, GMEM_RAM_MIN + PAGE_BYTES), -EINVAL);
	assert_int_equal(gmem_init(&gmem, GMEM_RAM_MAX + LARGE_PAGE_BYTES), -EINVAL);
}

static void too_little_memory_gives_all_back(void **state)
{
	struct page_stats before, after;
	struct gmem gmem;

	(void)state;
	page_get_stats(&before);
	assert_int_equal(gmem_init(&gmem, ARENA), -ENOMEM);
	page_get_stats(&after);
	assert_int_equal(after.free_bytes, before.free_bytes);
}

/* --- the door --- */

static void the_door_crosses_pages_and_chunks(void **state)
{
	u8 out[3 * PAGE_BYTES], in[3 * PAGE_BYTES];
	gpa_t at = GPA(LARGE_PAGE_BYTES - PAGE_BYTES - 5);

	(void)state;
	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (u8)next_random();
	assert_int_equal(gmem_write(&vm.gmem, at, out, sizeof(out)), 0);
	assert_int_equal(gmem_read(&vm.gmem, at, in, sizeof(in)), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(((u8 *)gmem_page(&vm.gmem, 511))[0], out[5]);
}

static void what_is_not_all_ram_is_not_touched(void **state)
{
	u64 value = 0x1122334455667788, seen = 0;

	(void)state;
	assert_int_equal(gmem_write(&vm.gmem, GPA(RAM - 4), &value, 8), -EFAULT);
	assert_int_equal(gmem_read(&vm.gmem, GPA(RAM - 8), &seen, 8), 0);
	assert_int_equal(seen, 0);
	assert_int_equal(gmem_read(&vm.gmem, GPA(RAM), &seen, 1), -EFAULT);
	assert_int_equal(gmem_write(&vm.gmem, GPA(~0ull - 3), &value, 8), -EFAULT);
	assert_int_equal(gmem_or32(&vm.gmem, GPA(RAM - 2), 1), -EFAULT);
	assert_int_equal(gmem_or32(&vm.gmem, GPA(2), 1), -EFAULT);
}

/* --- dirty tracking --- */

static void each_door_is_marked_once_and_only_while_tracking(void **state)
{
	u64 map[BITMAP_WORDS(PAGES)] = { 0 };

	(void)state;
	door_writes(3);
	assert_int_equal(gmem_track_start(&vm), 0);
	assert_int_equal(gmem_collect(&vm, map), 0);
	door_writes(4);
	door_writes(4);
	assert_int_equal(gmem_or32(&vm.gmem, GPA(9 * PAGE_BYTES), 4), 0);
	assert_int_equal(gmem_collect(&vm, map), 2);
	assert_true(bitmap_test(map, 4));
	assert_true(bitmap_test(map, 9));
	memset(map, 0, sizeof(map));
	assert_int_equal(gmem_collect(&vm, map), 0);
	door_writes(5);
	gmem_track_stop(&vm);
	assert_int_equal(gmem_track_start(&vm), 0);
	assert_int_equal(gmem_collect(&vm, map), 0);
	gmem_track_stop(&vm);
}

/* A write across a border dirties both pages. */
static void a_write_across_pages_marks_both(void **state)
{
	u64 map[BITMAP_WORDS(PAGES)] = { 0 }, value = 1;

	(void)state;
	assert_int_equal(gmem_track_start(&vm), 0);
	assert_int_equal(gmem_write(&vm.gmem, GPA(7 * PAGE_BYTES - 4), &value, 8), 0);
	assert_int_equal(gmem_collect(&vm, map), 2);
	assert_true(bitmap_test(map, 6));
	assert_true(bitmap_test(map, 7));
	gmem_track_stop(&vm);
}

/*
 * The property that a move rests on: copy a page whenever it is collected, after the
 * collection; when the guest stands still, one more collection makes the copy equal.
 */
static void a_copy_of_what_is_collected_is_whole(void **state)
{
	u64 map[BITMAP_WORDS(PAGES)] = { 0 };
	u8 *copy = calloc(1, RAM);

	(void)state;
	for (unsigned i = 0; i < 300; i++)
		guest_writes(next_random() % PAGES);
	assert_int_equal(gmem_track_start(&vm), 0);
	/* Round 0: chunk by chunk, armed just before it is read, the guest writing in between. */
	for (u64 chunk = 0; chunk < CHUNKS; chunk++) {
		assert_int_equal(gmem_arm(&vm, chunk), 0);
		gmem_flush_vcpus(&vm);
		for (u64 page = chunk * 512; page < (chunk + 1) * 512; page++)
			memcpy(copy + page * PAGE_BYTES, gmem_page(&vm.gmem, page), PAGE_BYTES);
		for (unsigned i = 0; i < 20; i++)
			guest_writes(next_random() % PAGES);
		door_writes(next_random() % PAGES);
	}
	for (unsigned round = 0; round < 40; round++) {
		gmem_collect(&vm, map);
		for (u64 page = bitmap_next(map, PAGES, 0); page < PAGES; page = bitmap_next(map, PAGES, page + 1)) {
			if (round < 39 && next_random() % 4 == 0)
				guest_writes(next_random() % PAGES);
			memcpy(copy + page * PAGE_BYTES, gmem_page(&vm.gmem, page), PAGE_BYTES);
			bitmap_clear(map, page);
		}
		if (round < 38) {
			for (unsigned i = 0; i < next_random() % 30; i++)
				guest_writes(next_random() % PAGES);
			door_writes(next_random() % PAGES);
		}
	}
	for (u64 page = 0; page < PAGES; page++)
		assert_memory_equal(copy + page * PAGE_BYTES, gmem_page(&vm.gmem, page), PAGE_BYTES);
	gmem_track_stop(&vm);
	free(copy);
}

static void stopping_restores_large_pages(void **state)
{
	(void)state;
	assert_int_equal(vm.gmem.nested.large_pages, CHUNKS);
	assert_int_equal(gmem_track_start(&vm), 0);
	arm_all();
	assert_int_equal(vm.gmem.nested.large_pages, 0);
	assert_int_equal(gmem_track_start(&vm), -EBUSY);
	gmem_track_stop(&vm);
	assert_int_equal(vm.gmem.nested.large_pages, CHUNKS);
	assert_int_equal(bitmap_count(vm.gmem.armed, CHUNKS), 0);
	assert_true(vcpu.want_flush);
}

static void cost_follows_what_was_touched(void **state)
{
	u64 map[BITMAP_WORDS(PAGES)] = { 0 };
	u64 before;

	(void)state;
	assert_int_equal(gmem_track_start(&vm), 0);
	arm_all();
	for (unsigned i = 0; i < 3; i++)
		gmem_collect(&vm, map);
	before = vm.gmem.entries_scanned;
	guest_writes(100);
	gmem_collect(&vm, map);
	/* One table of 512 entries and the way to it, not all 16 tables. */
	assert_in_range(vm.gmem.entries_scanned - before, 1, 3 * 512);
	gmem_track_stop(&vm);
}

static void without_dirty_bits_there_is_no_tracking(void **state)
{
	(void)state;
	fake_ops.limits.has_dirty_bits = false;
	assert_int_equal(gmem_track_start(&vm), -EOPNOTSUPP);
	assert_false(vm.gmem.is_tracking);
}

/* --- flush: who is inside is kicked and waited for --- */

static void kick_that_ends_the_run(unsigned cpu)
{
	fake.kicks[cpu]++;
	vcpu.entry_count++;
}

static void a_flush_waits_for_who_is_inside(void **state)
{
	u64 map[BITMAP_WORDS(PAGES)] = { 0 };
	struct machine_ops ops = *machine;
	const struct machine_ops *before = machine;

	(void)state;
	ops.kick = kick_that_ends_the_run;
	machine = &ops;
	memset(fake.kicks, 0, sizeof(fake.kicks));
	vcpu.runnable.cpu = 2;
	vcpu.entry_count = 4;
	gmem_flush_vcpus(&vm);
	assert_int_equal(fake.kicks[2], 0);
	vcpu.entry_count = 5;
	gmem_flush_vcpus(&vm);
	assert_int_equal(fake.kicks[2], 1);
	assert_true(vcpu.want_flush);
	/* So does a collection: what the guest writes until it leaves must not be copied before. */
	assert_int_equal(gmem_track_start(&vm), 0);
	vcpu.want_flush = false;
	vcpu.entry_count = 7;
	gmem_collect(&vm, map);
	assert_int_equal(fake.kicks[2], 2);
	assert_true(vcpu.want_flush);
	vcpu.entry_count = 8;
	gmem_track_stop(&vm);
	machine = before;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_hole_below_4_gib_is_not_ram),
		TEST(sizes_that_cannot_be_are_refused),
		TEST(too_little_memory_gives_all_back),
		TEST(the_door_crosses_pages_and_chunks),
		TEST(what_is_not_all_ram_is_not_touched),
		TEST(each_door_is_marked_once_and_only_while_tracking),
		TEST(a_write_across_pages_marks_both),
		TEST(a_copy_of_what_is_collected_is_whole),
		TEST(stopping_restores_large_pages),
		TEST(cost_follows_what_was_touched),
		TEST(without_dirty_bits_there_is_no_tracking),
		TEST(a_flush_waits_for_who_is_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
