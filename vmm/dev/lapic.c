/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC: registers, priorities, APIC_BASE and the two register windows (SDM 3A 11).
 *
 * xAPIC registers are MMIO at 0xFEE00000, x2APIC registers are MSRs 0x800 to 0x8FF; one
 * register file serves both and each window adds its own rules. The APIC ID is the vCPU's
 * index and cannot be changed, as on today's processors (SDM 3A 11.4.6). The window cannot be moved.
 */
#include "vmm/dev/lapic.h"
#include "kernel/errno.h"
#include "vmm/dev/ioapic.h"
#include "vmm/irq.h"
#include "vmm/vm.h"

#define MSR_APIC_BASE_INDEX 0x1b
#define MSR_TSC_DEADLINE_INDEX 0x6e0
#define MSR_X2APIC_FIRST 0x800
#define MSR_X2APIC_COUNT 0x100

/* Registers by number: MMIO offset / 16, and MSR index less 0x800 (SDM 3A table 11-6). */
enum {
	REG_ID = 0x02,
	REG_VERSION = 0x03,
	REG_TPR = 0x08,
	REG_APR = 0x09,
	REG_PPR = 0x0a,
	REG_EOI = 0x0b,
	REG_LDR = 0x0d,
	REG_DFR = 0x0e,
	REG_SVR = 0x0f,
	REG_ISR = 0x10,
	REG_TMR = 0x18,
	REG_IRR = 0x20,
	REG_IRR_LAST = 0x27,
	REG_ESR = 0x28,
	REG_ICR_LOW = 0x30,
	REG_ICR_HIGH = 0x31,
	REG_LVT = 0x32,
	REG_LVT_LAST = REG_LVT + LVT_COUNT - 1,
	REG_TIMER_INITIAL = 0x38,
	REG_TIMER_COUNT = 0x39,
	REG_TIMER_DIVIDE = 0x3e,
	REG_SELF_IPI = 0x3f,
};

/* Integrated APIC 0x14; highest LVT entry in 23:16; no suppression of EOI broadcasts (bit 24). */
#define VERSION (0x14 | (LVT_COUNT - 1) << 16)

#define SVR_ENABLED BIT(8)
#define SVR_VALID BITS(9, 0)
#define ESR_VALID BITS(7, 5)
#define ICR_VALID (BITS(11, 0) | BITS(15, 14) | BITS(19, 18))
#define DFR_RESERVED_ONES BITS(27, 0)
#define DIVIDE_VALID 0xbu
#define LVT_STATUS (BIT(12) | BIT(14)) /* delivery status, remote IRR: read-only */

static const u32 lvt_valid[LVT_COUNT] = {
	[LVT_TIMER] = (u32)(BITS(7, 0) | BITS(18, 16)),
	[LVT_THERMAL] = (u32)BITS(10, 0) | (u32)LVT_MASKED,
	[LVT_PERF] = (u32)BITS(10, 0) | (u32)LVT_MASKED,
	[LVT_LINT0] = (u32)(BITS(10, 0) | BIT(13) | BITS(16, 15)),
	[LVT_LINT1] = (u32)(BITS(10, 0) | BIT(13) | BITS(16, 15)),
	[LVT_ERROR] = (u32)BITS(7, 0) | (u32)LVT_MASKED,
};

/* --- Priorities and the three vector registers -------------------------------------------- */

static int highest(const u32 words[8])
{
	for (int i = 7; i >= 0; i--) {
		if (words[i])
			return i * 32 + 31 - __builtin_clz(words[i]);
	}
	return -1;
}

static void put_bit(u32 words[8], u8 vector, bool is_set)
{
	u32 bit = 1u << (vector % 32);

	words[vector / 32] = is_set ? words[vector / 32] | bit : words[vector / 32] & ~bit;
}

static bool get_bit(const u32 words[8], u8 vector) { return words[vector / 32] >> (vector % 32) & 1; }

/* SDM 3A 11.8.3.1: the processor priority, of the task or of the interrupt in service. */
u32 lapic_priority(const struct lapic_state *state)
{
	int in_service = highest(state->isr);
	u32 class = in_service < 0 ? 0 : (u32)in_service & 0xf0;

	return (state->tpr & 0xf0) >= class ? state->tpr : class;
}

static int lapic_requested_vector(const struct device *dev)
{
	const struct lapic_state *state = dev->state;

	return state->base & LAPIC_BASE_ENABLED ? highest(state->irr) : -1;
}

int lapic_pending_vector(const struct device *dev)
{
	int vector = lapic_requested_vector(dev);

	return vector >= 0 && ((u32)vector & 0xf0) > (lapic_priority(dev->state) & 0xf0) ? vector : -1;
}

int lapic_blocked_vector(const struct device *dev)
{
	const struct lapic_state *state = dev->state;
	int vector = lapic_requested_vector(dev), in_service = highest(state->isr);

	if (vector < 0 || (in_service >= 0 && (vector & 0xf0) <= (in_service & 0xf0)))
		return -1;
	return ((u32)vector & 0xf0) <= (state->tpr & 0xf0) ? vector : -1;
}

void lapic_request(struct device *dev, u8 vector, bool is_level)
{
	struct lapic_state *state = dev->state;

	put_bit(state->tmr, vector, is_level);
	if (get_bit(state->irr, vector))
		return;
	put_bit(state->irr, vector, true);
	vcpu_kick(dev->vm->vcpu[dev->instance]);
}

void lapic_accept(struct device *dev, u8 vector)
{
	struct lapic_state *state = dev->state;

	put_bit(state->irr, vector, false);
	put_bit(state->isr, vector, true);
}

static void end_of_interrupt(struct device *dev)
{
	struct lapic_state *state = dev->state;
	int vector = highest(state->isr);

	if (vector < 0)
		return;
	put_bit(state->isr, (u8)vector, false);
	if (get_bit(state->tmr, (u8)vector) && dev->vm->ioapic)
		ioapic_eoi(dev->vm->ioapic, (u8)vector);
}

/* --- Local sources -------------------------------------------------------------------------- */

/* SDM 3A 11.5.3: errors gather until a write to ESR shows them; each new one interrupts. */
void lapic_error(struct device *dev, u32 bit)
{
	struct lapic_state *state = dev->state;

	if (state->esr_next & bit)
		return;
	state->esr_next |= bit;
	lapic_fire(dev, LVT_ERROR);
}

void lapic_fire(struct device *dev, unsigned entry)
{
	struct lapic_state *state = dev->state;
	u32 lvt = state->lvt[entry];
	/* The timer and the error entry have no delivery mode: their bits 10:8 are 0, fixed. */
	u32 mode = (u32)FIELD(lvt, 10, 8);

	if (lvt & LVT_MASKED)
		return;
	if (mode == APIC_NMI)
		vcpu_nmi(dev->vm->vcpu[dev->instance]);
	else if (mode == APIC_FIXED && (lvt & 0xff) >= 16)
		lapic_request(dev, (u8)lvt, false);
	else if (mode == APIC_FIXED)
		lapic_error(dev, LAPIC_ESR_RECEIVE_ILLEGAL);
}

/* With the APIC off, the PIC's output is the processor's INTR pin itself (SDM 3A 11.4.3). */
static bool lint0_is_extint(const struct lapic_state *state)
{
	if (!(state->base & LAPIC_BASE_ENABLED))
		return true;
	return !(state->lvt[LVT_LINT0] & LVT_MASKED) && FIELD(state->lvt[LVT_LINT0], 10, 8) == APIC_EXTINT;
}

bool lapic_takes_extint(const struct device *dev)
{
	const struct lapic_state *state = dev->state;

	/* The PIC is wired to the boot processor. */
	return (dev->instance == 0 && lint0_is_extint(state)) || state->is_extint_pending;
}

void lapic_set_lint0(struct device *dev, bool is_high)
{
	struct lapic_state *state = dev->state;
	bool was_high = state->is_lint0_high;

	state->is_lint0_high = is_high;
	if (!is_high || was_high)
		return;
	if (lint0_is_extint(state))
		vcpu_kick(dev->vm->vcpu[dev->instance]);
	else
		lapic_fire(dev, LVT_LINT0);
}

u8 lapic_get_cr8(const struct device *dev)
{
	return (u8)(((const struct lapic_state *)dev->state)->tpr >> 4);
}

void lapic_set_cr8(struct device *dev, u8 cr8)
{
	struct lapic_state *state = dev->state;

	/* SDM 3A 11.8.6: a write to CR8 clears TPR 3:0; what CR8 already says is no write. */
	if (state->tpr >> 4 != cr8)
		state->tpr = (u32)cr8 << 4;
}

/* --- Registers ------------------------------------------------------------------------------ */

bool lapic_is_x2apic(const struct lapic_state *state) { return state->base & LAPIC_BASE_X2APIC; }

/* SDM 3A 11.12.10.2: cluster = ID / 16, one bit of 16 in it. */
u32 lapic_x2apic_ldr(u32 id) { return (id & ~0xfu) << 12 | 1u << (id & 0xf); }

static bool read_register(struct device *dev, u32 reg, u32 *value)
{
	struct lapic_state *state = dev->state;
	bool is_x2apic = lapic_is_x2apic(state);

	if (reg >= REG_ISR && reg <= REG_IRR_LAST) {
		const u32 *const words[3] = { state->isr, state->tmr, state->irr };

		*value = words[(reg - REG_ISR) / 8][reg % 8];
		return true;
	}
	if (reg >= REG_LVT && reg <= REG_LVT_LAST) {
		*value = state->lvt[reg - REG_LVT];
		return true;
	}
	switch (reg) {
	case REG_ID: *value = is_x2apic ? dev->instance : dev->instance << 24; return true;
	case REG_VERSION: *value = VERSION; return true;
	case REG_TPR: *value = state->tpr; return true;
	case REG_APR: *value = 0; return !is_x2apic; /* SDM 3A 11.6.2.4: not on newer processors */
	case REG_PPR: *value = lapic_priority(state); return true;
	case REG_EOI: *value = 0; return !is_x2apic;
	case REG_LDR: *value = is_x2apic ? lapic_x2apic_ldr(dev->instance) : state->ldr; return true;
	case REG_DFR: *value = state->dfr; return !is_x2apic;
	case REG_SVR: *value = state->svr; return true;
	case REG_ESR: *value = state->esr; return true;
	case REG_ICR_LOW: *value = state->icr_low; return true;
	case REG_ICR_HIGH: *value = state->icr_high; return !is_x2apic;
	case REG_TIMER_INITIAL: *value = state->timer_initial; return true;
	case REG_TIMER_COUNT: *value = lapic_timer_count(dev); return true;
	case REG_TIMER_DIVIDE: *value = state->timer_divide; return true;
	default: return false;
	}
}

static void write_svr(struct device *dev, u32 value)
{
	struct lapic_state *state = dev->state;

	state->svr = value & (u32)SVR_VALID;
	if (value & SVR_ENABLED)
		return;
	/* SDM 3A 11.4.7.2: disabling masks all entries, and they stay masked. */
	for (unsigned i = 0; i < LVT_COUNT; i++)
		state->lvt[i] |= (u32)LVT_MASKED;
	lapic_timer_update(dev);
}

static void write_lvt(struct device *dev, unsigned entry, u32 value)
{
	struct lapic_state *state = dev->state;

	value &= lvt_valid[entry];
	if (!(state->svr & SVR_ENABLED))
		value |= (u32)LVT_MASKED;
	if (entry == LVT_TIMER) {
		lapic_timer_set_lvt(dev, value);
		return;
	}
	state->lvt[entry] = value;
	/* An unmasked ExtINT passes on what the PIC has wanted all along. */
	if (entry == LVT_LINT0 && state->is_lint0_high && lint0_is_extint(state))
		vcpu_kick(dev->vm->vcpu[dev->instance]);
}

/* What both windows write in the same way; reserved bits have been dealt with. */
static bool write_register(struct device *dev, u32 reg, u32 value)
{
	struct lapic_state *state = dev->state;

	if (reg >= REG_LVT && reg <= REG_LVT_LAST) {
		write_lvt(dev, reg - REG_LVT, value);
		return true;
	}
	switch (reg) {
	case REG_EOI:
		end_of_interrupt(dev);
		return true;
	case REG_TPR:
		state->tpr = value & 0xff;
		return true;
	case REG_SVR:
		write_svr(dev, value);
		return true;
	case REG_ESR:
		state->esr = state->esr_next;
		state->esr_next = 0;
		return true;
	case REG_TIMER_INITIAL:
		lapic_timer_set_initial(dev, value);
		return true;
	case REG_TIMER_DIVIDE:
		lapic_timer_set_divide(dev, value & DIVIDE_VALID);
		return true;
	default:
		return false;
	}
}

/* --- xAPIC window --------------------------------------------------------------------------- */

static bool has_mmio(const struct lapic_state *state)
{
	return (state->base & LAPIC_BASE_ENABLED) && !lapic_is_x2apic(state);
}

/* SDM 3A 11.4.1: registers are 32 bits at multiples of 16; other accesses have no defined result. */
static u64 lapic_mmio_read(struct device *dev, u64 gpa, u8 size)
{
	u32 value = 0, offset = gpa & 0xf;

	(void)size;
	if (!has_mmio(dev->state))
		return ~0ull;
	if (offset >= 4)
		return 0;
	if (!read_register(dev, (u32)FIELD(gpa, 11, 4), &value))
		lapic_error(dev, LAPIC_ESR_REGISTER);
	return value >> (8 * offset);
}

static void lapic_mmio_write(struct device *dev, u64 gpa, u8 size, u64 value)
{
	struct lapic_state *state = dev->state;
	u32 reg = (u32)FIELD(gpa, 11, 4);

	if (!has_mmio(state) || (gpa & 0xf) || size < 4)
		return;
	switch (reg) {
	case REG_LDR:
		state->ldr = (u32)value & 0xff000000;
		return;
	case REG_DFR:
		state->dfr = (u32)value | (u32)DFR_RESERVED_ONES;
		return;
	case REG_ICR_HIGH:
		state->icr_high = (u32)value & 0xff000000;
		return;
	case REG_ICR_LOW:
		state->icr_low = (u32)(value & ICR_VALID);
		apic_bus_command(dev, state->icr_low, state->icr_high >> 24, 0xff);
		return;
	}
	if (!write_register(dev, reg, (u32)value))
		lapic_error(dev, LAPIC_ESR_REGISTER);
}

/* --- x2APIC window and the two other MSRs ----------------------------------------------------- */

/* SDM 3A 11.12.1.2: bits that are not reserved; 0 for registers that cannot be written or do not exist. */
static u64 x2apic_writable(u32 reg)
{
	if (reg >= REG_LVT && reg <= REG_LVT_LAST)
		return lvt_valid[reg - REG_LVT] | LVT_STATUS;
	switch (reg) {
	case REG_TPR:
	case REG_SELF_IPI:
		return 0xff;
	case REG_SVR:
		return SVR_VALID;
	case REG_ICR_LOW:
		return ICR_VALID | BIT(12) | BITS(63, 32);
	case REG_TIMER_INITIAL:
		return 0xffffffff;
	case REG_TIMER_DIVIDE:
		return DIVIDE_VALID;
	default:
		return 0; /* EOI and ESR among them: they take only 0 */
	}
}

static bool x2apic_write(struct device *dev, u32 reg, u64 value)
{
	struct lapic_state *state = dev->state;

	if (!lapic_is_x2apic(state) || (value & ~x2apic_writable(reg)))
		return false;
	switch (reg) {
	case REG_ICR_LOW:
		state->icr_low = (u32)(value & ICR_VALID);
		state->icr_high = (u32)(value >> 32);
		apic_bus_command(dev, state->icr_low, state->icr_high, 0xffffffff);
		return true;
	case REG_SELF_IPI:
		apic_bus_command(dev, (u32)value | 1u << 18, dev->instance, 0xffffffff);
		return true;
	default:
		return write_register(dev, reg, (u32)value);
	}
}

static bool x2apic_read(struct device *dev, u32 reg, u64 *value)
{
	const struct lapic_state *state = dev->state;
	u32 low;

	if (!lapic_is_x2apic(state) || !read_register(dev, reg, &low))
		return false;
	*value = reg == REG_ICR_LOW ? (u64)state->icr_high << 32 | low : low;
	return true;
}

static void power_on(struct device *dev)
{
	struct lapic_state *state = dev->state;
	u64 base = state->base;
	u8 is_lint0_high = state->is_lint0_high;

	*state = (struct lapic_state){
		.base = base,
		.dfr = 0xffffffff,
		.svr = 0xff,
		.is_lint0_high = is_lint0_high,
	};
	for (unsigned i = 0; i < LVT_COUNT; i++)
		state->lvt[i] = (u32)LVT_MASKED;
}

/* SDM 3A 11.12.5: the only ways from disabled (00b) lead to xAPIC (10b), from x2APIC (11b) to disabled. */
static bool write_base(struct device *dev, u64 value)
{
	struct lapic_state *state = dev->state;
	const u64 mode_bits = LAPIC_BASE_ENABLED | LAPIC_BASE_X2APIC;
	u64 from = state->base & mode_bits, to = value & mode_bits;

	if ((value & ~mode_bits & ~LAPIC_BASE_BSP) != LAPIC_BASE || to == LAPIC_BASE_X2APIC)
		return false;
	if (from == mode_bits && to == LAPIC_BASE_ENABLED)
		return false;
	if (from == 0 && to == mode_bits)
		return false;
	state->base = value;
	if (from && !to) {
		power_on(dev);
		lapic_timer_disarm(dev);
	}
	/* SDM 3A 11.12.5.1: entering x2APIC mode clears ICR_HIGH. */
	if (from != to && to == mode_bits)
		state->icr_high = 0;
	return true;
}

static bool lapic_msr_read(struct device *dev, u32 index, u64 *value)
{
	if (index == MSR_TSC_DEADLINE_INDEX) {
		*value = lapic_timer_get_deadline(dev);
		return true;
	}
	if (index == MSR_APIC_BASE_INDEX) {
		*value = ((const struct lapic_state *)dev->state)->base;
		return true;
	}
	return x2apic_read(dev, index - MSR_X2APIC_FIRST, value);
}

static bool lapic_msr_write(struct device *dev, u32 index, u64 value)
{
	if (index == MSR_TSC_DEADLINE_INDEX) {
		lapic_timer_set_deadline(dev, value);
		return true;
	}
	if (index == MSR_APIC_BASE_INDEX)
		return write_base(dev, value);
	return x2apic_write(dev, index - MSR_X2APIC_FIRST, value);
}

/* --- Life --------------------------------------------------------------------------------------- */

static bool has_exceptions(const u32 words[8]) { return words[0] & 0xffff; }

static int lapic_check(const void *from)
{
	const struct lapic_state *state = from;
	const u64 mode_bits = LAPIC_BASE_ENABLED | LAPIC_BASE_X2APIC;
	u32 bad = 0;

	if ((state->base & ~mode_bits & ~LAPIC_BASE_BSP) != LAPIC_BASE ||
	    (state->base & mode_bits) == LAPIC_BASE_X2APIC)
		return -EINVAL;
	/* Vectors 0 to 15 are exceptions' and never get into these. */
	if (has_exceptions(state->irr) || has_exceptions(state->isr) || has_exceptions(state->tmr))
		return -EINVAL;
	for (unsigned i = 0; i < LVT_COUNT; i++)
		bad |= state->lvt[i] & ~lvt_valid[i];
	bad |= state->tpr & ~0xffu;
	bad |= state->ldr & ~0xff000000u;
	bad |= ~state->dfr & (u32)DFR_RESERVED_ONES;
	bad |= state->svr & ~(u32)SVR_VALID;
	bad |= (state->esr | state->esr_next) & ~(u32)ESR_VALID;
	bad |= state->icr_low & ~(u32)ICR_VALID;
	bad |= state->timer_divide & ~DIVIDE_VALID;
	bad |= state->is_extint_pending & ~1u;
	bad |= state->is_lint0_high & ~1u;
	for (unsigned i = 0; i < sizeof(state->reserved); i++)
		bad |= state->reserved[i];
	return bad || state->timer_next_ns > DEVICE_TIME_MAX_NS ? -EINVAL : 0;
}

static int lapic_attach(struct device *dev)
{
	int err;

	dev->vm->lapic[dev->instance] = dev;
	device_timer_setup(&((struct lapic_wires *)dev->wires)->timer, dev, lapic_timer_update);
	err = bus_claim_mmio(dev, LAPIC_BASE, 4096);
	if (!err)
		err = bus_claim_msrs(dev, MSR_X2APIC_FIRST, MSR_X2APIC_COUNT);
	if (!err)
		err = bus_claim_msrs(dev, MSR_APIC_BASE_INDEX, 1);
	if (!err)
		err = bus_claim_msrs(dev, MSR_TSC_DEADLINE_INDEX, 1);
	return err;
}

static void lapic_reset(struct device *dev)
{
	struct lapic_state *state = dev->state;

	state->base = LAPIC_BASE | LAPIC_BASE_ENABLED | (dev->instance ? 0 : LAPIC_BASE_BSP);
	state->is_lint0_high = 0;
	power_on(dev);
	if (dev->instance)
		return;
	/*
	 * As firmware leaves the boot processor: in virtual wire mode, so that a guest that uses only
	 * the PIC gets its interrupts (MP specification 1.4, 3.6.2.2; the MADT says that LINT1 is NMI).
	 */
	state->svr |= SVR_ENABLED;
	state->lvt[LVT_LINT0] = APIC_EXTINT << 8;
	state->lvt[LVT_LINT1] = APIC_NMI << 8;
}

void lapic_init_signal(struct device *dev)
{
	power_on(dev);
	lapic_timer_disarm(dev);
}

static void lapic_start(struct device *dev) { lapic_timer_update(dev); }
static void lapic_stop(struct device *dev) { lapic_timer_disarm(dev); }

static bool lapic_is_due(const struct device *dev, u64 ns)
{
	const struct lapic_state *state = dev->state;
	u32 interrupts = 0;

	for (int i = 0; i < 8; i++)
		interrupts |= state->irr[i] | state->isr[i];
	return interrupts || device_timer_is_due(&((const struct lapic_wires *)dev->wires)->timer, ns);
}

static void lapic_detach(struct device *dev)
{
	device_timer_cancel(&((struct lapic_wires *)dev->wires)->timer);
	dev->vm->lapic[dev->instance] = NULL;
}

DEVICE_TYPE(lapic, 1, 192, .is_per_vcpu = true, .is_due = lapic_is_due, .detach = lapic_detach,
	    .mmio_read = lapic_mmio_read, .mmio_write = lapic_mmio_write,
	    .msr_read = lapic_msr_read, .msr_write = lapic_msr_write);
