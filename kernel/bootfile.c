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

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static bool is_named(const struct boot_file *file, const char *name, bool ignores_case)
{
	u32 i;

	for (i = 0; i < BOOT_FILE_NAME_MAX; i++) {
		if (ignores_case ? lower(file->name[i]) != lower(name[i]) : file->name[i] != name[i])
			return false;
		if (!name[i])
			return true;
	}
	return true;
}

/*
 * FAT keeps a short name in capitals, and its readers make of it what they like: GRUB tern.conf,
 * a UEFI firmware TERN.CONF. So capitals count only if they tell two files apart.
 */
static const struct boot_file *find(const char *name)
{
	for (unsigned ignores_case = 0; ignores_case < 2; ignores_case++) {
		for (u32 i = 0; i < file_count; i++) {
			if (is_named(&files[i], name, ignores_case))
				return &files[i];
		}
	}
	return NULL;
}

const void *boot_file_find(const char *name, u64 *bytes)
{
	const struct boot_file *file;

	if (own.name && !strcmp(name, own.name)) {
		*bytes = own.bytes;
		return own.data;
	}
	file = find(name);
	if (!file)
		return NULL;
	*bytes = file->bytes;
	return phys_to_virt(HPA(file->address));
}

const char *boot_file_name(unsigned index)
{
	return index < file_count ? files[index].name : NULL;
}
