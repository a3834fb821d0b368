/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tern's own page tables: kernel/layout.h drawn in hardware's format, W^X everywhere.
 */
#pragma once

#include "kernel/types.h"

struct boot_info;

/*
 * Builds the tables and moves to them. Once, on the boot CPU, before page_init: tables
 * come from the end of the largest usable range below 4 GiB, which is cut from info's map, as is
 * what lies beyond the CPU's address width.
 */
int paging_init(struct boot_info *info);

/* Physical address of the root, for other CPUs' CR3. Below 4 GiB. */
u64 paging_root(void);

/* True if the direct map shows all of the range: ask before following firmware's addresses. */
bool paging_is_mapped(hpa_t hpa, u64 bytes);

/*
 * Device registers, uncached, not executable. Any alignment. Never unmapped. NULL: no memory, or
 * an address that this CPU does not have.
 */
void *paging_map_mmio(hpa_t hpa, u64 bytes);
/* The same for a picture: writes are combined into bursts, reads are slow. */
void *paging_map_framebuffer(hpa_t hpa, u64 bytes);

#define STACK_BYTES 0x8000ull
/* Top of a new stack of STACK_BYTES, unmapped below it; 0: no memory. Stacks are for ever. */
u64 stack_alloc(void);
/* True if va lies in the guard page of a stack: for a better panic message. */
bool stack_is_guard(u64 va);

/*
 * A root for CPUs that start: Tern's space plus one identity-mapped, executable page below
 * 1 MiB. Returns its physical address, below 4 GiB. Nobody stays on it.
 */
u64 paging_map_trampoline(const struct boot_info *info, hpa_t hpa);

/* True if Tern can read bytes at va now: walks the tables that CR3 points to. For panic. */
bool paging_is_readable(u64 va, u64 bytes);
