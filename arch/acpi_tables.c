/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reading ACPI tables: from the root pointer to struct acpi_facts.
 *
 * Pure: memory comes through struct acpi_memory, results go to facts. All fields are
 * read by get8..get64, which answer 0 behind the table's end; so a short table is a
 * table with zeros, as the older revisions are, and no parser can run out of it.
 * Section numbers: ACPI 6.5.
 */
#include "arch/acpi.h"

#include "kernel/bits.h"
#include "kernel/errno.h"
#include "kernel/log.h"
#include "kernel/string.h"

#define HEADER_BYTES 36       /* 5.2.6: System Description Table Header */
#define TABLE_MAX (16 * MIB)  /* longer than any; a wild length ends here */
#define TABLES_MAX 256
#define RSDP_V1_BYTES 20
#define RSDP_V2_BYTES 36

static u8 get8(const u8 *table, u32 bytes, u32 offset)
{
	return offset < bytes ? table[offset] : 0;
}

static u16 get16(const u8 *table, u32 bytes, u32 offset)
{
	return (u16)(get8(table, bytes, offset) | get8(table, bytes, offset + 1) << 8);
}

static u32 get32(const u8 *table, u32 bytes, u32 offset)
{
	return get16(table, bytes, offset) | (u32)get16(table, bytes, offset + 2) << 16;
}

static u64 get64(const u8 *table, u32 bytes, u32 offset)
{
	return get32(table, bytes, offset) | (u64)get32(table, bytes, offset + 4) << 32;
}

/* 5.2.3.2: Generic Address Structure */
static struct acpi_address get_address(const u8 *table, u32 bytes, u32 offset)
{
	return (struct acpi_address){
		.space = get8(table, bytes, offset),
		.bit_width = get8(table, bytes, offset + 1),
		.access_size = get8(table, bytes, offset + 3),
		.address = get64(table, bytes, offset + 4),
	};
}

static bool is_sum_zero(const u8 *table, u64 bytes)
{
	u8 sum = 0;

	for (u64 i = 0; i < bytes; i++)
		sum = (u8)(sum + table[i]);
	return sum == 0;
}

/* ---- MADT, 5.2.12 ---- */

/* Local APIC flags, 5.2.12.2: "online capable" CPUs are for hot-plug; they are not there now. */
#define CPU_ENABLED 1u

static void add_cpu(struct acpi_facts *facts, u32 apic_id, u32 uid, u32 flags)
{
	if (!(flags & CPU_ENABLED))
		return;
	/* A CPU may stand in both kinds of entries. */
	for (unsigned i = 0; i < facts->cpu_count; i++) {
		if (facts->cpu[i].apic_id == apic_id)
			return;
	}
	if (facts->cpu_count == CPU_MAX) {
		facts->cpus_left_out++;
		return;
	}
	facts->cpu[facts->cpu_count++] = (struct acpi_cpu){ .apic_id = apic_id, .uid = uid };
}

static void add_ioapic(struct acpi_facts *facts, const u8 *entry, u32 bytes)
{
	if (facts->ioapic_count == ACPI_IOAPIC_MAX)
		return;
	facts->ioapic[facts->ioapic_count++] = (struct acpi_ioapic){
		.id = get8(entry, bytes, 2),
		.address = get32(entry, bytes, 4),
		.gsi_base = get32(entry, bytes, 8),
	};
}

/* 5.2.12.5; MPS INTI flags are in table 5.26: 3 is active low, 3 is level. */
static void add_override(struct acpi_facts *facts, const u8 *entry, u32 bytes)
{
	u16 flags = get16(entry, bytes, 8);

	if (facts->override_count == ACPI_OVERRIDE_MAX)
		return;
	facts->override[facts->override_count++] = (struct acpi_override){
		.irq = get8(entry, bytes, 3),
		.gsi = get32(entry, bytes, 4),
		.is_active_low = (flags & 3) == 3,
		.is_level = (flags >> 2 & 3) == 3,
	};
}

enum madt_kind {
	MADT_LAPIC = 0,
	MADT_IOAPIC = 1,
	MADT_OVERRIDE = 2,
	MADT_LAPIC_ADDRESS = 5,
	MADT_X2APIC = 9,
};

/* The shortest entry of each kind that has all fields we read. */
static const u8 madt_bytes[] = {
	[MADT_LAPIC] = 8, [MADT_IOAPIC] = 12, [MADT_OVERRIDE] = 10,
	[MADT_LAPIC_ADDRESS] = 12, [MADT_X2APIC] = 16,
};

static void parse_madt_entry(const u8 *entry, u32 bytes, struct acpi_facts *facts)
{
	u8 kind = entry[0];

	if (kind >= ARRAY_COUNT(madt_bytes) || bytes < madt_bytes[kind])
		return;
	switch (kind) {
	case MADT_LAPIC:
		add_cpu(facts, get8(entry, bytes, 3), get8(entry, bytes, 2), get32(entry, bytes, 4));
		break;
	case MADT_IOAPIC:
		add_ioapic(facts, entry, bytes);
		break;
	case MADT_OVERRIDE:
		add_override(facts, entry, bytes);
		break;
	case MADT_LAPIC_ADDRESS:
		facts->lapic_address = get64(entry, bytes, 4);
		break;
	case MADT_X2APIC:
		add_cpu(facts, get32(entry, bytes, 4), get32(entry, bytes, 12), get32(entry, bytes, 8));
		break;
	default:
		break;
	}
}

void acpi_parse_madt(const u8 *table, u32 bytes, struct acpi_facts *facts)
{
	u32 offset = HEADER_BYTES + 8;

	facts->has_madt = true;
	facts->lapic_address = get32(table, bytes, HEADER_BYTES);
	facts->has_8259 = get32(table, bytes, HEADER_BYTES + 4) & 1;
	while (offset + 2 <= bytes) {
		u32 length = table[offset + 1];

		if (length < 2 || length > bytes - offset) {
			log_warn("ACPI: MADT entry at %u has length %u; the rest is ignored", offset, length);
			return;
		}
		parse_madt_entry(table + offset, length, facts);
		offset += length;
	}
}

/* ---- FADT, 5.2.9 ---- */

#define FADT_TIMER_IS_32BIT BIT(8)
#define FADT_RESET_WORKS BIT(10)

/* The extended address if it is there, else the port of ACPI 1.0. */
static struct acpi_address fadt_block(const u8 *table, u32 bytes, u32 port_offset, u32 extended_offset)
{
	struct acpi_address extended = get_address(table, bytes, extended_offset);

	if (extended.address)
		return extended;
	return (struct acpi_address){
		.space = ACPI_SPACE_IO,
		.bit_width = 32,
		.address = get32(table, bytes, port_offset),
	};
}

void acpi_parse_fadt(const u8 *table, u32 bytes, struct acpi_facts *facts)
{
	u32 flags = get32(table, bytes, 112);
	u64 extended_dsdt = get64(table, bytes, 140);

	facts->has_fadt = true;
	facts->dsdt_address = extended_dsdt ? extended_dsdt : get32(table, bytes, 40);
	facts->sci_irq = get16(table, bytes, 46);
	facts->smi_command = (u16)get32(table, bytes, 48);
	facts->acpi_enable = get8(table, bytes, 52);
	facts->pm1a_control = fadt_block(table, bytes, 64, 172);
	facts->pm1b_control = fadt_block(table, bytes, 68, 184);
	facts->pm_timer = fadt_block(table, bytes, 76, 208);
	facts->is_pm_timer_32bit = flags & FADT_TIMER_IS_32BIT;
	if (flags & FADT_RESET_WORKS) {
		facts->reset = get_address(table, bytes, 116);
		facts->reset_value = get8(table, bytes, 128);
	}
}

/* ---- MCFG, PCI Firmware Specification 3.3, 4.1.2 ---- */

#define MCFG_ENTRY_BYTES 16

void acpi_parse_mcfg(const u8 *table, u32 bytes, struct acpi_facts *facts)
{
	facts->has_mcfg = true;
	for (u32 at = HEADER_BYTES + 8; at + MCFG_ENTRY_BYTES <= bytes; at += MCFG_ENTRY_BYTES) {
		struct acpi_ecam ecam = {
			.address = get64(table, bytes, at),
			.segment = get16(table, bytes, at + 8),
			.first_bus = get8(table, bytes, at + 10),
			.last_bus = get8(table, bytes, at + 11),
		};

		if (!ecam.address || !IS_ALIGNED(ecam.address, MIB) || ecam.address >> 52 ||
		    ecam.first_bus > ecam.last_bus || facts->ecam_count == ACPI_ECAM_MAX) {
			log_warn("ACPI: MCFG entry for %#llx ignored", (unsigned long long)ecam.address);
			continue;
		}
		facts->ecam[facts->ecam_count++] = ecam;
	}
}

/* ---- SPCR, Microsoft's Serial Port Console Redirection table ---- */

static u32 spcr_baud(u8 code)
{
	static const u32 bauds[] = { [3] = 9600, [4] = 19200, [6] = 57600, [7] = 115200 };

	return code < ARRAY_COUNT(bauds) ? bauds[code] : 0;
}

void acpi_parse_spcr(const u8 *table, u32 bytes, struct acpi_facts *facts)
{
	facts->has_spcr = true;
	facts->console_kind = get8(table, bytes, 36);
	facts->console = get_address(table, bytes, 40);
	facts->console_baud = spcr_baud(get8(table, bytes, 58));
}

/* ---- DSDT: only \_S5, 7.4.2.6 ---- */

/* AML, chapter 20: the few byte codes that stand in a package of small integers. */
enum { AML_ZERO = 0x00, AML_ONE = 0x01, AML_NAME = 0x08, AML_BYTE = 0x0a, AML_PACKAGE = 0x12 };

/* Reads one small integer and moves *at behind it. */
static bool aml_integer(const u8 *table, u32 bytes, u32 *at, u8 *value)
{
	u8 code = get8(table, bytes, *at);

	if (*at >= bytes)
		return false;
	*at += 1;
	if (code == AML_ZERO || code == AML_ONE) {
		*value = code;
		return true;
	}
	if (code != AML_BYTE || *at >= bytes)
		return false;
	*value = get8(table, bytes, *at);
	*at += 1;
	return true;
}

/* at is behind the name: DefPackage := PackageOp PkgLength NumElements PackageElementList, 20.2.5.4 */
static bool parse_s5(const u8 *table, u32 bytes, u32 at, struct acpi_facts *facts)
{
	u8 type_a, type_b;

	if (get8(table, bytes, at) != AML_PACKAGE)
		return false;
	at++;
	/* 20.2.4: the top two bits of the first byte of PkgLength count the bytes that follow it. */
	at += 1u + (get8(table, bytes, at) >> 6);
	if (get8(table, bytes, at) < 2)
		return false;
	at++;
	if (!aml_integer(table, bytes, &at, &type_a) || !aml_integer(table, bytes, &at, &type_b))
		return false;
	/* 4.8.3.2.1: SLP_TYP has three bits. */
	if (type_a > 7 || type_b > 7)
		return false;
	facts->has_s5 = true;
	facts->s5_type_a = type_a;
	facts->s5_type_b = type_b;
	return true;
}

void acpi_parse_dsdt(const u8 *table, u32 bytes, struct acpi_facts *facts)
{
	for (u32 at = HEADER_BYTES + 1; at + 4 <= bytes; at++) {
		bool is_named = table[at - 1] == AML_NAME || table[at - 1] == '\\';

		if (is_named && memcmp(table + at, "_S5_", 4) == 0 && parse_s5(table, bytes, at + 4, facts))
			return;
	}
}

/* ---- from the root ---- */

static const struct {
	char signature[5];
	void (*parse)(const u8 *table, u32 bytes, struct acpi_facts *facts);
} parsers[] = {
	{ "APIC", acpi_parse_madt },
	{ "FACP", acpi_parse_fadt },
	{ "MCFG", acpi_parse_mcfg },
	{ "SPCR", acpi_parse_spcr },
};

/* The whole table if it is readable and its sum is right, else NULL. */
static const u8 *checked_table(const struct acpi_memory *memory, u64 address, const char *signature,
			       u32 *bytes)
{
	const u8 *table = memory->at(memory, address, HEADER_BYTES);

	if (!table || memcmp(table, signature, 4))
		return NULL;
	*bytes = get32(table, HEADER_BYTES, 4);
	if (*bytes < HEADER_BYTES || *bytes > TABLE_MAX) {
		log_warn("ACPI: %s has length %u, ignored", signature, *bytes);
		return NULL;
	}
	table = memory->at(memory, address, *bytes);
	if (!table || !is_sum_zero(table, *bytes)) {
		log_warn("ACPI: %s at %#llx has a wrong checksum or lies outside memory, ignored", signature,
			 (unsigned long long)address);
		return NULL;
	}
	return table;
}

/* Each table of a kind is read once; a second one of the same name is ignored. */
static void read_table(const struct acpi_memory *memory, u64 address, u32 *seen, struct acpi_facts *facts)
{
	for (unsigned i = 0; i < ARRAY_COUNT(parsers); i++) {
		const u8 *table;
		u32 bytes;

		if (*seen & 1u << i)
			continue;
		table = checked_table(memory, address, parsers[i].signature, &bytes);
		if (!table)
			continue;
		*seen |= 1u << i;
		parsers[i].parse(table, bytes, facts);
		return;
	}
}

/* 5.2.5.3: the sum covers the first 20 bytes; from revision 2 on a second one covers all. */
static const u8 *checked_rsdp(const struct acpi_memory *memory, u64 address, u32 *bytes)
{
	const u8 *rsdp = memory->at(memory, address, RSDP_V1_BYTES);

	if (!rsdp || memcmp(rsdp, "RSD PTR ", 8) || !is_sum_zero(rsdp, RSDP_V1_BYTES))
		return NULL;
	*bytes = RSDP_V1_BYTES;
	if (rsdp[15] >= 2) {
		const u8 *longer = memory->at(memory, address, RSDP_V2_BYTES);

		if (longer && is_sum_zero(longer, RSDP_V2_BYTES)) {
			*bytes = RSDP_V2_BYTES;
			return longer;
		}
	}
	return rsdp;
}

u64 acpi_find_rsdp(const struct acpi_memory *memory)
{
	u32 bytes;

	/* 5.2.5.1: on a 16-byte boundary in the BIOS area (the first KiB of the EBDA is history). */
	for (u64 address = 0xe0000; address < 0x100000; address += 16) {
		if (checked_rsdp(memory, address, &bytes))
			return address;
	}
	return 0;
}

/* 5.2.7, 5.2.8: RSDT with 32-bit addresses, XSDT with 64-bit ones. */
static int read_root(const struct acpi_memory *memory, u64 address, bool is_xsdt, struct acpi_facts *facts)
{
	u32 step = is_xsdt ? 8 : 4;
	u32 seen = 0;
	u32 bytes, count;
	const u8 *root = checked_table(memory, address, is_xsdt ? "XSDT" : "RSDT", &bytes);

	if (!root)
		return -EINVAL;
	count = MIN((bytes - HEADER_BYTES) / step, (u32)TABLES_MAX);
	for (u32 i = 0; i < count; i++) {
		u32 offset = HEADER_BYTES + i * step;

		read_table(memory, is_xsdt ? get64(root, bytes, offset) : get32(root, bytes, offset), &seen, facts);
	}
	return 0;
}

int acpi_read(const struct acpi_memory *memory, u64 rsdp_address, struct acpi_facts *facts)
{
	u32 bytes;
	const u8 *rsdp = checked_rsdp(memory, rsdp_address, &bytes);
	const u8 *dsdt;
	u64 xsdt;

	memset(facts, 0, sizeof(*facts));
	if (!rsdp)
		return -EINVAL;
	xsdt = get64(rsdp, bytes, 24);
	if (!xsdt || read_root(memory, xsdt, true, facts)) {
		int err = read_root(memory, get32(rsdp, bytes, 16), false, facts);

		if (err)
			return err;
	}
	if (facts->dsdt_address) {
		dsdt = checked_table(memory, facts->dsdt_address, "DSDT", &bytes);
		if (dsdt)
			acpi_parse_dsdt(dsdt, bytes, facts);
	}
	return 0;
}

struct acpi_override acpi_isa_irq(const struct acpi_facts *facts, u8 irq)
{
	for (unsigned i = 0; i < facts->override_count; i++) {
		if (facts->override[i].irq == irq)
			return facts->override[i];
	}
	return (struct acpi_override){ .irq = irq, .gsi = irq };
}
