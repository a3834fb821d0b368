/* SPDX-License-Identifier: BSD-2-Clause */
/* Each vendor has its own instruction for a hypercall; which one, CPUID told the first call. */
#pragma once

#include "vmm/selftest/lib.h"

#define INTEL_ECX 0x6c65746eu /* "ntel", the end of "GenuineIntel" */

/* Returns RAX. */
static inline u64 hypercall(u64 number)
{
	static u32 vendor;

	if (!vendor)
		vendor = cpuid(0, 0).ecx;
	if (vendor == INTEL_ECX)
		__asm__ volatile("vmcall" : "+a"(number) : : "memory");
	else
		__asm__ volatile("vmmcall" : "+a"(number) : : "memory");
	return number;
}
