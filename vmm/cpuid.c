/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest may see of the CPU.
 *
 * Feature bits are an allow-list by name: a bit that is not in feature_words is not shown,
 * since Tern would have to virtualize what it stands for. Numbers (cache shapes, sizes,
 * names) are the host's own. What depends on the vCPU is filled in at the exit.
 *
 * Not shown: SVM and VMX (no nesting), MONITOR (a vCPU that waits must exit), PMU, XSAVEC and
 * XSAVES (state is sent in standard format), and the invariant TSC bit: after a move the TSC
 * may run up to 0.5 % faster or slower (vmm/vtime.c), while the KVM clock stays exact. Linux
 * takes the TSC before the KVM clock only when that bit is set.
 *
 * Sections: SDM 2A CPUID, APM 3 appendix E, Linux Documentation/virt/kvm/x86/cpuid.rst.
 */
#include "vmm/cpuid.h"
#include "arch/cpu.h"
#include "kernel/errno.h"
#include "kernel/fmt.h"
#include "kernel/string.h"
#include "vmm/dev/lapic.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

#define XSAVE_LEGACY_BYTES 576 /* SDM 1 13.4: legacy region and header */
#define KVM_LEAF 0x40000000u
#define KVM_LEAF_LAST 0x40000010u

enum reg { EAX, EBX, ECX, EDX };
static const char *const reg_name[] = { "eax", "ebx", "ecx", "edx" };

/* --- feature bits --- */

/* Bit 0 first. "-": hidden. "+name": Tern gives it whatever the host has. "name": if the host has it. */
struct feature_word {
	u32 function;
	u32 index;
	enum reg reg;
	const char *bits;
};

static const struct feature_word feature_words[] = {
	{ 1, 0, ECX, "sse3 pclmulqdq - - - - - - - ssse3 - - fma cx16 - - - pcid - sse4_1 sse4_2 +x2apic movbe "
		     "popcnt +tsc_deadline_timer aes xsave - avx f16c rdrand +hypervisor" },
	{ 1, 0, EDX, "fpu vme de pse tsc msr pae mce cx8 +apic - sep mtrr pge mca cmov pat pse36 - clflush - - - "
		     "mmx fxsr sse sse2 ss" },
	{ 6, 0, EAX, "- - +arat" },
	{ 7, 0, EBX, "fsgsbase +tsc_adjust - bmi1 - avx2 - smep bmi2 erms invpcid - - - - - avx512f avx512dq "
		     "rdseed adx smap avx512ifma - clflushopt clwb - - - avx512cd sha_ni avx512bw avx512vl" },
	{ 7, 0, ECX, "- avx512vbmi umip pku - - avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni avx512_bitalg - "
		     "avx512_vpopcntdq - - - - - - - rdpid" },
	{ 7, 0, EDX, "- - avx512_4vnniw avx512_4fmaps fsrm - - - avx512_vp2intersect - md_clear - - - serialize "
		     "- - - - - - - - - - - spec_ctrl stibp - - - spec_ctrl_ssbd" },
	{ 7, 1, EAX, "- - - - avx_vnni avx512_bf16 - - - - fzrm fsrs fsrc" },
	{ 0xd, 1, EAX, "xsaveopt - xgetbv1" },
	{ 0x80000001, 0, ECX, "lahf_lm - - - cr8_legacy abm sse4a misalignsse 3dnowprefetch - - xop - - - - fma4 - - - "
			      "- tbm topoext" },
	{ 0x80000001, 0, EDX, "fpu vme de pse tsc msr pae mce cx8 +apic - syscall mtrr pge mca cmov pat pse36 - - nx "
			      "- mmxext mmx fxsr fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow" },
	{ 0x80000008, 0, EBX, "clzero - xsaveerptr - - - - - - wbnoinvd - - ibpb - ibrs amd_stibp - - - - - - - - "
			      "amd_ssbd" },
	{ 0x80000021, 0, EAX, "- - lfence_rdtsc - - - null_sel_clr_base" },
};

/* The word for bit n of the row, or "-" after the last. Returns its length. */
static size_t feature_name(const struct feature_word *row, unsigned n, const char **name)
{
	const char *at = row->bits;
	size_t length;

	for (;; at++) {
		const char *end = strchr(at, ' ');

		length = end ? (size_t)(end - at) : strlen(at);
		if (!n--)
			break;
		at += length;
		if (!*at) {
			*name = "-";
			return 1;
		}
	}
	*name = at;
	return length;
}

/* Bits that the row allows, and those of them that are there on any host. */
static u32 feature_mask(const struct feature_word *row, u32 *always)
{
	u32 mask = 0;

	*always = 0;
	for (unsigned n = 0; n < 32; n++) {
		const char *name;

		feature_name(row, n, &name);
		if (*name != '-')
			mask |= 1u << n;
		if (*name == '+')
			*always |= 1u << n;
	}
	return mask;
}

/* --- the policy --- */

static u32 *entry_reg(struct cpuid_entry *entry, enum reg reg)
{
	u32 *const regs[] = { &entry->eax, &entry->ebx, &entry->ecx, &entry->edx };

	return regs[reg];
}

static struct cpuid_entry *policy_find(const struct cpuid_policy *policy, u32 function, u32 index)
{
	for (u32 i = 0; i < policy->count; i++) {
		const struct cpuid_entry *entry = &policy->leaf[i];

		if (entry->function == function && entry->index == index)
			return (struct cpuid_entry *)entry;
	}
	return NULL;
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
	for (unsigned i = 0; i < ARRAY_COUNT(feature_words); i++) {
		const struct feature_word *row = &feature_words[i];
		struct cpuid_entry *entry = policy_find(policy, row->function, row->index);
		u32 always, mask = feature_mask(row, &always);

		if (entry)
			*entry_reg(entry, row->reg) = (*entry_reg(entry, row->reg) & mask) | always;
	}
}

static void policy_hide(struct cpuid_policy *policy, u32 function, enum reg reg, unsigned bit)
{
	*entry_reg(policy_find(policy, function, 0), reg) &= ~(1u << bit);
}

/* What the back end cannot give although the host's CPUID has it. */
static void policy_limit(struct cpuid_policy *policy)
{
	u64 cr4 = hv->limits.cr4;

	if (!(cr4 & CR4_PCIDE))
		policy_hide(policy, 1, ECX, 17);
	if (!(cr4 & CR4_OSXSAVE))
		policy_hide(policy, 1, ECX, 26);
	if (!(cr4 & CR4_FSGSBASE))
		policy_hide(policy, 7, EBX, 0);
	if (!(cr4 & CR4_SMEP))
		policy_hide(policy, 7, EBX, 7);
	if (!(cr4 & CR4_SMAP))
		policy_hide(policy, 7, EBX, 20);
	if (!(cr4 & CR4_UMIP))
		policy_hide(policy, 7, ECX, 2);
	if (!(cr4 & BIT(22)))
		policy_hide(policy, 7, ECX, 3); /* PKU */
}

static bool is_amd(const struct cpuid_policy *policy)
{
	/* "AuthenticAMD", "HygonGenuine" */
	u32 ebx = policy->leaf[0].ebx;

	return ebx == 0x68747541 || ebx == 0x6f677948;
}

/* Cache leaves, by index until the type field (EAX 4:0) is 0: SDM 2A CPUID.04H, APM 3 E.4.15. */
static void policy_add_caches(struct cpuid_policy *policy, u32 function)
{
	for (u32 index = 0; index < 5; index++) {
		struct cpuid_entry *entry = policy_add(policy, function, index);

		/* Every vCPU is a core of its own: no cache is shared (EAX 25:14), cores are said by 0BH. */
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
	u32 last = policy_add(policy, 0, 0)->eax;

	policy->leaf[0].eax = MAX(MIN(last, 0xd), 0xb);
	policy_add(policy, 1, 0);
	if (!is_amd(policy)) {
		policy_add(policy, 2, 0);
		policy_add_caches(policy, 4);
	}
	*policy_add(policy, 6, 0) = (struct cpuid_entry){ .function = 6 };
	policy_add(policy, 7, 0)->eax = 0;
	if (last < 7)
		*policy_find(policy, 7, 0) = (struct cpuid_entry){ .function = 7 };
	else if (cpuid(7, 0).eax >= 1) {
		u32 eax = policy_add(policy, 7, 1)->eax;

		policy_find(policy, 7, 0)->eax = 1;
		*policy_find(policy, 7, 1) = (struct cpuid_entry){ .function = 7, .index = 1, .eax = eax };
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
	u32 last = policy_add(policy, 0x80000000, 0)->eax;
	struct cpuid_entry *sizes;

	for (u32 function = 0x80000001; function <= 0x80000006; function++)
		policy_add(policy, function, 0);
	*policy_add(policy, 0x80000007, 0) = (struct cpuid_entry){ .function = 0x80000007 };
	sizes = policy_add(policy, 0x80000008, 0);
	sizes->eax = (sizes->eax & 0xff00) | hv->limits.physical_bits;
	sizes->ecx = sizes->edx = 0;
	if (is_amd(policy) && last >= 0x8000001e) {
		policy_add_caches(policy, 0x8000001d);
		*policy_add(policy, 0x8000001e, 0) = (struct cpuid_entry){ .function = 0x8000001e };
		last = MIN(last, 0x80000021);
	} else {
		last = 0x80000008;
	}
	if (last == 0x80000021) {
		u32 eax = policy_add(policy, last, 0)->eax;

		*policy_find(policy, last, 0) = (struct cpuid_entry){ .function = last, .eax = eax };
	}
	policy_find(policy, 0x80000000, 0)->eax = last;
}

void cpuid_policy_make(struct cpuid_policy *policy)
{
	*policy = (struct cpuid_policy){ 0 };
	policy_add_basic(policy);
	policy_add_kvm(policy);
	policy_add_extended(policy);
	policy_filter(policy);
	policy_limit(policy);
	/* APIC id, count of CPUs, CLFLUSH size: the first two are the vCPU's. */
	policy_find(policy, 1, 0)->ebx &= 0x0000ff00;
	if (!is_amd(policy))
		policy_hide(policy, 0x80000001, ECX, 22);
}

/* --- a peer's policy --- */

static int check_vendor(const struct cpuid_entry *peer, const struct cpuid_entry *own, char *why, size_t bytes)
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

static int check_word(const struct feature_word *row, struct cpuid_entry *peer, struct cpuid_entry *own,
		      char *why, size_t bytes)
{
	u32 missing = *entry_reg(peer, row->reg) & ~(own ? *entry_reg(own, row->reg) : 0);
	const char *name;
	size_t length;

	if (!missing)
		return 0;
	length = feature_name(row, (unsigned)__builtin_ctz(missing), &name);
	if (*name == '+')
		name++, length--;
	if (*name == '-')
		fmt_snprintf(why, bytes, "CPUID %xh.%u %s bit %d", row->function, row->index,
			     reg_name[row->reg], __builtin_ctz(missing));
	else
		fmt_snprintf(why, bytes, "%.*s", (int)length, name);
	return -EOPNOTSUPP;
}

static int check_numbers(const struct cpuid_policy *peer, const struct cpuid_policy *own, char *why, size_t bytes)
{
	const struct cpuid_entry *sizes = policy_find(peer, 0x80000008, 0);
	const struct cpuid_entry *xsave = policy_find(peer, 0xd, 0);
	u8 own_bits = (u8)policy_find(own, 0x80000008, 0)->eax;
	u64 components;

	if ((u8)sizes->eax > own_bits) {
		fmt_snprintf(why, bytes, "physical addresses of %u bits, here %u", (u8)sizes->eax, own_bits);
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

/* Every leaf that is here must be one that Tern could have made, once, and those that Tern relies on be there. */
static int check_shape(const struct cpuid_policy *peer, char *why, size_t bytes)
{
	static const u32 required[] = { 0, 1, 7, KVM_LEAF, 0x80000000, 0x80000001, 0x80000008 };

	fmt_snprintf(why, bytes, "malformed CPUID policy");
	if (!peer->count || peer->count > CPUID_LEAVES_MAX || peer->has_subleaf_mask || peer->leaf[0].function)
		return -EINVAL;
	for (unsigned i = 0; i < ARRAY_COUNT(required); i++) {
		if (!policy_find(peer, required[i], 0))
			return -EINVAL;
	}
	for (u32 i = 0; i < peer->count; i++) {
		const struct cpuid_entry *entry = &peer->leaf[i];

		if (!is_known(entry->function) || policy_find(peer, entry->function, entry->index) != entry)
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
	for (unsigned i = 0; !err && i < ARRAY_COUNT(feature_words); i++) {
		const struct feature_word *row = &feature_words[i];
		struct cpuid_entry *peer = policy_find(policy, row->function, row->index);

		if (peer)
			err = check_word(row, peer, policy_find(&own, row->function, row->index), why, why_bytes);
	}
	if (!err)
		err = check_numbers(policy, &own, why, why_bytes);
	if (!err && why_bytes)
		*why = 0;
	return err;
}

/* --- the exit --- */

/* Leaves whose index (ECX) chooses among several. */
static bool has_index(u32 function)
{
	return function == 4 || function == 7 || function == 0xb || function == 0xd || function == 0x8000001d;
}

/* Leaf 0BH: one thread a core (level 0), all cores in one package (level 1). SDM 2A, CPUID.0BH. */
static void fill_topology(const struct vcpu *vcpu, u32 level, struct cpuid_entry *out)
{
	u32 count = vcpu->vm->config.vcpu_count;
	u32 width = count > 1 ? ilog2(count - 1) + 1 : 0;

	*out = (struct cpuid_entry){ .ecx = level, .edx = vcpu->index };
	if (level == 0) {
		out->ebx = 1;
		out->ecx |= 1u << 8;
	} else if (level == 1) {
		out->eax = width;
		out->ebx = count;
		out->ecx |= 2u << 8;
	}
}

/* Bytes of the standard-format area for what the guest's XCR0 has on: leaf 0DH index 0 EBX. */
static u32 xsave_bytes(const struct cpuid_policy *policy, u64 xcr0)
{
	u32 bytes = XSAVE_LEGACY_BYTES;

	for (u32 bit = 2; bit < 63; bit++) {
		const struct cpuid_entry *component = xcr0 & BIT(bit) ? policy_find(policy, 0xd, bit) : NULL;

		if (component)
			bytes = MAX(bytes, component->eax + component->ebx);
	}
	return bytes;
}

/* What depends on the vCPU. */
static void fill_own(const struct vcpu *vcpu, const struct hv_mode *mode, u32 index, struct cpuid_entry *out)
{
	u32 count = vcpu->vm->config.vcpu_count;

	switch (out->function) {
	case 1:
		out->ebx |= vcpu->index << 24 | count << 16;
		if (count > 1)
			out->edx |= 1u << 28; /* HTT: EBX 23:16 is valid */
		if (mode->cr4 & CR4_OSXSAVE)
			out->ecx |= 1u << 27;
		break;
	case 7:
		if (index == 0 && (mode->cr4 & BIT(22)))
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
		if (count > 1 && is_amd(&vcpu->vm->cpuid))
			out->ecx |= 1u << 1; /* CmpLegacy: the package has cores, not threads */
		break;
	case 0x80000008:
		if (is_amd(&vcpu->vm->cpuid)) /* APM 3 E.4.7: NC and ApicIdSize */
			out->ecx = (count - 1) | (count > 1 ? ilog2(count - 1) + 1 : 0) << 12;
		break;
	case 0x8000001e:
		out->eax = vcpu->index;
		out->ebx = vcpu->index;
		break;
	}
}

bool cpuid_allows_xcr0(const struct cpuid_policy *policy, u64 xcr0)
{
	const struct cpuid_entry *entry = policy_find(policy, 0xd, 0);

	return entry && !(xcr0 & ~((u64)entry->edx << 32 | entry->eax));
}

void cpuid_exit(struct vcpu *vcpu)
{
	u64 *gpr = vcpu->hv->gpr;
	u32 function = (u32)gpr[RAX], index = (u32)gpr[RCX];
	struct cpuid_entry out = { 0 };
	const struct cpuid_entry *entry = policy_find(&vcpu->vm->cpuid, function, has_index(function) ? index : 0);
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
