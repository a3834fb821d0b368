/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI: find the functions, size their BARs, find their drivers.
 *
 * Every bus number is looked at: root buses beyond the first are described only by AML,
 * and this way no chain of bridges has to be believed. Segment 0 is searched by ports, so
 * that only the configuration pages of functions that exist are mapped.
 */
#include "arch/pci.h"

#include "arch/acpi.h"
#include "arch/cpu.h"
#include "arch/paging.h"
#include "kernel/fmt.h"
#include "kernel/heap.h"
#include "kernel/log.h"

#define DEVICES_MAX 512
#define HEADER_MULTI_FUNCTION 0x80

static struct list devices = LIST_HEAD_INIT(devices);
static unsigned device_count;

extern const struct pci_driver *const pci_drivers_start[];
extern const struct pci_driver *const pci_drivers_end[];

/* PCI Express 7.2.2: one page a function: bus, slot, function in address bits 27..12. */
static u64 ecam_offset(const struct pci_device *device)
{
	return (u64)device->bus << 20 | (u64)device->slot << 15 | (u64)device->function << 12;
}

static const struct acpi_ecam *ecam_for(const struct pci_device *device)
{
	const struct acpi_facts *facts = acpi_get();

	for (unsigned i = 0; i < facts->ecam_count; i++) {
		const struct acpi_ecam *ecam = &facts->ecam[i];

		if (ecam->segment == device->segment && device->bus >= ecam->first_bus &&
		    device->bus <= ecam->last_bus)
			return ecam;
	}
	return NULL;
}

#define BAR_IS_IO BIT(0)
#define BAR_IS_64BIT BIT(2)
#define BAR_IS_PREFETCHABLE BIT(3)
#define BAR_TYPE BITS(2, 1)

/* PCI 6.2.5.1: write ones, read back which bits stay 0: those below the size. */
static u32 bar_mask(const struct pci_device *device, unsigned offset)
{
	u32 original = pci_read32(device, offset);
	u32 mask;

	pci_write32(device, offset, ~0u);
	mask = pci_read32(device, offset);
	pci_write32(device, offset, original);
	return mask;
}

/* Reads BAR number index; returns how many of the six registers it uses. */
static unsigned read_bar(struct pci_device *device, unsigned index)
{
	struct pci_bar *bar = &device->bar[index];
	unsigned offset = PCI_BAR0 + 4 * index;
	u32 low = pci_read32(device, offset);
	u64 mask = bar_mask(device, offset);

	if (!mask)
		return 1;
	if (low & BAR_IS_IO) {
		bar->is_io = true;
		bar->address = low & 0xfffc;
		bar->bytes = -(mask & 0xfffc) & 0xffff;
		return 1;
	}
	bar->is_prefetchable = low & BAR_IS_PREFETCHABLE;
	bar->is_64bit = (low & BAR_TYPE) == BAR_IS_64BIT;
	bar->address = low & ~0xfu;
	if (bar->is_64bit && index + 1 < PCI_BAR_COUNT) {
		bar->address |= (u64)pci_read32(device, offset + 4) << 32;
		mask |= (u64)bar_mask(device, offset + 4) << 32;
		bar->bytes = -(mask & ~0xfull);
		return 2;
	}
	bar->bytes = -(mask & ~0xfull) & 0xffffffff;
	return 1;
}

/* A BAR that firmware left without an address, or of no possible size, is as good as none. */
static void check_bar(struct pci_bar *bar)
{
	bool is_power_of_two = (bar->bytes & (bar->bytes - 1)) == 0;

	if (!bar->address || !is_power_of_two || bar->address & (bar->bytes - 1) ||
	    (bar->address + bar->bytes) >> 52)
		bar->bytes = 0;
}

static void read_bars(struct pci_device *device)
{
	u16 command = pci_read16(device, PCI_COMMAND);

	/* The device must not answer at the addresses that sizing makes it show. */
	pci_write16(device, PCI_COMMAND, (u16)(command & ~(PCI_COMMAND_IO | PCI_COMMAND_MEMORY)));
	for (unsigned index = 0; index < PCI_BAR_COUNT;)
		index += read_bar(device, index);
	pci_write16(device, PCI_COMMAND, command);
	for (unsigned index = 0; index < PCI_BAR_COUNT; index++)
		check_bar(&device->bar[index]);
}

static void read_header(struct pci_device *device)
{
	device->revision = pci_read8(device, PCI_REVISION);
	device->prog_if = pci_read8(device, PCI_CLASS);
	device->subclass = pci_read8(device, PCI_CLASS + 1);
	device->class = pci_read8(device, PCI_CLASS + 2);
	device->interrupt_line = pci_read8(device, PCI_INTERRUPT_LINE);
	device->interrupt_pin = pci_read8(device, PCI_INTERRUPT_PIN);
	device->subsystem_vendor = pci_read16(device, PCI_SUBSYSTEM_VENDOR);
	device->subsystem = pci_read16(device, PCI_SUBSYSTEM);
	fmt_snprintf(device->name, sizeof(device->name), "%04x:%02x:%02x.%u", device->segment, device->bus,
		     device->slot, device->function);
}

/*
 * Where MCFG says that the function's configuration space is in memory; NULL, so ports, if the
 * function is not what is seen there: a wrong table must not send our writes elsewhere.
 */
static u8 *find_in_memory(const struct pci_device *found)
{
	const struct acpi_ecam *ecam = ecam_for(found);
	struct pci_device there = *found;

	if (!ecam)
		return NULL;
	there.ecam = paging_map_mmio(HPA(ecam->address + ecam_offset(found)), 4096);
	if (!there.ecam || pci_read16(&there, PCI_VENDOR) != found->vendor ||
	    pci_read16(&there, PCI_DEVICE) != found->device)
		return NULL;
	return there.ecam;
}

static void add_device(const struct pci_device *found)
{
	struct pci_device *device;

	if (device_count == DEVICES_MAX)
		return;
	device = heap_alloc(sizeof(*device));
	if (!device)
		return;
	*device = *found;
	if (!device->ecam)
		device->ecam = find_in_memory(device);
	read_header(device);
	if ((pci_read8(device, PCI_HEADER_TYPE) & ~HEADER_MULTI_FUNCTION) == 0)
		read_bars(device);
	list_add_tail(&devices, &device->link);
	device_count++;
	log_debug("PCI %s: %04x:%04x class %02x%02x", device->name, device->vendor, device->device,
		  device->class, device->subclass);
}

/* window: the segment's configuration space in memory (from bus first_bus on), or NULL for ports. */
static void scan_bus(u16 segment, u8 bus, u8 *window)
{
	for (u8 slot = 0; slot < 32; slot++) {
		unsigned functions = 1;

		for (u8 function = 0; function < functions; function++) {
			struct pci_device probe = {
				.segment = segment, .bus = bus, .slot = slot, .function = function,
			};
			u32 id;

			if (window)
				probe.ecam = window + ecam_offset(&probe);
			id = pci_read32(&probe, PCI_VENDOR);
			/* PCI 6.1: vendor FFFF means that nobody is there; 0000 is a broken one. */
			if ((u16)id == 0xffff || (u16)id == 0)
				continue;
			probe.vendor = (u16)id;
			probe.device = (u16)(id >> 16);
			if (pci_read8(&probe, PCI_HEADER_TYPE) & HEADER_MULTI_FUNCTION)
				functions = 8;
			add_device(&probe);
		}
	}
}

static void scan_segment(const struct acpi_ecam *ecam)
{
	u64 first = (u64)ecam->first_bus << 20;
	u64 bytes = ((u64)ecam->last_bus - ecam->first_bus + 1) << 20;
	u8 *window = paging_map_mmio(HPA(ecam->address + first), bytes);

	if (!window) {
		log_warn("PCI segment %u: no memory to map it", ecam->segment);
		return;
	}
	for (unsigned bus = ecam->first_bus; bus <= ecam->last_bus; bus++)
		scan_bus(ecam->segment, (u8)bus, window - first);
}

void pci_init(void)
{
	const struct acpi_facts *facts = acpi_get();

	for (unsigned bus = 0; bus < 256; bus++)
		scan_bus(0, (u8)bus, NULL);
	for (unsigned i = 0; i < facts->ecam_count; i++) {
		if (facts->ecam[i].segment != 0)
			scan_segment(&facts->ecam[i]);
	}
	if (device_count == DEVICES_MAX)
		log_warn("PCI: more than %u functions; the rest is not used", DEVICES_MAX);
}

static bool is_match(const struct pci_driver *driver, const struct pci_device *device)
{
	for (const struct pci_id *id = driver->ids; id->vendor; id++) {
		bool is_vendor = id->vendor == PCI_ANY || id->vendor == device->vendor;
		bool is_device = id->device == PCI_ANY || id->device == device->device;

		if (is_vendor && is_device)
			return true;
	}
	return false;
}

void pci_probe_all(void)
{
	list_for_each(device, &devices, struct pci_device, link) {
		const struct pci_driver *const *entry = pci_drivers_start;

		for (; !device->driver && entry < pci_drivers_end; entry++) {
			if (is_match(*entry, device) && (*entry)->probe(device) == 0)
				device->driver = *entry;
		}
	}
}

struct pci_device *pci_get(unsigned index)
{
	list_for_each(device, &devices, struct pci_device, link) {
		if (index-- == 0)
			return device;
	}
	return NULL;
}

void *pci_map_bar(const struct pci_device *device, unsigned bar)
{
	if (bar >= PCI_BAR_COUNT || !device->bar[bar].bytes || device->bar[bar].is_io)
		return NULL;
	return paging_map_mmio(HPA(device->bar[bar].address), device->bar[bar].bytes);
}
