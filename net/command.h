/* SPDX-License-Identifier: BSD-2-Clause */
/* What the commands that talk to another host begin with. CPU 0 only. */
#pragma once

#include "kernel/shell.h"
#include "kernel/types.h"

/*
 * The first word as an address, on a host that has a network and on no other console of which the same command
 * is_busy. False: shell_fail was called.
 */
bool net_command_begin(struct shell *shell, const struct cmd_args *args, bool is_busy, u32 *ip);
