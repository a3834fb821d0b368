/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The core's image in memory, the page tables that it starts on, and the jump.
 *
 * The loader may lie above 4 GiB, where the core's first tables map nothing. So the last
 * instructions, which switch tables, run from a copy below 4 GiB beside the tables. UEFI 2.3.4
 * lets firmware map data pages as not executable: the copy and the tables are loader code.
 */
#include "boot/efi.h"
#include "kernel/layout.h"

#define LARGE_PAGE_BYTES (2 * MIB)
#define PTE_PRESENT_WRITE 0x3ull
#define PTE_LARGE_PRESENT_WRITE 0x83ull
#define ENTRIES 512
#define CR4_LA57 (1ull << 12)

/* boot/core_blob.S: build/tern.elf as it is. */
extern const u8 core_elf[], core_elf_end[];
/* boot/core_blob.S: (boot_info, root, entry), position-independent. */
extern const u8 switch_code[], switch_code_end[];

struct elf_header {
	u8 ident[16];
	u16 type, machine;
	u32 version;
	u64 entry, segment_at, section_at;
	u32 flags;
	u16 header_bytes, segment_bytes, segment_count;
	u16 section_bytes, section_count, section_names;
};
_Static_assert(sizeof(struct elf_header) == 64, "ELF-64 object file format 1.5, figure 2");

struct elf_segment {
	u32 type, flags;
	u64 file_at, address, physical, file_bytes, mem_bytes, align;
};
_Static_assert(sizeof(struct elf_segment) == 56, "ELF-64 object file format 1.5, figure 6");

#define ELF_SEGMENT_LOAD 1
#define CORE_LINKED (CORE_BASE + CORE_LINK_OFFSET)
#define CORE_MAX_BYTES (16 * MIB) /* linker.ld asserts it */

struct tables {
	u64 root[ENTRIES];
	u64 low_pointers[ENTRIES];
	u64 high_pointers[ENTRIES];
	u64 low[4][ENTRIES];
	u64 core[ENTRIES];
	u8 code[4096];
};

u64 core_tables_address, core_tables_bytes;

/* gnu-efi's releases disagree on whether CopyMem() takes a const source. */
static void copy(void *to, const void *from, u64 bytes)
{
	CopyMem(to, (void *)from, bytes);
}

static const struct elf_header *header(void)
{
	return (const struct elf_header *)core_elf;
}

static const struct elf_segment *segment(u32 i)
{
	return (const struct elf_segment *)(core_elf + header()->segment_at) + i;
}

/* Bytes from the link address to the end of the last segment; 0 if this is not our core. */
static u64 core_bytes(void)
{
	u64 file_bytes = (u64)(core_elf_end - core_elf), bytes = 0;
	u32 i;

	if (CompareMem(header()->ident, "\177ELF\2\1", 6) != 0 ||
	    header()->segment_at + header()->segment_count * sizeof(struct elf_segment) > file_bytes)
		return 0;
	for (i = 0; i < header()->segment_count; i++) {
		const struct elf_segment *s = segment(i);

		if (s->type != ELF_SEGMENT_LOAD)
			continue;
		if (s->address < CORE_LINKED || s->mem_bytes > CORE_MAX_BYTES || s->file_bytes > s->mem_bytes ||
		    s->address - CORE_LINKED > CORE_MAX_BYTES - s->mem_bytes || s->file_at > file_bytes ||
		    s->file_bytes > file_bytes - s->file_at)
			return 0;
		bytes = MAX(bytes, s->address - CORE_LINKED + s->mem_bytes);
	}
	return bytes;
}

/* Whole large pages, so that the core's mapping shows nothing else. */
static u64 allocate_large_pages(u64 bytes)
{
	u64 all = loader_allocate(EfiLoaderCode, bytes + LARGE_PAGE_BYTES);
	u64 address = ALIGN_UP(all, LARGE_PAGE_BYTES);
	u64 before = address - all, after = LARGE_PAGE_BYTES - before;

	if (!all)
		return 0;
	if (before)
		BS->FreePages(all, EFI_SIZE_TO_PAGES(before));
	if (after)
		BS->FreePages(address + bytes, EFI_SIZE_TO_PAGES(after));
	return address;
}

bool core_place(struct boot_info *info)
{
	u64 bytes = ALIGN_UP(core_bytes(), LARGE_PAGE_BYTES);
	u64 address;
	u32 i;

	if (!bytes) {
		Print(L"tern: the core inside this EFI file is damaged: copy BOOTX64.EFI again\r\n");
		return false;
	}
	address = allocate_large_pages(bytes);
	if (!address) {
		Print(L"tern: no %d MiB of free memory below 4 GiB: give the machine more memory\r\n",
		      (UINT32)(bytes / MIB));
		return false;
	}
	SetMem((void *)address, bytes, 0);
	for (i = 0; i < header()->segment_count; i++) {
		const struct elf_segment *s = segment(i);

		if (s->type == ELF_SEGMENT_LOAD)
			copy((void *)(address + s->address - CORE_LINKED), core_elf + s->file_at, s->file_bytes);
	}
	info->core_address = address;
	info->core_bytes = bytes;
	return true;
}

static void map_large_pages(u64 *table, u32 first, u32 count, u64 address)
{
	u32 i;

	for (i = 0; i < count; i++)
		table[first + i] = (address + i * LARGE_PAGE_BYTES) | PTE_LARGE_PRESENT_WRITE;
}

static u64 table_entry(const void *table)
{
	return (u64)table | PTE_PRESENT_WRITE;
}

static void build_tables(struct tables *tables, const struct boot_info *info)
{
	const u32 core_first = (CORE_LINKED >> 21) % ENTRIES;
	u32 i;

	SetMem(tables, sizeof(*tables), 0);
	for (i = 0; i < 4; i++) {
		map_large_pages(tables->low[i], 0, ENTRIES, i * GIB);
		tables->low_pointers[i] = table_entry(tables->low[i]);
	}
	map_large_pages(tables->core, core_first, (u32)(info->core_bytes / LARGE_PAGE_BYTES), info->core_address);
	tables->high_pointers[(CORE_LINKED >> 30) % ENTRIES] = table_entry(tables->core);
	tables->root[0] = table_entry(tables->low_pointers);
	tables->root[(DIRECT_MAP_BASE >> 39) % ENTRIES] = table_entry(tables->low_pointers);
	tables->root[(CORE_LINKED >> 39) % ENTRIES] = table_entry(tables->high_pointers);
	copy(tables->code, switch_code, (u64)(switch_code_end - switch_code));
}

bool core_map(const struct boot_info *info)
{
	u64 cr4;

	/* Leaving five-level paging means leaving long mode (SDM 3A 4.1.1): no machine known to need it. */
	__asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
	if (cr4 & CR4_LA57) {
		Print(L"tern: the firmware uses 5-level paging, which Tern cannot start from: "
		      "turn it off in the firmware's setup\r\n");
		return false;
	}
	core_tables_bytes = sizeof(struct tables);
	core_tables_address = loader_allocate(EfiLoaderCode, core_tables_bytes);
	if (!core_tables_address) {
		Print(L"tern: no memory below 4 GiB for page tables: give the machine more memory\r\n");
		return false;
	}
	build_tables((struct tables *)core_tables_address, info);
	return true;
}

void core_enter(struct boot_info *info)
{
	struct tables *tables = (struct tables *)core_tables_address;
	void (*enter)(struct boot_info *, u64 root, u64 entry) = (void (*)(struct boot_info *, u64, u64))tables->code;

	enter(info, (u64)tables->root, header()->entry);
	__builtin_unreachable();
}
