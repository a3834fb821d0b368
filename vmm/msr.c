/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSRs that a guest reads to know its machine, and a few that it may write: one row each.
 *
 * Not here: what the back end keeps in hardware (EFER, PAT, STAR, SPEC_CTRL, ...: arch/), the
 * local APIC's and the KVM clock's, which are devices of their own. What nobody has is #GP(0),
 * as on hardware. MTRRs are kept and read back, but memory types are the host's to choose.
 */
#include "kernel/bits.h"
#include "kernel/errno.h"
#include "vmm/dev/kvmclock.h"
#include "vmm/dev/lapic.h"
#include "vmm/msr.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

#define MSR_TSC 0x10u
#define MSR_TSC_ADJUST 0x3bu
#define MTRR_VARIABLE_COUNT 8u
#define MTRR_FIXED_COUNT 11u

/* Where a row keeps the values that it lets the guest change. */
enum {
	SLOT_MTRR_DEFAULT,
	SLOT_MTRR_FIXED,
	SLOT_MTRR_VARIABLE = SLOT_MTRR_FIXED + MTRR_FIXED_COUNT,
	SLOT_MISC_ENABLE = SLOT_MTRR_VARIABLE + 2 * MTRR_VARIABLE_COUNT,
	SLOT_MCG_STATUS,
	SLOT_DE_CFG,
	SLOT_MICROCODE,
	SLOT_COUNT,
	SLOT_NONE = 255,
};

STATE_BEGIN
struct msr_state {
	u64 value[SLOT_COUNT];
};
STATE_END

struct msr_wires {
	struct vcpu *vcpu;
};

enum msr_vendor { ANY, AMD, INTEL };
enum msr_write {
	KEEP,   /* the bits of mask are the guest's; changing another one is #GP(0) */
	IGNORE, /* a write is taken and does nothing */
	FAULT,  /* read-only */
};

struct msr_rule {
	u32 first;
	u32 count;
	enum msr_vendor vendor;
	enum msr_write write;
	u8 slot;          /* of first; SLOT_NONE: reads give initial for ever */
	u64 initial;
	u64 mask;
};

/* Sections: SDM 4 2.1 (architectural MSRs); APM 2 appendix A, and AMD's PPR of family 17h, 2.1.14. */
static const struct msr_rule msr_rules[] = {
	{ 0x17, 1, INTEL, FAULT, SLOT_NONE, 0, 0 },                        /* PLATFORM_ID */
	{ 0x3a, 1, INTEL, FAULT, SLOT_NONE, 1, 0 },                        /* FEATURE_CONTROL: locked, no VMX */
	{ 0x79, 1, INTEL, IGNORE, SLOT_NONE, 0, 0 },                       /* microcode update trigger */
	{ 0x8b, 1, INTEL, KEEP, SLOT_MICROCODE, 1ull << 32, ~0ull },       /* microcode revision */
	{ 0x8b, 1, AMD, IGNORE, SLOT_NONE, 0x01000065, 0 },                /* PATCH_LEVEL */
	{ 0xce, 1, INTEL, FAULT, SLOT_NONE, 0, 0 },                        /* PLATFORM_INFO */
	{ 0xfe, 1, ANY, FAULT, SLOT_NONE, 0x500 | MTRR_VARIABLE_COUNT, 0 }, /* MTRR_CAP: fixed, WC */
	{ 0x140, 1, INTEL, FAULT, SLOT_NONE, 0, 0 },                       /* MISC_FEATURES_ENABLES */
	{ 0x179, 1, ANY, FAULT, SLOT_NONE, 0, 0 },                         /* MCG_CAP: no banks */
	{ 0x17a, 1, ANY, KEEP, SLOT_MCG_STATUS, 0, BITS(2, 0) },           /* MCG_STATUS */
	{ 0x1a0, 1, INTEL, KEEP, SLOT_MISC_ENABLE, 0x1801, BIT(0) | BIT(22) }, /* MISC_ENABLE: no BTS, PEBS */
	{ 0x200, 2 * MTRR_VARIABLE_COUNT, ANY, KEEP, SLOT_MTRR_VARIABLE, 0, ~0ull },
	{ 0x250, 1, ANY, KEEP, SLOT_MTRR_FIXED, 0, ~0ull },                /* FIX64K */
	{ 0x258, 2, ANY, KEEP, SLOT_MTRR_FIXED + 1, 0, ~0ull },            /* FIX16K */
	{ 0x268, 8, ANY, KEEP, SLOT_MTRR_FIXED + 3, 0, ~0ull },            /* FIX4K */
	{ 0x2ff, 1, ANY, KEEP, SLOT_MTRR_DEFAULT, 0x806, 0xcff },          /* DEF_TYPE: on, write-back */
	{ 0xc0010010, 1, AMD, IGNORE, SLOT_NONE, 0, 0 },                   /* SYSCFG */
	{ 0xc0010015, 1, AMD, IGNORE, SLOT_NONE, BIT(24), 0 },             /* HWCR: TSC counts at P0's rate */
	{ 0xc001001a, 1, AMD, IGNORE, SLOT_NONE, 0, 0 },                   /* TOP_MEM */
	{ 0xc001001d, 1, AMD, IGNORE, SLOT_NONE, 0, 0 },                   /* TOP_MEM2 */
	{ 0xc001001f, 1, AMD, IGNORE, SLOT_NONE, 0, 0 },                   /* NB_CFG */
	{ 0xc0010020, 1, AMD, IGNORE, SLOT_NONE, 0, 0 },                   /* PATCH_LOADER */
	{ 0xc0010055, 1, AMD, IGNORE, SLOT_NONE, 0, 0 },                   /* INT_PENDING */
	{ 0xc0010058, 1, AMD, IGNORE, SLOT_NONE, 0, 0 },                   /* MMIO_CFG_BASE: off */
	{ 0xc0010061, 11, AMD, IGNORE, SLOT_NONE, 0, 0 },                  /* P-states: none */
	{ 0xc0010104, 1, AMD, IGNORE, SLOT_NONE, BIT(32), 0 },             /* TSC_RATIO: 1.0 */
	{ 0xc0010112, 2, AMD, IGNORE, SLOT_NONE, 0, 0 },                   /* TSEG: none */
	{ 0xc0010114, 1, AMD, FAULT, SLOT_NONE, BIT(3) | BIT(4), 0 },      /* VM_CR: SVM off, locked */
	{ 0xc0010117, 1, AMD, FAULT, SLOT_NONE, 0, 0 },                    /* VM_HSAVE_PA */
	{ 0xc0011020, 4, AMD, IGNORE, SLOT_NONE, 0, 0 },                   /* LS_CFG, IC_CFG, DC_CFG, TW_CFG */
	{ 0xc0011028, 1, AMD, IGNORE, SLOT_NONE, 0, 0 },                   /* FP_CFG: the host's workarounds */
	{ 0xc0011029, 1, AMD, KEEP, SLOT_DE_CFG, BIT(1), BIT(1) | BIT(9) }, /* DE_CFG: LFENCE serializes */
	{ 0xc001102a, 1, AMD, IGNORE, SLOT_NONE, 0, 0 },                   /* CU_CFG2 */
	{ 0xc001102c, 1, AMD, IGNORE, SLOT_NONE, 0, 0 },                   /* EX_CFG */
};

/* --- values --- */

/* SDM 3A 12.11.2.1: UC, WC, WT, WP, WB. */
static bool is_memory_type(u8 type) { return type < 7 && type != 2 && type != 3; }

/* Base and mask of a variable range, SDM 3A 12.11.2.3: bits that are reserved. */
static bool is_mtrr_range_good(bool is_mask, u64 value)
{
	return is_mask ? !(value & 0x7ff) : is_memory_type((u8)value) && !(value & 0xf00);
}

static bool is_mtrr_good(u32 slot, u64 value)
{
	if (slot == SLOT_MTRR_DEFAULT)
		return is_memory_type((u8)value);
	if (slot >= SLOT_MTRR_FIXED && slot < SLOT_MTRR_FIXED + MTRR_FIXED_COUNT) {
		for (unsigned i = 0; i < 8; i++) {
			if (!is_memory_type((u8)(value >> 8 * i)))
				return false;
		}
		return true;
	}
	if (slot >= SLOT_MTRR_VARIABLE && slot < SLOT_MTRR_VARIABLE + 2 * MTRR_VARIABLE_COUNT)
		return is_mtrr_range_good((slot - SLOT_MTRR_VARIABLE) % 2, value);
	return true;
}

static bool rule_accepts(const struct msr_rule *rule, u32 slot, u64 value)
{
	return !((value ^ rule->initial) & ~rule->mask) && is_mtrr_good(slot, value);
}

/* AuthenticAMD and HygonGenuine, by the EBX of leaf 0. */
static bool rule_is_for(const struct msr_rule *rule, const struct vm *vm)
{
	u32 ebx = vm->cpuid.leaf[0].ebx;
	bool is_amd = ebx == 0x68747541 || ebx == 0x6f677948;

	return rule->vendor == ANY || (rule->vendor == AMD) == is_amd;
}

static const struct msr_rule *rule_find(const struct vm *vm, u32 index)
{
	for (unsigned i = 0; i < ARRAY_COUNT(msr_rules); i++) {
		const struct msr_rule *rule = &msr_rules[i];

		if (index - rule->first < rule->count && rule_is_for(rule, vm))
			return rule;
	}
	return NULL;
}

/* --- the TSC: what the guest writes is what it reads next, and TSC_ADJUST shows it (SDM 3B 18.17.3) --- */

static bool tsc_read(const struct vcpu *vcpu, u32 index, u64 *value)
{
	*value = index == MSR_TSC ? vtime_tsc_now(vcpu->vm) + vcpu->tsc_adjust : vcpu->tsc_adjust;
	return true;
}

static bool tsc_write(struct vcpu *vcpu, u32 index, u64 value)
{
	vcpu->tsc_adjust = index == MSR_TSC ? value - vtime_tsc_now(vcpu->vm) : value;
	vcpu->want_tsc_load = true;
	/* Who counts by this TSC counts anew. SDM 3A 11.5.4.1: a deadline is a value of the TSC, not a time. */
	kvmclock_update(vcpu);
	lapic_timer_update(vcpu->vm->lapic[vcpu->index]);
	return true;
}

/* --- the device --- */

static int msr_check(const void *state)
{
	const struct msr_state *s = state;

	for (unsigned i = 0; i < ARRAY_COUNT(msr_rules); i++) {
		const struct msr_rule *rule = &msr_rules[i];

		for (u32 n = 0; rule->slot != SLOT_NONE && n < rule->count; n++) {
			if (!rule_accepts(rule, rule->slot + n, s->value[rule->slot + n]))
				return -EINVAL;
		}
	}
	return 0;
}

static int msr_attach(struct device *dev)
{
	int err = bus_claim_msrs(dev, MSR_TSC, 1);

	if (!err)
		err = bus_claim_msrs(dev, MSR_TSC_ADJUST, 1);
	for (unsigned i = 0; !err && i < ARRAY_COUNT(msr_rules); i++) {
		if (rule_is_for(&msr_rules[i], dev->vm))
			err = bus_claim_msrs(dev, msr_rules[i].first, msr_rules[i].count);
	}
	return err;
}

static void msr_reset(struct device *dev)
{
	struct msr_state *state = dev->state;

	for (unsigned i = 0; i < ARRAY_COUNT(msr_rules); i++) {
		const struct msr_rule *rule = &msr_rules[i];

		for (u32 n = 0; rule->slot != SLOT_NONE && n < rule->count; n++)
			state->value[rule->slot + n] = rule->initial;
	}
}

static void msr_start(struct device *dev)
{
	struct msr_wires *wires = dev->wires;

	wires->vcpu = dev->vm->vcpu[dev->instance];
}

static void msr_stop(struct device *dev) { (void)dev; }

static bool msr_read(struct device *dev, u32 index, u64 *value)
{
	const struct msr_state *state = dev->state;
	const struct msr_wires *wires = dev->wires;
	const struct msr_rule *rule;

	if (index == MSR_TSC || index == MSR_TSC_ADJUST)
		return tsc_read(wires->vcpu, index, value);
	rule = rule_find(dev->vm, index);
	if (!rule)
		return false;
	*value = rule->slot == SLOT_NONE ? rule->initial : state->value[rule->slot + index - rule->first];
	return true;
}

static bool msr_write(struct device *dev, u32 index, u64 value)
{
	struct msr_state *state = dev->state;
	struct msr_wires *wires = dev->wires;
	const struct msr_rule *rule;

	if (index == MSR_TSC || index == MSR_TSC_ADJUST)
		return tsc_write(wires->vcpu, index, value);
	rule = rule_find(dev->vm, index);
	if (!rule || rule->write == FAULT)
		return false;
	if (rule->write == IGNORE)
		return true;
	if (!rule_accepts(rule, rule->slot + index - rule->first, value))
		return false;
	state->value[rule->slot + index - rule->first] = value;
	return true;
}

DEVICE_TYPE(msr, 1, 256, .is_per_vcpu = true, .msr_read = msr_read, .msr_write = msr_write);
