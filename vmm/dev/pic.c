/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The pair of 8259A interrupt controllers (Intel 8259A data sheet), as in a PC: the slave on the
 * master's input 2, edge/level control at 0x4D0 and 0x4D1. The output goes to LINT0.
 *
 * Not there, because no PC software uses it: MCS-80 mode, special fully nested and buffered mode
 * (their bits are taken and have no effect).
 */
#include "vmm/dev/pic.h"
#include "kernel/bits.h"
#include "kernel/errno.h"
#include "vmm/dev/lapic.h"
#include "vmm/vm.h"

#define MASTER_PORT 0x20
#define SLAVE_PORT 0xa0
#define ELCR_PORT 0x4d0
#define CASCADE 2
#define SPURIOUS 7
#define SCI_LEVEL BIT(1) /* of the slave: IRQ 9, as firmware leaves it */

#define ICW1_INIT BIT(4)
#define ICW1_LEVEL BIT(3)
#define ICW1_SINGLE BIT(1)
#define ICW1_NEED_ICW4 BIT(0)
#define ICW4_AUTO_EOI BIT(1)
#define OCW3 BIT(3)
#define OCW3_POLL BIT(2)

/* Timer, keyboard and cascade are edges for ever, as are RTC and FPU (PIIX4 data sheet, ELCR). */
static const u8 elcr_valid[2] = { 0xf8, 0xde };

enum { INIT_DONE, INIT_ICW2, INIT_ICW3, INIT_ICW4 };

STATE_BEGIN
struct pic_chip {
	u8 lines;          /* inputs that are high */
	u8 irr;
	u8 isr;
	u8 imr;
	u8 elcr;           /* inputs that are level-triggered */
	u8 base;           /* vector of input 0 */
	u8 lowest;         /* input of lowest priority; 7 unless rotated */
	u8 init_step;
	u8 need_icw4;
	u8 is_level;       /* ICW1: all inputs are level-triggered */
	u8 auto_eoi;
	u8 rotate_on_auto_eoi;
	u8 special_mask;
	u8 read_isr;       /* OCW3: what a read of the command port gives */
	u8 poll;           /* OCW3: the next read is an acknowledge */
	u8 reserved;
};

struct pic_state {
	struct pic_chip chip[2]; /* master, slave */
};
STATE_END

struct pic_wires {
	char none;
};

static bool is_level(const struct pic_chip *chip, unsigned n)
{
	return chip->is_level || (chip->elcr >> n & 1);
}

/* The n-th input in order of priority. */
static unsigned by_priority(const struct pic_chip *chip, unsigned n) { return (chip->lowest + 1 + n) & 7; }

/* The input that would be acknowledged now, or -1. */
static int pending_input(const struct pic_chip *chip)
{
	u8 requests = chip->irr & ~chip->imr;
	/* Special mask: what is masked does not hold back lower priorities. */
	u8 in_service = chip->special_mask ? chip->isr & ~chip->imr : chip->isr;

	for (unsigned n = 0; n < 8; n++) {
		unsigned input = by_priority(chip, n);

		if (in_service >> input & 1)
			return -1;
		if (requests >> input & 1)
			return (int)input;
	}
	return -1;
}

static void set_input(struct pic_chip *chip, unsigned n, bool is_high)
{
	u8 bit = (u8)(1u << n);
	bool was_high = chip->lines & bit;

	chip->lines = is_high ? chip->lines | bit : chip->lines & ~bit;
	if (is_level(chip, n))
		chip->irr = is_high ? chip->irr | bit : chip->irr & ~bit;
	else if (is_high && !was_high)
		chip->irr |= bit;
	else if (!is_high)
		chip->irr &= ~bit; /* the request must last until it is acknowledged: else spurious */
}

/*
 * Tells the slave's output to the master and the master's to LINT0. A slave that asks again at once
 * after an acknowledge makes a new edge, as its output drops in between.
 */
static void update(struct device *dev)
{
	struct pic_state *state = dev->state;
	struct device *lapic = dev->vm->lapic[0];

	set_input(&state->chip[0], CASCADE, pending_input(&state->chip[1]) >= 0);
	if (lapic)
		lapic_set_lint0(lapic, pending_input(&state->chip[0]) >= 0);
}

void pic_set_line(struct device *dev, unsigned irq, bool is_high)
{
	struct pic_state *state = dev->state;

	set_input(&state->chip[irq / 8], irq % 8, is_high);
	update(dev);
}

bool pic_has_interrupt(const struct device *dev)
{
	return pending_input(&((const struct pic_state *)dev->state)->chip[0]) >= 0;
}

u8 pic_peek_vector(const struct device *dev)
{
	const struct pic_state *state = dev->state;
	const struct pic_chip *chip = &state->chip[0];
	int input = pending_input(chip);

	if (input == CASCADE) {
		chip = &state->chip[1];
		input = pending_input(chip);
	}
	return chip->base + (u8)(input < 0 ? SPURIOUS : input);
}

static void end_input(struct pic_chip *chip, unsigned input, bool rotate)
{
	chip->isr &= ~(1u << input);
	if (rotate)
		chip->lowest = (u8)input;
}

/* One chip's part of an acknowledge cycle; the input, or -1 if the request has gone (spurious). */
static int acknowledge_chip(struct pic_chip *chip)
{
	int input = pending_input(chip);

	if (input < 0)
		return -1;
	if (!is_level(chip, (unsigned)input))
		chip->irr &= ~(1u << input);
	if (chip->auto_eoi)
		end_input(chip, (unsigned)input, chip->rotate_on_auto_eoi);
	else
		chip->isr |= 1u << input;
	return input;
}

u8 pic_acknowledge(struct device *dev)
{
	struct pic_state *state = dev->state;
	struct pic_chip *chip = &state->chip[0];
	int input = acknowledge_chip(chip);

	if (input == CASCADE) {
		chip->lines &= ~(1u << CASCADE);
		chip = &state->chip[1];
		input = acknowledge_chip(chip);
	}
	update(dev);
	return chip->base + (u8)(input < 0 ? SPURIOUS : input);
}

static void write_icw1(struct pic_chip *chip, u8 value)
{
	/* 8259A, initialization: edge sense is reset, IMR cleared, input 7 has priority 7. */
	chip->irr = 0;
	chip->isr = 0;
	chip->imr = 0;
	chip->lowest = 7;
	chip->auto_eoi = 0;
	chip->rotate_on_auto_eoi = 0;
	chip->special_mask = 0;
	chip->read_isr = 0;
	chip->poll = 0;
	chip->is_level = !!(value & ICW1_LEVEL);
	chip->need_icw4 = !!(value & ICW1_NEED_ICW4);
	chip->init_step = INIT_ICW2;
	for (unsigned n = 0; n < 8; n++) {
		if (is_level(chip, n) && (chip->lines >> n & 1))
			chip->irr |= 1u << n;
	}
}

/* Highest priority input in service, for an EOI that names none. */
static int in_service_input(const struct pic_chip *chip)
{
	for (unsigned n = 0; n < 8; n++) {
		unsigned input = by_priority(chip, n);

		/* 8259A, special mask mode: masked bits are not cleared by a non-specific EOI. */
		if ((chip->isr >> input & 1) && !(chip->special_mask && (chip->imr >> input & 1)))
			return (int)input;
	}
	return -1;
}

static void write_ocw2(struct pic_chip *chip, u8 value)
{
	bool rotate = value & BIT(7);
	int input;

	switch (value >> 5) {
	case 0: /* rotate in automatic EOI mode: clear, set */
	case 4:
		chip->rotate_on_auto_eoi = rotate;
		break;
	case 1: /* non-specific EOI, with or without rotation */
	case 5:
		input = in_service_input(chip);
		if (input >= 0)
			end_input(chip, (unsigned)input, rotate);
		break;
	case 3: /* specific EOI */
	case 7:
		end_input(chip, value & 7, rotate);
		break;
	case 6: /* set priority */
		chip->lowest = value & 7;
		break;
	}
}

static void write_ocw3(struct pic_chip *chip, u8 value)
{
	if (value & BIT(6))
		chip->special_mask = value >> 5 & 1;
	if (value & BIT(1))
		chip->read_isr = value & 1;
	chip->poll = !!(value & OCW3_POLL);
}

static void write_command(struct pic_chip *chip, u8 value)
{
	if (value & ICW1_INIT)
		write_icw1(chip, value);
	else if (value & OCW3)
		write_ocw3(chip, value);
	else
		write_ocw2(chip, value);
}

static void write_data(struct pic_chip *chip, u8 value)
{
	switch (chip->init_step) {
	case INIT_DONE:
		chip->imr = value;
		break;
	case INIT_ICW2:
		chip->base = value & 0xf8;
		chip->init_step = INIT_ICW3; /* PCs are never single: ICW3 always follows */
		break;
	case INIT_ICW3:
		chip->init_step = chip->need_icw4 ? INIT_ICW4 : INIT_DONE;
		break;
	default:
		chip->auto_eoi = !!(value & ICW4_AUTO_EOI);
		chip->init_step = INIT_DONE;
		break;
	}
}

static u8 read_poll(struct pic_chip *chip)
{
	int input = acknowledge_chip(chip);

	chip->poll = 0;
	return input < 0 ? 0 : (u8)(BIT(7) | (unsigned)input);
}

static u64 pic_port_read(struct device *dev, u16 port, u8 size)
{
	struct pic_state *state = dev->state;
	struct pic_chip *chip;

	(void)size;
	if (port >= ELCR_PORT)
		return state->chip[port - ELCR_PORT].elcr;
	chip = &state->chip[port >= SLAVE_PORT];
	if (chip->poll) {
		u8 value = read_poll(chip);

		update(dev);
		return value;
	}
	if (port & 1)
		return chip->imr;
	return chip->read_isr ? chip->isr : chip->irr;
}

static void pic_port_write(struct device *dev, u16 port, u8 size, u64 value)
{
	struct pic_state *state = dev->state;
	struct pic_chip *chip = &state->chip[port >= SLAVE_PORT];

	(void)size;
	if (port >= ELCR_PORT)
		state->chip[port - ELCR_PORT].elcr = (u8)value & elcr_valid[port - ELCR_PORT];
	else if (port & 1)
		write_data(chip, (u8)value);
	else
		write_command(chip, (u8)value);
	update(dev);
}

static int pic_check(const void *from)
{
	const struct pic_state *state = from;

	for (unsigned i = 0; i < 2; i++) {
		const struct pic_chip *chip = &state->chip[i];

		if ((chip->elcr & ~elcr_valid[i]) || (chip->base & 7) || chip->lowest > 7 ||
		    chip->init_step > INIT_ICW4 || chip->reserved)
			return -EINVAL;
		if ((chip->need_icw4 | chip->is_level | chip->auto_eoi | chip->rotate_on_auto_eoi |
		     chip->special_mask | chip->read_isr | chip->poll) > 1)
			return -EINVAL;
	}
	return 0;
}

static int pic_attach(struct device *dev)
{
	int err;

	dev->vm->pic = dev;
	err = bus_claim_ports(dev, MASTER_PORT, 2);
	if (!err)
		err = bus_claim_ports(dev, SLAVE_PORT, 2);
	if (!err)
		err = bus_claim_ports(dev, ELCR_PORT, 2);
	return err;
}

static void pic_reset(struct device *dev)
{
	struct pic_state *state = dev->state;

	/* As firmware leaves it: all masked, so that nothing arrives before the guest asked for it. */
	for (unsigned i = 0; i < 2; i++)
		state->chip[i] = (struct pic_chip){
			.imr = 0xff, .lowest = 7, .base = i ? 0x70 : 0x08, .elcr = i ? SCI_LEVEL : 0,
		};
}

static void pic_start(struct device *dev) { (void)dev; }
static void pic_stop(struct device *dev) { (void)dev; }
static void pic_detach(struct device *dev) { dev->vm->pic = NULL; }

DEVICE_TYPE(pic, 1, 32, .detach = pic_detach, .port_read = pic_port_read, .port_write = pic_port_write);
