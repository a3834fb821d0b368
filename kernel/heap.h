/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small objects out of 4 KiB pages (classes from 32 bytes up) and larger
 * ones, up to 2 MiB, as page runs. Any CPU; heap_lock is taken inside.
 */
#pragma once

#include "kernel/types.h"

/* Zeroed, 16-byte aligned (page aligned from 4 KiB on); NULL when there is no memory or bytes is 0 or over 2 MiB. */
void *heap_alloc(size_t bytes);
/* NULL is allowed. */
void heap_free(void *object);

/* Objects and bytes (as rounded up) given out and not yet taken back: equal before and after a balanced piece of work. */
struct heap_stats {
	u64 objects;
	u64 bytes;
};
void heap_get_stats(struct heap_stats *stats);
