/* SPDX-License-Identifier: BSD-2-Clause */
/* Reads what the CPU says of itself and carries the plan out. */
#include "arch/harden.h"

#include "arch/cpu.h"
#include "arch/percpu.h"
#include "arch/trap.h"
#include "kernel/log.h"

#define MSR_ARCH_CAPABILITIES 0x10a
#define MSR_BP_CFG 0xc001102e /* AMD family 1AH: bit 4 is BP_SPEC_REDUCE (AMD-SB-7005) */
#define BP_SPEC_REDUCE BIT(4)
#define CPUID7_ARCH_CAPABILITIES BIT(29)
#define SVM_EDX_SPEC_CTRL BIT(20)

extern const struct harden_site harden_sites_start[], harden_sites_end[];

static struct harden_plan plan;
/* What entry.S reads: Tern's IA32_SPEC_CTRL, and a writable data segment for VERW. */
u64 harden_spec_ctrl;
extern const u16 harden_selector;
const u16 harden_selector = SELECTOR_DATA;

static enum harden_vendor vendor(void)
{
	switch (cpuid(0, 0).ebx) {
	case 0x756e6547: /* GenuineIntel */
		return HARDEN_INTEL;
	case 0x68747541: /* AuthenticAMD */
	case 0x6f677948: /* HygonGenuine */
		return HARDEN_AMD;
	default:
		return HARDEN_OTHER;
	}
}

/* SDM 2A CPUID: extended family and model count only for these families. */
static void read_model(struct harden_profile *profile)
{
	u32 signature = cpuid(1, 0).eax;

	profile->family = (u32)FIELD(signature, 11, 8);
	profile->model = (u32)FIELD(signature, 7, 4);
	if (profile->family == 6 || profile->family == 15)
		profile->model |= (u32)FIELD(signature, 19, 16) << 4;
	if (profile->family == 15)
		profile->family += (u32)FIELD(signature, 27, 20);
}

static void read_basic(struct harden_profile *profile)
{
	u32 last = cpuid(0, 0).eax;
	struct cpuid_leaf leaf;

	if (last < 7)
		return;
	leaf = cpuid(7, 0);
	profile->leaf7_ebx = leaf.ebx;
	profile->leaf7_edx = leaf.edx;
	if (leaf.eax >= 2)
		profile->leaf7_2_edx = cpuid(7, 2).edx;
	if ((leaf.edx & CPUID7_ARCH_CAPABILITIES) &&
	    rdmsr_safe(MSR_ARCH_CAPABILITIES, &profile->capabilities))
		profile->capabilities = 0;
	/* Level 0 of leaf 0BH counts the threads of a core (SDM 2A CPUID). */
	profile->has_threads = last >= 0xb && (cpuid(0xb, 0).ebx & 0xffff) > 1;
}

static void read_extended(struct harden_profile *profile)
{
	u32 last = cpuid(0x80000000, 0).eax;

	if (last >= 0x80000008)
		profile->ext8_ebx = cpuid(0x80000008, 0).ebx;
	if (profile->vendor != HARDEN_AMD)
		return;
	if (last >= 0x8000000a)
		profile->has_virtual_spec_ctrl = cpuid(0x8000000a, 0).edx & SVM_EDX_SPEC_CTRL;
	if (last >= 0x80000021) {
		profile->ext21_eax = cpuid(0x80000021, 0).eax;
		profile->ext21_ecx = cpuid(0x80000021, 0).ecx;
	}
}

/*
 * Text is read-only; with CR0.WP clear Tern may write it. No other CPU has run the sites, and
 * each executes CPUID, which serializes, before its first entry (SDM 3A 9.1.3).
 */
static void clear_unneeded(void)
{
	u64 cr0 = read_cr0();

	write_cr0(cr0 & ~CR0_WP);
	for (const struct harden_site *site = harden_sites_start; site < harden_sites_end; site++) {
		if (!(plan.steps & 1u << site->step))
			harden_site_clear(site->start, site->bytes);
	}
	write_cr0(cr0);
	cpuid(0, 0);
}

void harden_init(void)
{
	struct harden_profile profile = { .vendor = vendor() };

	read_model(&profile);
	read_basic(&profile);
	read_extended(&profile);
	harden_decide(&profile, &plan);
	harden_spec_ctrl = plan.spec_ctrl;
	clear_unneeded();
	if (plan.exposed)
		log_info("hardening: %s", plan.exposed);
	if (plan.threads)
		log_info("hardening: %s", plan.threads);
	if (plan.pages)
		log_info("hardening: %s", plan.pages);
}

void harden_cpu_init(void)
{
	if (plan.steps & 1u << HARDEN_AUTO_IBRS)
		wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_AIBRSE);
	if (plan.steps & 1u << HARDEN_SPEC_REDUCE)
		wrmsr(MSR_BP_CFG, rdmsr(MSR_BP_CFG) | BP_SPEC_REDUCE);
	if (plan.steps & (1u << HARDEN_SPEC_CTRL | 1u << HARDEN_IBRS_EXIT))
		wrmsr(MSR_SPEC_CTRL, plan.spec_ctrl);
	cpuid(0, 0); /* serializes: what harden_init wrote is what this CPU will run */
}

void harden_vcpu_switch(void)
{
	if (plan.steps & 1u << HARDEN_IBPB_SWITCH)
		wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
}

const struct harden_plan *harden_get(void) { return &plan; }
