/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * This machine's ACPI tables, read once at start; power-off and reset by ACPI's registers.
 *
 * Firmware's addresses are followed only where the direct map shows memory.
 */
#include "arch/acpi.h"

#include "arch/cpu.h"
#include "arch/paging.h"
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/log.h"
#include "kernel/page.h"

static struct acpi_facts facts;

static const void *read_memory(const struct acpi_memory *memory, u64 address, u64 bytes)
{
	(void)memory;
	if (!address || address + bytes < address || !paging_is_mapped(HPA(address), bytes))
		return NULL;
	return phys_to_virt(HPA(address));
}

int acpi_init(u64 rsdp_address)
{
	static const struct acpi_memory memory = { .at = read_memory };
	int err;

	if (!rsdp_address)
		rsdp_address = acpi_find_rsdp(&memory);
	if (!rsdp_address)
		return -ENODEV;
	err = acpi_read(&memory, rsdp_address, &facts);
	if (err)
		return err;
	if (facts.cpus_left_out)
		log_warn("%u CPUs are more than Tern uses (%u); they stay off", facts.cpus_left_out, CPU_MAX);
	return 0;
}

const struct acpi_facts *acpi_get(void)
{
	return &facts;
}

/* ACPI 6.5, 4.8.3.2.1: PM1 control has SCI_EN in bit 0, SLP_TYP in 12..10, SLP_EN in bit 13. */
#define PM1_SCI_EN BIT(0)
#define PM1_SLP_TYP_SHIFT 10
#define PM1_SLP_TYP BITS(12, 10)
#define PM1_SLP_EN BIT(13)

static bool is_port(const struct acpi_address *at)
{
	return at->address && at->space == ACPI_SPACE_IO && at->address <= 0xffff;
}

/* ACPI 6.5, 16.3.3: the registers are firmware's until ACPI mode is asked for. */
static void enter_acpi_mode(void)
{
	u16 port = (u16)facts.pm1a_control.address;
	u64 deadline_ns = clock_now_ns() + 1000 * NS_PER_MS;

	if (in16(port) & PM1_SCI_EN || !facts.smi_command || !facts.acpi_enable)
		return;
	out8(facts.smi_command, facts.acpi_enable);
	while (!(in16(port) & PM1_SCI_EN) && clock_now_ns() < deadline_ns)
		cpu_pause();
}

static void write_sleep(const struct acpi_address *at, u8 type)
{
	u16 value;

	if (!is_port(at))
		return;
	value = (u16)(in16((u16)at->address) & ~(PM1_SLP_TYP | PM1_SLP_EN));
	value = (u16)(value | (u16)type << PM1_SLP_TYP_SHIFT);
	out16((u16)at->address, value);
	out16((u16)at->address, (u16)(value | PM1_SLP_EN));
}

void acpi_power_off(void)
{
	if (!facts.has_s5 || !is_port(&facts.pm1a_control))
		return;
	enter_acpi_mode();
	write_sleep(&facts.pm1a_control, facts.s5_type_a);
	write_sleep(&facts.pm1b_control, facts.s5_type_b);
}

void acpi_reset(void)
{
	/* 4.8.3.6: the reset register is one byte wide. */
	if (is_port(&facts.reset)) {
		out8((u16)facts.reset.address, facts.reset_value);
	} else if (facts.reset.address && facts.reset.space == ACPI_SPACE_MEMORY) {
		void *at = paging_map_mmio(HPA(facts.reset.address), 1);

		if (at)
			mmio_write8(at, facts.reset_value);
	}
}
