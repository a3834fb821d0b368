/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Put a guest image in memory and set its first state. The image comes from the boot files
 * and is not trusted: everything is checked before anything is written.
 */
#pragma once

#include "kernel/types.h"

struct vm;
struct vm_config;

/* For vm create: are the files there, and is the kernel one that can be started with this much memory? */
int load_check(const struct vm_config *config, const char **why);
/* Loads kernel, initrd, command line and tables; vCPU 0 gets its first state. The VM is halted. */
int load_guest(struct vm *vm, const char **why);
