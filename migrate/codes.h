/* SPDX-License-Identifier: BSD-2-Clause */
/* The stable words for what can go wrong with a move; "help errors" lists them. */
#pragma once

#include "kernel/shell.h"

/*
 * shell_fail with a code by its word; a word that this host does not know, as a peer of another
 * version may send, is E-PEER.
 */
enum cmd_result migrate_fail(struct shell *shell, const char *code, const char *what, const char *format, ...)
	PRINTF_LIKE(4, 5);
