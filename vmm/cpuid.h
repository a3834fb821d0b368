/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest may see of the CPU. The policy is fixed when a VM is created and
 * travels with it; a host that cannot give all of it refuses the move by name.
 */
#pragma once

#include "kernel/state.h"
#include "kernel/types.h"

#define CPUID_LEAVES_MAX 64

struct vcpu;

STATE_BEGIN
struct cpuid_entry {
	u32 function;
	u32 index;
	u32 eax, ebx, ecx, edx; /* what depends on the vCPU (APIC id, OSXSAVE) is filled in at the exit */
};

struct cpuid_policy {
	u32 count;
	u32 has_subleaf_mask;   /* reserved for the leaves that have an index; see cpuid.c */
	struct cpuid_entry leaf[CPUID_LEAVES_MAX];
};
STATE_END

/* What this host gives a new guest: its own features less those that Tern does not virtualize. */
void cpuid_policy_make(struct cpuid_policy *policy);
/*
 * Could this host run a guest with the policy (from a peer: hostile)? 0; -EINVAL: malformed;
 * -ENODEV: another vendor; -EOPNOTSUPP: a feature is missing. why names it ("avx2",
 * "vendor THEIRS, here OURS").
 */
int cpuid_policy_check(const struct cpuid_policy *policy, char *why, size_t why_bytes);
/* True if the policy shows all XSAVE components of the value. */
bool cpuid_allows_xcr0(const struct cpuid_policy *policy, u64 xcr0);
/* The guest executed CPUID. */
void cpuid_exit(struct vcpu *vcpu);
