/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the PVH start information to struct boot_info.
 *
 * Called once by boot/pvh.S, with the first 4 GiB of memory mapped at 0 and nothing else of
 * Tern running. Module 0 is a cpio archive; its files become boot files, in place. The host's
 * monitor is trusted to describe memory; the archive and all lengths are not.
 */
#include "boot/pvh.h"

#include "boot/cpio.h"
#include "boot/handoff.h"
#include "boot/mem_map.h"
#include "kernel/layout.h"

#define MAPPED_BYTES (4 * GIB)
#define MEM_MAX 256
#define OWN_RANGES 2 /* the image and the archive */
#define FILE_MAX 64
#define COMMAND_LINE_MAX 1024
#define COMPLAINT_MAX 192

static struct boot_info info;
static struct boot_mem mem[MEM_MAX];
static struct boot_file file[FILE_MAX];
static char command_line[COMMAND_LINE_MAX];
static char complaint[COMPLAINT_MAX];

/* The image was loaded where it is linked. */
static u64 physical(const void *object)
{
	return (u64)object - CORE_BASE;
}

static bool is_mapped(u64 address, u64 bytes)
{
	return address != 0 && address < MAPPED_BYTES && bytes <= MAPPED_BYTES - address;
}

/* False if from did not fit; what fits is there then. */
static bool copy_text(char *to, u32 size, const char *from)
{
	u32 i;

	for (i = 0; i < size - 1 && from[i]; i++)
		to[i] = from[i];
	to[i] = '\0';
	return from[i] == '\0';
}

/* The first complaint is the cause of those after it. */
static void complain(const char *sentence)
{
	if (info.complaint)
		return;
	copy_text(complaint, COMPLAINT_MAX, sentence);
	info.complaint = physical(complaint);
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

static void set_memory(struct mem_map *map, u64 base, u64 bytes, enum boot_mem_type type)
{
	if (!mem_map_set(map, base, bytes, type))
		complain("the memory map has more entries than Tern can take: some memory is not used");
}

/* Usable ranges first, so that any other word on the same page wins. */
static void convert_memory(struct mem_map *map, const struct hvm_start_info *start)
{
	const struct hvm_memory *from = (const struct hvm_memory *)start->memory_map;
	u32 count = start->memory_map_count;
	u32 i;

	if (start->version < 1 || !is_mapped(start->memory_map, (u64)count * sizeof(*from))) {
		complain("the PVH loader gave no memory map: use QEMU 4.0 or newer");
		return;
	}
	for (i = 0; i < count; i++) {
		if (mem_type(from[i].type) == BOOT_MEM_USABLE)
			set_memory(map, from[i].base, from[i].bytes, BOOT_MEM_USABLE);
	}
	for (i = 0; i < count; i++) {
		if (mem_type(from[i].type) != BOOT_MEM_USABLE)
			set_memory(map, from[i].base, from[i].bytes, mem_type(from[i].type));
	}
}

static void add_file(const struct cpio_member *member)
{
	const char *name = member->name;
	struct boot_file *to = &file[info.file_count];

	if (name[0] == '.' && name[1] == '/')
		name += 2;
	if (info.file_count == FILE_MAX) {
		complain("the boot archive has more than 64 files: the rest is ignored");
		return;
	}
	if (!copy_text(to->name, BOOT_FILE_NAME_MAX, name)) {
		complain("the boot archive has a file with a name of 64 characters or more: it is ignored");
		return;
	}
	to->address = (u64)member->data;
	to->bytes = member->bytes;
	info.file_count++;
}

static void convert_files(struct mem_map *map, const struct hvm_start_info *start)
{
	const struct hvm_module *module = (const struct hvm_module *)start->modules;
	struct cpio_member member;
	struct cpio cpio = { 0 };
	enum cpio_result result;

	if (start->module_count == 0)
		return;
	if (!is_mapped(start->modules, sizeof(*module)) || !is_mapped(module->address, module->bytes)) {
		complain("the boot archive (-initrd) is above 4 GiB, where it cannot be read");
		return;
	}
	set_memory(map, module->address, module->bytes, BOOT_MEM_LOADED);
	cpio.bytes = (const char *)module->address;
	cpio.size = module->bytes;
	while ((result = cpio_next(&cpio, &member)) == CPIO_MEMBER) {
		if (cpio_is_regular_file(&member))
			add_file(&member);
	}
	if (result == CPIO_BROKEN)
		complain("the boot archive (-initrd) is not a newc cpio archive, or is cut short: "
			 "make it with \"cpio -o -H newc\"");
}

static void convert_command_line(const struct hvm_start_info *start)
{
	if (!is_mapped(start->command_line, COMMAND_LINE_MAX))
		return;
	if (!copy_text(command_line, COMMAND_LINE_MAX, (const char *)start->command_line))
		complain("the command line is longer than 1023 characters: the rest is ignored");
	info.command_line = physical(command_line);
}

u64 pvh_convert(const struct hvm_start_info *start)
{
	struct mem_map map = { .entry = mem, .max = MEM_MAX - OWN_RANGES * MEM_MAP_ROOM };

	info = (struct boot_info){ .magic = BOOT_INFO_MAGIC };
	info.version = BOOT_INFO_VERSION;
	info.loader = BOOT_LOADER_PVH;
	info.core_address = physical(core_image_start);
	info.core_bytes = (u64)(core_image_end - core_image_start);
	if (start->magic != HVM_START_MAGIC) {
		complain("started through the PVH entry, but without PVH start information");
		return physical(&info);
	}
	info.rsdp_address = start->rsdp;
	convert_memory(&map, start);
	map.max = MEM_MAX;
	set_memory(&map, info.core_address, info.core_bytes, BOOT_MEM_LOADED);
	convert_files(&map, start);
	convert_command_line(start);
	info.mem = physical(mem);
	info.mem_count = map.count;
	info.file = physical(file);
	return physical(&info);
}
