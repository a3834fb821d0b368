/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which steps of hardening a CPU needs. The profiles are put together from the vendors' documents
 * (the feature bits that each model enumerates with the microcode of 2024 or later), not recorded.
 */
/* SOURCES: arch/harden.c kernel/string.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/harden.h"

#define STEP(name) (1u << HARDEN_##name)
#define SWITCH STEP(IBPB_SWITCH)

/* CPUID 7.0 EDX: MD_CLEAR; IBRS and IBPB, STIBP, ARCH_CAPABILITIES, SSBD; the L1D command. */
#define EDX_INTEL (BIT(10) | BITS(27, 26) | BIT(29) | BIT(31))
#define EDX_L1D BIT(28)
#define EBX_RTM BIT(11)
/* IA32_ARCH_CAPABILITIES of a core with RDCL_NO, IBRS_ALL, SKIP_L1DFL, MDS_NO, IF_PSCHANGE_MC_NO. */
#define CAP_FIXED (BITS(1, 0) | BIT(3) | BITS(6, 5))
/* CPUID 80000008H EBX: IBPB; IBRS, STIBP, SSBD. */
#define AMD_IBPB BIT(12)
#define AMD_SPEC (BITS(15, 14) | BIT(24))

static const struct known {
	const char *name;
	struct harden_profile profile;
	u32 steps;
	u64 spec_ctrl;
	bool is_exposed, wants_no_threads;
} known[] = {
	{ "Haswell server",
	  { HARDEN_INTEL, 6, 0x3f, .leaf7_edx = BIT(10) | BITS(28, 26) | BIT(31), .has_threads = true },
	  SWITCH | STEP(L1D_FLUSH) | STEP(VERW) | STEP(RSB_FILL) | STEP(IBRS_EXIT), 1, false, true },
	{ "Skylake client",
	  { HARDEN_INTEL, 6, 0x5e, .leaf7_ebx = EBX_RTM, .leaf7_edx = EDX_INTEL | EDX_L1D, .capabilities = BIT(2),
	    .has_threads = true },
	  SWITCH | STEP(L1D_FLUSH) | STEP(VERW) | STEP(RSB_FILL) | STEP(IBRS_EXIT), 1, false, true },
	{ "Skylake server, threads off",
	  { HARDEN_INTEL, 6, 0x55, .leaf7_ebx = EBX_RTM, .leaf7_edx = EDX_INTEL | EDX_L1D, .capabilities = BIT(2) },
	  SWITCH | STEP(L1D_FLUSH) | STEP(VERW) | STEP(RSB_FILL) | STEP(IBRS_EXIT), 1, false, false },
	{ "Cascade Lake, TSX on",
	  { HARDEN_INTEL, 6, 0x55, .leaf7_ebx = EBX_RTM, .leaf7_edx = EDX_INTEL | EDX_L1D,
	    .capabilities = CAP_FIXED | BIT(7) | BIT(17), .has_threads = true },
	  SWITCH | STEP(VERW) | STEP(RSB_ONE) | STEP(SPEC_CTRL) | STEP(BHB_CLEAR), 1, false, false },
	{ "Cascade Lake, TSX off",
	  { HARDEN_INTEL, 6, 0x55, .leaf7_edx = EDX_INTEL | EDX_L1D, .capabilities = CAP_FIXED | BIT(7) | BIT(17) },
	  SWITCH | STEP(RSB_ONE) | STEP(SPEC_CTRL) | STEP(BHB_CLEAR), 1, false, false },
	{ "Ice Lake server",
	  { HARDEN_INTEL, 6, 0x6a, .leaf7_edx = EDX_INTEL | EDX_L1D,
	    .capabilities = CAP_FIXED | BIT(8) | BIT(17) | BIT(19), .has_threads = true },
	  SWITCH | STEP(RSB_ONE) | STEP(SPEC_CTRL) | STEP(BHB_CLEAR), 1, false, false },
	{ "Alder Lake",
	  { HARDEN_INTEL, 6, 0x97, .leaf7_edx = EDX_INTEL | EDX_L1D, .leaf7_2_edx = BIT(4),
	    .capabilities = CAP_FIXED | BIT(8) | BITS(15, 13) | BIT(19) | BIT(24) | BIT(28), .has_threads = true },
	  SWITCH | STEP(VERW) | STEP(SPEC_CTRL), 1 | BIT(10), false, false },
	{ "Sapphire Rapids",
	  { HARDEN_INTEL, 6, 0x8f, .leaf7_ebx = EBX_RTM, .leaf7_edx = EDX_INTEL | EDX_L1D, .leaf7_2_edx = BIT(4),
	    .capabilities = CAP_FIXED | BIT(8) | BITS(15, 13) | BIT(19) | BIT(24) | BIT(27), .has_threads = true },
	  SWITCH | STEP(SPEC_CTRL), 1 | BIT(10), false, false },
	{ "Skylake client with the microcode of 2017",
	  { HARDEN_INTEL, 6, 0x5e, .leaf7_ebx = EBX_RTM, .has_threads = true },
	  STEP(RSB_FILL), 0, true, true },
	{ "Bonnell", { HARDEN_INTEL, 6, 0x1c, .has_threads = true }, STEP(RSB_FILL), 0, true, false },
	{ "Zen", { HARDEN_AMD, 0x17, 0x01, .ext8_ebx = AMD_IBPB, .has_threads = true },
	  SWITCH | STEP(RSB_FILL) | STEP(IBPB_EXIT), 0, false, false },
	{ "Zen without IBPB, as QEMU's EPYC", { HARDEN_AMD, 0x17, 0x01, .ext8_ebx = 0 }, STEP(RSB_FILL), 0, true, false },
	{ "Zen 2", { HARDEN_AMD, 0x17, 0x31, .ext8_ebx = AMD_IBPB | AMD_SPEC },
	  SWITCH | STEP(RSB_FILL) | STEP(IBPB_EXIT) | STEP(SPEC_CTRL), 0, false, false },
	{ "Zen 3",
	  { HARDEN_AMD, 0x19, 0x01, .ext8_ebx = AMD_IBPB | AMD_SPEC | BIT(29), .ext21_eax = BIT(28),
	    .has_virtual_spec_ctrl = true },
	  SWITCH | STEP(RSB_FILL) | STEP(IBPB_EXIT), 0, false, false },
	{ "Zen 3 with the microcode of 2022",
	  { HARDEN_AMD, 0x19, 0x01, .ext8_ebx = AMD_IBPB | AMD_SPEC | BIT(29), .has_virtual_spec_ctrl = true },
	  SWITCH | STEP(RSB_FILL) | STEP(IBPB_EXIT), 0, true, false },
	{ "Zen 4, with the microcode for TSA",
	  { HARDEN_AMD, 0x19, 0x11, .ext8_ebx = AMD_IBPB | AMD_SPEC | BIT(29), .ext21_eax = BIT(5) | BIT(8) | BIT(28),
	    .has_virtual_spec_ctrl = true },
	  SWITCH | STEP(VERW) | STEP(IBPB_EXIT) | STEP(AUTO_IBRS), 0, false, false },
	{ "Zen 5",
	  { HARDEN_AMD, 0x1a, 0x02, .ext8_ebx = AMD_IBPB | AMD_SPEC | BIT(29), .ext21_eax = BIT(8) | BITS(31, 30),
	    .ext21_ecx = BITS(2, 1), .has_virtual_spec_ctrl = true },
	  SWITCH | STEP(AUTO_IBRS) | STEP(SPEC_REDUCE), 0, false, false },
	{ "a later AMD core without SRSO, its IBRS always on, no AutoIBRS",
	  { HARDEN_AMD, 0x1a, 0x02, .ext8_ebx = AMD_IBPB | AMD_SPEC | BIT(16) | BIT(29), .ext21_eax = BIT(29) },
	  SWITCH | STEP(RSB_FILL) | STEP(SPEC_CTRL), 1, false, false },
	{ "a vendor unheard of", { HARDEN_OTHER, 6, 1, .leaf7_edx = BIT(26) },
	  SWITCH | STEP(RSB_FILL) | STEP(IBRS_EXIT), 1, false, false },
};

static void known_cpus_get_their_steps(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(known); i++) {
		struct harden_plan plan;

		harden_decide(&known[i].profile, &plan);
		if (plan.steps != known[i].steps || plan.spec_ctrl != known[i].spec_ctrl)
			fail_msg("%s: steps %#x instead of %#x, SPEC_CTRL %#llx", known[i].name, plan.steps,
				 known[i].steps, (unsigned long long)plan.spec_ctrl);
		if (!plan.exposed != !known[i].is_exposed || !plan.threads != !known[i].wants_no_threads)
			fail_msg("%s: exposed: %s, threads: %s", known[i].name, plan.exposed, plan.threads);
		/* IF_PSCHANGE_MC_NO; the in-order cores are not concerned. */
		assert_int_equal(plan.pages != NULL, known[i].profile.vendor == HARDEN_INTEL &&
				 !(known[i].profile.capabilities & BIT(6)) && known[i].profile.model != 0x1c);
	}
}

/* For whatever a CPU may say: each step has its reason, and steps that exclude each other do. */
static void any_cpu_gets_a_sound_plan(void **state)
{
	u64 x = 88172645463325252ull;

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		struct harden_profile p;
		struct harden_plan plan;
		u32 words[sizeof(p) / 4];

		for (unsigned n = 0; n < ARRAY_COUNT(words); n++)
			x ^= x << 13, x ^= x >> 7, x ^= x << 17, words[n] = (u32)(x >> 16);
		p = (struct harden_profile){
			words[0] % 3, words[1] % 32, words[2] % 256, words[3], words[4], words[5], words[6], words[7],
			words[8], words[9] | (u64)words[10] << 32, words[11] & 1, words[11] & 2,
		};
		harden_decide(&p, &plan);
		for (unsigned step = 0; step < HARDEN_STEP_COUNT; step++)
			assert_non_null(plan.why[step]);
		assert_true((plan.steps & (STEP(RSB_FILL) | STEP(RSB_ONE))) != (STEP(RSB_FILL) | STEP(RSB_ONE)));
		assert_true((plan.steps & (STEP(IBRS_EXIT) | STEP(SPEC_CTRL))) != (STEP(IBRS_EXIT) | STEP(SPEC_CTRL)));
		/* No write of an MSR that the CPU has not got. */
		if (!((p.leaf7_edx & (BITS(27, 26) | BIT(31))) | (p.ext8_ebx & AMD_SPEC)))
			assert_int_equal(plan.spec_ctrl | (plan.steps & (STEP(IBRS_EXIT) | STEP(SPEC_CTRL))), 0);
		if (!((p.leaf7_edx & BIT(26)) | (p.ext8_ebx & AMD_IBPB)))
			assert_int_equal(plan.steps & (STEP(IBPB_SWITCH) | STEP(IBPB_EXIT)), 0);
		if (!(p.leaf7_edx & EDX_L1D))
			assert_int_equal(plan.steps & STEP(L1D_FLUSH), 0);
		/* What Tern wants in IA32_SPEC_CTRL gets there after each exit. */
		if (plan.spec_ctrl && !p.has_virtual_spec_ctrl)
			assert_true(plan.steps & (STEP(IBRS_EXIT) | STEP(SPEC_CTRL)));
	}
}

static void cleared_sites_do_nothing(void **state)
{
	static const u8 nop[] = { 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0 };

	(void)state;
	for (u32 bytes = 1; bytes < 300; bytes++) {
		u8 code[302];
		u32 at = 0, jump;

		memset(code, 0xcc, sizeof(code));
		harden_site_clear(code + 1, bytes);
		assert_int_equal(code[0], 0xcc);
		assert_int_equal(code[1 + bytes], 0xcc);
		while (at < bytes) {
			if (code[1 + at] == 0xe9) {
				memcpy(&jump, code + 2 + at, 4);
				at += 5 + jump;
			} else if (code[1 + at] == 0x90) {
				at++;
			} else {
				assert_memory_equal(code + 1 + at, nop, sizeof(nop));
				at += sizeof(nop);
			}
		}
		assert_int_equal(at, bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_cpus_get_their_steps),
		cmocka_unit_test(any_cpu_gets_a_sound_plan),
		cmocka_unit_test(cleared_sites_do_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
