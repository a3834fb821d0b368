/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest may see of the CPU.
 *
 * Feature bits are an allow-list (vmm/cpuid_words.c). Numbers (cache shapes, sizes, names)
 * are the host's own. What depends on the vCPU is filled in at the exit.
 *
 * Not shown: virtualization (no nesting), MONITOR (a vCPU that waits must exit), PMU, XSAVEC and
 * XSAVES (state is sent in standard format), and the invariant TSC bit: after a move the TSC
 * may run up to 0.5 % faster or slower (vmm/vtime.c), while the KVM clock stays exact. Linux
 * takes the TSC before the KVM clock only when that bit is set.
 *
 * Sections: SDM 2A CPUID, APM 3 appendix E, Linux Documentation/virt/kvm/x86/cpuid.rst.
 */
#include "vmm/cpuid.h"
#include "arch/cpu.h"
#include "arch/guest_cpu.h"
#include "kernel/string.h"
#include "vmm/cpuid_words.h"
#include "vmm/dev/lapic.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

#define XSAVE_LEGACY_BYTES 576 /* SDM 1 13.4: legacy region and header */
/* --- the policy --- */

/* Features (by the beginning of their names) that are of no use without these bits in CR4, XCR0 and IA32_SPEC_CTRL. */
static const struct feature_need {
	const char *prefix;
	u64 cr4;
	u64 xcr0;
	u64 spec_ctrl;
} feature_needs[] = {
	{ "avx512", .xcr0 = BITS(7, 5) },
	{ "avx", .xcr0 = BIT(2) },
	{ "fma", .xcr0 = BIT(2) },
	{ "f16c", .xcr0 = BIT(2) },
	{ "vaes", .xcr0 = BIT(2) },
	{ "vpclmulqdq", .xcr0 = BIT(2) },
	{ "xop", .xcr0 = BIT(2) },
	{ "xsave", .cr4 = CR4_OSXSAVE },
	{ "pcid", .cr4 = CR4_PCIDE },
	{ "fsgsbase", .cr4 = CR4_FSGSBASE },
	{ "smep", .cr4 = CR4_SMEP },
	{ "smap", .cr4 = CR4_SMAP },
	{ "umip", .cr4 = CR4_UMIP },
	{ "pku", .cr4 = CR4_PKE, .xcr0 = BIT(9) },
	{ "spec_ctrl ", .spec_ctrl = BIT(0) },
	{ "stibp", .spec_ctrl = BIT(1) },
	{ "spec_ctrl_ssbd", .spec_ctrl = BIT(2) },
	{ "ibrs", .spec_ctrl = BIT(0) },
	{ "amd_stibp", .spec_ctrl = BIT(1) },
	{ "amd_ssbd", .spec_ctrl = BIT(2) },
};

/* Whether the back end lets the guest have what the feature needs. */
static bool is_possible(const char *name)
{
	for (unsigned i = 0; i < ARRAY_COUNT(feature_needs); i++) {
		const struct feature_need *need = &feature_needs[i];

		if (str_starts(name, need->prefix) &&
		    ((need->cr4 & ~hv->limits.cr4) || (need->xcr0 & ~hv->limits.xcr0) ||
		     (need->spec_ctrl & ~hv->limits.spec_ctrl)))
			return false;
	}
	return true;
}

/* What of the host's word the guest gets. */
static u32 word_filter(const struct cpuid_word *word, u32 host)
{
	u32 guest = 0;

	for (unsigned n = 0; n < 32; n++) {
		const char *name;

		cpuid_bit_name(word, n, &name);
		if (*name == '+' || (*name != '-' && (host & 1u << n) && is_possible(name)))
			guest |= 1u << n;
	}
	return guest;
}

/* Adds the host's leaf as it is. Indices matter only in leaves that have them. */
static struct cpuid_entry *policy_add(struct cpuid_policy *policy, u32 function, u32 index)
{
	struct cpuid_leaf host = cpuid(function, index);
	struct cpuid_entry *entry = &policy->leaf[policy->count++];

	*entry = (struct cpuid_entry){ function, index, host.eax, host.ebx, host.ecx, host.edx };
	return entry;
}

static void policy_filter(struct cpuid_policy *policy)
{
	for (unsigned i = 0; i < ARRAY_COUNT(cpuid_words); i++) {
		const struct cpuid_word *word = &cpuid_words[i];
		struct cpuid_entry *entry = cpuid_find(policy, word->function, word->index);
		u32 *bits = entry ? cpuid_entry_reg(entry, word->reg) : NULL;

		if (bits)
			*bits = word_filter(word, *bits);
	}
}

/* Cache leaves, by index until the type field (EAX 4:0) is 0: SDM 2A CPUID.04H, APM 3 E.4.15. */
static void policy_add_caches(struct cpuid_policy *policy, u32 function)
{
	for (u32 index = 0; index < 5; index++) {
		struct cpuid_entry *entry = policy_add(policy, function, index);

		/* Every vCPU is a core of its own: no cache is shared (EAX 25:14). */
		entry->eax &= 0x00003fffu;
		if (!(entry->eax & 0x1f))
			return;
	}
}

/* XSAVE: components that a guest may enable, in standard format (SDM 1 13.2). */
static void policy_add_xsave(struct cpuid_policy *policy)
{
	u64 xcr0 = hv->limits.xcr0;
	struct cpuid_entry *entry = policy_add(policy, 0xd, 0);
	struct cpuid_entry *features;
	u32 bytes = XSAVE_LEGACY_BYTES;

	entry->eax = (u32)xcr0;
	entry->edx = (u32)(xcr0 >> 32);
	features = policy_add(policy, 0xd, 1);
	features->ebx = features->ecx = features->edx = 0;
	for (u32 bit = 2; bit < 63; bit++) {
		struct cpuid_entry *component;

		if (!(xcr0 & BIT(bit)))
			continue;
		component = policy_add(policy, 0xd, bit);
		component->ecx = component->edx = 0;
		bytes = MAX(bytes, component->eax + component->ebx);
	}
	entry->ebx = XSAVE_LEGACY_BYTES; /* follows the guest's XCR0 */
	entry->ecx = bytes;
}

static void policy_add_basic(struct cpuid_policy *policy)
{
	const struct guest_cpu *cpu = guest_cpu();
	u32 last = policy_add(policy, 0, 0)->eax;

	policy->leaf[0].eax = MAX(MIN(last, 0xd), 0xb);
	policy_add(policy, 1, 0);
	if (cpu->has_descriptor_leaf)
		policy_add(policy, 2, 0);
	if (cpu->cache_leaf <= last)
		policy_add_caches(policy, cpu->cache_leaf);
	*policy_add(policy, 6, 0) = (struct cpuid_entry){ .function = 6 };
	policy_add(policy, 7, 0)->eax = 0;
	if (last < 7)
		*cpuid_find(policy, 7, 0) = (struct cpuid_entry){ .function = 7 };
	else if (cpuid(7, 0).eax >= 1) {
		u32 eax = policy_add(policy, 7, 1)->eax;

		cpuid_find(policy, 7, 0)->eax = 1;
		*cpuid_find(policy, 7, 1) = (struct cpuid_entry){ .function = 7, .index = 1, .eax = eax };
	}
	if (last >= 0xd && hv->limits.xcr0)
		policy_add_xsave(policy);
}

static void policy_add_kvm(struct cpuid_policy *policy)
{
	/* KVM_FEATURE_: CLOCKSOURCE, NOP_IO_DELAY, CLOCKSOURCE2, CLOCKSOURCE_STABLE_BIT */
	const u32 features = 1u << 0 | 1u << 1 | 1u << 3 | 1u << 24;
	struct cpuid_entry *entry = &policy->leaf[policy->count];

	*entry++ = (struct cpuid_entry){ .function = KVM_LEAF, .eax = KVM_LEAF_LAST,
					 .ebx = 0x4b4d564b, .ecx = 0x564b4d56, .edx = 0x4d };
	*entry++ = (struct cpuid_entry){ .function = KVM_LEAF + 1, .eax = features };
	*entry++ = (struct cpuid_entry){ .function = KVM_LEAF_LAST };
	policy->count = (u32)(entry - policy->leaf);
}

static void policy_add_extended(struct cpuid_policy *policy)
{
	const struct guest_cpu *cpu = guest_cpu();
	u32 host_last = policy_add(policy, 0x80000000, 0)->eax;
	u32 last = MIN(host_last, cpu->extended_last);
	struct cpuid_entry *sizes;

	for (u32 function = 0x80000001; function <= 0x80000006; function++)
		policy_add(policy, function, 0);
	*policy_add(policy, 0x80000007, 0) = (struct cpuid_entry){ .function = 0x80000007 };
	sizes = policy_add(policy, 0x80000008, 0);
	sizes->eax = (sizes->eax & 0xff00) | hv->limits.physical_bits;
	sizes->ecx = sizes->edx = 0;
	if (last >= 0x8000001e) {
		policy_add_caches(policy, cpu->cache_leaf);
		*policy_add(policy, 0x8000001e, 0) = (struct cpuid_entry){ .function = 0x8000001e };
	} else {
		last = 0x80000008;
	}
	if (last == 0x80000021) {
		u32 eax = policy_add(policy, last, 0)->eax;

		*cpuid_find(policy, last, 0) = (struct cpuid_entry){ .function = last, .eax = eax };
	}
	cpuid_find(policy, 0x80000000, 0)->eax = last;
}

void cpuid_policy_make(struct cpuid_policy *policy)
{
	*policy = (struct cpuid_policy){ 0 };
	policy_add_basic(policy);
	policy_add_kvm(policy);
	policy_add_extended(policy);
	policy_filter(policy);
	/* APIC id, count of CPUs, CLFLUSH size: the first two are the vCPU's. */
	cpuid_find(policy, 1, 0)->ebx &= 0x0000ff00;
	if (!guest_cpu()->has_extended_topology)
		cpuid_find(policy, 0x80000001, 0)->ecx &= ~(1u << 22); /* TOPOEXT: leaf 8000001EH */
}

/* --- the exit --- */

/* Leaves whose index (ECX) chooses among several. */
static bool has_index(u32 function)
{
	return function == 4 || function == 7 || function == 0xb || function == 0xd ||
	       function == 0x8000001d;
}

/* Bits of an APIC id that tell cores apart. */
static u32 core_bits(u32 count) { return count > 1 ? ilog2(count - 1) + 1 : 0; }

/* Leaf 0BH: one thread a core (level 0), all cores in one package (level 1). SDM 2A, CPUID.0BH. */
static void fill_topology(const struct vcpu *vcpu, u32 level, struct cpuid_entry *out)
{
	u32 count = vcpu->vm->config.vcpu_count;

	*out = (struct cpuid_entry){ .ecx = level, .edx = vcpu->index };
	if (level == 0) {
		out->ebx = 1;
		out->ecx |= 1u << 8;
	} else if (level == 1) {
		out->eax = core_bits(count);
		out->ebx = count;
		out->ecx |= 2u << 8;
	}
}

/* Bytes of the standard-format area for what the guest's XCR0 has on: leaf 0DH index 0 EBX. */
static u32 xsave_bytes(const struct cpuid_policy *policy, u64 xcr0)
{
	u32 bytes = XSAVE_LEGACY_BYTES;

	for (u32 bit = 2; bit < 63; bit++) {
		const struct cpuid_entry *component = xcr0 & BIT(bit) ? cpuid_find(policy, 0xd, bit) : NULL;

		if (component)
			bytes = MAX(bytes, component->eax + component->ebx);
	}
	return bytes;
}

/* What depends on the vCPU. */
static void fill_own(const struct vcpu *vcpu, const struct hv_mode *mode, u32 index,
		     struct cpuid_entry *out)
{
	u32 count = vcpu->vm->config.vcpu_count;

	switch (out->function) {
	case 4: /* EAX 31:26: how many ids cores may have, less one */
		if (out->eax & 0x1f)
			out->eax |= ((1u << core_bits(count)) - 1) << 26;
		break;
	case 1:
		out->ebx |= vcpu->index << 24 | count << 16;
		if (count > 1)
			out->edx |= 1u << 28; /* HTT: EBX 23:16 is valid */
		if (mode->cr4 & CR4_OSXSAVE)
			out->ecx |= 1u << 27;
		break;
	case 7:
		if (index == 0 && (mode->cr4 & CR4_PKE))
			out->ecx |= 1u << 4; /* OSPKE */
		break;
	case 0xd:
		if (index == 0)
			out->ebx = xsave_bytes(&vcpu->vm->cpuid, mode->xcr0);
		break;
	case KVM_LEAF_LAST:
		out->eax = (u32)vtime_tsc_khz(vcpu->vm);
		out->ebx = LAPIC_TIMER_HZ / 1000;
		break;
	case 0x80000001:
		if (count > 1 && guest_cpu()->has_extended_topology)
			out->ecx |= 1u << 1; /* CmpLegacy: the package has cores, not threads */
		break;
	case 0x80000008:
		if (guest_cpu()->has_extended_topology) /* APM 3 E.4.7: NC and ApicIdSize */
			out->ecx = (count - 1) | core_bits(count) << 12;
		break;
	case 0x8000001e:
		out->eax = vcpu->index;
		out->ebx = vcpu->index;
		break;
	}
}

bool cpuid_allows_xcr0(const struct cpuid_policy *policy, u64 xcr0)
{
	const struct cpuid_entry *entry = cpuid_find(policy, 0xd, 0);

	return entry && !(xcr0 & ~((u64)entry->edx << 32 | entry->eax));
}

void cpuid_exit(struct vcpu *vcpu)
{
	u64 *gpr = vcpu->hv->gpr;
	u32 function = (u32)gpr[RAX], index = (u32)gpr[RCX];
	struct cpuid_entry out = { 0 };
	const struct cpuid_entry *entry =
		cpuid_find(&vcpu->vm->cpuid, function, has_index(function) ? index : 0);
	struct hv_mode mode;

	hv->mode(vcpu->hv, &mode);
	if (function == 0xb)
		fill_topology(vcpu, index, &out);
	else if (entry)
		out = *entry;
	if (entry)
		fill_own(vcpu, &mode, index, &out);
	gpr[RAX] = out.eax;
	gpr[RBX] = out.ebx;
	gpr[RCX] = out.ecx;
	gpr[RDX] = out.edx;
}
