/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The IO-APIC: 24 pins to messages (Intel 82093AA data sheet; version 0x20 adds the EOI register).
 *
 * A level-triggered pin sends once and waits (remote IRR) until a local APIC has ended that
 * vector, then sends again while the line is still high. An edge on a masked pin is lost, as on
 * the chip.
 */
#include "vmm/dev/ioapic.h"
#include "kernel/bits.h"
#include "kernel/errno.h"
#include "vmm/dev/lapic.h"
#include "vmm/vm.h"

#define WINDOW_SELECT 0x00
#define WINDOW_DATA 0x10
#define WINDOW_EOI 0x40

#define REG_ID 0x00
#define REG_VERSION 0x01
#define REG_ARBITRATION 0x02
#define REG_PINS 0x10
#define VERSION (0x20 | (IOAPIC_PINS - 1) << 16)

#define PIN_LOGICAL BIT(11)
#define PIN_POLARITY BIT(13)
#define PIN_REMOTE_IRR BIT(14)
#define PIN_LEVEL BIT(15)
#define PIN_MASKED BIT(16)
/* Vector, delivery and destination mode, polarity, trigger, mask, destination; status is read-only. */
#define PIN_WRITABLE (BITS(11, 0) | PIN_POLARITY | PIN_LEVEL | PIN_MASKED | BITS(63, 56))

STATE_BEGIN
struct ioapic_state {
	u64 pin[IOAPIC_PINS];
	u32 id;           /* bits 27:24 */
	u32 lines;        /* which are high */
	u8 select;
	u8 reserved[7];
};
STATE_END

struct ioapic_wires {
	char none;
};

static void send(struct device *dev, unsigned n)
{
	struct ioapic_state *state = dev->state;
	u64 pin = state->pin[n];
	struct apic_message message = {
		.dest = (u32)FIELD(pin, 63, 56),
		.vector = (u8)pin,
		.mode = (u8)FIELD(pin, 10, 8),
		.is_logical = pin & PIN_LOGICAL,
		.is_broadcast = FIELD(pin, 63, 56) == 0xff,
		.is_level = pin & PIN_LEVEL,
	};
	bool is_vector = message.mode == APIC_FIXED || message.mode == APIC_LOWEST;

	/* Only a vector is ended by somebody: other modes are edges whatever the pin says. */
	if (apic_bus_send(dev->vm, &message) && message.is_level && is_vector)
		state->pin[n] |= PIN_REMOTE_IRR;
}

static void send_if_level_high(struct device *dev, unsigned n)
{
	struct ioapic_state *state = dev->state;
	u64 pin = state->pin[n];

	if ((pin & PIN_LEVEL) && (state->lines >> n & 1) && !(pin & (PIN_MASKED | PIN_REMOTE_IRR)))
		send(dev, n);
}

void ioapic_set_pin(struct device *dev, unsigned n, bool is_high)
{
	struct ioapic_state *state = dev->state;
	bool was_high = state->lines >> n & 1;

	if (is_high == was_high)
		return;
	state->lines ^= 1u << n;
	if (!is_high)
		return;
	if (state->pin[n] & PIN_LEVEL)
		send_if_level_high(dev, n);
	else if (!(state->pin[n] & PIN_MASKED))
		send(dev, n);
}

void ioapic_eoi(struct device *dev, u8 vector)
{
	struct ioapic_state *state = dev->state;

	for (unsigned n = 0; n < IOAPIC_PINS; n++) {
		if ((u8)state->pin[n] != vector || !(state->pin[n] & PIN_REMOTE_IRR))
			continue;
		state->pin[n] &= ~PIN_REMOTE_IRR;
		send_if_level_high(dev, n);
	}
}

static u32 read_register(const struct ioapic_state *state)
{
	unsigned n = (state->select - REG_PINS) / 2u;

	switch (state->select) {
	case REG_ID:
	case REG_ARBITRATION:
		return state->id;
	case REG_VERSION:
		return VERSION;
	}
	if (state->select < REG_PINS || n >= IOAPIC_PINS)
		return 0;
	return (u32)(state->pin[n] >> (state->select & 1 ? 32 : 0));
}

static void write_pin(struct device *dev, unsigned n, bool is_upper, u32 value)
{
	struct ioapic_state *state = dev->state;
	unsigned shift = is_upper ? 32 : 0;
	u64 writable = PIN_WRITABLE & (0xffffffffull << shift);

	state->pin[n] = (state->pin[n] & ~writable) | ((u64)value << shift & writable);
	/* Software clears a stuck remote IRR by making the pin edge-triggered for a moment. */
	if (!(state->pin[n] & PIN_LEVEL))
		state->pin[n] &= ~PIN_REMOTE_IRR;
	send_if_level_high(dev, n);
}

static void write_register(struct device *dev, u32 value)
{
	struct ioapic_state *state = dev->state;
	unsigned n = (state->select - REG_PINS) / 2u;

	if (state->select == REG_ID)
		state->id = value & (u32)BITS(27, 24);
	else if (state->select >= REG_PINS && n < IOAPIC_PINS)
		write_pin(dev, n, state->select & 1, value);
}

/* Registers are 32 bits wide; a narrow read sees its part. */
static u64 ioapic_mmio_read(struct device *dev, u64 gpa, u8 size)
{
	struct ioapic_state *state = dev->state;
	u32 value = 0;

	(void)size;
	if ((gpa & 0xfc) == WINDOW_SELECT)
		value = state->select;
	else if ((gpa & 0xfc) == WINDOW_DATA)
		value = read_register(state);
	return value >> 8 * (gpa & 3);
}

static void ioapic_mmio_write(struct device *dev, u64 gpa, u8 size, u64 value)
{
	struct ioapic_state *state = dev->state;

	switch (gpa & 0xff) {
	case WINDOW_SELECT:
		state->select = (u8)value;
		break;
	case WINDOW_DATA:
		if (size >= 4)
			write_register(dev, (u32)value);
		break;
	case WINDOW_EOI:
		ioapic_eoi(dev, (u8)value);
		break;
	}
}

static int ioapic_check(const void *from)
{
	const struct ioapic_state *state = from;
	u64 bad = state->id & ~(u32)BITS(27, 24);

	bad |= state->lines & ~((1u << IOAPIC_PINS) - 1);
	for (unsigned n = 0; n < IOAPIC_PINS; n++) {
		bad |= state->pin[n] & ~(PIN_WRITABLE | PIN_REMOTE_IRR);
		bad |= !(state->pin[n] & PIN_LEVEL) && (state->pin[n] & PIN_REMOTE_IRR);
	}
	for (unsigned i = 0; i < sizeof(state->reserved); i++)
		bad |= state->reserved[i];
	return bad ? -EINVAL : 0;
}

static int ioapic_attach(struct device *dev)
{
	dev->vm->ioapic = dev;
	return bus_claim_mmio(dev, IOAPIC_BASE, 4096);
}

static void ioapic_reset(struct device *dev)
{
	struct ioapic_state *state = dev->state;

	*state = (struct ioapic_state){ .id = 0 };
	for (unsigned n = 0; n < IOAPIC_PINS; n++)
		state->pin[n] = PIN_MASKED;
}

static void ioapic_start(struct device *dev) { (void)dev; }
static void ioapic_stop(struct device *dev) { (void)dev; }
static void ioapic_detach(struct device *dev) { dev->vm->ioapic = NULL; }

DEVICE_TYPE(ioapic, 1, 208, .detach = ioapic_detach, .mmio_read = ioapic_mmio_read,
	    .mmio_write = ioapic_mmio_write);
