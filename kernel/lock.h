/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Spin locks (ticket locks). Interrupt handlers of Tern take no lock, they only set
 * flags; so taking a lock does not disable interrupts.
 *
 * Lock order, outermost first:
 *   vm->lock -> irq -> gmem->lock -> sched/timer queue lock -> heap_lock ->
 *   dynamic_lock (arch/paging.c) -> page_lock -> log_lock -> console
 */
#pragma once

#include "kernel/types.h"

struct lock {
	u32 next;
	u32 serving;
};

static inline void lock_take(struct lock *lock)
{
	u32 ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket)
		__builtin_ia32_pause();
}

static inline void lock_give(struct lock *lock)
{
	__atomic_store_n(&lock->serving, lock->serving + 1, __ATOMIC_RELEASE);
}
