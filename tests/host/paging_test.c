/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tern's own page tables: walked leaf by leaf, without paging.c's own walk. Nothing is
 * writable and executable, firmware's wrong addresses are not mapped, guards are holes.
 */
/* SOURCES: arch/paging.c kernel/page.c kernel/page_map.c kernel/log.c kernel/clock.c kernel/sched.c kernel/timer.c
	    kernel/panic.c kernel/fmt.c kernel/str.c */
#include "tests/host/fake/machine.h"
#include "tests/host/fake/memory.h"
#include "arch/paging.h"
#include "kernel/layout.h"

#define PRESENT BIT(0)
#define WRITE BIT(1)
#define PCD BIT(4)
#define PWT BIT(3)
#define LARGE BIT(7)
#define NX BIT(63)
#define ADDRESS BITS(51, 12)

#define CORE_HPA (16 * MIB)

/* The image's borders: text 4 pages, rodata 2, data 3, then the stack's guard and one page. */
__asm__(".bss\n"
	".balign 4096\n"
	".globl core_image_start, core_text_start, core_text_end, core_rodata_start, core_rodata_end\n"
	".globl core_data_start, core_data_end, core_image_end, boot_stack_guard\n"
	"core_image_start:\n"
	"core_text_start: .skip 4 * 4096\n"
	"core_text_end:\n"
	"core_rodata_start: .skip 2 * 4096\n"
	"core_rodata_end:\n"
	"core_data_start: .skip 3 * 4096\n"
	"boot_stack_guard: .skip 4096\n"
	".skip 4096\n"
	"core_data_end:\n"
	"core_image_end:\n"
	".text\n");
extern u8 boot_stack_guard[];

struct leaf {
	u64 entry; /* 0: not mapped */
	u64 bytes;
};

static const u64 *table(u64 entry) { return phys_to_virt(HPA(entry & ADDRESS)); }

static struct leaf find(u64 va)
{
	const u64 *entries = table(paging_root());
	u64 bytes = 512 * GIB;

	for (unsigned level = 4;; level--, bytes /= 512) {
		u64 entry = entries[va / bytes % 512];

		if (!(entry & PRESENT))
			return (struct leaf){ 0, bytes };
		if (level == 1 || (level < 4 && (entry & LARGE)))
			return (struct leaf){ entry, bytes };
		entries = table(entry);
	}
}

/* Calls check for every leaf below a table. */
static void each_leaf(u64 table_entry, unsigned level, void (*check)(u64 entry, u64 bytes))
{
	for (unsigned i = 0; i < 512; i++) {
		u64 entry = table(table_entry)[i];

		if (!(entry & PRESENT))
			continue;
		if (level == 1 || (level < 4 && (entry & LARGE)))
			check(entry, PAGE_BYTES << (9 * (level - 1)));
		else
			each_leaf(entry, level - 1, check);
	}
}

#define PHYSICAL_BITS 47

struct cpuid_leaf fake_cpuid(u32 leaf, u32 subleaf)
{
	assert_int_equal(subleaf, 0);
	switch (leaf) {
	case 0x80000000:
		return (struct cpuid_leaf){ .eax = 0x80000008 };
	case 0x80000001:
		return (struct cpuid_leaf){ .edx = fake_has_1g_pages ? (u32)BIT(26) : 0 };
	case 0x80000008:
		return (struct cpuid_leaf){ .eax = PHYSICAL_BITS };
	default:
		return (struct cpuid_leaf){ 0 };
	}
}

static int setup_with(bool has_1g)
{
	fake_has_1g_pages = has_1g;
	fake_memory_map(4 * GIB);
	fake_boot_info.core_address = CORE_HPA;
	fake_memory_add(0, 0x9f000, BOOT_MEM_USABLE);
	fake_memory_add(0xf0000, 0x10000, BOOT_MEM_RESERVED);
	fake_memory_add(MIB, 15 * MIB, BOOT_MEM_USABLE);
	fake_memory_add(CORE_HPA, MIB, BOOT_MEM_LOADED);
	fake_memory_add(CORE_HPA + MIB, 3 * GIB - CORE_HPA - MIB - 0x1800, BOOT_MEM_USABLE);
	fake_memory_add(3 * GIB - 0x1800, 0x1000, BOOT_MEM_ACPI); /* not page aligned */
	fake_memory_add(0xe0000000, 16 * MIB, BOOT_MEM_RESERVED);
	/* Nobody has this; it must neither be mapped nor given out. */
	fake_memory_add(BIT(PHYSICAL_BITS), GIB, BOOT_MEM_USABLE);
	assert_int_equal(paging_init(&fake_boot_info), 0);
	assert_int_equal(page_init(&fake_boot_info), 0);
	return 0;
}

static int setup(void **state)
{
	(void)state;
	return setup_with(true);
}

static int setup_without_1g(void **state)
{
	(void)state;
	return setup_with(false);
}

static void check_w_xor_x(u64 entry, u64 bytes)
{
	(void)bytes;
	assert_false((entry & WRITE) && !(entry & NX));
}

static void nothing_is_writable_and_executable(void **state)
{
	(void)state;
	assert_non_null(paging_map_mmio(HPA(0xfee00000), 4 * KIB));
	assert_true(stack_alloc() != 0);
	each_leaf(paging_root(), 4, check_w_xor_x);
}

static void lower_half_is_empty_above_the_image(void **state)
{
	(void)state;
	/* In this test the image itself lies in the lower half; page 0 never does. */
	assert_int_equal(find(0).entry, 0);
	assert_int_equal(find(CORE_HPA).entry, 0);
}

static void core_has_its_permissions(void **state)
{
	u64 start = (u64)core_image_start;

	(void)state;
	for (u64 va = start; va < (u64)core_image_end; va += PAGE_BYTES) {
		u64 entry = find(va).entry;

		if (va == (u64)boot_stack_guard) {
			assert_int_equal(entry, 0);
			continue;
		}
		assert_int_equal(entry & ADDRESS, CORE_HPA + (va - start));
		assert_int_equal(!(entry & NX), va < (u64)core_text_end);
		assert_int_equal(!!(entry & WRITE), va >= (u64)core_data_start);
	}
}

static void memory_is_mapped_once_and_core_not_writable(void **state)
{
	(void)state;
	for (u64 hpa = 0; hpa < 3 * GIB; hpa += PAGE_BYTES) {
		struct leaf leaf = find(DIRECT_MAP_BASE + hpa);
		bool is_core = hpa >= CORE_HPA && hpa < CORE_HPA + 6 * PAGE_BYTES;
		bool is_bios = hpa >= 0x9f000 && hpa < MIB;

		assert_true(leaf.entry != 0);
		assert_int_equal((leaf.entry & ADDRESS & ~(leaf.bytes - 1)) + hpa % leaf.bytes, hpa);
		assert_int_equal(!!(leaf.entry & WRITE), !is_core && !is_bios);
		assert_true(leaf.entry & NX);
	}
}

static void whole_gib_is_one_entry_if_the_cpu_can(void **state)
{
	(void)state;
	assert_int_equal(find(DIRECT_MAP_BASE + GIB).bytes, fake_has_1g_pages ? GIB : LARGE_PAGE_BYTES);
	assert_int_equal(find(DIRECT_MAP_BASE + GIB + GIB / 2).bytes, fake_has_1g_pages ? GIB : LARGE_PAGE_BYTES);
}

static void firmware_addresses_are_checked(void **state)
{
	(void)state;
	assert_true(paging_is_mapped(HPA(0), 1));
	assert_true(paging_is_mapped(HPA(0xf0000), 0x10000));
	assert_true(paging_is_mapped(HPA(0xe0000000), 16 * MIB));
	assert_true(paging_is_mapped(HPA(3 * GIB - 0x1800), 0x1000));
	assert_false(paging_is_mapped(HPA(0xe0000000), 16 * MIB + 1));
	assert_false(paging_is_mapped(HPA(3 * GIB - 8), 16 + PAGE_BYTES));
	assert_false(paging_is_mapped(HPA(0xd0000000), 1));
	assert_false(paging_is_mapped(HPA(1ull << 46), 1));
	assert_false(paging_is_mapped(HPA(~0ull), 1));
	assert_false(paging_is_mapped(HPA(~0ull - 4), 8));
	assert_false(paging_is_mapped(HPA(4096), ~0ull));
	assert_false(paging_is_mapped(HPA(4096), ~0ull - 4096));
}

static void check_table(u64 address)
{
	for (u32 i = 0; i < fake_boot_info.mem_count; i++) {
		if (fake_map[i].type == BOOT_MEM_USABLE)
			assert_false(address >= fake_map[i].base && address < fake_map[i].base + fake_map[i].bytes);
	}
}

static void each_table(u64 entry, unsigned level)
{
	check_table(entry & ADDRESS);
	for (unsigned i = 0; level > 1 && i < 512; i++) {
		u64 below = table(entry)[i];

		if ((below & PRESENT) && (level == 4 || !(below & LARGE)))
			each_table(below, level - 1);
	}
}

static void tables_are_not_given_out(void **state)
{
	(void)state;
	each_table(paging_root(), 4);
}

static void devices_are_uncached(void **state)
{
	static const u64 addresses[] = { 0xfee00000, 0xfec00123, 0x380000000000, 0xb0000000 };
	static const u64 sizes[] = { 4096, 16, 16 * MIB + 5, 256 * MIB };

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(addresses); i++) {
		u64 va = (u64)paging_map_mmio(HPA(addresses[i]), sizes[i]);

		assert_true(va >= DYNAMIC_BASE);
		assert_int_equal(va % PAGE_BYTES, addresses[i] % PAGE_BYTES);
		for (u64 at = 0; at < sizes[i]; at += PAGE_BYTES) {
			struct leaf leaf = find(va + at);
			u64 hpa = (leaf.entry & ADDRESS & ~(leaf.bytes - 1)) + (va + at) % leaf.bytes;

			assert_int_equal(hpa, addresses[i] + at);
			assert_int_equal(leaf.entry & (PCD | PWT), PCD | PWT);
		}
	}
	/* 256 MiB, aligned: by large pages. */
	assert_int_equal(find((u64)paging_map_mmio(HPA(0xb0000000), 256 * MIB)).bytes, LARGE_PAGE_BYTES);
}

static void unreachable_memory_is_nobodys(void **state)
{
	struct page_stats stats;

	(void)state;
	page_get_stats(&stats);
	assert_in_range(stats.total_bytes, 2 * GIB, 3 * GIB);
	assert_false(paging_is_mapped(HPA(BIT(PHYSICAL_BITS)), 1));
}

static void impossible_windows_are_refused(void **state)
{
	(void)state;
	assert_null(paging_map_mmio(HPA(0xfee00000), 0));
	assert_null(paging_map_mmio(HPA(~0ull - 100), 4096));
	assert_null(paging_map_mmio(HPA(1ull << 52), 4096));
	assert_null(paging_map_mmio(HPA(BIT(PHYSICAL_BITS)), 1));
	assert_null(paging_map_mmio(HPA(BIT(PHYSICAL_BITS) - 1), 2));
	assert_null(paging_map_mmio(HPA(0), DYNAMIC_BYTES));
	assert_null(paging_map_mmio(HPA(4096), ~0ull - 100));
}

static void stacks_have_guards(void **state)
{
	u64 first = stack_alloc(), second = stack_alloc();

	(void)state;
	assert_true(first && second && second > first);
	for (u64 va = first - STACK_BYTES; va < first; va += PAGE_BYTES) {
		assert_true(find(va).entry & WRITE);
		assert_false(stack_is_guard(va));
	}
	assert_int_equal(find(first - STACK_BYTES - 1).entry, 0);
	assert_int_equal(find(first).entry, 0);
	assert_true(stack_is_guard(first - STACK_BYTES - 1));
	assert_true(stack_is_guard(second - STACK_BYTES - 8));
	assert_true(stack_is_guard((u64)boot_stack_guard + 4000));
	assert_false(stack_is_guard(0));
}

static void trampoline_root_adds_one_page(void **state)
{
	const u64 *entries;
	u64 trampoline = paging_map_trampoline(&fake_boot_info, HPA(0x8000)) - CORE_HPA;

	(void)state;
	/* The tables are in the image, which this test has in its own memory. */
	entries = (const u64 *)((u64)core_image_start + trampoline);
	assert_memory_equal(entries + 1, (const u64 *)table(paging_root()) + 1, 511 * 8);
	for (unsigned level = 4; level > 1; level--)
		entries = (const u64 *)((u64)core_image_start + (entries[0] & ADDRESS) - CORE_HPA);
	for (unsigned i = 0; i < 512; i++)
		assert_int_equal(entries[i], i == 8 ? 0x8000 | PRESENT : 0);
}

#define BOTH(test) \
	cmocka_unit_test_setup(test, setup), { #test " without 1 GiB pages", test, setup_without_1g, NULL, NULL }

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(nothing_is_writable_and_executable),
		BOTH(lower_half_is_empty_above_the_image),
		BOTH(core_has_its_permissions),
		BOTH(memory_is_mapped_once_and_core_not_writable),
		BOTH(whole_gib_is_one_entry_if_the_cpu_can),
		BOTH(firmware_addresses_are_checked),
		BOTH(tables_are_not_given_out),
		BOTH(devices_are_uncached),
		BOTH(unreachable_memory_is_nobodys),
		BOTH(impossible_windows_are_refused),
		BOTH(stacks_have_guards),
		BOTH(trampoline_root_adds_one_page),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
