/* SPDX-License-Identifier: BSD-2-Clause */
/* CPUID: who the guest runs under, and what it may not see. */
#include "vmm/selftest/lib.h"

#define HYPERVISOR_LEAF 0x40000000u

void guest_main(const struct start_info *info)
{
	struct cpuid_leaf leaf;
	u32 vendor;

	(void)info;
	interrupts_init();
	leaf = cpuid(0, 0);
	vendor = leaf.ebx;
	expect_range("highest leaf", 0xb, 0x1f, leaf.eax);

	leaf = cpuid(1, 0);
	expect_true("hypervisor bit", leaf.ecx >> 31 & 1);
	expect_true("x2APIC", leaf.ecx >> 21 & 1);
	expect_true("TSC deadline", leaf.ecx >> 24 & 1);
	expect("no MONITOR", 0, leaf.ecx >> 3 & 1);
	expect("no VMX", 0, leaf.ecx >> 5 & 1);
	expect("APIC id", 0, leaf.ebx >> 24);
	expect("no OSXSAVE yet", 0, leaf.ecx >> 27 & 1);

	if (leaf.ecx >> 26 & 1) {
		write_cr4(read_cr4() | CR4_OSXSAVE);
		expect_true("OSXSAVE follows CR4", cpuid(1, 0).ecx >> 27 & 1);
		expect("XSAVE size, x87 and SSE", 576, cpuid(0xd, 0).ebx);
		if (cpuid(0xd, 0).eax & 4) {
			xsetbv(0, 7);
			expect("XSAVE size follows XCR0", 576 + 256, cpuid(0xd, 0).ebx);
		}
		expect("no XSAVEC, no XSAVES", 0, cpuid(0xd, 1).eax & 0xa);
	}

	leaf = cpuid(HYPERVISOR_LEAF, 0);
	expect("KVM's signature", 0x4b4d564b, leaf.ebx);
	expect("KVM clock, stable", 0x01000009, cpuid(HYPERVISOR_LEAF + 1, 0).eax & 0x01000009);
	expect_range("TSC kHz", 10000, 10000000, cpuid(HYPERVISOR_LEAF + 0x10, 0).eax);

	leaf = cpuid(0x80000001, 0);
	expect("no SVM", 0, leaf.ecx >> 2 & 1);
	expect_true("long mode", leaf.edx >> 29 & 1);
	expect("no invariant TSC", 0, cpuid(0x80000007, 0).edx >> 8 & 1);
	expect_range("physical address bits", 36, 52, cpuid(0x80000008, 0).eax & 0xff);
	expect("topology: one thread a core", 1, cpuid(0xb, 0).ebx);
	expect("PMU: none", 0, cpuid(0xa, 0).eax);
	if (vendor == 0x68747541)
		expect("SVM leaf: none", 0, cpuid(0x8000000a, 0).eax);
	done();
}
