/* SPDX-License-Identifier: BSD-2-Clause */
/* What commands about VMs share. */
#pragma once

#include "vmm/vm.h"

struct shell;

/* "running", ... */
const char *vm_state_name(enum vm_state state);
/* For struct command.complete: names of VMs at the first word. */
const char *vm_complete(unsigned word, unsigned index);
/* The VM, or NULL after shell_fail. */
struct vm *vm_named(struct shell *shell, const char *name);
