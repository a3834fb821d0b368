/* SPDX-License-Identifier: BSD-2-Clause */
/* The last message: only for "we are wrong". Never reachable from a guest, a peer or a file. */
#pragma once

#include "kernel/types.h"

NORETURN void panic(const char *format, ...) PRINTF_LIKE(1, 2);

#define assert_or_panic(condition) \
	do { \
		if (UNLIKELY(!(condition))) \
			panic("%s:%d: broken invariant: %s", __FILE__, __LINE__, #condition); \
	} while (0)
