/* SPDX-License-Identifier: BSD-2-Clause */
/* What each exit does to the guest. */
/* SOURCES: vmm/vcpu.c vmm/exit.c arch/nested.c arch/vcpu_state.c kernel/page.c kernel/page_map.c kernel/heap.c
 * kernel/panic.c kernel/log.c kernel/fmt.c kernel/clock.c kernel/str.c tests/host/fake/hv_fake.c */
#include "tests/host/fake/lone_vcpu.h"

static void port_exits(void **state)
{
	(void)state;
	vcpu->hv->gpr[RAX] = 0xffffffffffffffff;
	play((struct hv_exit){ .reason = HV_EXIT_IO, .insn_len = 1, .io = { .port = 0x60, .size = 1, .is_in = true } });
	assert_true(vcpu->hv->gpr[RAX] == 0xffffffffffffffd4);
	assert_int_equal(vcpu->hv->rip, 0x1001);
	play((struct hv_exit){ .reason = HV_EXIT_IO, .insn_len = 1, .io = { .port = 0x60, .size = 2, .is_in = true } });
	assert_true(vcpu->hv->gpr[RAX] == 0xffffffffffffc3d4);
	play((struct hv_exit){ .reason = HV_EXIT_IO, .insn_len = 1, .io = { .port = 0x60, .size = 4, .is_in = true } });
	assert_true(vcpu->hv->gpr[RAX] == 0xa1b2c3d4);
	play((struct hv_exit){ .reason = HV_EXIT_IO, .insn_len = 2, .io = { .port = 0x70, .size = 1 } });
	assert_int_equal(last_port_value, 0xd4);
}

static void msr_exits(void **state)
{
	(void)state;
	play((struct hv_exit){ .reason = HV_EXIT_MSR_READ, .insn_len = 2, .msr = { .index = 1 } });
	assert_int_equal(vcpu->hv->gpr[RAX], 0x55667788);
	assert_int_equal(vcpu->hv->gpr[RDX], 0x11223344);
	assert_int_equal(vcpu->hv->rip, 0x1002);
	for (u32 index = 2; index <= 3; index++) {
		play((struct hv_exit){ .reason = HV_EXIT_MSR_READ, .insn_len = 2, .msr = { .index = index } });
		assert_int_equal(inside()->injected.vector, 13);
		assert_int_equal(vcpu->hv->rip, 0x1000);
		play((struct hv_exit){ .reason = HV_EXIT_MSR_WRITE, .insn_len = 2, .msr = { .index = index } });
		assert_int_equal(inside()->inject_count, 1);
	}
}

static void xsetbv_takes_what_the_cpu_takes(void **state)
{
	static const struct {
		u32 index;
		u64 value;
		bool is_good;
	} cases[] = {
		{ 0, 1, true }, { 0, 3, true }, { 0, 7, true }, { 0, 0, false }, { 0, 2, false }, { 0, 5, false },
		{ 0, 0x27, false }, { 0, 0xe7, false }, { 1, 3, false }, { 0, BIT(63) | 1, false },
	};

	(void)state;
	hv->limits.xcr0 = 0xe7;
	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		play((struct hv_exit){ .reason = HV_EXIT_XSETBV, .insn_len = 3,
				       .xsetbv = { cases[i].index, cases[i].value } });
		assert_int_equal(inside()->inject_count, !cases[i].is_good);
		if (cases[i].is_good)
			assert_int_equal(inside()->state.xcr0, cases[i].value);
	}
}

static void hypercalls_and_odd_instructions(void **state)
{
	(void)state;
	vcpu->hv->gpr[RAX] = 12345;
	play((struct hv_exit){ .reason = HV_EXIT_HYPERCALL, .insn_len = 3 });
	assert_true(vcpu->hv->gpr[RAX] == (u64)-1000);
	assert_int_equal(vcpu->hv->rip, 0x1003);
	play((struct hv_exit){ .reason = HV_EXIT_CPUID, .insn_len = 2 });
	assert_int_equal(vcpu->hv->gpr[RAX], 0xc0de);
	play((struct hv_exit){ .reason = HV_EXIT_RDTSC, .insn_len = 2 });
	assert_int_equal(vcpu->hv->gpr[RAX], 0x34567890);
	assert_int_equal(vcpu->hv->gpr[RDX], 0x12);
	play((struct hv_exit){ .reason = HV_EXIT_WBINVD });
	assert_int_equal(vcpu->hv->rip, 0x1002); /* measured, since the back end did not know */
	play((struct hv_exit){ .reason = HV_EXIT_MWAIT, .insn_len = 3 });
	assert_int_equal(inside()->injected.vector, 6);
	assert_int_equal(vcpu->hv->rip, 0x1000);
	assert_false(was_killed);
}

static void nested_faults(void **state)
{
	unsigned flushes = (unsigned)inside()->flush_count;

	(void)state;
	play((struct hv_exit){ .reason = HV_EXIT_NESTED_FAULT, .nested = { .gpa = GPA(0xfee00020) } });
	assert_int_equal(mmio_gpa, 0xfee00020);
	play((struct hv_exit){ .reason = HV_EXIT_NESTED_FAULT, .nested = { .gpa = GPA(0x5000) } });
	assert_int_equal(vcpu->hv->rip, 0x1000);
	assert_int_equal(inside()->flush_count, flushes + 1);
	assert_false(was_killed);
	play((struct hv_exit){ .reason = HV_EXIT_NESTED_FAULT, .nested = { .gpa = GPA(0x6000), .is_write = true } });
	assert_int_equal(vcpu->hv->rip, 0x1000);
	assert_int_equal(inside()->flush_count, flushes + 1);
	assert_false(was_killed);
	left_count = 0;
	play((struct hv_exit){ .reason = HV_EXIT_LOG_FULL });
	assert_int_equal(left_count, 1);
	assert_int_equal(vcpu->hv->rip, 0x1000);
	play((struct hv_exit){ .reason = HV_EXIT_NESTED_FAULT, .nested = { .gpa = GPA(0xfee00020), .is_fetch = true } });
	assert_true(was_killed);
}

static void what_has_no_answer_ends_the_vm(void **state)
{
	static const enum hv_exit_reason reasons[] = { HV_EXIT_TRIPLE_FAULT, HV_EXIT_ENTRY_FAILED, HV_EXIT_UNKNOWN };

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(reasons); i++) {
		was_killed = false;
		play((struct hv_exit){ .reason = reasons[i] });
		assert_true(was_killed);
		assert_int_equal(run(), RUN_BLOCKED);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(port_exits),
		TEST(msr_exits),
		TEST(xsetbv_takes_what_the_cpu_takes),
		TEST(hypercalls_and_odd_instructions),
		TEST(nested_faults),
		TEST(what_has_no_answer_ends_the_vm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
