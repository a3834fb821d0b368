/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What Tern wants to know of ACPI's static tables. No AML interpreter.
 *
 * Firmware is not trusted: every length and address is checked, a broken table is left
 * out with a warning. Section numbers: ACPI 6.5.
 */
#pragma once

#include "kernel/machine.h"

#define ACPI_IOAPIC_MAX 16
#define ACPI_OVERRIDE_MAX 32
#define ACPI_ECAM_MAX 16

/* MADT, 5.2.12. */
struct acpi_cpu {
	u32 apic_id;
	u32 uid;
};

struct acpi_ioapic {
	u32 id;
	u32 gsi_base;
	u64 address;
};

/* An ISA interrupt that is not the GSI of the same number, or not edge and active high. */
struct acpi_override {
	u32 gsi;
	u8 irq;
	bool is_level;
	bool is_active_low;
};

/* One range of memory-mapped PCI configuration space (MCFG). address is that of bus 0. */
struct acpi_ecam {
	u64 address;
	u16 segment;
	u8 first_bus;
	u8 last_bus;
};

/* Generic Address Structure, 5.2.3.2. */
enum acpi_space { ACPI_SPACE_MEMORY = 0, ACPI_SPACE_IO = 1, ACPI_SPACE_PCI = 2 };

struct acpi_address {
	u64 address; /* 0: there is none */
	u8 space;
	u8 bit_width;
	u8 access_size; /* 1: byte, 2: word, 3: double word, 0: not said */
};

struct acpi_facts {
	bool has_madt, has_fadt, has_mcfg, has_spcr;

	/* MADT; cpu[] has the enabled ones. has_8259: also PC-AT compatible PICs, which must be masked. */
	u64 lapic_address;
	bool has_8259;
	unsigned cpu_count;
	unsigned cpus_left_out; /* beyond CPU_MAX */
	struct acpi_cpu cpu[CPU_MAX];
	unsigned ioapic_count;
	struct acpi_ioapic ioapic[ACPI_IOAPIC_MAX];
	unsigned override_count;
	struct acpi_override override[ACPI_OVERRIDE_MAX];

	/* FADT, 5.2.9 */
	u16 sci_irq;
	struct acpi_address pm_timer; /* 3.579545 MHz */
	bool is_pm_timer_32bit;
	struct acpi_address pm1a_control, pm1b_control;
	struct acpi_address reset; /* only if FADT says that it works */
	u8 reset_value;
	u16 smi_command;
	u8 acpi_enable;
	u64 dsdt_address;
	/* \_S5 in the DSDT: values for SLP_TYP of PM1a and PM1b; power-off works only if has_s5. */
	bool has_s5;
	u8 s5_type_a, s5_type_b;

	/* MCFG */
	unsigned ecam_count;
	struct acpi_ecam ecam[ACPI_ECAM_MAX];

	/* SPCR: the console that firmware chose. */
	struct acpi_address console;
	u8 console_kind; /* 0 and 1: 16550; 0x12: 16550 by its address structure */
	u32 console_baud; /* 0: as firmware left it */
};

/*
 * Finds and reads all tables. rsdp_address 0: looks in the BIOS area, 5.2.5.1. Once, on the
 * boot CPU, after paging_init. 0, or negative errno when there is no ACPI at all.
 */
int acpi_init(u64 rsdp_address);
/* Never NULL; all zeros before acpi_init. */
const struct acpi_facts *acpi_get(void);

/* The GSI of an ISA interrupt and its trigger mode, from the overrides. */
struct acpi_override acpi_isa_irq(const struct acpi_facts *facts, u8 irq);
/* Power-off by PM1 control, and reset by the reset register; they return when it does not work. */
void acpi_power_off(void);
void acpi_reset(void);

/* --- Reading (arch/acpi_tables.c): pure, so that tests and fuzzers can feed them. --- */

/* Shows bytes at a physical address, or NULL when they cannot be read. */
struct acpi_memory {
	const void *(*at)(const struct acpi_memory *memory, u64 address, u64 bytes);
};

/* Follows the RSDP at the address through RSDT or XSDT. 0, or negative errno when that is impossible. */
int acpi_read(const struct acpi_memory *memory, u64 rsdp_address, struct acpi_facts *facts);
/* The RSDP's address in the BIOS area, or 0. */
u64 acpi_find_rsdp(const struct acpi_memory *memory);

/* One table, signature and checksum already checked; bytes is the whole table with its header. */
void acpi_parse_madt(const u8 *table, u32 bytes, struct acpi_facts *facts);
void acpi_parse_fadt(const u8 *table, u32 bytes, struct acpi_facts *facts);
void acpi_parse_mcfg(const u8 *table, u32 bytes, struct acpi_facts *facts);
void acpi_parse_spcr(const u8 *table, u32 bytes, struct acpi_facts *facts);
/* Looks for \_S5 in the byte code. */
void acpi_parse_dsdt(const u8 *table, u32 bytes, struct acpi_facts *facts);
