/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The UEFI loader's own parts. boot/efi_main.c calls them in this order; each that can fail
 * has told the user what and what to do when it returns false.
 */
#pragma once

#include <efi.h>
#include <efilib.h>

#include "boot/handoff.h"

#define LOADER_MEM_MAX 1024
#define LOADER_FILE_MAX 64
#define LOADER_SENTENCE_MAX 192

/* One block of memory below 4 GiB that the core inherits. */
struct handoff {
	struct boot_info info;
	struct boot_mem mem[LOADER_MEM_MAX];
	struct boot_file file[LOADER_FILE_MAX];
	char complaint[LOADER_SENTENCE_MAX];
};

/* Prints a sentence on the firmware's console; the first one is handed to the core as well. */
void loader_complain(struct handoff *handoff, const char *sentence, const char *name);
/* Pages below 4 GiB that survive the firmware; 0 if there are none left. */
u64 loader_allocate(EFI_MEMORY_TYPE type, u64 bytes);

/* efi_files.c: reads every file in \tern of where the loader came from. What is missing is complained of. */
void files_read(struct handoff *handoff, EFI_HANDLE image);
/* Memory for a file, as the next in the table: it is in when the caller has filled it and counts it. NULL: complained. */
struct boot_file *file_begin(struct handoff *handoff, const char *name, u64 bytes);

/* efi_net.c: the same by TFTP, if the device is a network card that the loader was started by PXE from; else false. */
bool files_fetch(struct handoff *handoff, EFI_HANDLE device);

/* efi_core.c: puts the core's segments in place. */
bool core_place(struct boot_info *info);
/* The page tables that handoff.h promises, and the code that switches to them. */
bool core_map(const struct boot_info *info);
/* Does not return. After core_map() and leave_firmware(). */
void core_enter(struct boot_info *info) __attribute__((noreturn));
/* The range of core_map()'s tables and code, which the core may reuse. */
extern u64 core_tables_address, core_tables_bytes;

/* efi_leave.c: ends the firmware's services and writes the memory map. False: they go on. */
bool leave_firmware(struct handoff *handoff, EFI_HANDLE image);
