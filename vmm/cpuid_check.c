/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Could this host run a guest with a peer's policy? The peer may be lying: shape first, then
 * vendor, then each feature bit by name, then numbers.
 */
#include "vmm/cpuid_words.h"
#include "arch/hv.h"
#include "kernel/bits.h"
#include "kernel/errno.h"
#include "kernel/fmt.h"
#include "kernel/string.h"

static const char *const reg_name[] = { "eax", "ebx", "ecx", "edx" };

static int check_vendor(const struct cpuid_entry *peer, const struct cpuid_entry *own,
			char *why, size_t bytes)
{
	char name[2][13] = { { 0 }, { 0 } };

	if (peer->ebx == own->ebx && peer->ecx == own->ecx && peer->edx == own->edx)
		return 0;
	for (unsigned i = 0; i < 2; i++) {
		const struct cpuid_entry *entry = i ? own : peer;

		memcpy(name[i], &entry->ebx, 4);
		memcpy(name[i] + 4, &entry->edx, 4);
		memcpy(name[i] + 8, &entry->ecx, 4);
		for (unsigned c = 0; c < 12; c++)
			name[i][c] = name[i][c] >= ' ' && name[i][c] <= '~' ? name[i][c] : '?';
	}
	fmt_snprintf(why, bytes, "vendor %s, here %s", name[0], name[1]);
	return -ENODEV;
}

static int check_word(const struct cpuid_word *row, struct cpuid_entry *peer, struct cpuid_entry *own,
		      char *why, size_t bytes)
{
	u32 missing = *cpuid_entry_reg(peer, row->reg) & ~(own ? *cpuid_entry_reg(own, row->reg) : 0);
	const char *name;
	size_t length;

	if (!missing)
		return 0;
	length = cpuid_bit_name(row, (unsigned)__builtin_ctz(missing), &name);
	if (*name == '+')
		name++, length--;
	if (*name == '-')
		fmt_snprintf(why, bytes, "CPUID %xh.%u %s bit %d", row->function, row->index,
			     reg_name[row->reg], __builtin_ctz(missing));
	else
		fmt_snprintf(why, bytes, "%.*s", (int)length, name);
	return -EOPNOTSUPP;
}

static int check_numbers(const struct cpuid_policy *peer, const struct cpuid_policy *own,
			 char *why, size_t bytes)
{
	const struct cpuid_entry *sizes = cpuid_find(peer, 0x80000008, 0);
	const struct cpuid_entry *xsave = cpuid_find(peer, 0xd, 0);
	u8 own_bits = (u8)cpuid_find(own, 0x80000008, 0)->eax;
	u64 components;

	if ((u8)sizes->eax > own_bits) {
		fmt_snprintf(why, bytes, "physical addresses of %u bits, here %u",
			     (u8)sizes->eax, own_bits);
		return -EOPNOTSUPP;
	}
	components = xsave ? (u64)xsave->edx << 32 | xsave->eax : 0;
	if (components & ~hv->limits.xcr0) {
		fmt_snprintf(why, bytes, "XSAVE component %d",
			     __builtin_ctzll(components & ~hv->limits.xcr0));
		return -EOPNOTSUPP;
	}
	return 0;
}

/* The leaves that some Tern puts into a policy. */
static bool is_known(u32 function)
{
	static const u32 others[] = { 0, 1, 2, 4, 6, 7, 0xd, KVM_LEAF, KVM_LEAF + 1, KVM_LEAF_LAST,
				      0x8000001d, 0x8000001e, 0x80000021 };

	for (unsigned i = 0; i < ARRAY_COUNT(others); i++) {
		if (others[i] == function)
			return true;
	}
	return function >= 0x80000000 && function <= 0x80000008;
}

/* Each leaf is one that some Tern makes, and is there once; those that Tern relies on are there. */
static int check_shape(const struct cpuid_policy *peer, char *why, size_t bytes)
{
	static const u32 required[] = { 0, 1, 7, KVM_LEAF, 0x80000000, 0x80000001, 0x80000008 };

	fmt_snprintf(why, bytes, "malformed CPUID policy");
	if (!peer->count || peer->count > CPUID_LEAVES_MAX || peer->has_subleaf_mask ||
	    peer->leaf[0].function)
		return -EINVAL;
	for (unsigned i = 0; i < ARRAY_COUNT(required); i++) {
		if (!cpuid_find(peer, required[i], 0))
			return -EINVAL;
	}
	for (u32 i = 0; i < peer->count; i++) {
		const struct cpuid_entry *entry = &peer->leaf[i];

		if (!is_known(entry->function) || cpuid_find(peer, entry->function, entry->index) != entry)
			return -EINVAL;
		/* Offset and size of an XSAVE component. */
		if (entry->function == 0xd && entry->index > 1 &&
		    (entry->eax > XSAVE_BYTES_MAX || entry->ebx > XSAVE_BYTES_MAX))
			return -EINVAL;
	}
	return 0;
}

int cpuid_policy_check(const struct cpuid_policy *policy, char *why, size_t why_bytes)
{
	struct cpuid_policy own;
	int err = check_shape(policy, why, why_bytes);

	if (err)
		return err;
	cpuid_policy_make(&own);
	err = check_vendor(&policy->leaf[0], &own.leaf[0], why, why_bytes);
	for (unsigned i = 0; !err && i < ARRAY_COUNT(cpuid_words); i++) {
		const struct cpuid_word *row = &cpuid_words[i];
		struct cpuid_entry *peer = cpuid_find(policy, row->function, row->index);

		if (peer)
			err = check_word(row, peer, cpuid_find(&own, row->function, row->index),
					 why, why_bytes);
	}
	if (!err)
		err = check_numbers(policy, &own, why, why_bytes);
	if (!err && why_bytes)
		*why = 0;
	return err;
}
