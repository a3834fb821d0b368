/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSRs that a guest reads to know its machine, and a few that it may write: one row each.
 *
 * Not here: what the back end keeps in hardware (EFER, PAT, STAR, SPEC_CTRL, ...: arch/), the
 * local APIC's and the KVM clock's, which are devices of their own. What nobody has is #GP(0),
 * as on hardware. MTRRs are kept and read back, but memory types are the host's to choose.
 */
#include "vmm/msr.h"

#include "arch/guest_cpu.h"
#include "kernel/bits.h"
#include "kernel/errno.h"
#include "vmm/dev/kvmclock.h"
#include "vmm/dev/lapic.h"
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
	SLOT_MCG_STATUS = SLOT_MTRR_VARIABLE + 2 * MTRR_VARIABLE_COUNT,
	SLOT_OWN, /* of arch/guest_cpu.c's rows */
	SLOT_COUNT = SLOT_OWN + GUEST_MSR_SLOTS,
};

STATE_BEGIN
struct msr_state {
	u64 value[SLOT_COUNT];
};
STATE_END

struct msr_wires {
	struct vcpu *vcpu;
};

#define NO GUEST_MSR_NO_SLOT

/* Those of every CPU; each maker's own are in arch/guest_cpu.c. Sections: SDM 4 2.1. */
static const struct guest_msr common_msrs[] = {
	{ 0xfe, 1, GUEST_MSR_FAULT, NO, 0x500 | MTRR_VARIABLE_COUNT, 0 }, /* MTRR_CAP: fixed, WC */
	{ 0x179, 1, GUEST_MSR_FAULT, NO, 0, 0 },                         /* MCG_CAP: no banks */
	{ 0x17a, 1, GUEST_MSR_KEEP, SLOT_MCG_STATUS, 0, BITS(2, 0) },    /* MCG_STATUS */
	{ 0x200, 2 * MTRR_VARIABLE_COUNT, GUEST_MSR_KEEP, SLOT_MTRR_VARIABLE, 0, ~0ull },
	{ 0x250, 1, GUEST_MSR_KEEP, SLOT_MTRR_FIXED, 0, ~0ull },         /* FIX64K */
	{ 0x258, 2, GUEST_MSR_KEEP, SLOT_MTRR_FIXED + 1, 0, ~0ull },     /* FIX16K */
	{ 0x268, 8, GUEST_MSR_KEEP, SLOT_MTRR_FIXED + 3, 0, ~0ull },     /* FIX4K */
	{ 0x2ff, 1, GUEST_MSR_KEEP, SLOT_MTRR_DEFAULT, 0x806, 0xcff },   /* DEF_TYPE: on, write-back */
};

/* The n-th row, or NULL at the end. *slot: where its first value is kept, or NO. */
static const struct guest_msr *row_at(u32 n, u32 *slot)
{
	const struct guest_cpu *cpu = guest_cpu();
	const u32 own = n - ARRAY_COUNT(common_msrs);
	const struct guest_msr *row;

	if (n < ARRAY_COUNT(common_msrs)) {
		*slot = common_msrs[n].slot;
		return &common_msrs[n];
	}
	if (own >= cpu->msr_count)
		return NULL;
	row = &cpu->msr[own];
	*slot = row->slot == NO ? NO : (u32)SLOT_OWN + row->slot;
	return row;
}

/* The row of the MSR, or NULL. *slot: where this one's value is kept, or NO. */
static const struct guest_msr *row_find(u32 index, u32 *slot)
{
	const struct guest_msr *row;

	for (u32 n = 0; (row = row_at(n, slot)); n++) {
		if (index - row->first < row->count) {
			*slot += *slot == NO ? 0 : index - row->first;
			return row;
		}
	}
	return NULL;
}

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

static bool row_accepts(const struct guest_msr *row, u32 slot, u64 value)
{
	return !((value ^ row->initial) & ~row->mask) && is_mtrr_good(slot, value);
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
	const struct guest_msr *row;
	u32 slot;

	for (u32 n = 0; (row = row_at(n, &slot)); n++) {
		for (u32 i = 0; slot != NO && i < row->count; i++) {
			if (!row_accepts(row, slot + i, s->value[slot + i]))
				return -EINVAL;
		}
	}
	return 0;
}

static int msr_attach(struct device *dev)
{
	int err = bus_claim_msrs(dev, MSR_TSC, 1);
	const struct guest_msr *row;
	u32 slot;

	if (!err)
		err = bus_claim_msrs(dev, MSR_TSC_ADJUST, 1);
	for (u32 n = 0; !err && (row = row_at(n, &slot)); n++)
		err = bus_claim_msrs(dev, row->first, row->count);
	return err;
}

static void msr_reset(struct device *dev)
{
	struct msr_state *state = dev->state;
	const struct guest_msr *row;
	u32 slot;

	for (u32 n = 0; (row = row_at(n, &slot)); n++) {
		for (u32 i = 0; slot != NO && i < row->count; i++)
			state->value[slot + i] = row->initial;
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
	const struct guest_msr *row;
	u32 slot;

	if (index == MSR_TSC || index == MSR_TSC_ADJUST)
		return tsc_read(wires->vcpu, index, value);
	row = row_find(index, &slot);
	if (!row)
		return false;
	*value = slot == NO ? row->initial : state->value[slot];
	return true;
}

static bool msr_write(struct device *dev, u32 index, u64 value)
{
	struct msr_state *state = dev->state;
	struct msr_wires *wires = dev->wires;
	const struct guest_msr *row;
	u32 slot;

	if (index == MSR_TSC || index == MSR_TSC_ADJUST)
		return tsc_write(wires->vcpu, index, value);
	row = row_find(index, &slot);
	if (!row || row->write == GUEST_MSR_FAULT)
		return false;
	if (row->write == GUEST_MSR_IGNORE)
		return true;
	if (!row_accepts(row, slot, value))
		return false;
	if (slot != NO)
		state->value[slot] = value;
	return true;
}

DEVICE_TYPE(msr, 2, 256, .is_per_vcpu = true, .msr_read = msr_read, .msr_write = msr_write);
