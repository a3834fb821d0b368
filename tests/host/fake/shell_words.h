/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands for tests of the shell: of each kind one, in the words of a host with VMs. */
#pragma once

#include "kernel/types.h"

extern char last_run[512];    /* "create|web1;kernel:a": the command, its words and options */
/* "migrate NAME to PEER" goes on until is_over, or until it was interrupted. */
extern bool is_over;
extern unsigned interrupts;
extern char raw_bytes[64];    /* what "vm console" was typed */
