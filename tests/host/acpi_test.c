/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ACPI tables: sound ones are understood, and no broken one makes the parsers read
 * outside it. Tables lie in heap objects of exactly their length, so that ASan sees every step too far.
 */
/* SOURCES: arch/acpi_tables.c kernel/log.c kernel/clock.c kernel/fmt.c kernel/str.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/acpi.h"
#include "kernel/bits.h"
#include "kernel/errno.h"

/* ---- physical memory: some objects at some addresses ---- */

#define OBJECTS_MAX 32

static struct {
	u64 address;
	u32 bytes;
	u8 *content;
} objects[OBJECTS_MAX];
static unsigned object_count;

static const void *show(const struct acpi_memory *memory, u64 address, u64 bytes)
{
	(void)memory;
	for (unsigned i = 0; i < object_count; i++) {
		u64 offset = address - objects[i].address;

		if (offset < objects[i].bytes && bytes <= objects[i].bytes - offset)
			return objects[i].content + offset;
	}
	return NULL;
}

static const struct acpi_memory memory = { .at = show };

static u8 *place(u64 address, const void *content, u32 bytes)
{
	u8 *copy = malloc(bytes ? bytes : 1);

	memcpy(copy, content, bytes);
	objects[object_count].address = address;
	objects[object_count].bytes = bytes;
	objects[object_count++].content = copy;
	return copy;
}

static int forget(void **state)
{
	(void)state;
	while (object_count)
		free(objects[--object_count].content);
	return 0;
}

/* ---- building tables ---- */

struct table {
	u8 bytes[1024];
	u32 length;
};

static void put(struct table *table, u64 value, unsigned width)
{
	memcpy(table->bytes + table->length, &value, width);
	table->length += width;
}

static void put_at(struct table *table, u32 offset, u64 value, unsigned width)
{
	memcpy(table->bytes + offset, &value, width);
}

static void begin(struct table *table, const char *signature)
{
	memset(table, 0, sizeof(*table));
	memcpy(table->bytes, signature, 4);
	table->length = 36;
}

static void seal(u8 *bytes, u32 length, u32 sum_offset)
{
	u8 sum = 0;

	bytes[sum_offset] = 0;
	for (u32 i = 0; i < length; i++)
		sum = (u8)(sum + bytes[i]);
	bytes[sum_offset] = (u8)-sum;
}

static u8 *finish(struct table *table, u64 address)
{
	put_at(table, 4, table->length, 4);
	seal(table->bytes, table->length, 9);
	return place(address, table->bytes, table->length);
}

static void place_rsdp(u64 address, u64 rsdt, u64 xsdt, u8 revision)
{
	u8 rsdp[36] = "RSD PTR ";

	rsdp[15] = revision;
	memcpy(rsdp + 16, &rsdt, 4);
	rsdp[20] = 36;
	memcpy(rsdp + 24, &xsdt, 8);
	seal(rsdp, 20, 8);
	seal(rsdp, 36, 32);
	place(address, rsdp, revision ? 36 : 20);
}

static void put_cpu(struct table *madt, u8 uid, u8 id, u32 flags)
{
	put(madt, 0, 1);
	put(madt, 8, 1);
	put(madt, uid, 1);
	put(madt, id, 1);
	put(madt, flags, 4);
}

static void put_x2cpu(struct table *madt, u32 uid, u32 id, u32 flags)
{
	put(madt, 9, 1);
	put(madt, 16, 1);
	put(madt, 0, 2);
	put(madt, id, 4);
	put(madt, flags, 4);
	put(madt, uid, 4);
}

static void put_override(struct table *madt, u8 irq, u32 gsi, u16 flags)
{
	put(madt, 2, 1);
	put(madt, 10, 1);
	put(madt, 0, 1);
	put(madt, irq, 1);
	put(madt, gsi, 4);
	put(madt, flags, 2);
}

static void build_madt(struct table *madt)
{
	begin(madt, "APIC");
	put(madt, 0xfee00000, 4);
	put(madt, 1, 4);
	put_cpu(madt, 0, 0, 1);
	put_cpu(madt, 1, 2, 1);
	put_cpu(madt, 2, 4, 2); /* can be plugged in, is not there */
	put_x2cpu(madt, 7, 0x100, 1);
	put_x2cpu(madt, 1, 2, 1); /* again */
	put(madt, 1, 1);
	put(madt, 12, 1);
	put(madt, 5, 2);
	put(madt, 0xfec00000, 4);
	put(madt, 24, 4);
	put_override(madt, 0, 2, 0);
	put_override(madt, 9, 9, 0xd);
	put_override(madt, 10, 20, 0xf);
	put(madt, 0x7f, 1); /* of a later edition */
	put(madt, 3, 1);
	put(madt, 0, 1);
	put(madt, 5, 1);
	put(madt, 12, 1);
	put(madt, 0, 2);
	put(madt, 0x123456000, 8);
}

static void build_fadt(struct table *fadt)
{
	begin(fadt, "FACP");
	fadt->length = 244;
	put_at(fadt, 40, 0x5000, 4);
	put_at(fadt, 46, 9, 2);
	put_at(fadt, 48, 0xb2, 4);
	put_at(fadt, 52, 0xf1, 1);
	put_at(fadt, 64, 0x604, 4);
	put_at(fadt, 76, 0x608, 4);
	put_at(fadt, 112, BIT(8) | BIT(10), 4);
	put_at(fadt, 116, 1, 1);
	put_at(fadt, 117, 8, 1);
	put_at(fadt, 120, 0xcf9, 8);
	put_at(fadt, 128, 6, 1);
	put_at(fadt, 208, 1, 1);
	put_at(fadt, 209, 32, 1);
	put_at(fadt, 212, 0x708, 8);
}

static void build_mcfg(struct table *mcfg)
{
	begin(mcfg, "MCFG");
	put(mcfg, 0, 8);
	put(mcfg, 0xb0000000, 8);
	put(mcfg, 0, 2);
	put(mcfg, 0, 1);
	put(mcfg, 255, 1);
	put(mcfg, 0, 4);
}

static void build_spcr(struct table *spcr)
{
	begin(spcr, "SPCR");
	spcr->length = 80;
	put_at(spcr, 36, 0, 1);
	put_at(spcr, 40, 1, 1);
	put_at(spcr, 41, 8, 1);
	put_at(spcr, 44, 0x2f8, 8);
	put_at(spcr, 58, 7, 1);
}

static const u8 s5_code[] = { 0x08, '_', 'S', '5', '_', 0x12, 0x07, 0x04, 0x0a, 0x05, 0x01, 0x00, 0x00 };

static void build_dsdt(struct table *dsdt)
{
	begin(dsdt, "DSDT");
	/* The name may also stand where no package follows. */
	memcpy(dsdt->bytes + 40, "\x08_S5_junk", 9);
	memcpy(dsdt->bytes + 60, s5_code, sizeof(s5_code));
	dsdt->length = 60 + sizeof(s5_code);
}

static void build_all(bool want_xsdt)
{
	static const struct {
		void (*build)(struct table *table);
		u64 address;
	} tables[] = {
		{ build_fadt, 0x2000 }, { build_madt, 0x3000 }, { build_mcfg, 0x4000 },
		{ build_dsdt, 0x5000 }, { build_spcr, 0x6000 }, { build_spcr, 0x7000 },
	};
	struct table table, root;

	begin(&root, want_xsdt ? "XSDT" : "RSDT");
	for (unsigned i = 0; i < ARRAY_COUNT(tables); i++) {
		tables[i].build(&table);
		finish(&table, tables[i].address);
		put(&root, tables[i].address, want_xsdt ? 8 : 4);
	}
	put(&root, 0xdead0000, want_xsdt ? 8 : 4); /* leads nowhere */
	finish(&root, 0x1000);
	place_rsdp(0xf0010, want_xsdt ? 0 : 0x1000, want_xsdt ? 0x1000 : 0, want_xsdt ? 2 : 0);
}

static struct acpi_facts facts;

static void check_all(void)
{
	assert_true(facts.has_madt && facts.has_fadt && facts.has_mcfg && facts.has_spcr);
	assert_int_equal(facts.lapic_address, 0x123456000);
	assert_true(facts.has_8259);
	assert_int_equal(facts.cpu_count, 3);
	assert_int_equal(facts.cpu[1].apic_id, 2);
	assert_int_equal(facts.cpu[2].apic_id, 0x100);
	assert_int_equal(facts.cpu[2].uid, 7);
	assert_int_equal(facts.ioapic_count, 1);
	assert_int_equal(facts.ioapic[0].address, 0xfec00000);
	assert_int_equal(facts.ioapic[0].gsi_base, 24);
	assert_int_equal(facts.ioapic[0].id, 5);
	assert_int_equal(facts.override_count, 3);
	assert_int_equal(facts.sci_irq, 9);
	assert_int_equal(facts.pm1a_control.address, 0x604);
	assert_int_equal(facts.pm1b_control.address, 0);
	assert_int_equal(facts.pm_timer.address, 0x708);
	assert_true(facts.is_pm_timer_32bit);
	assert_int_equal(facts.reset.address, 0xcf9);
	assert_int_equal(facts.reset_value, 6);
	assert_true(facts.has_s5);
	assert_int_equal(facts.s5_type_a, 5);
	assert_int_equal(facts.s5_type_b, 1);
	assert_int_equal(facts.ecam_count, 1);
	assert_int_equal(facts.ecam[0].address, 0xb0000000);
	assert_int_equal(facts.ecam[0].last_bus, 255);
	assert_int_equal(facts.console.address, 0x2f8);
	assert_int_equal(facts.console.space, ACPI_SPACE_IO);
	assert_int_equal(facts.console_baud, 115200);
}

static void reads_by_xsdt(void **state)
{
	(void)state;
	build_all(true);
	assert_int_equal(acpi_read(&memory, 0xf0010, &facts), 0);
	check_all();
}

static void reads_by_rsdt(void **state)
{
	(void)state;
	build_all(false);
	assert_int_equal(acpi_read(&memory, 0xf0010, &facts), 0);
	check_all();
}

static void finds_the_root(void **state)
{
	(void)state;
	assert_int_equal(acpi_find_rsdp(&memory), 0);
	place_rsdp(0xe0008, 0x1000, 0, 0); /* not on 16 bytes */
	assert_int_equal(acpi_find_rsdp(&memory), 0);
	place_rsdp(0xfffe0, 0x1000, 0, 0);
	assert_int_equal(acpi_find_rsdp(&memory), 0xfffe0);
}

static void isa_interrupts(void **state)
{
	struct acpi_override irq;

	(void)state;
	build_all(true);
	assert_int_equal(acpi_read(&memory, 0xf0010, &facts), 0);
	irq = acpi_isa_irq(&facts, 0);
	assert_int_equal(irq.gsi, 2);
	assert_false(irq.is_level || irq.is_active_low);
	irq = acpi_isa_irq(&facts, 9);
	assert_true(irq.is_level && !irq.is_active_low);
	irq = acpi_isa_irq(&facts, 10);
	assert_int_equal(irq.gsi, 20);
	assert_true(irq.is_level && irq.is_active_low);
	irq = acpi_isa_irq(&facts, 4);
	assert_int_equal(irq.gsi, 4);
	assert_false(irq.is_level || irq.is_active_low);
}

static void broken_sums_are_refused(void **state)
{
	(void)state;
	build_all(true);
	objects[1].content[50] ^= 1; /* the MADT */
	assert_int_equal(acpi_read(&memory, 0xf0010, &facts), 0);
	assert_false(facts.has_madt);
	assert_true(facts.has_fadt);
	objects[6].content[40] ^= 1; /* the XSDT: no RSDT to fall back to */
	assert_int_equal(acpi_read(&memory, 0xf0010, &facts), -EINVAL);
	assert_int_equal(acpi_read(&memory, 0xf0000, &facts), -EINVAL);
	assert_int_equal(facts.cpu_count, 0);
}

static void more_than_fits(void **state)
{
	static u8 madt[44 + 8 * 200 + 12 * 100 + 10 * 100];
	u32 at = 44;

	(void)state;
	memset(&facts, 0, sizeof(facts));
	for (unsigned i = 0; i < 200; i++, at += 8)
		memcpy(madt + at, (u8[]){ 0, 8, (u8)i, (u8)i, 1, 0, 0, 0 }, 8);
	for (unsigned i = 0; i < 100; i++, at += 12)
		memcpy(madt + at, (u8[]){ 1, 12 }, 2);
	for (unsigned i = 0; i < 100; i++, at += 10)
		memcpy(madt + at, (u8[]){ 2, 10 }, 2);
	acpi_parse_madt(madt, at, &facts);
	assert_int_equal(facts.cpu_count, CPU_MAX);
	assert_int_equal(facts.cpus_left_out, 200 - CPU_MAX);
	assert_int_equal(facts.ioapic_count, ACPI_IOAPIC_MAX);
	assert_int_equal(facts.override_count, ACPI_OVERRIDE_MAX);
}

static void hostile_lengths_in_the_madt(void **state)
{
	struct table madt;

	(void)state;
	for (unsigned length = 0; length < 256; length++) {
		u8 *content;

		begin(&madt, "APIC");
		put(&madt, 0, 8);
		put_cpu(&madt, 0, 0, 1);
		put(&madt, 0, 1);
		put(&madt, length, 1);
		put(&madt, 0x010101010107, 6); /* one byte further on lies an entry that leads to the next CPU */
		put_cpu(&madt, 0, 3, 1);
		content = finish(&madt, 0x3000);
		memset(&facts, 0, sizeof(facts));
		acpi_parse_madt(content, madt.length, &facts);
		assert_in_range(facts.cpu_count, 1, 3);
		assert_int_equal(facts.cpu[0].apic_id, 0);
		/* An entry that cannot be stepped over ends the table. */
		if (length < 2)
			assert_int_equal(facts.cpu_count, 1);
		forget(NULL);
	}
}

static void short_entries_are_left_out(void **state)
{
	static const u8 kinds[] = { 0, 1, 2, 5, 9 };
	static const u8 lengths[] = { 8, 12, 10, 12, 16 };
	struct table madt;

	(void)state;
	begin(&madt, "APIC");
	put(&madt, 0xfee00000, 8);
	for (unsigned i = 0; i < ARRAY_COUNT(kinds); i++) {
		for (unsigned length = 2; length < lengths[i]; length++) {
			put(&madt, kinds[i], 1);
			put(&madt, length, 1);
			memset(madt.bytes + madt.length, 1, length - 2);
			madt.length += length - 2;
		}
	}
	memset(&facts, 0, sizeof(facts));
	acpi_parse_madt(madt.bytes, madt.length, &facts);
	assert_int_equal(facts.cpu_count + facts.ioapic_count + facts.override_count, 0);
	assert_int_equal(facts.lapic_address, 0xfee00000);
}

static void strange_ecam_is_refused(void **state)
{
	static const struct {
		u64 address;
		u8 first, last;
	} cases[] = { { 0, 0, 255 }, { 0xb0000800, 0, 255 }, { 1ull << 52, 0, 255 }, { 0xb0000000, 9, 8 } };
	struct table mcfg;

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		build_mcfg(&mcfg);
		put_at(&mcfg, 44, cases[i].address, 8);
		put_at(&mcfg, 54, cases[i].first, 1);
		put_at(&mcfg, 55, cases[i].last, 1);
		memset(&facts, 0, sizeof(facts));
		acpi_parse_mcfg(mcfg.bytes, mcfg.length, &facts);
		assert_int_equal(facts.ecam_count, 0);
	}
	/* Half an entry at the end. */
	build_mcfg(&mcfg);
	memset(&facts, 0, sizeof(facts));
	acpi_parse_mcfg(mcfg.bytes, mcfg.length - 1, &facts);
	assert_int_equal(facts.ecam_count, 0);
}

/* Each table, cut at every length, from an object of that length. */
static void every_prefix(void **state)
{
	static const struct {
		void (*build)(struct table *table);
		void (*parse)(const u8 *table, u32 bytes, struct acpi_facts *facts);
	} kinds[] = {
		{ build_madt, acpi_parse_madt }, { build_fadt, acpi_parse_fadt }, { build_mcfg, acpi_parse_mcfg },
		{ build_spcr, acpi_parse_spcr }, { build_dsdt, acpi_parse_dsdt },
	};
	struct table table;

	(void)state;
	for (unsigned kind = 0; kind < ARRAY_COUNT(kinds); kind++) {
		kinds[kind].build(&table);
		for (u32 bytes = 0; bytes < table.length; bytes++) {
			u8 *content = place(0, table.bytes, bytes);

			memset(&facts, 0, sizeof(facts));
			kinds[kind].parse(content, bytes, &facts);
			assert_in_range(facts.cpu_count, 0, 3);
			/* A cut _S5 must not become another sleep type. */
			if (facts.has_s5)
				assert_int_equal(facts.s5_type_a, 5);
			forget(NULL);
		}
	}
}

/* Random damage behind right checksums: parsers meet what they would never trust. */
static void random_damage(void **state)
{
	(void)state;
	for (int round = 0; round < 4000; round++) {
		build_all(round & 1);
		for (unsigned hits = 0; hits < 8; hits++) {
			unsigned victim = (unsigned)rand() % object_count;
			u8 *content = objects[victim].content;
			u32 bytes = objects[victim].bytes;

			content[(u32)rand() % bytes] = (u8)rand();
			if (rand() % 4)
				content[36 % bytes + (u32)rand() % (bytes - 36 % bytes)] = (u8)(rand() % 3 - 1);
			if (victim == object_count - 1) {
				seal(content, 20, 8);
				if (bytes == 36)
					seal(content, 36, 32);
			} else {
				seal(content, bytes, 9);
			}
		}
		acpi_read(&memory, 0xf0010, &facts);
		assert_in_range(facts.cpu_count, 0, CPU_MAX);
		assert_in_range(facts.ecam_count, 0, ACPI_ECAM_MAX);
		assert_true(facts.s5_type_a <= 7 && facts.s5_type_b <= 7);
		forget(NULL);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(reads_by_xsdt, forget),
		cmocka_unit_test_teardown(reads_by_rsdt, forget),
		cmocka_unit_test_teardown(finds_the_root, forget),
		cmocka_unit_test_teardown(isa_interrupts, forget),
		cmocka_unit_test_teardown(broken_sums_are_refused, forget),
		cmocka_unit_test(more_than_fits),
		cmocka_unit_test_teardown(hostile_lengths_in_the_madt, forget),
		cmocka_unit_test(short_entries_are_left_out),
		cmocka_unit_test(strange_ecam_is_refused),
		cmocka_unit_test_teardown(every_prefix, forget),
		cmocka_unit_test_teardown(random_damage, forget),
	};

	srand(6);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
