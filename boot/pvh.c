/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the PVH start information to struct boot_info.
 *
 * Called once by boot/pvh.S (by way of boot/long_mode.S), under the conditions of
 * boot/collect.c. Module 0 is a cpio archive; its files become boot files, in place.
 */
#include "boot/pvh.h"

#include "boot/collect.h"

#define COMMAND_LINE_MAX 1024 /* as much as the core keeps: it may end anywhere below 4 GiB */

static void convert_memory(const struct hvm_start_info *start)
{
	u32 count = start->memory_map_count;

	if (start->version < 1 ||
	    !collect_is_mapped(start->memory_map, (u64)count * sizeof(struct collect_range))) {
		collect_complain("the PVH loader gave no memory map: use QEMU 4.0 or newer");
		count = 0;
	}
	collect_memory((const void *)start->memory_map, count, sizeof(struct collect_range));
}

static void convert_files(const struct hvm_start_info *start)
{
	const struct hvm_module *module = (const struct hvm_module *)start->modules;

	if (start->module_count == 0)
		return;
	if (!collect_is_mapped(start->modules, sizeof(*module)) ||
	    !collect_is_mapped(module->address, module->bytes)) {
		collect_complain("the boot archive (-initrd) is above 4 GiB, where it cannot be read");
		return;
	}
	collect_archive(module->address, module->bytes);
}

u64 pvh_convert(const struct hvm_start_info *start)
{
	struct boot_info *info = collect_start(BOOT_LOADER_PVH);

	if (start->magic != HVM_START_MAGIC) {
		collect_complain("started through the PVH entry, but without PVH start information");
		return collect_finish();
	}
	info->rsdp_address = start->rsdp;
	convert_memory(start);
	convert_files(start);
	if (collect_is_mapped(start->command_line, COMMAND_LINE_MAX))
		collect_command_line((const char *)start->command_line);
	return collect_finish();
}
