/* SPDX-License-Identifier: BSD-2-Clause */
/* What the commands that talk to another host begin with. CPU 0 only. */
#pragma once

#include "kernel/shell.h"
#include "kernel/types.h"

/*
 * The first word as an address, if this host has a network and the command is not busy on another
 * console. False: shell_fail was called.
 */
bool net_command_begin(struct shell *shell, const struct cmd_args *args, bool is_busy, u32 *ip);
