/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI fixed hardware (ACPI 6.4, 4.8.3): power button, power-off, and the PM timer, which is VM
 * time in 3.579545 MHz. There is no legacy mode: SCI_EN is always 1 and the FADT has no SMI_CMD.
 *
 * The SCI is high while a status bit and its enable bit are both 1.
 */
#include "vmm/dev/acpi_pm.h"
#include "kernel/bits.h"
#include "kernel/errno.h"
#include "kernel/sched.h"
#include "vmm/dev/device_timer.h"
#include "vmm/irq.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

/* ACPI 6.4 tables 4.11, 4.12. */
#define EVENT_TIMER BIT(0)
#define EVENT_GLOBAL_LOCK BIT(5)
#define EVENT_POWER_BUTTON BIT(8)
#define STATUS_VALID (EVENT_TIMER | EVENT_GLOBAL_LOCK | EVENT_POWER_BUTTON)
/* RTC_EN is kept and does nothing: the FADT says that the RTC wakes nobody, but Linux 6.1 sets the bit. */
#define EVENT_RTC BIT(10)
#define ENABLE_VALID (STATUS_VALID | EVENT_RTC)

/* Table 4.13. */
#define CONTROL_SCI_ENABLED BIT(0)
#define CONTROL_BUS_MASTER BIT(1)
#define CONTROL_SLEEP_ENABLE BIT(13)
#define CONTROL_VALID (CONTROL_BUS_MASTER | BITS(12, 10))

STATE_BEGIN
struct acpi_pm_state {
	u64 timer_halves;   /* how often the timer's top bit has changed, as far as TMR_STS knows */
	u16 status;
	u16 enable;
	u16 control;
	u8 reserved[2];
};
STATE_END

struct acpi_pm_wires {
	struct device_timer timer;
};

/* 3.579545 MHz is 315/88 MHz, exactly. */
static u64 ns_to_ticks(u64 ns) { return ns / 88000 * 315 + ns % 88000 * 315 / 88000; }
static u64 ticks_to_ns(u64 ticks) { return ticks / 315 * 88000 + (ticks % 315 * 88000 + 314) / 315; }

/* ACPI 6.4, 4.8.3.1: TMR_STS is set when the top bit of the timer changes. */
static void account_timer(struct device *dev)
{
	struct acpi_pm_state *state = dev->state;
	u64 halves = ns_to_ticks(vtime_now_ns(dev->vm)) >> 31;

	if (halves != state->timer_halves)
		state->status |= EVENT_TIMER;
	state->timer_halves = halves;
}

static void update(struct device *dev)
{
	struct acpi_pm_state *state = dev->state;
	struct acpi_pm_wires *wires = dev->wires;

	account_timer(dev);
	irq_set_line(dev->vm, IRQ_SCI, state->status & state->enable);
	if ((state->enable & EVENT_TIMER) && !(state->status & EVENT_TIMER))
		device_timer_arm(&wires->timer, ticks_to_ns((state->timer_halves + 1) << 31));
	else
		device_timer_disarm(&wires->timer);
}

void acpi_pm_press_button(struct device *dev)
{
	struct acpi_pm_state *state = dev->state;

	state->status |= EVENT_POWER_BUTTON;
	/* A stopped device tells at its start(). */
	if (dev->is_started)
		update(dev);
}

static u64 read_events(struct device *dev)
{
	struct acpi_pm_state *state = dev->state;

	account_timer(dev);
	return (u64)state->enable << 16 | state->status;
}

static u64 acpi_pm_port_read(struct device *dev, u16 port, u8 size)
{
	struct acpi_pm_state *state = dev->state;

	(void)size;
	if (port >= ACPI_PM_TIMER_PORT)
		return (u32)ns_to_ticks(vtime_now_ns(dev->vm)) >> 8 * (port - ACPI_PM_TIMER_PORT);
	if (port >= ACPI_PM_CONTROL_PORT)
		return (state->control | CONTROL_SCI_ENABLED) >> 8 * (port - ACPI_PM_CONTROL_PORT);
	return read_events(dev) >> 8 * (port - ACPI_PM_EVENT_PORT);
}

static void write_control(struct device *dev, u16 value)
{
	struct acpi_pm_state *state = dev->state;

	state->control = value & CONTROL_VALID;
	if ((value & CONTROL_SLEEP_ENABLE) && FIELD(value, 12, 10) == ACPI_PM_S5) {
		dev->vm->want_poweroff = true;
		service_wake();
	}
}

/* Bytes at any offset and width: each register gets its part of the access. */
static void acpi_pm_port_write(struct device *dev, u16 port, u8 size, u64 value)
{
	struct acpi_pm_state *state = dev->state;
	unsigned shift = 8u * (port & 3);
	u32 mask = (u32)BITS(8 * size - 1, 0) << shift, bits = (u32)value << shift;

	if (port >= ACPI_PM_TIMER_PORT)
		return;
	if (port >= ACPI_PM_CONTROL_PORT) {
		write_control(dev, (u16)((state->control & ~mask) | (bits & mask)));
		return;
	}
	account_timer(dev);
	state->status &= (u16)~bits; /* written as 1 to clear */
	if (mask >> 16)
		state->enable = (u16)(((state->enable & ~(mask >> 16)) | bits >> 16) & ENABLE_VALID);
	update(dev);
}

static int acpi_pm_check(const void *from)
{
	const struct acpi_pm_state *state = from;
	u32 bad = state->reserved[0] | state->reserved[1];

	bad |= state->status & ~STATUS_VALID;
	bad |= state->enable & ~ENABLE_VALID;
	bad |= state->control & ~CONTROL_VALID;
	return bad || state->timer_halves > ns_to_ticks(DEVICE_TIME_MAX_NS) >> 31 ? -EINVAL : 0;
}

static int acpi_pm_attach(struct device *dev)
{
	int err;

	device_timer_setup(&((struct acpi_pm_wires *)dev->wires)->timer, dev, update);
	err = bus_claim_ports(dev, ACPI_PM_EVENT_PORT, ACPI_PM_EVENT_BYTES);
	if (!err)
		err = bus_claim_ports(dev, ACPI_PM_CONTROL_PORT, ACPI_PM_CONTROL_BYTES);
	return err ? err : bus_claim_ports(dev, ACPI_PM_TIMER_PORT, ACPI_PM_TIMER_BYTES);
}

static void acpi_pm_reset(struct device *dev)
{
	struct acpi_pm_state *state = dev->state;

	*state = (struct acpi_pm_state){ .timer_halves = ns_to_ticks(vtime_now_ns(dev->vm)) >> 31 };
}

static void acpi_pm_start(struct device *dev) { update(dev); }

static void acpi_pm_stop(struct device *dev)
{
	device_timer_disarm(&((struct acpi_pm_wires *)dev->wires)->timer);
}

static void acpi_pm_detach(struct device *dev)
{
	device_timer_cancel(&((struct acpi_pm_wires *)dev->wires)->timer);
}

DEVICE_TYPE(acpi_pm, 1, 16, .detach = acpi_pm_detach, .port_read = acpi_pm_port_read,
	    .port_write = acpi_pm_port_write);
