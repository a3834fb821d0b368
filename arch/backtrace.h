/* SPDX-License-Identifier: BSD-2-Clause */
/* What panic shows: registers, and who called whom, by name. */
#pragma once

#include "kernel/types.h"

struct trap_frame;

/* The registers that the next backtrace_dump on this CPU shows: those of the trap. */
void backtrace_set_frame(const struct trap_frame *frame);
/* Writes registers and call chain to the console. Touches only memory that it has checked. */
void backtrace_dump(void);
