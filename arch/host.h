/* SPDX-License-Identifier: BSD-2-Clause */
/* The console's "host" commands: what this machine is and how it does. */
#pragma once

#include "kernel/types.h"

struct boot_info;
struct shell;

/* What other parts have to say about this host's CPUs: show(shell) prints it, at the end of "host cpu". */
#define HOST_FACT(show) \
	LINKER_SET(".host_facts") static void (*const show##_entry)(struct shell *shell) = show

#define TERN_VERSION "0.1.0"

/* Remembers what the loader said, for "host info" and "host support". */
void host_init(const struct boot_info *info, const char *name);
const char *host_name(void);
/* The start is over: entry_tsc is the TSC when the core was entered, now it has a prompt. */
void host_is_ready(u64 entry_tsc);
