/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI configuration space: access by memory or by ports, capabilities.
 *
 * The ports (PCI Local Bus 3.0, 3.2.2.3.2) are a pair, address then data, and reach
 * segment 0 and the first 256 bytes of each function. Boot CPU's loop only.
 */
#include "arch/pci.h"

#include "arch/cpu.h"

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define CONFIG_ENABLE 0x80000000u

#define ECAM_BYTES 4096
#define PORT_BYTES 256

static unsigned config_bytes(const struct pci_device *device)
{
	if (device->ecam)
		return ECAM_BYTES;
	return device->segment == 0 ? PORT_BYTES : 0;
}

static bool is_access_sane(const struct pci_device *device, unsigned offset, unsigned width)
{
	return offset % width == 0 && offset < config_bytes(device);
}

/* The data port's byte that is `offset` after this. */
static u16 select_by_port(const struct pci_device *device, unsigned offset)
{
	out32(CONFIG_ADDRESS, CONFIG_ENABLE | (u32)device->bus << 16 | (u32)device->slot << 11 |
				      (u32)device->function << 8 | (offset & 0xfc));
	return (u16)(CONFIG_DATA + (offset & 3));
}

u8 pci_read8(const struct pci_device *device, unsigned offset)
{
	if (!is_access_sane(device, offset, 1))
		return 0xff;
	return device->ecam ? mmio_read8(device->ecam + offset) : in8(select_by_port(device, offset));
}

u16 pci_read16(const struct pci_device *device, unsigned offset)
{
	if (!is_access_sane(device, offset, 2))
		return 0xffff;
	return device->ecam ? mmio_read16(device->ecam + offset) : in16(select_by_port(device, offset));
}

u32 pci_read32(const struct pci_device *device, unsigned offset)
{
	if (!is_access_sane(device, offset, 4))
		return ~0u;
	return device->ecam ? mmio_read32(device->ecam + offset) : in32(select_by_port(device, offset));
}

void pci_write16(const struct pci_device *device, unsigned offset, u16 value)
{
	if (!is_access_sane(device, offset, 2))
		return;
	if (device->ecam)
		mmio_write16(device->ecam + offset, value);
	else
		out16(select_by_port(device, offset), value);
}

void pci_write32(const struct pci_device *device, unsigned offset, u32 value)
{
	if (!is_access_sane(device, offset, 4))
		return;
	if (device->ecam)
		mmio_write32(device->ecam + offset, value);
	else
		out32(select_by_port(device, offset), value);
}

/* Capabilities lie in 0x40..0xff and are 4 bytes at least: a chain of more is a loop. */
#define CAPABILITY_FIRST 0x40
#define CAPABILITIES_MAX ((0x100 - CAPABILITY_FIRST) / 4)

unsigned pci_find_capability(const struct pci_device *device, u8 id, unsigned after)
{
	unsigned at;

	if (!(pci_read16(device, PCI_STATUS) & PCI_STATUS_CAPABILITIES))
		return 0;
	/* PCI 6.7: the two low bits are reserved and must be masked. */
	at = pci_read8(device, after ? after + 1 : PCI_CAPABILITIES) & 0xfcu;
	for (unsigned hops = 0; at >= CAPABILITY_FIRST && hops < CAPABILITIES_MAX; hops++) {
		if (pci_read8(device, at) == id)
			return at;
		at = pci_read8(device, at + 1) & 0xfcu;
	}
	return 0;
}

void pci_enable(const struct pci_device *device)
{
	u16 command = pci_read16(device, PCI_COMMAND);

	command |= PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	pci_write16(device, PCI_COMMAND, command);
}

void pci_disable(const struct pci_device *device)
{
	u16 command = pci_read16(device, PCI_COMMAND);

	command = (u16)((command & ~PCI_COMMAND_MASTER) | PCI_COMMAND_INTX_OFF);
	pci_write16(device, PCI_COMMAND, command);
}
