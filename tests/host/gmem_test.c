/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory: layout, the pages behind it, the door, and the flush that a collection rests on
 * (track_test.c).
 */
/* SOURCES: vmm/gmem.c vmm/track.c arch/nested.c arch/vcpu_state.c kernel/page.c kernel/page_map.c kernel/heap.c
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

/* Where the hardware maps 1 GiB as one and the host has one; the rest is in pages of 2 MiB. */
static void a_whole_gib_is_one_page(void **state)
{
	const u64 bytes = GIB + 6 * MIB;
	struct page_stats before, after;
	struct gmem gmem;
	hpa_t hpa;

	(void)state;
	fake_memory_init(3 * GIB);
	fake_hv_init();
	page_get_stats(&before);
	fake_ops.limits.has_huge_pages = true;
	assert_int_equal(gmem_init(&gmem, bytes), 0);
	assert_int_equal(gmem.nested.leaf_count[PAGE_1G], 1);
	assert_int_equal(gmem.nested.leaf_count[PAGE_2M], 3);
	for (u64 page = 0; page < gmem.page_count; page += 509) {
		assert_true(nested_walk(&gmem.nested, GPA(page * PAGE_BYTES), &hpa, NULL, NULL));
		assert_ptr_equal(phys_to_virt(hpa), gmem_page(&gmem, page));
	}
	gmem_fini(&gmem);
	fake_ops.limits.has_huge_pages = false;
	assert_int_equal(gmem_init(&gmem, bytes), 0);
	assert_int_equal(gmem.nested.leaf_count[PAGE_2M], bytes / LARGE_PAGE_BYTES);
	gmem_fini(&gmem);
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
	assert_int_equal(track_start(&vm), 0);
	vcpu.want_flush = false;
	vcpu.entry_count = 7;
	track_collect(&vm, map);
	assert_int_equal(fake.kicks[2], 2);
	assert_true(vcpu.want_flush);
	vcpu.entry_count = 8;
	track_stop(&vm);
	machine = before;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_hole_below_4_gib_is_not_ram),
		TEST(sizes_that_cannot_be_are_refused),
		TEST(too_little_memory_gives_all_back),
		cmocka_unit_test(a_whole_gib_is_one_page),
		TEST(the_door_crosses_pages_and_chunks),
		TEST(what_is_not_all_ram_is_not_touched),
		TEST(a_flush_waits_for_who_is_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
