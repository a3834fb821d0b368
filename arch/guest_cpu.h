/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest expects of a CPU of this maker and of no other: CPUID leaves and MSRs that are not
 * the same everywhere. Facts only; vmm/cpuid.c and vmm/msr.c decide. A guest never meets another
 * maker's CPU, since a move to one is refused.
 */
#pragma once

#include "kernel/types.h"

enum guest_msr_write {
	GUEST_MSR_KEEP,   /* the bits of mask are the guest's; changing another one is #GP(0) */
	GUEST_MSR_IGNORE, /* a write is taken and does nothing */
	GUEST_MSR_FAULT,  /* read-only */
};

#define GUEST_MSR_NO_SLOT 255u

struct guest_msr {
	u32 first;
	u32 count;
	enum guest_msr_write write;
	u8 slot;                /* of first, where values are kept; GUEST_MSR_NO_SLOT: reads give initial */
	u64 initial;
	u64 mask;
};

/* How many values the rows of a maker keep: slots 0 to GUEST_MSR_SLOTS - 1. */
#define GUEST_MSR_SLOTS 3

struct guest_cpu {
	u32 cache_leaf;              /* shapes of caches by index */
	bool has_descriptor_leaf;    /* leaf 2, caches as bytes */
	/* Leaves 80000001H (ECX 1, 22), 80000008H (ECX) and 8000001EH count cores. */
	bool has_extended_topology;
	u32 extended_last;           /* leaf up to which a guest is told of extended ones */
	const struct guest_msr *msr;
	u32 msr_count;
};

/* Of this machine's CPUs, by CPUID leaf 0. */
const struct guest_cpu *guest_cpu(void);
