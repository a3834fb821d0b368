/* SPDX-License-Identifier: BSD-2-Clause */
/* The files that the loader brought: tern.conf, guest kernels, initial RAM disks. */
#pragma once

#include "kernel/types.h"

struct boot_info;

/* Remembers info's table of files. Once, at start. */
void boot_files_init(const struct boot_info *info);
/* A file of the core's own, for ever readable; not listed by boot_file_name. Once. */
#define BOOT_FILE_SELFTEST "(self-test)"
void boot_file_add(const char *name, const void *data, u64 bytes);
/* The file's contents, for ever readable; NULL if there is none of the name. */
const void *boot_file_find(const char *name, u64 *bytes);
/* Name of the index-th file, or NULL at the end. */
const char *boot_file_name(unsigned index);
