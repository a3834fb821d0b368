/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI bus by configuration mechanism 1 (PCI Local Bus 3.0, 3.2.2.3.2). It has only its host bridge: a
 * machine without PCI alarms today's kernels.
 *
 * Bytes of the address port are the chip set's own: CF9h resets the machine (Intel ICH9 data sheet,
 * RST_CNT). Only a 32-bit access to CF8h is PCI's.
 */
#include "vmm/dev/pci.h"
#include "kernel/bits.h"
#include "kernel/errno.h"
#include "kernel/sched.h"
#include "vmm/vm.h"

#define ADDRESS_PORT 0xcf8
#define DATA_PORT 0xcfc
#define PORT_COUNT 8

#define ADDRESS_ENABLED BIT(31)
#define ADDRESS_VALID (ADDRESS_ENABLED | BITS(23, 2))
#define RESET_NOW BIT(2) /* a 0 to 1 transition resets */
#define RESET_VALID 0x0eu

STATE_BEGIN
struct pci_state {
	u32 address;
	u8 reset_control;
	u8 reserved[3];
};
STATE_END

struct pci_wires {
	char none;
};

/* The host bridge, 00:00.0. The identity is that of a generic bridge, for which no kernel has a quirk. */
static u32 read_host_bridge(unsigned reg)
{
	switch (reg) {
	case 0x00: return 0x00081b36; /* device, vendor */
	case 0x08: return 0x06000000; /* class: host bridge */
	case 0x2c: return 0x11001af4; /* subsystem */
	default: return 0;
	}
}

/* PCI 3.0, 3.2.2.3.4: what nobody answers reads as ones. */
static u32 read_config(const struct pci_state *state)
{
	if (!(state->address & ADDRESS_ENABLED) || FIELD(state->address, 23, 8))
		return ~0u;
	return read_host_bridge((unsigned)FIELD(state->address, 7, 0));
}

static u64 pci_port_read(struct device *dev, u16 port, u8 size)
{
	const struct pci_state *state = dev->state;

	if (port >= DATA_PORT)
		return read_config(state) >> 8 * (port - DATA_PORT);
	if (port == ADDRESS_PORT && size == 4)
		return state->address;
	return port == PCI_RESET_PORT && size == 1 ? state->reset_control : ~0ull;
}

static void write_reset(struct device *dev, u8 value)
{
	struct pci_state *state = dev->state;
	u8 old = state->reset_control;

	state->reset_control = value & RESET_VALID;
	if (value & ~old & RESET_NOW) {
		dev->vm->want_reset = true;
		service_wake();
	}
}

/* The host bridge has nothing to configure: writes to the data port are lost. */
static void pci_port_write(struct device *dev, u16 port, u8 size, u64 value)
{
	struct pci_state *state = dev->state;

	if (port == ADDRESS_PORT && size == 4)
		state->address = (u32)(value & ADDRESS_VALID);
	else if (port == PCI_RESET_PORT && size == 1)
		write_reset(dev, (u8)value);
}

static int pci_check(const void *from)
{
	const struct pci_state *state = from;
	u32 bad = (state->address & ~(u32)ADDRESS_VALID) | (state->reset_control & ~RESET_VALID);

	for (unsigned i = 0; i < sizeof(state->reserved); i++)
		bad |= state->reserved[i];
	return bad ? -EINVAL : 0;
}

static int pci_attach(struct device *dev) { return bus_claim_ports(dev, ADDRESS_PORT, PORT_COUNT); }

static void pci_reset(struct device *dev)
{
	*(struct pci_state *)dev->state = (struct pci_state){ .address = 0 };
}

static void pci_start(struct device *dev) { (void)dev; }
static void pci_stop(struct device *dev) { (void)dev; }

DEVICE_TYPE(pci, 1, 8, .port_read = pci_port_read, .port_write = pci_port_write);
