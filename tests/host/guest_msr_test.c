/* SPDX-License-Identifier: BSD-2-Clause */
/* Exits of RDMSR, WRMSR and XSETBV, and what a guest may write to the MSRs that back ends keep. */
/* SOURCES: arch/guest_msr.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/guest_msr.h"

static const struct hv_limits limits = {
	.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE,
	.spec_ctrl = 7,
};

static struct hv_vcpu hv_with(u32 index, u64 value)
{
	struct hv_vcpu hv = { 0 };

	hv.gpr[RCX] = ~0ull << 32 | index; /* upper halves do not count */
	hv.gpr[RAX] = ~0ull << 32 | (u32)value;
	hv.gpr[RDX] = ~0ull << 32 | value >> 32;
	return hv;
}

static void an_exit_says_which_and_what(void **state)
{
	struct hv_vcpu hv = hv_with(MSR_TSC_DEADLINE, BIT(40) | 7);
	struct hv_exit exit;

	(void)state;
	assert_false(guest_msr_exit(&hv, &limits, true, &exit));
	assert_int_equal(exit.reason, HV_EXIT_MSR_WRITE);
	assert_int_equal(exit.msr.index, MSR_TSC_DEADLINE);
	assert_int_equal(exit.msr.value, BIT(40) | 7);
	assert_false(guest_msr_exit(&hv, &limits, false, &exit));
	assert_int_equal(exit.reason, HV_EXIT_MSR_READ);
	assert_int_equal(exit.msr.value, 0);
	hv = hv_with(1, BIT(33) | 3);
	guest_xsetbv_exit(&hv, &exit);
	assert_int_equal(exit.reason, HV_EXIT_XSETBV);
	assert_int_equal(exit.xsetbv.index, 1);
	assert_int_equal(exit.xsetbv.value, BIT(33) | 3);
	hv_set_edx_eax(&hv, BIT(63) | 5);
	assert_int_equal(hv.gpr[RAX], 5);
	assert_int_equal(hv.gpr[RDX], BIT(31));
}

static void four_are_the_back_ends(void **state)
{
	static const u32 ours[] = { MSR_EFER, MSR_PAT, MSR_DEBUGCTL, MSR_SPEC_CTRL };
	struct hv_limits without = limits;
	struct hv_vcpu hv;
	struct hv_exit exit;

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(ours); i++) {
		hv = hv_with(ours[i], 6);
		assert_true(guest_msr_exit(&hv, &limits, true, &exit));
		assert_int_equal(exit.reason, HV_EXIT_NONE);
		assert_int_equal(exit.msr.index, ours[i]);
		assert_int_equal(exit.msr.value, 6);
	}
	without.spec_ctrl = 0; /* where there is none, vmm answers as for any unknown MSR */
	assert_false(guest_msr_exit(&hv, &without, true, &exit));
	assert_int_equal(exit.reason, HV_EXIT_MSR_WRITE);
}

/* SDM 3A 2.2.1, APM 2 3.1.7. */
static void efer_follows_its_rules(void **state)
{
	const u64 is_long = EFER_LME | EFER_LMA;

	(void)state;
	assert_true(guest_efer_may_be(&limits, 0, 0, EFER_LME | EFER_SCE));
	assert_false(guest_efer_may_be(&limits, 0, 0, EFER_SVME));
	assert_false(guest_efer_may_be(&limits, CR0_PG, is_long, EFER_LMA));
	assert_false(guest_efer_may_be(&limits, CR0_PG, 0, EFER_LME));
	assert_true(guest_efer_may_be(&limits, CR0_PG, is_long, EFER_LME | EFER_NXE));
	assert_int_equal(guest_efer_after(is_long, EFER_LME | EFER_NXE), is_long | EFER_NXE);
	assert_int_equal(guest_efer_after(EFER_LME, is_long), EFER_LME);
}

static void others_have_bits_that_are_offered(void **state)
{
	(void)state;
	assert_true(guest_spec_ctrl_may_be(&limits, 7));
	assert_false(guest_spec_ctrl_may_be(&limits, 8));
	assert_int_equal(guest_debugctl_after(0x4003), DEBUGCTL_BTF);
	assert_int_equal(guest_debugctl_after(1), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_exit_says_which_and_what),
		cmocka_unit_test(four_are_the_back_ends),
		cmocka_unit_test(efer_follows_its_rules),
		cmocka_unit_test(others_have_bits_that_are_offered),
	};

	return cmocka_run_group_tests_name("guest_msr", tests, NULL, NULL);
}
