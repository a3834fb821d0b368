/* SPDX-License-Identifier: BSD-2-Clause */
/* The operator's console: which serial port, and the shell on it. */
#pragma once

#include "kernel/types.h"

/* Text goes to the first serial port from now on, by waiting; nothing is needed but uart_init. */
void console_init_early(void);
/*
 * The port that wanted names ("com2", "com2,57600"; NULL: no wish), or firmware's SPCR table; else it stays the
 * first. After acpi_init.
 */
void console_choose(const char *wanted);
/* The shell with its prompt; log and answers are queued from now on. After time has started. */
void console_start(const char *host_name);
