/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts of PCI devices: MSI-X, MSI, or the pin through the I/O APIC.
 *
 * A message interrupt is a write to the local APIC's address range (SDM 3A 11.11): the
 * destination's APIC ID in address bits 19..12, so only IDs up to 254 can be reached.
 *
 * Where a pin leads is written in AML, which Tern does not read; firmware's note in the
 * interrupt line register is taken instead. That is right on PCs and in emulators; a
 * driver must work by polling when no interrupt comes.
 */
#include "arch/pci.h"

#include "arch/acpi.h"
#include "arch/cpu.h"
#include "arch/ioapic.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "arch/trap.h"
#include "kernel/errno.h"
#include "kernel/log.h"

#define MESSAGE_ADDRESS 0xfee00000u
#define MESSAGE_APIC_ID_MAX 254

static int message_address(unsigned cpu, u32 *address)
{
	u32 apic_id = percpu_table[cpu].apic_id;

	if (apic_id > MESSAGE_APIC_ID_MAX)
		return -ERANGE;
	*address = MESSAGE_ADDRESS | apic_id << 12;
	return 0;
}

static void switch_pin_off(const struct pci_device *device)
{
	u16 command = pci_read16(device, PCI_COMMAND);

	pci_write16(device, PCI_COMMAND, (u16)(command | PCI_COMMAND_INTX_OFF));
}

/* PCI 6.8.1: message control */
#define MSI_ENABLE BIT(0)
#define MSI_COUNT BITS(6, 4)
#define MSI_64BIT BIT(7)
#define MSI_HAS_MASK BIT(8)

int pci_msi_enable(const struct pci_device *device, int vector, unsigned cpu)
{
	unsigned at = pci_find_capability(device, PCI_CAP_MSI, 0);
	u16 control;
	u32 address;
	int err;

	if (!at)
		return -ENODEV;
	err = message_address(cpu, &address);
	if (err)
		return err;
	control = pci_read16(device, at + 2);
	pci_write16(device, at + 2, (u16)(control & ~(MSI_ENABLE | MSI_COUNT)));
	pci_write32(device, at + 4, address);
	if (control & MSI_64BIT)
		pci_write32(device, at + 8, 0);
	/* Fixed delivery, edge: the data is the vector. */
	pci_write16(device, at + (control & MSI_64BIT ? 12 : 8), (u16)vector);
	if (control & MSI_HAS_MASK)
		pci_write32(device, at + (control & MSI_64BIT ? 16 : 12), 0);
	switch_pin_off(device);
	pci_write16(device, at + 2, (u16)((control & ~MSI_COUNT) | MSI_ENABLE));
	return 0;
}

/* PCI 6.8.2: message control, table offset, table entry */
#define MSIX_ENABLE BIT(15)
#define MSIX_MASK_ALL BIT(14)
#define MSIX_COUNT BITS(10, 0)
#define MSIX_BAR BITS(2, 0)
#define MSIX_ENTRY_BYTES 16

unsigned pci_msix_count(const struct pci_device *device)
{
	unsigned at = pci_find_capability(device, PCI_CAP_MSIX, 0);

	return at ? (unsigned)(pci_read16(device, at + 2) & MSIX_COUNT) + 1 : 0;
}

/* The table lies in a BAR; device and BAR may disagree about its size. */
static u8 *map_msix_table(const struct pci_device *device, unsigned at)
{
	u32 where = pci_read32(device, at + 4);
	unsigned bar = where & MSIX_BAR;
	u64 offset = where & ~MSIX_BAR;
	u64 bytes = (u64)pci_msix_count(device) * MSIX_ENTRY_BYTES;

	if (bar >= PCI_BAR_COUNT || device->bar[bar].is_io || offset + bytes > device->bar[bar].bytes)
		return NULL;
	return paging_map_mmio(HPA(device->bar[bar].address + offset), bytes);
}

static void mask_msix_entries(const struct pci_device *device)
{
	for (unsigned i = 0; i < pci_msix_count(device); i++)
		mmio_write32(device->msix_table + i * MSIX_ENTRY_BYTES + 12, 1);
}

int pci_msix_enable(struct pci_device *device, unsigned entry, int vector, unsigned cpu)
{
	unsigned at = pci_find_capability(device, PCI_CAP_MSIX, 0);
	u16 control;
	u32 address;
	u8 *slot;
	int err;

	if (!at || entry >= pci_msix_count(device))
		return -ENODEV;
	err = message_address(cpu, &address);
	if (err)
		return err;
	control = pci_read16(device, at + 2);
	/* All masked until the entry is right; the table is in memory space, which must be on. */
	pci_write16(device, at + 2, (u16)(control | MSIX_ENABLE | MSIX_MASK_ALL));
	pci_write16(device, PCI_COMMAND, pci_read16(device, PCI_COMMAND) | PCI_COMMAND_MEMORY);
	if (!device->msix_table) {
		device->msix_table = map_msix_table(device, at);
		if (!device->msix_table) {
			pci_write16(device, at + 2, control);
			return -EIO;
		}
		mask_msix_entries(device);
	}
	slot = device->msix_table + entry * MSIX_ENTRY_BYTES;
	mmio_write32(slot + 0, address);
	mmio_write32(slot + 4, 0);
	mmio_write32(slot + 8, (u32)vector);
	mmio_write32(slot + 12, 0);
	switch_pin_off(device);
	pci_write16(device, at + 2, (u16)((control & ~MSIX_MASK_ALL) | MSIX_ENABLE));
	return 0;
}

/* ---- pins ---- */

/* A pin's line is shared by those who ask for it: each has a place, all are called. */
#define PIN_USERS_MAX 16

struct pin_user {
	u8 line;
	irq_handler handler;
	void *context;
};

static struct pin_user pin_users[PIN_USERS_MAX];
static unsigned pin_user_count;

static void pin_interrupt(void *context)
{
	u8 line = (u8)(uintptr_t)context;

	for (unsigned i = 0; i < pin_user_count; i++) {
		if (pin_users[i].line == line)
			pin_users[i].handler(pin_users[i].context);
	}
}

static bool is_line_routed(u8 line)
{
	for (unsigned i = 0; i < pin_user_count; i++) {
		if (pin_users[i].line == line)
			return true;
	}
	return false;
}

static int pin_enable(const struct pci_device *device, irq_handler handler, void *context)
{
	u8 line = device->interrupt_line;
	bool is_routed = is_line_routed(line);
	u16 command = pci_read16(device, PCI_COMMAND);
	int err;

	/* Lines 0 to 2 are the PC's timer, keyboard and cascade: firmware that says so means "none". */
	if (!device->interrupt_pin || line < 3 || line > 15)
		return -ENODEV;
	if (pin_user_count == PIN_USERS_MAX)
		return -ENOSPC;
	pin_users[pin_user_count++] = (struct pin_user){ line, handler, context };
	if (!is_routed) {
		err = ioapic_route_isa(line, pin_interrupt, (void *)(uintptr_t)line);
		if (err < 0) {
			pin_user_count--;
			return err;
		}
	}
	pci_write16(device, PCI_COMMAND, (u16)(command & ~PCI_COMMAND_INTX_OFF));
	return 0;
}

static int request_message(struct pci_device *device, int vector, unsigned cpu)
{
	if (pci_msix_count(device) && pci_msix_enable(device, 0, vector, cpu) == 0) {
		device->irq_kind = "msi-x";
		return 0;
	}
	if (pci_msi_enable(device, vector, cpu) == 0) {
		device->irq_kind = "msi";
		return 0;
	}
	return -ENODEV;
}

int pci_irq_request(struct pci_device *device, unsigned cpu, irq_handler handler, void *context)
{
	int vector = irq_allocate();
	int err;

	if (vector < 0)
		return vector;
	irq_register(vector, handler, context);
	err = request_message(device, vector, cpu);
	if (!err)
		return 0;
	irq_register(vector, NULL, NULL);
	irq_release(vector);
	err = pin_enable(device, handler, context);
	if (!err)
		device->irq_kind = "intx";
	return err;
}

const char *pci_irq_kind(const struct pci_device *device)
{
	return device->irq_kind ? device->irq_kind : "none";
}
