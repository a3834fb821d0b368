/* SPDX-License-Identifier: BSD-2-Clause */
/* What is said of a move under way: nothing here changes it. CPU 0 only. */
#pragma once

#include "kernel/types.h"

struct send;

const char *progress_phase_name(const struct send *send);
/* Per cent of this phase's bytes that remain. */
unsigned progress_remaining_percent(const struct send *send);
/* Bytes per second: of this round so far if that says something, else of the rounds before. */
u64 progress_bytes_per_sec(const struct send *send);
/* When the guest would run at the destination if nothing changed, from now; 0: not known yet. */
u64 progress_end_ns(const struct send *send);
