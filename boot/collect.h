/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filling struct boot_info for loaders that put the core where it is linked (PVH, multiboot2).
 *
 * Order of the calls: start, memory (the loader's words), then what lies in that memory and
 * must not be given out (files), then finish. Nothing stops on bad input: it is complained of,
 * and the core tells it.
 */
#pragma once

#include "boot/handoff.h"
#include "kernel/layout.h"

/* A range as the BIOS's e820 map has it: 1 usable, 2 reserved, 3 ACPI tables, 4 NVS, 5 bad. */
struct collect_range {
	u64 base;
	u64 bytes;
	u32 type;
	u32 reserved;
};
_Static_assert(sizeof(struct collect_range) == 24, "ACPI 15.1.1: 20 bytes; PVH and multiboot2 pad to 24");

/* Where the core's own objects lie: it was loaded where it is linked. */
static inline u64 collect_physical(const void *object)
{
	return (u64)object - CORE_BASE;
}

/* The only struct boot_info, empty but for what is known without the loader's words. */
struct boot_info *collect_start(enum boot_loader loader);
/* Keeps the first sentence: it is the cause of those after it. */
void collect_complain(const char *sentence);
/* True if all of it can be read: it lies below 4 GiB and is not at 0. */
bool collect_is_mapped(u64 address, u64 bytes);
/* The loader's map: count entries that begin like struct collect_range, one each entry_bytes. Once. */
void collect_memory(const void *entries, u32 count, u32 entry_bytes);
/* A file in place. The memory is protected even if the name or the table cannot take it. */
void collect_file(const char *name, u64 address, u64 bytes);
/* The regular files in a cpio archive, in place. */
void collect_archive(u64 address, u64 bytes);
/* Copied; text is NUL-ended or at least as long as can be kept. */
void collect_command_line(const char *text);
/* Returns the physical address of the finished struct boot_info. */
u64 collect_finish(void);
