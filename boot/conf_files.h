/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The files that a tern.conf speaks of: "kernel = NAME", "initrd = NAME" and "files = NAME NAME...".
 * For a start from a network, where no folder can be listed.
 */
#pragma once

#include "boot/handoff.h"

struct conf_files {
	const char *text;
	u64 bytes;
	u64 at;         /* 0 at first */
	bool is_inside; /* at is in the value of "files" */
};

/* The next name, in file order, possibly one that was there before. False at the end. */
bool conf_files_next(struct conf_files *conf, char name[BOOT_FILE_NAME_MAX]);
