/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The two families of guest CPUs. An MSR that is in no list is #GP(0), as on hardware that has not
 * got it: energy counters (RAPL), performance counters, thermal and turbo registers, platform
 * features. Linux asks for those with a handler ready.
 */
#include "arch/guest_cpu.h"

#include "arch/cpu.h"
#include "kernel/string.h"

#define NO GUEST_MSR_NO_SLOT

/*
 * SDM 4 2.1. IA32_ARCH_CAPABILITIES is not here and its CPUID bit is not shown: without it a guest
 * takes its CPU for one that needs every protection, which is right wherever it moves.
 */
static const struct guest_msr intel_msrs[] = {
	{ 0x17, 1, GUEST_MSR_FAULT, NO, 0, 0 },                         /* PLATFORM_ID */
	{ 0x3a, 1, GUEST_MSR_FAULT, NO, 1, 0 },                         /* FEATURE_CONTROL: locked, no VMX */
	{ 0x79, 1, GUEST_MSR_IGNORE, NO, 0, 0 },                        /* microcode update trigger */
	{ 0x8b, 1, GUEST_MSR_KEEP, 2, 1ull << 32, ~0ull },              /* microcode revision */
	{ 0xce, 1, GUEST_MSR_FAULT, NO, 0, 0 },                         /* PLATFORM_INFO: no CPUID faulting */
	{ 0x140, 1, GUEST_MSR_KEEP, NO, 0, 0 },                         /* MISC_FEATURES_ENABLES: only 0 */
	{ 0x1a0, 1, GUEST_MSR_KEEP, 0, 0x1801, BIT(0) | BIT(22) },      /* MISC_ENABLE: no BTS, PEBS */
};

/* APM 2 appendix A, and AMD's PPR of family 17h, 2.1.14. */
static const struct guest_msr amd_msrs[] = {
	{ 0x8b, 1, GUEST_MSR_IGNORE, NO, 0x01000065, 0 },               /* PATCH_LEVEL */
	{ 0xc0010010, 1, GUEST_MSR_IGNORE, NO, 0, 0 },                  /* SYSCFG */
	{ 0xc0010015, 1, GUEST_MSR_IGNORE, NO, BIT(24), 0 },            /* HWCR: TSC counts at P0's rate */
	{ 0xc001001a, 1, GUEST_MSR_IGNORE, NO, 0, 0 },                  /* TOP_MEM */
	{ 0xc001001d, 1, GUEST_MSR_IGNORE, NO, 0, 0 },                  /* TOP_MEM2 */
	{ 0xc001001f, 1, GUEST_MSR_IGNORE, NO, 0, 0 },                  /* NB_CFG */
	{ 0xc0010020, 1, GUEST_MSR_IGNORE, NO, 0, 0 },                  /* PATCH_LOADER */
	{ 0xc0010055, 1, GUEST_MSR_IGNORE, NO, 0, 0 },                  /* INT_PENDING */
	{ 0xc0010058, 1, GUEST_MSR_IGNORE, NO, 0, 0 },                  /* MMIO_CFG_BASE: off */
	{ 0xc0010061, 11, GUEST_MSR_IGNORE, NO, 0, 0 },                 /* P-states: none */
	{ 0xc0010104, 1, GUEST_MSR_IGNORE, NO, BIT(32), 0 },            /* TSC_RATIO: 1.0 */
	{ 0xc0010112, 2, GUEST_MSR_IGNORE, NO, 0, 0 },                  /* TSEG: none */
	{ 0xc0010114, 1, GUEST_MSR_FAULT, NO, BIT(3) | BIT(4), 0 },     /* VM_CR: SVM off, locked */
	{ 0xc0010117, 1, GUEST_MSR_FAULT, NO, 0, 0 },                   /* VM_HSAVE_PA */
	{ 0xc0011020, 4, GUEST_MSR_IGNORE, NO, 0, 0 },                  /* LS_CFG, IC_CFG, DC_CFG, TW_CFG */
	{ 0xc0011028, 1, GUEST_MSR_IGNORE, NO, 0, 0 },                  /* FP_CFG: the host's workarounds */
	{ 0xc0011029, 1, GUEST_MSR_KEEP, 1, BIT(1), BIT(1) | BIT(9) },  /* DE_CFG: LFENCE serializes */
	{ 0xc001102a, 1, GUEST_MSR_IGNORE, NO, 0, 0 },                  /* CU_CFG2 */
	{ 0xc001102c, 1, GUEST_MSR_IGNORE, NO, 0, 0 },                  /* EX_CFG */
};

/* SDM 2A CPUID: leaves 2 and 4. What there is above 80000008H is AMD's. */
static const struct guest_cpu intel = {
	.cache_leaf = 4,
	.has_descriptor_leaf = true,
	.extended_last = 0x80000008,
	.msr = intel_msrs,
	.msr_count = ARRAY_COUNT(intel_msrs),
};

/* APM 3 E.4.15 to E.4.17 */
static const struct guest_cpu amd = {
	.cache_leaf = 0x8000001d,
	.has_extended_topology = true,
	.extended_last = 0x80000021,
	.msr = amd_msrs,
	.msr_count = ARRAY_COUNT(amd_msrs),
};

const struct guest_cpu *guest_cpu(void)
{
	/* "AuthenticAMD", "HygonGenuine" */
	u32 ebx = cpuid(0, 0).ebx;

	return ebx == 0x68747541 || ebx == 0x6f677948 ? &amd : &intel;
}
