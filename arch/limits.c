/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/limits.h"

#include "arch/cpu.h"
#include "kernel/string.h"

#define PHYSICAL_BITS_MAX 48 /* four levels of nested tables */

/* A CPUID bit that a CR4 bit stands for; a guest sets CR4 without asking anybody. */
static const struct {
	u32 leaf;
	u8 reg; /* 1 ebx, 2 ecx, 3 edx */
	u8 bit;
	u64 cr4;
} cr4_features[] = {
	{ 1, 3, 1, BIT(0) | BIT(1) },	     /* VME: VME, PVI */
	{ 1, 3, 4, CR4_TSD },
	{ 1, 3, 2, CR4_DE },
	{ 1, 3, 3, CR4_PSE },
	{ 1, 3, 6, CR4_PAE },
	{ 1, 3, 7, CR4_MCE },
	{ 1, 3, 13, CR4_PGE },
	{ 1, 3, 5, BIT(8) },		     /* MSR: PCE */
	{ 1, 3, 24, CR4_OSFXSR },
	{ 1, 3, 25, CR4_OSXMMEXCPT },
	{ 1, 2, 17, CR4_PCIDE },
	{ 1, 2, 26, CR4_OSXSAVE },
	{ 7, 2, 2, CR4_UMIP },
	{ 7, 1, 0, CR4_FSGSBASE },
	{ 7, 1, 7, CR4_SMEP },
	{ 7, 1, 20, CR4_SMAP },
};

static u64 cr4_offered(void)
{
	u64 offered = 0;

	for (unsigned i = 0; i < ARRAY_COUNT(cr4_features); i++) {
		if (cr4_features[i].leaf > cpuid(0, 0).eax)
			continue;
		struct cpuid_leaf leaf = cpuid(cr4_features[i].leaf, 0);
		const u32 reg[] = { leaf.eax, leaf.ebx, leaf.ecx, leaf.edx };

		if (reg[cr4_features[i].reg] & BIT(cr4_features[i].bit))
			offered |= cr4_features[i].cr4;
	}
	return offered;
}

/* APM 2 3.1.7; those of bits that only AMD has are clear in others' CPUID. */
static u64 efer_offered(void)
{
	struct cpuid_leaf leaf = cpuid(0x80000001, 0);
	u64 offered = EFER_SCE | EFER_LME | EFER_LMA;

	if (leaf.edx & BIT(20))
		offered |= EFER_NXE;
	if (leaf.edx & BIT(25))
		offered |= BIT(14); /* FFXSR */
	if (leaf.ecx & BIT(17))
		offered |= BIT(15); /* TCE */
	return offered;
}

/* SDM 1 11.6.6: bytes 28 to 31 of an FXSAVE image; 0 stands for the first CPUs with SSE. */
static u32 mxcsr_mask(void)
{
	u8 image[512] ALIGNED(16) = { 0 };
	u32 mask;

	__asm__ volatile("fxsave64 (%0)" : : "r"(image) : "memory");
	memcpy(&mask, image + 28, sizeof(mask));
	return mask ? mask : 0xffbf;
}

/* Which bits IA32_SPEC_CTRL has: APM 2 3.2.9 (CPUID Fn8000_0008_EBX), SDM 4 2.1 (CPUID.07H:EDX). */
static u64 spec_ctrl_offered(void)
{
	u32 ebx = cpuid(0x80000000, 0).eax >= 0x80000008 ? cpuid(0x80000008, 0).ebx : 0;
	u32 edx = cpuid(0, 0).eax >= 7 ? cpuid(7, 0).edx : 0;
	bool has_ibrs = (ebx & BIT(14)) || (edx & BIT(26));
	bool has_stibp = (ebx & BIT(15)) || (edx & BIT(27));
	bool has_ssbd = (ebx & BIT(24)) || (edx & BIT(31));

	return (has_ibrs ? BIT(0) : 0) | (has_stibp ? BIT(1) : 0) | (has_ssbd ? BIT(2) : 0);
}

bool cpu_has_tsc_aux(void)
{
	u32 max_leaf = cpuid(0, 0).eax;

	return (cpuid(0x80000001, 0).edx & BIT(27)) || (max_leaf >= 7 && (cpuid(7, 0).ecx & BIT(22)));
}

/* APM 3 E.4.7, SDM 2A CPUID.07H */
bool cpu_has_ibpb(void)
{
	return (cpuid(0, 0).eax >= 7 && (cpuid(7, 0).edx & BIT(26))) ||
	       (cpuid(0x80000000, 0).eax >= 0x80000008 && (cpuid(0x80000008, 0).ebx & BIT(12)));
}

bool cpu_has_xsave_that_fits(const char **why)
{
	if ((cpuid(1, 0).ecx & BIT(26)) && cpuid(0xd, 0).ebx <= XSAVE_BYTES_MAX)
		return true;
	*why = "this CPU has no XSAVE, or one with more state than Tern moves. In QEMU add +xsave";
	return false;
}

void limits_read(struct hv_limits *limits)
{
	*limits = (struct hv_limits){
		.xcr0 = xgetbv(0),
		.cr4 = cr4_offered(),
		.efer = efer_offered(),
		.physical_bits = (u8)MIN(cpuid(0x80000008, 0).eax & 0xff, PHYSICAL_BITS_MAX),
		.mxcsr_mask = mxcsr_mask(),
		.spec_ctrl = spec_ctrl_offered(),
		.has_huge_pages = cpuid(0x80000001, 0).edx & BIT(26),
	};
}
