/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The loader's files lie in BOOT_MEM_LOADED ranges (boot/handoff.h), which are never given
 * out, so pointers to them stay good. Read only; any CPU after start.
 */
#include "kernel/bootfile.h"
#include "boot/handoff.h"
#include "kernel/page.h"
#include "kernel/string.h"

static const struct boot_file *files;
static u32 file_count;
static struct {
	const char *name;
	const void *data;
	u64 bytes;
} own;

void boot_files_init(const struct boot_info *info)
{
	files = info->file_count ? phys_to_virt(HPA(info->file)) : NULL;
	file_count = info->file_count;
}

void boot_file_add(const char *name, const void *data, u64 bytes)
{
	own.name = name;
	own.data = data;
	own.bytes = bytes;
}

const void *boot_file_find(const char *name, u64 *bytes)
{
	if (own.name && !strcmp(name, own.name)) {
		*bytes = own.bytes;
		return own.data;
	}
	for (u32 i = 0; i < file_count; i++) {
		if (strncmp(files[i].name, name, BOOT_FILE_NAME_MAX))
			continue;
		*bytes = files[i].bytes;
		return phys_to_virt(HPA(files[i].address));
	}
	return NULL;
}

const char *boot_file_name(unsigned index)
{
	return index < file_count ? files[index].name : NULL;
}
