/* SPDX-License-Identifier: BSD-2-Clause */
/* MSRs: those in hardware keep what is written, unknown ones fault, Tern's own have rules. */
#include "vmm/selftest/lib.h"

static void kept(const char *name, u32 msr, u64 value)
{
	u64 before = 0, after = ~value;

	rdmsr_try(msr, &before);
	wrmsr_try(msr, value);
	rdmsr_try(msr, &after);
	wrmsr_try(msr, before);
	expect(name, value, after);
}

void guest_main(const struct start_info *info)
{
	u64 value, first, second;

	(void)info;
	interrupts_init();
	kept("LSTAR", 0xc0000082, 0xffffffff81234567);
	kept("STAR", 0xc0000081, 0x0023001000000000);
	kept("KERNEL_GS_BASE", MSR_KERNEL_GS_BASE, 0xffff888000000000);
	kept("FS_BASE", MSR_FS_BASE, 0x00007f1234567000);
	kept("SYSENTER_EIP", 0x176, 0xffffffff81000000);
	kept("PAT", MSR_PAT, 0x0407010600070106);
	kept("MTRR base", 0x200, 0x00000000c0000006);
	kept("MTRR default type", 0x2ff, 0xc06);

	expect_true("EFER is readable", rdmsr_try(MSR_EFER, &value));
	expect("EFER: long mode active, no SVM", EFER_LMA | EFER_LME, value & (EFER_LMA | EFER_LME | EFER_SVME));
	expect("EFER.SVME is #GP", 0, wrmsr_try(MSR_EFER, value | EFER_SVME));
	expect("EFER: reserved bit is #GP", 0, wrmsr_try(MSR_EFER, value | BIT(40)));
	expect_true("EFER.NXE can be set", wrmsr_try(MSR_EFER, value | EFER_NXE));

	expect("unknown MSR: read is #GP", 0, rdmsr_try(0x12345678, &value));
	expect("unknown MSR: write is #GP", 0, wrmsr_try(0x12345678, 1));
	expect("MTRR: bad type is #GP", 0, wrmsr_try(0x2ff, 0x802));
	expect("MTRR_CAP is read-only", 0, wrmsr_try(MSR_MTRR_CAP, 0));
	expect_true("MCG_CAP is readable", rdmsr_try(0x179, &value));
	expect("MCG_CAP: no banks", 0, value & 0xff);
	expect_true("APIC_BASE is readable", rdmsr_try(MSR_APIC_BASE, &value));
	expect("APIC_BASE: boot CPU, enabled, at its place", 0xfee00900, value);

	rdmsr_try(0x10, &first);
	second = rdtsc();
	expect_range("TSC by MSR and by RDTSC agree", first, first + 1000000000, second);
	wrmsr_try(0x10, 5000);
	expect_range("the TSC can be set", 5000, 1000000000, rdtsc());
	wrmsr_try(0x3b, 0);
	expect_range("TSC_ADJUST takes it back", second, second + 10000000000, rdtsc());
	done();
}
