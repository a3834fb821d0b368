/* SPDX-License-Identifier: BSD-2-Clause */
/* kernel/heap.h on malloc, for tests that need no real heap: counts, and fails when told to. */
#pragma once

#include "kernel/heap.h"

extern struct fake_heap {
	u64 objects;
	u64 fail_in; /* the allocation with this number from now fails, and so do all after it; 0:
			none */
} fake_heap;

static inline void fake_heap_fail_after(u64 allocations) { fake_heap.fail_in = allocations; }
