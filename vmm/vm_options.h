/* SPDX-License-Identifier: BSD-2-Clause */
/* The words that describe a VM, the same at the console and in tern.conf. */
#pragma once

#include "vmm/vm.h"

/* The keys, for the console's table of options; NULL at the end. */
extern const char *const vm_option_keys[];

/*
 * Fills config from get(context, key), which gives a value or NULL. 0; -EINVAL with *why, and *key saying
 * which word is meant.
 */
int vm_options_parse(struct vm_config *config, const char *name,
		     const char *(*get)(const void *context, const char *key), const void *context,
		     const char **key, const char **why);

/* The VMs of tern.conf: created, and started where autostart=yes. Once, when all of Tern is up. */
void vm_create_configured(void);
