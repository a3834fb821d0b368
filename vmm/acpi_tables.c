/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's ACPI tables (ACPI 6.4, chapter 5): RSDP, RSDT and XSDT, FADT, FACS, MADT and the DSDT
 * from vmm/dev/dsdt.asl. They tell what vmm/platform.c attaches and nothing else.
 *
 *   E0000  RSDP | E0040  FACS | E0080  DSDT, FADT, MADT, RSDT, XSDT at multiples of 16
 */
#include "vmm/acpi_tables.h"
#include "kernel/bits.h"
#include "kernel/string.h"
#include "vmm/dev/acpi_pm.h"
#include "vmm/dev/ioapic.h"
#include "vmm/dev/lapic.h"
#include "vmm/dev/pci.h"
#include "vmm/irq.h"
#include "vmm/vm.h"

#include "build/gen/dsdt.hex"

#define FACS_GPA (ACPI_TABLES_GPA + 0x40)
#define FIRST_TABLE_GPA (ACPI_TABLES_GPA + 0x80)

struct PACKED acpi_header {
	char signature[4];
	u32 length;
	u8 revision;
	u8 checksum;
	char oem_id[6];
	char oem_table_id[8];
	u32 oem_revision;
	char creator_id[4];
	u32 creator_revision;
};
_Static_assert(sizeof(struct acpi_header) == 36, "ACPI 6.4 table 5.4");

/* ACPI 6.4, 5.2.3.2. */
struct PACKED acpi_gas {
	u8 space;      /* 1: ports */
	u8 bits;
	u8 offset;
	u8 access;     /* 1: byte, 2: word, 3: dword */
	u64 address;
};

struct PACKED acpi_rsdp {
	char signature[8];
	u8 checksum;           /* of the first 20 bytes */
	char oem_id[6];
	u8 revision;
	u32 rsdt;
	u32 length;
	u64 xsdt;
	u8 extended_checksum;  /* of all */
	u8 reserved[3];
};
_Static_assert(sizeof(struct acpi_rsdp) == 36, "ACPI 6.4 table 5.3");

struct PACKED acpi_facs {
	char signature[4];
	u32 length;
	u32 hardware_signature;
	u32 waking_vector;
	u32 global_lock;
	u32 flags;
	u64 x_waking_vector;
	u8 version;
	u8 reserved[31];
};
_Static_assert(sizeof(struct acpi_facs) == 64, "ACPI 6.4 table 5.14");

struct PACKED acpi_fadt {
	struct acpi_header header;
	u32 facs, dsdt;
	u8 reserved1, profile;
	u16 sci;
	u32 smi_command;
	u8 acpi_enable, acpi_disable, s4bios, pstate;
	u32 pm1a_event, pm1b_event, pm1a_control, pm1b_control, pm2_control, pm_timer, gpe0, gpe1;
	u8 pm1_event_bytes, pm1_control_bytes, pm2_control_bytes, pm_timer_bytes;
	u8 gpe0_bytes, gpe1_bytes, gpe1_base, cst;
	u16 c2_latency, c3_latency, flush_size, flush_stride;
	u8 duty_offset, duty_width, day_alarm, month_alarm, century;
	u16 boot_flags;
	u8 reserved2;
	u32 flags;
	struct acpi_gas reset;
	u8 reset_value;
	u16 arm_flags;
	u8 minor;
	u64 x_facs, x_dsdt;
	struct acpi_gas x_pm1a_event, x_pm1b_event, x_pm1a_control, x_pm1b_control, x_pm2_control;
	struct acpi_gas x_pm_timer, x_gpe0, x_gpe1, sleep_control, sleep_status;
	u64 hypervisor;
};
_Static_assert(sizeof(struct acpi_fadt) == 276, "ACPI 6.4 table 5.9");
_Static_assert(offsetof(struct acpi_fadt, flags) == 112, "ACPI 6.4 table 5.9");
_Static_assert(offsetof(struct acpi_fadt, x_pm_timer) == 208, "ACPI 6.4 table 5.9");

/* ACPI 6.4 table 5.11: there are ISA devices, no VGA; an 8042 would be bit 1. */
#define BOOT_LEGACY_DEVICES BIT(0)
#define BOOT_NO_VGA BIT(2)
/* ACPI 6.4 table 5.10. The power button is fixed hardware (bit 4 clear), there is no sleep button in it. */
#define FADT_WBINVD BIT(0)
#define FADT_PROC_C1 BIT(2)
#define FADT_NO_SLEEP_BUTTON BIT(5)
#define FADT_NO_RTC_WAKE BIT(6)
#define FADT_TIMER_32_BIT BIT(8)
#define FADT_RESET_REGISTER BIT(10)
#define C2_ABSENT 101  /* latencies beyond 100 and 1000 us say so */
#define C3_ABSENT 1001
#define CENTURY_REGISTER 0x32

struct PACKED madt_lapic {
	u8 type, length;
	u8 uid, apic_id;
	u32 flags;
};

struct PACKED madt_ioapic {
	u8 type, length;
	u8 id, reserved;
	u32 address, gsi_base;
};

struct PACKED madt_override {
	u8 type, length;
	u8 bus, source;
	u32 gsi;
	u16 flags;
};

struct PACKED madt_nmi {
	u8 type, length;
	u8 uid;
	u16 flags;
	u8 lint;
};

/* ACPI 6.4, 5.2.12; sized for the largest VM, length says how much of it there is. */
struct PACKED acpi_madt {
	struct acpi_header header;
	u32 lapic_address;
	u32 flags;
	struct madt_ioapic ioapic;
	struct madt_override timer, sci;
	struct madt_nmi nmi;
	struct madt_lapic lapic[VM_VCPUS_MAX];
};

#define MADT_PCAT_COMPAT 1u       /* there is a pair of 8259s */
#define MADT_LAPIC_ENABLED 1u
#define MADT_HIGH_LEVEL 0x0du     /* active high, level-triggered */
#define MADT_ALL_PROCESSORS 0xffu

/* ACPI 6.4, 5.2.8, 5.2.9: RSDT and XSDT. */
struct PACKED acpi_rsdt { struct acpi_header header; u32 table[2]; };
struct PACKED acpi_xsdt { struct acpi_header header; u64 table[2]; };

/* A cursor over the area; the first error stays. */
struct writer {
	struct vm *vm;
	u64 gpa;
	int err;
};

/* All bytes with it add up to 0. */
static u8 checksum(const void *bytes, size_t count)
{
	u8 sum = 0;

	for (size_t i = 0; i < count; i++)
		sum = (u8)(sum + ((const u8 *)bytes)[i]);
	return (u8)-sum;
}

static u64 put(struct writer *writer, const void *table, size_t bytes)
{
	u64 gpa = writer->gpa;

	if (!writer->err)
		writer->err = gmem_write(&writer->vm->gmem, GPA(gpa), table, bytes);
	writer->gpa = ALIGN_UP(gpa + bytes, 16);
	return gpa;
}

static struct acpi_header header(const char *signature, u32 length, u8 revision)
{
	struct acpi_header header = {
		.length = length, .revision = revision, .oem_id = "TERN", .oem_table_id = "TERNVM",
		.oem_revision = 1, .creator_id = "TERN", .creator_revision = 1,
	};

	memcpy(header.signature, signature, 4);
	return header;
}

/* Completes the header, which every table but RSDP and FACS has. */
static u64 put_table(struct writer *writer, void *table)
{
	struct acpi_header *head = table;

	head->checksum = 0;
	head->checksum = checksum(table, head->length);
	return put(writer, table, head->length);
}

static struct acpi_gas port(u64 address, u8 bytes)
{
	return (struct acpi_gas){ .space = 1, .bits = (u8)(bytes * 8), .access = (u8)(ilog2(bytes) + 1),
				  .address = address };
}

static void put_facs(struct writer *writer)
{
	struct acpi_facs facs = { .signature = { 'F', 'A', 'C', 'S' }, .length = sizeof(facs), .version = 2 };

	writer->gpa = FACS_GPA;
	put(writer, &facs, sizeof(facs));
}

static u64 put_fadt(struct writer *writer, u64 dsdt)
{
	struct acpi_fadt fadt = {
		.header = header("FACP", sizeof(fadt), 6),
		.minor = 4,
		.facs = FACS_GPA,
		.dsdt = (u32)dsdt,
		.x_dsdt = dsdt, /* X_FIRMWARE_CTRL stays 0: ACPI 6.4 wants one of the two */
		.sci = IRQ_SCI,
		.pm1a_event = ACPI_PM_EVENT_PORT,
		.pm1a_control = ACPI_PM_CONTROL_PORT,
		.pm_timer = ACPI_PM_TIMER_PORT,
		.pm1_event_bytes = ACPI_PM_EVENT_BYTES,
		.pm1_control_bytes = ACPI_PM_CONTROL_BYTES,
		.pm_timer_bytes = ACPI_PM_TIMER_BYTES,
		.c2_latency = C2_ABSENT,
		.c3_latency = C3_ABSENT,
		.century = CENTURY_REGISTER,
		.boot_flags = BOOT_LEGACY_DEVICES | BOOT_NO_VGA,
		.flags = FADT_WBINVD | FADT_PROC_C1 | FADT_NO_SLEEP_BUTTON | FADT_NO_RTC_WAKE |
			 FADT_TIMER_32_BIT | FADT_RESET_REGISTER,
		.reset = port(PCI_RESET_PORT, 1),
		.reset_value = PCI_RESET_FULL,
		.x_pm1a_event = port(ACPI_PM_EVENT_PORT, ACPI_PM_EVENT_BYTES),
		.x_pm1a_control = port(ACPI_PM_CONTROL_PORT, ACPI_PM_CONTROL_BYTES),
		.x_pm_timer = port(ACPI_PM_TIMER_PORT, ACPI_PM_TIMER_BYTES),
	};

	return put_table(writer, &fadt);
}

static u64 put_madt(struct writer *writer)
{
	u32 vcpus = writer->vm->config.vcpu_count;
	u32 length = (u32)(offsetof(struct acpi_madt, lapic) + vcpus * sizeof(struct madt_lapic));
	struct acpi_madt madt = {
		.header = header("APIC", length, 5),
		.lapic_address = LAPIC_BASE,
		.flags = MADT_PCAT_COMPAT,
		.ioapic = { .type = 1, .length = sizeof(madt.ioapic), .address = IOAPIC_BASE },
		.timer = { .type = 2, .length = sizeof(madt.timer), .source = IRQ_TIMER,
			   .gsi = IRQ_TIMER_PIN },
		.sci = { .type = 2, .length = sizeof(madt.sci), .source = IRQ_SCI, .gsi = IRQ_SCI,
			 .flags = MADT_HIGH_LEVEL },
		.nmi = { .type = 4, .length = sizeof(madt.nmi), .uid = MADT_ALL_PROCESSORS, .lint = 1 },
	};

	for (u32 i = 0; i < vcpus; i++)
		madt.lapic[i] = (struct madt_lapic){ .length = sizeof(madt.lapic[i]), .uid = (u8)i,
						     .apic_id = (u8)i, .flags = MADT_LAPIC_ENABLED };
	return put_table(writer, &madt);
}

static void put_rsdp(struct writer *writer, u64 rsdt, u64 xsdt)
{
	struct acpi_rsdp rsdp = { .oem_id = "TERN", .revision = 2, .rsdt = (u32)rsdt, .length = sizeof(rsdp),
				  .xsdt = xsdt };

	memcpy(rsdp.signature, "RSD PTR ", 8);
	rsdp.checksum = checksum(&rsdp, 20);
	rsdp.extended_checksum = checksum(&rsdp, sizeof(rsdp));
	writer->gpa = ACPI_TABLES_GPA;
	put(writer, &rsdp, sizeof(rsdp));
}

int acpi_tables_load(struct vm *vm, gpa_t *rsdp)
{
	struct writer writer = { .vm = vm };
	struct acpi_rsdt rsdt = { .header = header("RSDT", sizeof(rsdt), 1) };
	struct acpi_xsdt xsdt = { .header = header("XSDT", sizeof(xsdt), 1) };
	u64 rsdt_gpa, xsdt_gpa;

	put_facs(&writer);
	writer.gpa = FIRST_TABLE_GPA;
	xsdt.table[0] = put_fadt(&writer, put(&writer, dsdt_aml_code, sizeof(dsdt_aml_code)));
	xsdt.table[1] = put_madt(&writer);
	rsdt.table[0] = (u32)xsdt.table[0];
	rsdt.table[1] = (u32)xsdt.table[1];
	rsdt_gpa = put_table(&writer, &rsdt);
	xsdt_gpa = put_table(&writer, &xsdt);
	put_rsdp(&writer, rsdt_gpa, xsdt_gpa);
	*rsdp = GPA(ACPI_TABLES_GPA);
	return writer.err;
}
