/* SPDX-License-Identifier: BSD-2-Clause */
/* The CPUID policy: what is hidden, what is always there, what a peer may ask for, what the exit adds. */
/* SOURCES: vmm/cpuid.c arch/guest_cpu.c vmm/cpuid_words.c vmm/cpuid_check.c kernel/fmt.c kernel/str.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "arch/cpu.h"
#include "arch/hv.h"
#include "kernel/errno.h"
#include "kernel/string.h"
#include "vmm/cpuid.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

/* --- a host: every bit of every feature word set, but for what a test takes away --- */

static u32 host_leaf7_ebx;
static bool host_is_intel;

/* Recorded: what two real CPUs say (EAX, EBX, ECX, EDX). Leaf 4 of the first: its first cache. */
struct recorded {
	u32 leaf, subleaf;
	struct cpuid_leaf says;
};

/* Core i7-7800X (Skylake-X), in 64-bit mode */
static const struct recorded skylake[] = {
	{ 0, 0, { 0x16, 0x756e6547, 0x6c65746e, 0x49656e69 } },
	{ 1, 0, { 0x50654, 0x10800, 0x77faf3bf, 0xbfebfbff } },
	{ 2, 0, { 0x76036301, 0xf0b5ff, 0, 0xc30000 } },
	{ 4, 0, { 0x1c004121, 0x01c0003f, 0x3f, 0 } },
	{ 6, 0, { 0x75, 2, 9, 0 } },
	{ 7, 0, { 0, 0xd19f27eb, 0, 0 } },
	{ 0xa, 0, { 0x7300404, 0, 0, 0x603 } },
	{ 0xb, 0, { 1, 1, 0, 0 } },
	{ 0xd, 0, { 0xe7, 0x240, 0xa80, 0 } },
	{ 0xd, 2, { 0x100, 0x240, 0, 0 } },
	{ 0xd, 5, { 0x40, 0x440, 0, 0 } },
	{ 0xd, 6, { 0x200, 0x480, 0, 0 } },
	{ 0xd, 7, { 0x400, 0x680, 0, 0 } },
	{ 0x15, 0, { 2, 0x124, 0, 0 } },
	{ 0x16, 0, { 0xdac, 0xfa0, 0x64, 0 } },
	{ 0x80000000, 0, { 0x80000008, 0, 0, 0 } },
	{ 0x80000001, 0, { 0, 0, 0x121, 0x2c100800 } },
	{ 0x80000006, 0, { 0, 0, 0x1006040, 0 } },
	{ 0x80000007, 0, { 0, 0, 0, 0x100 } },
	{ 0x80000008, 0, { 0x3028, 0, 0, 0 } },
};

/* Ryzen of family 17h, model 11h (Zen) */
static const struct recorded zen[] = {
	{ 0, 0, { 0xd, 0x68747541, 0x444d4163, 0x69746e65 } },
	{ 1, 0, { 0x810f10, 0x40800, 0x7ed8320b, 0x178bfbff } },
	{ 6, 0, { 4, 0, 1, 0 } },
	{ 7, 0, { 0, 0x209c01a9, 0, 0 } },
	{ 0xd, 0, { 7, 0x340, 0x340, 0 } },
	{ 0xd, 1, { 0xf, 0x340, 0, 0 } },
	{ 0xd, 2, { 0x100, 0x240, 0, 0 } },
	{ 0x80000000, 0, { 0x8000001f, 0x68747541, 0x444d4163, 0x69746e65 } },
	{ 0x80000001, 0, { 0x810f10, 0x20000000, 0x35c233ff, 0x2fd3fbff } },
	{ 0x80000005, 0, { 0xff40ff40, 0xff40ff40, 0x20080140, 0x40040140 } },
	{ 0x80000006, 0, { 0x26006400, 0x66006400, 0x2006140, 0x208140 } },
	{ 0x80000007, 0, { 0, 0x1b, 0, 0x6599 } },
	{ 0x80000008, 0, { 0x3030, 0x1007, 0x4003, 0 } },
};

static const struct recorded *recorded; /* instead of the host of all bits */
static u32 recorded_count;

static struct cpuid_leaf recorded_says(u32 leaf, u32 subleaf)
{
	for (u32 i = 0; i < recorded_count; i++) {
		if (recorded[i].leaf == leaf && recorded[i].subleaf == subleaf)
			return recorded[i].says;
	}
	return (struct cpuid_leaf){ 0 };
}

struct cpuid_leaf fake_cpuid(u32 leaf, u32 subleaf)
{
	if (recorded)
		return recorded_says(leaf, subleaf);
	switch (leaf) {
	case 0:
		if (host_is_intel)
			return (struct cpuid_leaf){ 0x16, 0x756e6547, 0x6c65746e, 0x49656e69 };
		return (struct cpuid_leaf){ 0xd, 0x68747541, 0x444d4163, 0x69746e65 };
	case 1:
		return (struct cpuid_leaf){ 0x00800f12, 0x05040800, ~0u, ~0u };
	case 7:
		if (subleaf)
			return (struct cpuid_leaf){ ~0u, ~0u, ~0u, ~0u };
		return (struct cpuid_leaf){ 1, host_leaf7_ebx, ~0u, ~0u };
	case 0xd:
		if (subleaf == 0)
			return (struct cpuid_leaf){ 7, 832, 832, 0 };
		if (subleaf == 1)
			return (struct cpuid_leaf){ ~0u, 1, 2, 3 };
		return (struct cpuid_leaf){ 256, 576, 0, 0 };
	case 4:
	case 0x8000001d:
		return (struct cpuid_leaf){ subleaf < 4 ? 0x1c004121 : 0, 0x01c0003f, 63, 0 };
	case 0x80000000:
		return (struct cpuid_leaf){ host_is_intel ? 0x80000008 : 0x80000021, 0, 0, 0 };
	case 0x80000008:
		return (struct cpuid_leaf){ 0x3030, ~0u, 0x3007, 0 };
	default:
		return (struct cpuid_leaf){ ~0u, ~0u, ~0u, ~0u };
	}
}

static u64 guest_cr4, guest_xcr0;

static void fake_mode(const struct hv_vcpu *vcpu, struct hv_mode *mode)
{
	(void)vcpu;
	*mode = (struct hv_mode){ .cr4 = guest_cr4, .xcr0 = guest_xcr0 };
}

static struct hv_ops ops = {
	.mode = fake_mode,
	.limits = { .xcr0 = 7, .cr4 = ~0ull, .physical_bits = 40 },
};
struct hv_ops *hv = &ops;

u64 vtime_tsc_khz(const struct vm *vm)
{
	(void)vm;
	return 2345678;
}

static struct cpuid_policy policy;

static int setup(void **state)
{
	(void)state;
	host_leaf7_ebx = ~0u;
	host_is_intel = false;
	recorded = NULL;
	ops.limits = (struct hv_limits){ .xcr0 = 7, .cr4 = ~0ull, .physical_bits = 40 };
	guest_cr4 = 0;
	guest_xcr0 = 1;
	cpuid_policy_make(&policy);
	return 0;
}

static struct cpuid_entry *leaf(u32 function, u32 index)
{
	for (u32 i = 0; i < policy.count; i++) {
		if (policy.leaf[i].function == function && policy.leaf[i].index == index)
			return &policy.leaf[i];
	}
	return NULL;
}

static struct cpuid_entry ask(u32 vcpus, u32 vcpu_index, u32 function, u32 index)
{
	static struct vm vm;
	struct hv_vcpu hv_vcpu = { .gpr = { [RAX] = function, [RCX] = index } };
	struct vcpu vcpu = { .vm = &vm, .index = vcpu_index, .hv = &hv_vcpu };

	vm.cpuid = policy;
	vm.config.vcpu_count = vcpus;
	cpuid_exit(&vcpu);
	return (struct cpuid_entry){ function, index, (u32)hv_vcpu.gpr[RAX], (u32)hv_vcpu.gpr[RBX],
				     (u32)hv_vcpu.gpr[RCX], (u32)hv_vcpu.gpr[RDX] };
}

static void what_is_not_virtualized_is_hidden(void **state)
{
	(void)state;
	assert_false(leaf(1, 0)->ecx & BIT(3));          /* MONITOR */
	assert_false(leaf(1, 0)->ecx & BIT(5));          /* VMX */
	assert_false(leaf(0x80000001, 0)->ecx & BIT(2)); /* SVM */
	assert_false(leaf(7, 0)->ebx & BIT(2));          /* SGX */
	assert_false(leaf(7, 0)->ecx & BIT(16));         /* LA57 */
	assert_false(leaf(0xd, 1)->eax & 0xa);           /* XSAVEC, XSAVES */
	assert_int_equal(leaf(0x80000007, 0)->edx, 0);   /* invariant TSC */
	assert_null(leaf(0xa, 0));
	assert_null(leaf(0x8000000a, 0));
	/* All bits set on the host and yet no word is: each one is an allow-list. */
	assert_int_not_equal(leaf(1, 0)->edx, ~0u);
	assert_int_not_equal(leaf(7, 0)->edx, ~0u);
}

static void what_tern_emulates_is_there_on_any_host(void **state)
{
	(void)state;
	host_leaf7_ebx = 0;
	cpuid_policy_make(&policy);
	assert_true(leaf(1, 0)->ecx & BIT(21)); /* x2APIC */
	assert_true(leaf(1, 0)->ecx & BIT(24)); /* TSC deadline */
	assert_true(leaf(1, 0)->ecx & BIT(31)); /* hypervisor */
	assert_int_equal(leaf(7, 0)->ebx, BIT(1)); /* TSC_ADJUST, and nothing that the host lacks */
	assert_int_equal(leaf(0x40000000, 0)->ebx, 0x4b4d564b);
	assert_int_equal(leaf(0x40000001, 0)->eax, 0x0100000b);
}

static void limits_of_the_back_end_count(void **state)
{
	(void)state;
	assert_true(leaf(1, 0)->ecx & BIT(17));
	ops.limits.cr4 = ~(u64)(CR4_PCIDE | CR4_SMEP);
	ops.limits.xcr0 = 3;
	cpuid_policy_make(&policy);
	assert_false(leaf(1, 0)->ecx & BIT(17));
	assert_false(leaf(7, 0)->ebx & BIT(7));
	assert_false(leaf(1, 0)->ecx & BIT(28)); /* AVX without its state */
	assert_false(leaf(7, 0)->ebx & BIT(16));
	assert_true(leaf(1, 0)->ecx & BIT(20));
	assert_int_equal(leaf(0xd, 0)->eax, 3);
	assert_int_equal(leaf(0xd, 0)->ecx, 576);
	assert_null(leaf(0xd, 2));
	assert_int_equal(leaf(0x80000008, 0)->eax & 0xff, 40);
}

static void a_host_takes_back_its_own(void **state)
{
	char why[80] = "x";

	(void)state;
	assert_int_equal(cpuid_policy_check(&policy, why, sizeof(why)), 0);
	assert_string_equal(why, "");
}

static void a_missing_feature_is_named(void **state)
{
	char why[80];

	(void)state;
	host_leaf7_ebx = ~(u32)BIT(5);
	assert_int_equal(cpuid_policy_check(&policy, why, sizeof(why)), -EOPNOTSUPP);
	assert_string_equal(why, "avx2");
	host_leaf7_ebx = ~0u;
	leaf(1, 0)->ecx |= BIT(5);
	assert_int_equal(cpuid_policy_check(&policy, why, sizeof(why)), -EOPNOTSUPP);
	assert_string_equal(why, "CPUID 1h.0 ecx bit 5");
}

static void less_than_the_host_has_is_good(void **state)
{
	char why[80];

	(void)state;
	leaf(7, 0)->ebx = 0;
	leaf(1, 0)->ecx &= ~(u32)BIT(28);
	leaf(0x80000008, 0)->eax = 0x3024;
	assert_int_equal(cpuid_policy_check(&policy, why, sizeof(why)), 0);
}

static void another_vendor_is_named(void **state)
{
	char why[80];

	(void)state;
	host_is_intel = true;
	assert_int_equal(cpuid_policy_check(&policy, why, sizeof(why)), -ENODEV);
	assert_string_equal(why, "vendor AuthenticAMD, here GenuineIntel");
	leaf(0, 0)->ebx = 0x01027f0a;
	cpuid_policy_check(&policy, why, sizeof(why));
	assert_string_equal(why, "vendor ????enticAMD, here GenuineIntel");
}

static void wider_addresses_and_unknown_state_are_refused(void **state)
{
	char why[80];

	(void)state;
	leaf(0x80000008, 0)->eax = 0x3030;
	assert_int_equal(cpuid_policy_check(&policy, why, sizeof(why)), -EOPNOTSUPP);
	assert_string_equal(why, "physical addresses of 48 bits, here 40");
	leaf(0x80000008, 0)->eax = 0x3028;
	leaf(0xd, 0)->eax = 0xe7;
	assert_int_equal(cpuid_policy_check(&policy, why, sizeof(why)), -EOPNOTSUPP);
	assert_string_equal(why, "XSAVE component 5");
}

static void malformed_policies_are_refused(void **state)
{
	struct cpuid_policy good = policy;
	char why[80];

	(void)state;
	policy.count = 0;
	assert_int_equal(cpuid_policy_check(&policy, why, sizeof(why)), -EINVAL);
	policy.count = CPUID_LEAVES_MAX + 1;
	assert_int_equal(cpuid_policy_check(&policy, why, sizeof(why)), -EINVAL);
	policy = good;
	policy.leaf[3] = policy.leaf[2];
	assert_int_equal(cpuid_policy_check(&policy, why, sizeof(why)), -EINVAL);
	policy = good;
	leaf(7, 0)->function = 0x12345;
	assert_int_equal(cpuid_policy_check(&policy, why, sizeof(why)), -EINVAL);
	policy = good;
	leaf(6, 0)->function = 0x14;
	assert_int_equal(cpuid_policy_check(&policy, why, sizeof(why)), -EINVAL);
	policy = good;
	leaf(0xd, 2)->eax = 0xffffff00;
	assert_int_equal(cpuid_policy_check(&policy, why, sizeof(why)), -EINVAL);
	policy = good;
	policy.has_subleaf_mask = 1;
	assert_int_equal(cpuid_policy_check(&policy, why, sizeof(why)), -EINVAL);
}

/* Random damage: an answer, and no step outside of the policy (the sanitizers watch). */
static void random_policies_are_survived(void **state)
{
	struct cpuid_policy good = policy;
	u64 x = 88172645463325252ull;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		char why[16];

		policy = good;
		for (unsigned n = 0; n < 1 + i % 8; n++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			((u8 *)&policy)[x % sizeof(policy)] ^= (u8)(x >> 32);
		}
		if (cpuid_policy_check(&policy, why, sizeof(why)))
			assert_true(why[0]);
		else
			ask(4, 3, (u32)(x >> 8), (u32)x);
	}
}

static void topology_says_one_core_a_vcpu(void **state)
{
	(void)state;
	assert_int_equal(ask(1, 0, 1, 0).edx & BIT(28), 0);
	assert_int_equal(ask(4, 3, 1, 0).ebx >> 24, 3);
	assert_int_equal(ask(4, 3, 1, 0).ebx >> 16 & 0xff, 4);
	assert_true(ask(4, 3, 1, 0).edx & BIT(28));
	assert_int_equal(ask(4, 3, 0xb, 0).ebx, 1);
	assert_int_equal(ask(4, 3, 0xb, 1).ebx, 4);
	assert_int_equal(ask(4, 3, 0xb, 1).eax, 2);
	assert_int_equal(ask(4, 3, 0xb, 1).edx, 3);
	assert_int_equal(ask(5, 3, 0xb, 1).eax, 3);
	assert_int_equal(ask(4, 3, 0xb, 2).ebx, 0);
	assert_int_equal(ask(4, 3, 0x80000008, 0).ecx, 3 | 2 << 12);
	assert_int_equal(ask(4, 3, 0x8000001e, 0).eax, 3);
	assert_int_equal(ask(4, 3, 0x8000001d, 0).eax >> 14 & 0xfff, 0);
}

static void the_exit_follows_the_guest(void **state)
{
	(void)state;
	assert_false(ask(1, 0, 1, 0).ecx & BIT(27));
	guest_cr4 = CR4_OSXSAVE;
	assert_true(ask(1, 0, 1, 0).ecx & BIT(27));
	assert_int_equal(ask(1, 0, 0xd, 0).ebx, 576);
	guest_xcr0 = 7;
	assert_int_equal(ask(1, 0, 0xd, 0).ebx, 832);
	assert_int_equal(ask(1, 0, 0x40000010, 0).eax, 2345678);
	assert_int_equal(ask(1, 0, 0x40000010, 0).ebx, 1000000);
	/* The index matters only where there is one. */
	assert_int_equal(ask(1, 0, 0, 77).eax, 0xd);
	assert_int_equal(ask(1, 0, 7, 2).ebx, 0);
	assert_int_equal(ask(1, 0, 0x12345678, 0).eax, 0);
	assert_true(cpuid_allows_xcr0(&policy, 7));
	assert_false(cpuid_allows_xcr0(&policy, 0x207));
}

static void become(const struct recorded *cpu, u32 count, u64 xcr0, u8 physical_bits)
{
	recorded = cpu;
	recorded_count = count;
	ops.limits = (struct hv_limits){ .xcr0 = xcr0, .cr4 = 0x3f07ff, .physical_bits = physical_bits };
	cpuid_policy_make(&policy);
}

/* What each maker's guests look for is there, what they would only stumble over is not. */
static void a_recorded_skylake_makes_a_whole_guest(void **state)
{
	char why[80];

	(void)state;
	become(skylake, ARRAY_COUNT(skylake), 0xe7, 39);
	assert_int_equal(leaf(0, 0)->eax, 0xd);
	assert_int_equal(leaf(2, 0)->eax, 0x76036301);
	assert_int_equal(leaf(4, 0)->eax, 0x121);  /* no cache is shared, as each vCPU is a core */
	assert_int_equal(leaf(4, 1)->eax, 0);      /* and the list ends */
	assert_int_equal(ask(4, 0, 4, 0).eax >> 26, 3);
	assert_int_equal(ask(4, 0, 4, 1).eax, 0);
	assert_false(leaf(1, 0)->ecx & (BIT(5) | BIT(3) | BIT(15))); /* VMX, MONITOR, PDCM */
	assert_false(leaf(1, 0)->edx & (BIT(21) | BIT(22) | BIT(29))); /* DS, ACPI, TM */
	assert_false(leaf(7, 0)->ebx & (BIT(4) | BIT(11) | BIT(14))); /* HLE, RTM, MPX */
	assert_false(leaf(7, 0)->edx & BIT(29)); /* ARCH_CAPABILITIES: the MSR is not there */
	assert_true(leaf(7, 0)->ebx & BIT(16));  /* AVX-512, with its state: */
	assert_int_equal(leaf(0xd, 0)->eax, 0xe7);
	assert_int_equal(leaf(0xd, 0)->ecx, 0xa80);
	assert_int_equal(leaf(6, 0)->eax, BIT(2));
	assert_int_equal(leaf(0x80000000, 0)->eax, 0x80000008);
	assert_true(leaf(0x80000001, 0)->edx & BIT(11)); /* SYSCALL */
	assert_null(leaf(0x8000001d, 0));
	assert_null(leaf(0x15, 0));
	assert_int_equal(ask(4, 0, 0x80000008, 0).ecx, 0);
	assert_int_equal(ask(1, 0, 0x40000000, 0).ebx, 0x4b4d564b);
	assert_int_equal(cpuid_policy_check(&policy, why, sizeof(why)), 0);
}

static void a_recorded_zen_makes_a_whole_guest(void **state)
{
	char why[80];

	(void)state;
	become(zen, ARRAY_COUNT(zen), 7, 48);
	assert_int_equal(leaf(0, 0)->eax, 0xd);
	assert_null(leaf(2, 0));
	assert_null(leaf(4, 0));
	assert_int_equal(leaf(0x80000000, 0)->eax, 0x8000001f);
	assert_non_null(leaf(0x8000001e, 0));
	assert_false(leaf(0x80000001, 0)->ecx & (BIT(2) | BIT(10) | BIT(29))); /* SVM, IBS, MWAITX */
	assert_true(leaf(0x80000001, 0)->ecx & BIT(22));                       /* TOPOEXT */
	assert_int_equal(leaf(0x80000008, 0)->ebx, BIT(12) | BIT(0) | BIT(2)); /* IBPB, CLZERO, XSAVEERPTR */
	assert_int_equal(ask(4, 2, 0x80000008, 0).ecx, 3 | 2 << 12);
	assert_int_equal(ask(4, 2, 0x8000001e, 0).ebx, 2);
	assert_int_equal(leaf(0xd, 0)->ecx, 0x340);
	assert_int_equal(cpuid_policy_check(&policy, why, sizeof(why)), 0);
	recorded = skylake;
	recorded_count = ARRAY_COUNT(skylake);
	assert_int_equal(cpuid_policy_check(&policy, why, sizeof(why)), -ENODEV);
	assert_string_equal(why, "vendor AuthenticAMD, here GenuineIntel");
}

/* A bit that stands for IA32_SPEC_CTRL is there only if the back end takes the MSR's bit. */
static void speculation_controls_follow_the_msr(void **state)
{
	(void)state;
	assert_int_equal(leaf(7, 0)->edx & (BIT(26) | BIT(27) | BIT(31)), 0);
	assert_int_equal(leaf(0x80000008, 0)->ebx & (BIT(14) | BIT(15) | BIT(24)), 0);
	assert_true(leaf(0x80000008, 0)->ebx & BIT(12)); /* IBPB is another MSR */
	ops.limits.spec_ctrl = 5;
	cpuid_policy_make(&policy);
	assert_int_equal(leaf(7, 0)->edx & (BIT(26) | BIT(27) | BIT(31)), BIT(26) | BIT(31));
	assert_int_equal(leaf(0x80000008, 0)->ebx & (BIT(14) | BIT(15) | BIT(24)), BIT(14) | BIT(24));
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_is_not_virtualized_is_hidden),
		TEST(what_tern_emulates_is_there_on_any_host),
		TEST(limits_of_the_back_end_count),
		TEST(a_host_takes_back_its_own),
		TEST(a_missing_feature_is_named),
		TEST(less_than_the_host_has_is_good),
		TEST(another_vendor_is_named),
		TEST(wider_addresses_and_unknown_state_are_refused),
		TEST(malformed_policies_are_refused),
		TEST(random_policies_are_survived),
		TEST(topology_says_one_core_a_vcpu),
		TEST(the_exit_follows_the_guest),
		TEST(a_recorded_skylake_makes_a_whole_guest),
		TEST(a_recorded_zen_makes_a_whole_guest),
		TEST(speculation_controls_follow_the_msr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
