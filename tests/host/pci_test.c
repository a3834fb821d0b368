/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI against a bus of made-up functions behind ports CF8/CFC: finding, sizing, capability
 * chains in disorder, message interrupts.
 */
/* SOURCES: arch/pci.c arch/pci_config.c arch/pci_irq.c kernel/heap.c kernel/page.c kernel/page_map.c kernel/log.c
 *	kernel/clock.c kernel/fmt.c kernel/str.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/cpu.h"
#include "tests/host/fake/memory.h"
#include "tests/host/fake/panic.h"
#include "arch/acpi.h"
#include "arch/ioapic.h"
#include "arch/paging.h"
#include "arch/pci.h"
#include "arch/percpu.h"
#include "arch/trap.h"
#include "kernel/errno.h"

/* ---- a bus ---- */

struct function {
	u8 bus, slot, function;
	u8 config[256];
	u32 bar_mask[PCI_BAR_COUNT]; /* bits that can be written */
};

#define FUNCTIONS_MAX 16
static struct function functions[FUNCTIONS_MAX];
static unsigned function_count;
static u32 address_port;
static unsigned writes_while_decoding;

static struct function *selected(void)
{
	for (unsigned i = 0; i < function_count; i++) {
		struct function *f = &functions[i];
		u32 where = (u32)f->bus << 16 | (u32)f->slot << 11 | (u32)f->function << 8;

		if ((address_port & 0x80ffff00) == (0x80000000 | where))
			return f;
	}
	return NULL;
}

u32 fake_in(u16 port, unsigned bytes)
{
	struct function *f = selected();
	u32 value = ~0u;

	assert_in_range(port, 0xcfc, 0xcff);
	if (f)
		memcpy(&value, f->config + (address_port & 0xfc) + (port & 3), bytes);
	return value;
}

static void write_bar(struct function *f, unsigned index, u32 value)
{
	u32 old;

	memcpy(&old, f->config + 0x10 + 4 * index, 4);
	if (f->config[PCI_COMMAND] & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY))
		writes_while_decoding++;
	value = (value & f->bar_mask[index]) | (old & ~f->bar_mask[index]);
	memcpy(f->config + 0x10 + 4 * index, &value, 4);
}

void fake_out(u16 port, unsigned bytes, u32 value)
{
	unsigned offset = (address_port & 0xfc) + (port & 3);
	struct function *f = selected();

	if (port == 0xcf8) {
		address_port = value;
		return;
	}
	assert_in_range(port, 0xcfc, 0xcff);
	assert_non_null(f);
	if (offset >= 0x10 && offset < 0x28)
		write_bar(f, (offset - 0x10) / 4, value);
	else
		memcpy(f->config + offset, &value, bytes);
}

static struct function *add_function(u8 bus, u8 slot, u8 number, u16 vendor, u16 device)
{
	struct function *f = &functions[function_count++];

	assert_true(function_count <= FUNCTIONS_MAX);
	memset(f, 0, sizeof(*f));
	f->bus = bus;
	f->slot = slot;
	f->function = number;
	memcpy(f->config, &vendor, 2);
	memcpy(f->config + 2, &device, 2);
	return f;
}

static void set_bar(struct function *f, unsigned index, u32 value, u32 mask)
{
	memcpy(f->config + 0x10 + 4 * index, &value, 4);
	f->bar_mask[index] = mask;
}

static void add_capability(struct function *f, u8 at, u8 id, u8 next)
{
	f->config[PCI_STATUS] |= PCI_STATUS_CAPABILITIES;
	f->config[at] = id;
	f->config[at + 1] = next;
}

static u32 config32(const struct function *f, unsigned offset)
{
	u32 value;

	memcpy(&value, f->config + offset, 4);
	return value;
}

/* ---- the rest of the machine ---- */

static struct acpi_facts facts;
static u8 mmio[64 * KIB];
static u64 mapped_at;
static irq_handler handlers[256];
static void *contexts[256];
static unsigned routed_lines;

struct percpu percpu_table[CPU_MAX];

const struct acpi_facts *acpi_get(void) { return &facts; }

void *paging_map_mmio(hpa_t hpa, u64 bytes)
{
	mapped_at = hpa.value;
	return bytes <= sizeof(mmio) ? mmio : NULL;
}

int irq_allocate(void)
{
	for (int vector = 0x30; vector < 256; vector++) {
		if (!handlers[vector])
			return vector;
	}
	return -ENOSPC;
}

void irq_release(int vector) { assert_null(handlers[vector]); }

void irq_register(int vector, irq_handler handler, void *context)
{
	handlers[vector] = handler;
	contexts[vector] = context;
}

int ioapic_route_isa(u8 irq, irq_handler handler, void *context)
{
	int vector = irq_allocate();

	assert_int_equal(irq, 11);
	irq_register(vector, handler, context);
	routed_lines++;
	return 0;
}

static struct pci_device *find(u8 bus, u8 slot, u8 number)
{
	struct pci_device *device;

	for (unsigned i = 0; (device = pci_get(i)) != NULL; i++) {
		if (device->bus == bus && device->slot == slot && device->function == number)
			return device;
	}
	return NULL;
}

/* ---- drivers ---- */

static unsigned probes;

static int take_even(struct pci_device *device)
{
	probes++;
	return device->slot % 2 ? -ENODEV : 0;
}

static const struct pci_id even_ids[] = { { 0x1234, 0x0001 }, { 0x1af4, PCI_ANY }, { 0, 0 } };
PCI_DRIVER(even) = { .name = "even", .ids = even_ids, .probe = take_even };

/* ---- tests ---- */

/* One bus for all, since what is found stays. */
static int set_up(void **state)
{
	struct function *f;

	(void)state;
	fake_memory_init(16 * MIB);
	percpu_table[3].apic_id = 5;
	percpu_table[4].apic_id = 300;

	f = add_function(0, 2, 0, 0x1af4, 0x1000);
	f->config[PCI_COMMAND] = PCI_COMMAND_IO | PCI_COMMAND_MEMORY;
	f->config[PCI_CLASS + 2] = 2;
	set_bar(f, 0, 0xc001, 0xffffffe0);          /* 32 ports */
	set_bar(f, 1, 0xfe640000, 0xfffff000);      /* 4 KiB */
	set_bar(f, 4, 0x0000000c, 0xffffc000);      /* 16 KiB, 64-bit, prefetchable, at 512 GiB */
	set_bar(f, 5, 0x00000080, 0xffffffff);
	f = add_function(0, 3, 0, 0x1234, 0x0001);
	f->config[PCI_HEADER_TYPE] = 0x80;
	set_bar(f, 0, 0, 0xfffff000);               /* no address */
	set_bar(f, 1, 0xfe000000, 0x00fff000);      /* a size that is none */
	set_bar(f, 5, 0xfd000004, 0xfffff000);      /* 64-bit without a second half */
	add_function(0, 3, 1, 0x1234, 0x0002);
	add_function(0, 3, 7, 0x1234, 0x0001);
	add_function(0, 4, 0, 0x5678, 0x0001);
	add_function(0, 4, 1, 0x5678, 0x0002);      /* not there: 4.0 is no multi-function device */
	f = add_function(200, 31, 0, 0x1af4, 0x1041); /* no bridge leads to it that we know of */
	f->config[PCI_HEADER_TYPE] = 1;
	set_bar(f, 2, 0x00c80100, 0xffffffff);      /* a bridge's bus numbers, no BAR */
	add_function(0, 5, 0, 0x0000, 0x0001);
	/* MCFG is wrong about bus 200: other memory is there. Bus 0 it does not know. */
	facts.ecam[facts.ecam_count++] = (struct acpi_ecam){ 0xb0000000, 0, 200, 200 };
	pci_init();
	return 0;
}

static void functions_are_found(void **state)
{
	(void)state;
	assert_non_null(find(0, 2, 0));
	assert_non_null(find(0, 3, 0));
	assert_non_null(find(0, 3, 1));
	assert_non_null(find(0, 3, 7));
	assert_non_null(find(0, 4, 0));
	assert_null(find(0, 4, 1));
	assert_null(find(0, 5, 0));
	assert_non_null(find(200, 31, 0));
	assert_null(pci_get(6));
	assert_string_equal(find(200, 31, 0)->name, "0000:c8:1f.0");
	assert_int_equal(find(0, 2, 0)->class, 2);
}

static void wrong_mcfg_is_not_followed(void **state)
{
	(void)state;
	assert_null(find(200, 31, 0)->ecam);
	assert_null(find(0, 2, 0)->ecam);
}

static void bars_are_sized_and_left_alone(void **state)
{
	const struct pci_device *device = find(0, 2, 0);

	(void)state;
	assert_int_equal(writes_while_decoding, 0);
	assert_int_equal(functions[0].config[PCI_COMMAND], PCI_COMMAND_IO | PCI_COMMAND_MEMORY);
	assert_true(device->bar[0].is_io);
	assert_int_equal(device->bar[0].address, 0xc000);
	assert_int_equal(device->bar[0].bytes, 32);
	assert_int_equal(device->bar[1].address, 0xfe640000);
	assert_int_equal(device->bar[1].bytes, 4096);
	assert_int_equal(device->bar[2].bytes, 0);
	assert_true(device->bar[4].is_64bit && device->bar[4].is_prefetchable);
	assert_int_equal(device->bar[4].address, 0x8000000000);
	assert_int_equal(device->bar[4].bytes, 16384);
	assert_int_equal(config32(&functions[0], 0x10), 0xc001);
	assert_int_equal(config32(&functions[0], 0x14), 0xfe640000);
	assert_int_equal(config32(&functions[0], 0x24), 0x80);
	/* A bridge has other things there. */
	assert_int_equal(config32(&functions[6], 0x18), 0x00c80100);
	assert_int_equal(find(200, 31, 0)->bar[2].bytes, 0);
}

static void unusable_bars_have_no_bytes(void **state)
{
	const struct pci_device *device = find(0, 3, 0);

	(void)state;
	assert_int_equal(device->bar[0].bytes, 0);
	assert_int_equal(device->bar[1].bytes, 0);
	assert_null(pci_map_bar(device, 0));
	assert_null(pci_map_bar(device, 6));
	assert_null(pci_map_bar(find(0, 2, 0), 0));
	assert_non_null(pci_map_bar(find(0, 2, 0), 1));
	assert_int_equal(mapped_at, 0xfe640000);
}

static void drivers_get_what_matches(void **state)
{
	(void)state;
	pci_probe_all();
	/* 00:02.0 taken; 00:03.0 and 00:03.7 refused; c8:1f.0 refused */
	assert_int_equal(probes, 4);
	assert_ptr_equal(find(0, 2, 0)->driver, &even);
	assert_null(find(0, 3, 0)->driver);
	assert_null(find(0, 4, 0)->driver);
	pci_probe_all();
	assert_int_equal(probes, 7);
}

static void configuration_space_ends(void **state)
{
	struct pci_device *device = find(0, 2, 0);
	u8 *ecam = calloc(1, 4096);

	(void)state;
	assert_int_equal(pci_read32(device, 256), ~0u);
	assert_int_equal(pci_read16(device, 1), 0xffff);
	pci_write32(device, 0x1000, 1);
	device->ecam = ecam;
	pci_write32(device, 0xffc, 0x12345678);
	assert_int_equal(pci_read16(device, 0xffe), 0x1234);
	assert_int_equal(pci_read8(device, 0xffc), 0x78);
	assert_int_equal(pci_read8(device, 0x1000), 0xff);
	device->ecam = NULL;
	free(ecam);
}

static void capability_chains(void **state)
{
	struct pci_device *device = find(0, 3, 1);
	struct function *f = &functions[2];

	(void)state;
	f->config[PCI_CAPABILITIES] = 0x40;
	f->config[0x40] = PCI_CAP_MSI;
	assert_int_equal(pci_find_capability(device, PCI_CAP_MSI, 0), 0); /* status does not say so */
	add_capability(f, 0x40, PCI_CAP_VENDOR, 0x53);                    /* low bits are to be masked */
	add_capability(f, 0x50, PCI_CAP_MSI, 0x60);
	add_capability(f, 0x60, PCI_CAP_VENDOR, 0);
	assert_int_equal(pci_find_capability(device, PCI_CAP_MSI, 0), 0x50);
	assert_int_equal(pci_find_capability(device, PCI_CAP_VENDOR, 0), 0x40);
	assert_int_equal(pci_find_capability(device, PCI_CAP_VENDOR, 0x40), 0x60);
	assert_int_equal(pci_find_capability(device, PCI_CAP_VENDOR, 0x60), 0);
	assert_int_equal(pci_find_capability(device, PCI_CAP_MSIX, 0), 0);
	/* Loops, and a chain into the header. */
	add_capability(f, 0x60, PCI_CAP_VENDOR, 0x40);
	assert_int_equal(pci_find_capability(device, PCI_CAP_MSIX, 0), 0);
	add_capability(f, 0x60, PCI_CAP_VENDOR, 0x60);
	assert_int_equal(pci_find_capability(device, PCI_CAP_MSIX, 0), 0);
	add_capability(f, 0x60, PCI_CAP_VENDOR, 0x10);
	assert_int_equal(pci_find_capability(device, PCI_CAP_MSIX, 0), 0);
	memset(f->config + 0x40, 0, 0x40);
}

static void message_interrupts(void **state)
{
	struct pci_device *device = find(0, 3, 1);
	struct function *f = &functions[2];

	(void)state;
	f->config[PCI_CAPABILITIES] = 0x50;
	add_capability(f, 0x50, PCI_CAP_MSI, 0);
	f->config[0x52] = 0x80 | 0x70; /* 64-bit, several messages on */
	assert_int_equal(pci_msi_enable(device, 0x41, 3), 0);
	assert_int_equal(config32(f, 0x54), 0xfee05000);
	assert_int_equal(config32(f, 0x58), 0);
	assert_int_equal(f->config[0x5c], 0x41);
	assert_int_equal(f->config[0x52], 0x81);
	assert_int_equal(f->config[PCI_COMMAND + 1] & 4, 4); /* no pin beside it */
	f->config[0x52] = 0;
	assert_int_equal(pci_msi_enable(device, 0x42, 0), 0);
	assert_int_equal(config32(f, 0x54), 0xfee00000);
	assert_int_equal(f->config[0x58], 0x42);
	assert_int_equal(f->config[0x52], 0x01);
	assert_int_equal(pci_msi_enable(device, 0x42, 4), -ERANGE);
	assert_int_equal(pci_msi_enable(find(0, 4, 0), 0x42, 0), -ENODEV);
}

static void msix_tables(void **state)
{
	struct pci_device *device = find(0, 2, 0);
	struct function *f = &functions[0];
	u32 entry[4];

	(void)state;
	assert_int_equal(pci_msix_count(device), 0);
	f->config[PCI_CAPABILITIES] = 0x70;
	add_capability(f, 0x70, PCI_CAP_MSIX, 0);
	f->config[0x72] = 3; /* four entries */
	assert_int_equal(pci_msix_count(device), 4);

	/* In the port BAR, in no BAR, behind the end. */
	f->config[0x74] = 0;
	assert_int_equal(pci_msix_enable(device, 0, 0x50, 3), -EIO);
	f->config[0x74] = 7;
	assert_int_equal(pci_msix_enable(device, 0, 0x50, 3), -EIO);
	f->config[0x74] = 1;
	f->config[0x75] = 0x10;
	assert_int_equal(pci_msix_enable(device, 0, 0x50, 3), -EIO);
	assert_int_equal(f->config[0x73] & 0x80, 0);

	f->config[0x75] = 0x08;
	assert_int_equal(pci_msix_enable(device, 4, 0x50, 3), -ENODEV);
	assert_int_equal(pci_msix_enable(device, 1, 0x50, 3), 0);
	assert_int_equal(mapped_at, 0xfe640800);
	memcpy(entry, mmio + 16, 16);
	assert_int_equal(entry[0], 0xfee05000);
	assert_int_equal(entry[1], 0);
	assert_int_equal(entry[2], 0x50);
	assert_int_equal(entry[3], 0);
	assert_int_equal(mmio[12] & 1, 1); /* the others stay masked */
	assert_int_equal(f->config[0x73] & 0xc0, 0x80);
}

static unsigned calls;
static void count_call(void *context) { calls += *(unsigned *)context; }

static void the_best_interrupt_is_chosen(void **state)
{
	struct pci_device *with_msix = find(0, 2, 0), *with_msi = find(0, 3, 1);
	struct pci_device *with_pin = find(0, 4, 0), *shares = find(0, 3, 7);
	unsigned one = 1, ten = 10, vector = 0;

	(void)state;
	assert_string_equal(pci_irq_kind(with_pin), "none");
	assert_int_equal(pci_irq_request(with_msix, 0, count_call, &one), 0);
	assert_string_equal(pci_irq_kind(with_msix), "msi-x");
	assert_int_equal(pci_irq_request(with_msi, 0, count_call, &one), 0);
	assert_string_equal(pci_irq_kind(with_msi), "msi");
	/* No pin, or a line that firmware did not route. */
	assert_int_equal(pci_irq_request(with_pin, 0, count_call, &one), -ENODEV);
	with_pin->interrupt_pin = shares->interrupt_pin = 1;
	with_pin->interrupt_line = shares->interrupt_line = 0xff;
	assert_int_equal(pci_irq_request(with_pin, 0, count_call, &one), -ENODEV);
	with_pin->interrupt_line = shares->interrupt_line = 11;
	assert_int_equal(pci_irq_request(with_pin, 0, count_call, &one), 0);
	assert_int_equal(pci_irq_request(shares, 0, count_call, &ten), 0);
	assert_string_equal(pci_irq_kind(shares), "intx");
	/* One line, routed once, calls both. */
	assert_int_equal(routed_lines, 1);
	for (int i = 0x30; i < 256; i++) {
		if (handlers[i] && handlers[i] != count_call)
			vector = (unsigned)i;
	}
	assert_int_not_equal(vector, 0);
	handlers[vector](contexts[vector]);
	assert_int_equal(calls, 11);
}

static void dma_on_and_off(void **state)
{
	const struct pci_device *device = find(0, 4, 0);

	(void)state;
	pci_enable(device);
	assert_int_equal(functions[4].config[PCI_COMMAND] & 7, 7);
	pci_disable(device);
	assert_int_equal(functions[4].config[PCI_COMMAND] & 7, 3);
	assert_int_equal(functions[4].config[PCI_COMMAND + 1] & 4, 4);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(functions_are_found),
		cmocka_unit_test(wrong_mcfg_is_not_followed),
		cmocka_unit_test(bars_are_sized_and_left_alone),
		cmocka_unit_test(unusable_bars_have_no_bytes),
		cmocka_unit_test(drivers_get_what_matches),
		cmocka_unit_test(configuration_space_ends),
		cmocka_unit_test(capability_chains),
		cmocka_unit_test(message_interrupts),
		cmocka_unit_test(msix_tables),
		cmocka_unit_test(the_best_interrupt_is_chosen),
		cmocka_unit_test(dma_on_and_off),
	};

	return cmocka_run_group_tests(tests, set_up, NULL);
}
