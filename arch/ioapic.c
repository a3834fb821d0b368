/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's IO-APICs (Intel 82093AA data sheet). Only the ISA lines of the serial ports
 * use them; PCI devices use MSI. Boot CPU, at start.
 */
#include "arch/ioapic.h"
#include "arch/acpi.h"
#include "arch/apic.h"
#include "arch/cpu.h"
#include "arch/paging.h"
#include "kernel/errno.h"
#include "kernel/log.h"

#define REG_SELECT 0x00
#define REG_WINDOW 0x10
#define INDEX_VERSION 0x01
#define INDEX_ENTRY(line) (0x10 + 2 * (line))
#define ENTRY_ACTIVE_LOW BIT(13)
#define ENTRY_LEVEL BIT(15)
#define ENTRY_MASKED BIT(16)
#define DESTINATION_MAX 255 /* 8 bits, in bits 63:56 */

#define PIC1 0x20
#define PIC2 0xa0
#define PIC_VECTOR 0x20 /* where a spurious one shows up: a vector without a handler */

struct ioapic {
	u8 *registers;
	u32 gsi_base;
	u32 line_count;
};

static struct ioapic ioapics[ACPI_IOAPIC_MAX];
static unsigned ioapic_count;

static u32 ioapic_read(const struct ioapic *ioapic, u32 index)
{
	mmio_write32(ioapic->registers + REG_SELECT, index);
	return mmio_read32(ioapic->registers + REG_WINDOW);
}

static void ioapic_write(const struct ioapic *ioapic, u32 index, u32 value)
{
	mmio_write32(ioapic->registers + REG_SELECT, index);
	mmio_write32(ioapic->registers + REG_WINDOW, value);
}

/* The half with the mask bit last, so that a half-written entry stays masked. */
static void entry_write(const struct ioapic *ioapic, u32 line, u64 entry)
{
	ioapic_write(ioapic, INDEX_ENTRY(line), ENTRY_MASKED);
	ioapic_write(ioapic, INDEX_ENTRY(line) + 1, (u32)(entry >> 32));
	ioapic_write(ioapic, INDEX_ENTRY(line), (u32)entry);
}

/* 8259A data sheet: ICW1..4 move both away from the exceptions' vectors; then all are masked. */
static void pic_mask(void)
{
	out8(PIC1, 0x11);
	out8(PIC2, 0x11);
	out8(PIC1 + 1, PIC_VECTOR);
	out8(PIC2 + 1, PIC_VECTOR + 8);
	out8(PIC1 + 1, 4);
	out8(PIC2 + 1, 2);
	out8(PIC1 + 1, 1);
	out8(PIC2 + 1, 1);
	out8(PIC1 + 1, 0xff);
	out8(PIC2 + 1, 0xff);
}

void ioapic_init(void)
{
	const struct acpi_facts *facts = acpi_get();

	if (facts->has_8259 || !facts->has_madt)
		pic_mask();
	for (unsigned i = 0; i < facts->ioapic_count; i++) {
		struct ioapic *ioapic = &ioapics[ioapic_count];

		ioapic->registers = paging_map_mmio(HPA(facts->ioapic[i].address), 4 * KIB);
		if (!ioapic->registers) {
			log_warn("ioapic: cannot map the one at %#lx",
				 facts->ioapic[i].address);
			continue;
		}
		ioapic->gsi_base = facts->ioapic[i].gsi_base;
		ioapic->line_count = FIELD(ioapic_read(ioapic, INDEX_VERSION), 23, 16) + 1;
		for (u32 line = 0; line < ioapic->line_count; line++)
			entry_write(ioapic, line, ENTRY_MASKED);
		ioapic_count++;
	}
}

static const struct ioapic *find(u32 gsi)
{
	for (unsigned i = 0; i < ioapic_count; i++) {
		if (gsi >= ioapics[i].gsi_base && gsi - ioapics[i].gsi_base < ioapics[i].line_count)
			return &ioapics[i];
	}
	return NULL;
}

int ioapic_route_isa(u8 irq, irq_handler handler, void *context)
{
	struct acpi_override line = acpi_isa_irq(acpi_get(), irq);
	const struct ioapic *ioapic = find(line.gsi);
	u64 entry;
	int vector;

	if (!ioapic || apic_id() > DESTINATION_MAX)
		return -ENODEV;
	vector = irq_allocate();
	if (vector < 0)
		return vector;
	irq_register(vector, handler, context);
	entry = (u64)vector | (u64)apic_id() << 56;
	entry |= (line.is_active_low ? ENTRY_ACTIVE_LOW : 0) | (line.is_level ? ENTRY_LEVEL : 0);
	entry_write(ioapic, line.gsi - ioapic->gsi_base, entry);
	return 0;
}
