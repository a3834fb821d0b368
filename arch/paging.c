/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tern's own page tables (SDM 3A 4.5, APM 2 5.3): kernel/layout.h in hardware's format.
 *
 * No page is both writable and executable. Memory is in the direct map, writable, but for
 * the core's text and constants; firmware's reserved ranges below 4 GiB are readable only,
 * since ACPI tables lie there. All CPUs share one root, and mappings are only ever added,
 * so nothing has to be flushed on other CPUs.
 */
#include "arch/paging.h"
#include "arch/cpu.h"
#include "boot/handoff.h"
#include "kernel/errno.h"
#include "kernel/layout.h"
#include "kernel/lock.h"
#include "kernel/page.h"
#include "kernel/panic.h"
#include "kernel/string.h"

#define PTE_PRESENT BIT(0)
#define PTE_WRITE BIT(1)
#define PTE_PWT BIT(3)
#define PTE_PCD BIT(4)
#define PTE_LARGE BIT(7)
#define PTE_GLOBAL BIT(8)
#define PTE_NX BIT(63)
#define PTE_ADDRESS BITS(51, 12)

#define KIND_TEXT PTE_GLOBAL
#define KIND_CONST (PTE_GLOBAL | PTE_NX)
#define KIND_DATA (PTE_GLOBAL | PTE_NX | PTE_WRITE)
#define KIND_MMIO (KIND_DATA | PTE_PCD | PTE_PWT) /* PAT entry 3: UC */
#define KIND_COMBINING (KIND_DATA | PTE_PWT)      /* PAT entry 1: WC (arch/percpu.c) */

#define ENTRIES 512
#define LEVELS 4
#define DIRECT_MAP_BYTES (64 * KIB * GIB) /* PML4 entries 256..383 */
#define LOADER_MAP_END (4 * GIB)

/* The dynamic area: device windows grow from its start, stacks from its middle. */
#define STACK_AREA (DYNAMIC_BASE + DYNAMIC_BYTES / 2)
#define STACK_SLOT_BYTES (2 * STACK_BYTES) /* the lower half of a slot stays unmapped */

extern u8 boot_stack_guard[];

static u64 root; /* physical */
static u64 physical_end; /* no bit of an entry above this may be set */
static bool has_1g;
static hpa_t (*table_source)(void); /* a zeroed page for a table; value 0: none */

static struct lock dynamic_lock; /* guards the three below and the dynamic area's tables */
static u64 window_next = DYNAMIC_BASE;
static u64 stack_next = STACK_AREA;

/* The range that paging_init takes tables from, downwards. */
static struct boot_mem *early_range;
static u64 early_end;

static u64 *table_at(u64 entry) { return phys_to_virt(HPA(entry & PTE_ADDRESS)); }
/* Bytes that one entry of a level covers; level 1 is the page table. */
static u64 level_bytes(unsigned level) { return PAGE_BYTES << (9 * (level - 1)); }
static unsigned level_index(u64 va, unsigned level) { return va / level_bytes(level) % ENTRIES; }

static hpa_t early_table(void)
{
	if (early_end < early_range->base + PAGE_BYTES)
		return HPA(0);
	early_end -= PAGE_BYTES;
	memset(phys_to_virt(HPA(early_end)), 0, PAGE_BYTES);
	return HPA(early_end);
}

static hpa_t page_table(void)
{
	void *page = page_alloc_zeroed();

	return page ? virt_to_phys(page) : HPA(0);
}

/* The entry for va at a level, with the tables above it made; NULL: no memory. */
static u64 *entry_for(u64 va, unsigned level)
{
	u64 *table = table_at(root);

	for (unsigned l = LEVELS; l > level; l--) {
		u64 *entry = &table[level_index(va, l)];

		if (!(*entry & PTE_PRESENT)) {
			hpa_t page = table_source();

			if (!page.value)
				return NULL;
			/* Permissions are the leaf's alone. */
			__atomic_store_n(entry, page.value | PTE_PRESENT | PTE_WRITE, __ATOMIC_RELEASE);
		}
		assert_or_panic(l == LEVELS || !(*entry & PTE_LARGE));
		table = table_at(*entry);
	}
	return &table[level_index(va, level)];
}

/* The largest level at which both addresses are aligned and the page fits. */
static unsigned choose_level(u64 va, u64 hpa, u64 bytes)
{
	for (unsigned level = has_1g ? 3 : 2; level > 1; level--) {
		if (IS_ALIGNED(va | hpa, level_bytes(level)) && bytes >= level_bytes(level))
			return level;
	}
	return 1;
}

/* Maps whole pages. Where there is a table already, its entries are set, not one large page. */
static int map(u64 va, u64 hpa, u64 bytes, u64 kind)
{
	while (bytes) {
		unsigned level = choose_level(va, hpa, bytes);
		u64 *entry = entry_for(va, level), value = hpa | kind | PTE_PRESENT;

		while (entry && level > 1 && (*entry & PTE_PRESENT) && !(*entry & PTE_LARGE))
			entry = entry_for(va, --level);
		if (!entry)
			return -ENOMEM;
		if (level > 1)
			value |= PTE_LARGE;
		__atomic_store_n(entry, value, __ATOMIC_RELEASE);
		va += level_bytes(level);
		hpa += level_bytes(level);
		bytes -= level_bytes(level);
	}
	return 0;
}

/* Same, for any alignment, outwards. */
static int map_direct(u64 start, u64 end, u64 kind)
{
	start = ALIGN_DOWN(start, PAGE_BYTES);
	end = ALIGN_UP(end, PAGE_BYTES);
	if (start >= end || end > DIRECT_MAP_BYTES)
		return 0;
	return map(DIRECT_MAP_BASE + start, start, end - start, kind);
}

static bool is_memory(const struct boot_mem *range)
{
	return range->type == BOOT_MEM_USABLE || range->type == BOOT_MEM_ACPI ||
	       range->type == BOOT_MEM_NVS || range->type == BOOT_MEM_LOADED ||
	       range->type == BOOT_MEM_LOADER;
}

/* Writable but for [const_start, const_end), the core's text and constants. */
static int map_memory(u64 start, u64 end, u64 const_start, u64 const_end)
{
	int err = 0;

	if (const_end <= start || const_start >= end)
		return map_direct(start, end, KIND_DATA);
	if (start < const_start)
		err = map_direct(start, const_start, KIND_DATA);
	if (!err)
		err = map_direct(MAX(start, const_start), MIN(end, const_end), KIND_CONST);
	if (!err && const_end < end)
		err = map_direct(const_end, end, KIND_DATA);
	return err;
}

static int map_all_memory(const struct boot_info *info)
{
	const struct boot_mem *mem = phys_to_virt(HPA(info->mem));
	u64 const_start = info->core_address;
	u64 const_end = const_start + (u64)(core_rodata_end - core_image_start);
	/* The BIOS area, where the ACPI root may be, is on no map of some loaders. */
	int err = map_direct(0, MIB, KIND_CONST);

	for (u32 i = 0; !err && i < info->mem_count; i++) {
		if (mem[i].type == BOOT_MEM_RESERVED && mem[i].base + mem[i].bytes <= LOADER_MAP_END)
			err = map_direct(mem[i].base, mem[i].base + mem[i].bytes, KIND_CONST);
	}
	for (u32 i = 0; !err && i < info->mem_count;) {
		u64 start = mem[i].base, end = start + mem[i].bytes;

		if (!is_memory(&mem[i++]))
			continue;
		/* Neighbours as one, for the largest pages. */
		for (; i < info->mem_count && is_memory(&mem[i]) && mem[i].base == end; i++)
			end += mem[i].bytes;
		err = map_memory(start, end, const_start, const_end);
	}
	return err;
}

static int map_core(const struct boot_info *info)
{
	u64 start = (u64)core_image_start, hpa = info->core_address;
	u64 text_end = (u64)core_text_end, rodata_end = (u64)core_rodata_end;
	u64 guard = (u64)boot_stack_guard, end = ALIGN_UP((u64)core_data_end, PAGE_BYTES);
	int err = map(start, hpa, text_end - start, KIND_TEXT);

	if (!err)
		err = map(text_end, hpa + (text_end - start), rodata_end - text_end, KIND_CONST);
	if (!err)
		err = map(rodata_end, hpa + (rodata_end - start), guard - rodata_end, KIND_DATA);
	guard += PAGE_BYTES;
	if (!err)
		err = map(guard, hpa + (guard - start), end - guard, KIND_DATA);
	return err;
}

/* SDM 3A 4.1.4: the width of physical addresses; 36 bits on CPUs that do not say. */
static u64 find_physical_end(u32 max_leaf)
{
	unsigned bits = max_leaf >= 0x80000008 ? cpuid(0x80000008, 0).eax & 0xff : 36;

	return BIT(MIN(MAX(bits, 32u), 52u));
}

/* Memory at addresses that this CPU or the direct map does not have is nobody's. */
static void cut_unreachable_memory(struct boot_info *info)
{
	struct boot_mem *mem = phys_to_virt(HPA(info->mem));
	u64 end = MIN(physical_end, DIRECT_MAP_BYTES);

	for (u32 i = 0; i < info->mem_count; i++) {
		if (mem[i].base >= end)
			mem[i].type = BOOT_MEM_BAD;
		else if (mem[i].bytes > end - mem[i].base)
			mem[i].bytes = end - mem[i].base;
	}
}

/* The largest usable range that the loader's tables show. */
static struct boot_mem *find_early_range(const struct boot_info *info)
{
	struct boot_mem *mem = phys_to_virt(HPA(info->mem)), *best = NULL;

	for (u32 i = 0; i < info->mem_count; i++) {
		if (mem[i].type == BOOT_MEM_USABLE && mem[i].base >= MIB &&
		    mem[i].base + mem[i].bytes <= LOADER_MAP_END && (!best || mem[i].bytes > best->bytes))
			best = &mem[i];
	}
	return best;
}

int paging_init(struct boot_info *info)
{
	u32 max_leaf = cpuid(0x80000000, 0).eax;
	int err;

	has_1g = max_leaf >= 0x80000001 && (cpuid(0x80000001, 0).edx & BIT(26));
	physical_end = find_physical_end(max_leaf);
	cut_unreachable_memory(info);
	early_range = find_early_range(info);
	if (!early_range)
		return -ENOMEM;
	early_end = ALIGN_DOWN(early_range->base + early_range->bytes, PAGE_BYTES);
	table_source = early_table;
	root = early_table().value;
	if (!root)
		return -ENOMEM;
	err = map_all_memory(info);
	if (!err)
		err = map_core(info);
	/* The dynamic area's first table now, so that the root never changes again. */
	if (!err && !entry_for(DYNAMIC_BASE, 3))
		err = -ENOMEM;
	if (err)
		return err;
	early_range->bytes = early_end - early_range->base;
	table_source = page_table;
	write_cr3(root);
	return 0;
}

u64 paging_root(void) { return root; }

/* The leaf that translates va under a root, its size in *bytes; 0: not mapped. */
static u64 walk(u64 from_root, u64 va, u64 *bytes)
{
	const u64 *table = table_at(from_root);

	for (unsigned level = LEVELS;; level--) {
		u64 entry = table[level_index(va, level)];

		*bytes = level_bytes(level);
		if (!(entry & PTE_PRESENT))
			return 0;
		if (level == 1 || (level < LEVELS && (entry & PTE_LARGE)))
			return entry;
		table = table_at(entry);
	}
}

bool paging_is_readable(u64 va, u64 bytes)
{
	u64 end = va + bytes, page_bytes;

	/* Canonical and in the upper half, where all of Tern is. */
	if (va < DIRECT_MAP_BASE || end < va)
		return false;
	while (va < end) {
		if (!walk(read_cr3(), va, &page_bytes))
			return false;
		va = ALIGN_DOWN(va, page_bytes) + page_bytes;
		if (!va)
			break;
	}
	return true;
}

bool paging_is_mapped(hpa_t hpa, u64 bytes)
{
	if (hpa.value > DIRECT_MAP_BYTES || bytes > DIRECT_MAP_BYTES - hpa.value)
		return false;
	return paging_is_readable(DIRECT_MAP_BASE + hpa.value, bytes);
}

/* A window has the same offset in a 2 MiB page as what it shows, so that large pages fit. */
static void *map_window(hpa_t hpa, u64 bytes, u64 kind)
{
	u64 start = ALIGN_DOWN(hpa.value, PAGE_BYTES), end = ALIGN_UP(hpa.value + bytes, PAGE_BYTES);
	u64 va;
	int err = -ENOMEM;

	if (!bytes || end <= start || end > physical_end)
		return NULL;
	lock_take(&dynamic_lock);
	va = ALIGN_UP(window_next, LARGE_PAGE_BYTES) + start % LARGE_PAGE_BYTES;
	if (va < STACK_AREA && end - start <= STACK_AREA - va) {
		window_next = va + (end - start);
		err = map(va, start, end - start, kind);
	}
	lock_give(&dynamic_lock);
	return err ? NULL : (void *)(va + (hpa.value - start));
}

void *paging_map_mmio(hpa_t hpa, u64 bytes) { return map_window(hpa, bytes, KIND_MMIO); }
void *paging_map_framebuffer(hpa_t hpa, u64 bytes) { return map_window(hpa, bytes, KIND_COMBINING); }

u64 stack_alloc(void)
{
	hpa_t hpa;
	u64 top = 0;

	if (page_alloc_run(STACK_BYTES / PAGE_BYTES, &hpa))
		return 0;
	lock_take(&dynamic_lock);
	if (!map(stack_next + STACK_BYTES, hpa.value, STACK_BYTES, KIND_DATA)) {
		stack_next += STACK_SLOT_BYTES;
		top = stack_next;
	}
	lock_give(&dynamic_lock);
	if (!top)
		page_free_run(hpa, STACK_BYTES / PAGE_BYTES);
	return top;
}

bool stack_is_guard(u64 va)
{
	if (va >= (u64)boot_stack_guard && va < (u64)boot_stack_guard + PAGE_BYTES)
		return true;
	return va >= STACK_AREA && va < stack_next && va % STACK_SLOT_BYTES < STACK_BYTES;
}

/* Four tables of the image, which is below 4 GiB as the trampoline's 32-bit CR3 must be. */
static u64 trampoline_tables[LEVELS][ENTRIES] ALIGNED(PAGE_BYTES);

static u64 core_to_phys(const struct boot_info *info, const void *va)
{
	return info->core_address + ((u64)va - (u64)core_image_start);
}

u64 paging_map_trampoline(const struct boot_info *info, hpa_t hpa)
{
	memcpy(trampoline_tables[LEVELS - 1], table_at(root), PAGE_BYTES);
	for (unsigned level = LEVELS; level > 1; level--)
		trampoline_tables[level - 1][level_index(hpa.value, level)] =
			core_to_phys(info, trampoline_tables[level - 2]) | PTE_PRESENT | PTE_WRITE;
	/* Not writable: the trampoline's data are written before, through the direct map. */
	trampoline_tables[0][level_index(hpa.value, 1)] = hpa.value | PTE_PRESENT;
	return core_to_phys(info, trampoline_tables[LEVELS - 1]);
}
