/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by vmm/cpuid.c and vmm/cpuid_check.c: feature bits by name, and leaves of a policy. */
#pragma once

#include "vmm/cpuid.h"

#define KVM_LEAF 0x40000000u
#define KVM_LEAF_LAST 0x40000010u

enum cpuid_reg { EAX, EBX, ECX, EDX };

/* Bit 0 first. "-": hidden. "+name": Tern gives it whatever the host has. "name": if the host has it. */
struct cpuid_word {
	u32 function;
	u32 index;
	enum cpuid_reg reg;
	const char *bits;
};

#define CPUID_WORD_COUNT 12
extern const struct cpuid_word cpuid_words[CPUID_WORD_COUNT];

/* The name of bit n of the word, "-" for one that is hidden. Returns its length; it is not NUL-ended. */
size_t cpuid_bit_name(const struct cpuid_word *word, unsigned n, const char **name);

/* The leaf of the policy, or NULL. */
struct cpuid_entry *cpuid_find(const struct cpuid_policy *policy, u32 function, u32 index);
u32 *cpuid_entry_reg(struct cpuid_entry *entry, enum cpuid_reg reg);
