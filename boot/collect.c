/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The start information of two protocols becomes one struct boot_info here.
 *
 * Runs once, on one CPU, with the first 4 GiB of memory mapped at 0 and nothing else of Tern
 * running. The loader is trusted to describe memory; names, archives and all lengths are not.
 */
#include "boot/collect.h"

#include "boot/cpio.h"
#include "boot/mem_map.h"

#define MAPPED_BYTES (4 * GIB)
#define MEM_MAX 512
#define FILE_MAX 64
#define OWN_RANGES (FILE_MAX + 2) /* files, or an archive; and the image */
#define COMMAND_LINE_MAX 1024
#define COMPLAINT_MAX 192

static struct boot_info info;
static struct boot_mem mem[MEM_MAX];
static struct boot_file file[FILE_MAX];
static char command_line[COMMAND_LINE_MAX];
static char complaint[COMPLAINT_MAX];
static struct mem_map map;

/* False if from did not fit; what fits is there then. */
static bool copy_text(char *to, u32 size, const char *from)
{
	u32 i;

	for (i = 0; i < size - 1 && from[i]; i++)
		to[i] = from[i];
	to[i] = '\0';
	return from[i] == '\0';
}

static enum boot_mem_type mem_type(u32 type)
{
	static const enum boot_mem_type from[] = {
		[0] = BOOT_MEM_RESERVED,
		[1] = BOOT_MEM_USABLE,
		[2] = BOOT_MEM_RESERVED,
		[3] = BOOT_MEM_ACPI,
		[4] = BOOT_MEM_NVS,
		[5] = BOOT_MEM_BAD,
	};

	return type < ARRAY_COUNT(from) ? from[type] : BOOT_MEM_RESERVED;
}

static void set_memory(u64 base, u64 bytes, enum boot_mem_type type)
{
	if (!mem_map_set(&map, base, bytes, type))
		collect_complain("the memory map has more entries than Tern can take: some memory is not used");
}

static void set_memory_if(const void *entries, u32 count, u32 entry_bytes, bool is_usable)
{
	u32 i;

	for (i = 0; i < count; i++) {
		const struct collect_range *from =
			(const struct collect_range *)((const u8 *)entries + (u64)i * entry_bytes);

		if ((mem_type(from->type) == BOOT_MEM_USABLE) == is_usable)
			set_memory(from->base, from->bytes, mem_type(from->type));
	}
}

static void add_file(const char *name, u64 address, u64 bytes)
{
	struct boot_file *to = &file[info.file_count];

	if (info.file_count == FILE_MAX) {
		collect_complain("there are more than 64 boot files: the rest is ignored");
		return;
	}
	if (!copy_text(to->name, BOOT_FILE_NAME_MAX, name)) {
		collect_complain("a boot file has a name of 64 characters or more: it is ignored");
		return;
	}
	to->address = address;
	to->bytes = bytes;
	info.file_count++;
}

struct boot_info *collect_start(enum boot_loader loader)
{
	info = (struct boot_info){ .magic = BOOT_INFO_MAGIC };
	info.version = BOOT_INFO_VERSION;
	info.loader = loader;
	info.core_address = collect_physical(core_image_start);
	info.core_bytes = (u64)(core_image_end - core_image_start);
	info.mem = collect_physical(mem);
	info.file = collect_physical(file);
	map = (struct mem_map){ .entry = mem, .max = MEM_MAX - OWN_RANGES * MEM_MAP_ROOM };
	return &info;
}

void collect_complain(const char *sentence)
{
	if (info.complaint)
		return;
	copy_text(complaint, COMPLAINT_MAX, sentence);
	info.complaint = collect_physical(complaint);
}

bool collect_is_mapped(u64 address, u64 bytes)
{
	return address != 0 && address < MAPPED_BYTES && bytes <= MAPPED_BYTES - address;
}

/* Usable ranges first, so that any other word on the same page wins. */
void collect_memory(const void *entries, u32 count, u32 entry_bytes)
{
	set_memory_if(entries, count, entry_bytes, true);
	set_memory_if(entries, count, entry_bytes, false);
	map.max = MEM_MAX;
	set_memory(info.core_address, info.core_bytes, BOOT_MEM_LOADED);
}

void collect_file(const char *name, u64 address, u64 bytes)
{
	set_memory(address, bytes, BOOT_MEM_LOADED);
	add_file(name, address, bytes);
}

void collect_archive(u64 address, u64 bytes)
{
	struct cpio cpio = { .bytes = (const char *)address, .size = bytes };
	struct cpio_member member;
	enum cpio_result result;

	set_memory(address, bytes, BOOT_MEM_LOADED);
	while ((result = cpio_next(&cpio, &member)) == CPIO_MEMBER) {
		const char *name = member.name;

		if (name[0] == '.' && name[1] == '/')
			name += 2;
		if (cpio_is_regular_file(&member))
			add_file(name, (u64)member.data, member.bytes);
	}
	if (result == CPIO_BROKEN)
		collect_complain("the boot archive is not a newc cpio archive, or is cut short: "
				 "make it with \"cpio -o -H newc\"");
}

void collect_command_line(const char *text)
{
	if (!copy_text(command_line, COMMAND_LINE_MAX, text))
		collect_complain("the command line is longer than 1023 characters: the rest is ignored");
	info.command_line = collect_physical(command_line);
}

u64 collect_finish(void)
{
	info.mem_count = map.count;
	return collect_physical(&info);
}
