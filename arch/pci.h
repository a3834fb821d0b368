/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI: find functions, read and write their configuration space, BARs, capabilities,
 * message-signalled interrupts, drivers.
 *
 * By memory (ECAM, from MCFG) where there is one, else by ports CF8/CFC. Firmware has
 * assigned the BARs; Tern does not move them. Boot CPU's loop only.
 * Section numbers: PCI Local Bus 3.0, PCI Express Base 4.0.
 */
#pragma once

#include "kernel/list.h"

#define PCI_BAR_COUNT 6

/* Configuration space, header type 0 (PCI 6.1). */
enum {
	PCI_VENDOR = 0x00,
	PCI_DEVICE = 0x02,
	PCI_COMMAND = 0x04,
	PCI_STATUS = 0x06,
	PCI_REVISION = 0x08,
	PCI_CLASS = 0x09, /* prog-if, subclass, class */
	PCI_HEADER_TYPE = 0x0e,
	PCI_BAR0 = 0x10,
	PCI_SECONDARY_BUS = 0x19, /* header type 1 */
	PCI_SUBSYSTEM_VENDOR = 0x2c,
	PCI_SUBSYSTEM = 0x2e,
	PCI_CAPABILITIES = 0x34,
	PCI_INTERRUPT_LINE = 0x3c,
	PCI_INTERRUPT_PIN = 0x3d,
};

enum {
	PCI_COMMAND_IO = 1 << 0,
	PCI_COMMAND_MEMORY = 1 << 1,
	PCI_COMMAND_MASTER = 1 << 2,
	PCI_COMMAND_INTX_OFF = 1 << 10,
	PCI_STATUS_CAPABILITIES = 1 << 4,
};

enum { PCI_CAP_MSI = 0x05, PCI_CAP_VENDOR = 0x09, PCI_CAP_EXPRESS = 0x10, PCI_CAP_MSIX = 0x11 };

struct pci_bar {
	u64 address;
	u64 bytes; /* 0: not implemented, or unusable as firmware left it */
	bool is_io;
	bool is_64bit;
	bool is_prefetchable;
};

struct pci_driver;

struct pci_device {
	struct list link;
	u16 segment;
	u8 bus, slot, function;
	u8 revision;
	u16 vendor, device;
	u16 subsystem_vendor, subsystem;
	u8 class, subclass, prog_if;
	u8 interrupt_line; /* ISA interrupt by firmware's routing, 0xff: none */
	u8 interrupt_pin;  /* 1..4, 0: has none */
	u8 *ecam;          /* its configuration space in memory, NULL: by ports */
	struct pci_bar bar[PCI_BAR_COUNT];
	const struct pci_driver *driver;
	void *driver_data;
	u8 *msix_table;    /* mapped when first used */
	const char *irq_kind;
	char name[16];     /* "0000:00:03.0" */
};

/* vendor or device PCI_ANY matches all. The table ends with vendor 0. */
#define PCI_ANY 0xffff
struct pci_id {
	u16 vendor, device;
};

struct pci_driver {
	const char *name;
	const struct pci_id *ids;
	/* 0: takes the device. Else negative errno; the device stays free for others. */
	int (*probe)(struct pci_device *device);
};

#define PCI_DRIVER(id) \
	static const struct pci_driver id; \
	LINKER_SET(".pci_drivers") static const struct pci_driver *const id##_entry = &id; \
	static const struct pci_driver id

/* Finds all functions behind all bridges. After acpi_init, heap and paging. */
void pci_init(void);
/* Gives each device without driver to the drivers that match. Interrupts are usable. */
void pci_probe_all(void);
/* The index-th device found, or NULL. */
struct pci_device *pci_get(unsigned index);

/* offset < 256 by ports, < 4096 by ECAM, naturally aligned; out of range reads as all ones. */
u8 pci_read8(const struct pci_device *device, unsigned offset);
u16 pci_read16(const struct pci_device *device, unsigned offset);
u32 pci_read32(const struct pci_device *device, unsigned offset);
void pci_write16(const struct pci_device *device, unsigned offset, u16 value);
void pci_write32(const struct pci_device *device, unsigned offset, u32 value);

/* Switches on decoding of memory and ports, and DMA. */
void pci_enable(const struct pci_device *device);
/* Switches DMA and the interrupt off. */
void pci_disable(const struct pci_device *device);
/* The registers of a memory BAR, uncached; NULL if there are none or no memory. Stays mapped. */
void *pci_map_bar(const struct pci_device *device, unsigned bar);

/* Offset of the first capability of the kind behind offset `after` (0: from the start), or 0. */
unsigned pci_find_capability(const struct pci_device *device, u8 id, unsigned after);

/*
 * One interrupt for the device: MSI-X entry 0, else MSI, else the pin by firmware's line
 * through the I/O APIC. handler as in arch/trap.h (flags only!), on CPU cpu. Pins are level
 * triggered and may be shared: the handler must make the device drop the line.
 * Returns 0, or negative errno (then poll).
 */
int pci_irq_request(struct pci_device *device, unsigned cpu, void (*handler)(void *context), void *context);
/* "msi-x", "msi" or "intx": what pci_irq_request chose. */
const char *pci_irq_kind(const struct pci_device *device);

/* The single steps, for devices with several queues. All return 0 or negative errno. */
int pci_msi_enable(const struct pci_device *device, int vector, unsigned cpu);
/* Entries that the device has; 0: no MSI-X. */
unsigned pci_msix_count(const struct pci_device *device);
int pci_msix_enable(struct pci_device *device, unsigned entry, int vector, unsigned cpu);
