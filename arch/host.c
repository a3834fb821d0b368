/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console's "host" commands: what this machine is and how it does. Each fact is
 * printed by one function, in text and in JSON, so that "host support" can print all of
 * them. CPU 0, from the shell.
 */
#include "arch/host.h"
#include "arch/acpi.h"
#include "arch/apic.h"
#include "arch/cpu.h"
#include "arch/harden.h"
#include "arch/hv.h"
#include "arch/percpu.h"
#include "arch/pci.h"
#include "arch/trap.h"
#include "arch/tsc.h"
#include "arch/uart.h"
#include "boot/handoff.h"
#include "kernel/clock.h"
#include "kernel/heap.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/shell.h"
#include "kernel/string.h"
#include "kernel/timer.h"

#define LOG_LINES_DEFAULT 50
#define LOG_LINES_MAX 10000
#define POWER_DELAY_NS (300 * NS_PER_MS) /* for the answer to leave the serial port */


extern void (*const host_facts_start[])(struct shell *shell), (*const host_facts_end[])(struct shell *shell);

static const struct boot_info *boot;
static char name[64] = "tern";
static u64 boot_us; /* from the core's entry to its prompt */

void host_init(const struct boot_info *info, const char *host)
{
	boot = info;
	if (host)
		str_copy(name, sizeof(name), host);
}

const char *host_name(void) { return name; }

void host_is_ready(u64 entry_tsc) { boot_us = clock_tsc_to_ns(rdtsc() - entry_tsc) / NS_PER_US; }

static const char *loader_name(void)
{
	static const char *const names[] = { "unknown", "PVH", "UEFI", "multiboot2" };

	return names[boot && boot->loader < ARRAY_COUNT(names) ? boot->loader : 0];
}

static void brand_string(char text[49])
{
	u32 words[12] = { 0 };

	for (u32 i = 0; i < 3 && cpuid(0x80000000, 0).eax >= 0x80000004; i++) {
		struct cpuid_leaf leaf = cpuid(0x80000002 + i, 0);

		words[4 * i] = leaf.eax;
		words[4 * i + 1] = leaf.ebx;
		words[4 * i + 2] = leaf.ecx;
		words[4 * i + 3] = leaf.edx;
	}
	memcpy(text, words, 48);
	text[48] = 0;
}

static void show_info(struct shell *shell)
{
	struct page_stats pages;
	u64 up_ms = clock_now_ns() / NS_PER_MS;

	page_get_stats(&pages);
	shell_print(shell, "Tern %s, host %s\n", TERN_VERSION, name);
	shell_print(shell, "up              %lu.%03lu s\n", up_ms / 1000,
		    up_ms % 1000);
	shell_print(shell, "booted by       %s, in %lu.%03lu ms\n", loader_name(), boot_us / 1000, boot_us % 1000);
	shell_print(shell, "virtualization  %s\n", hv ? hv->name : hv_missing);
	shell_print(shell, "CPUs            %u\n", cpu_count);
	shell_print(shell, "memory          %llu MiB, %llu MiB free\n", pages.total_bytes / MIB,
		    pages.free_bytes / MIB);
	shell_print(shell, "durable         none\n");

	json_string(shell, "version", TERN_VERSION);
	json_string(shell, "name", name);
	json_u64(shell, "uptime_ms", up_ms);
	json_u64(shell, "boot_us", boot_us);
	json_string(shell, "loader", loader_name());
	json_string(shell, "virtualization", hv ? hv->name : "none");
	if (!hv)
		json_string(shell, "virtualization_missing", hv_missing);
	json_u64(shell, "cpu_count", cpu_count);
	json_u64(shell, "memory_total_bytes", pages.total_bytes);
	json_u64(shell, "memory_free_bytes", pages.free_bytes);
	json_string(shell, "durable", "none");
}

static void show_cpu(struct shell *shell)
{
	char brand[49];
	u32 signature = cpuid(1, 0).eax;
	unsigned family = (unsigned)FIELD(signature, 11, 8), model = (unsigned)FIELD(signature, 7, 4);

	/* SDM 2A CPUID: extended family and model count only for these families. */
	if (family == 6 || family == 15)
		model |= (unsigned)FIELD(signature, 19, 16) << 4;
	if (family == 15)
		family += (unsigned)FIELD(signature, 27, 20);
	brand_string(brand);
	shell_print(shell, "%s, family %u model %u stepping %u\n", brand, family, model,
		    (unsigned)FIELD(signature, 3, 0));
	shell_print(shell, "TSC %lu kHz (%s), %sinvariant; APIC %s, timer %s %lu kHz\n",
		    tsc_khz, tsc_source(), tsc_is_invariant() ? "" : "not ",
		    apic_is_x2apic() ? "x2apic" : "xapic", apic_timer_name(), apic_timer_khz());
	json_string(shell, "brand", brand);
	json_u64(shell, "family", family);
	json_u64(shell, "model", model);
	json_u64(shell, "stepping", FIELD(signature, 3, 0));
	json_u64(shell, "tsc_khz", tsc_khz);
	json_string(shell, "tsc_source", tsc_source());
	json_bool(shell, "tsc_invariant", tsc_is_invariant());
	json_string(shell, "apic", apic_is_x2apic() ? "x2apic" : "xapic");
	json_string(shell, "timer", apic_timer_name());
	json_u64(shell, "timer_khz", apic_timer_khz());

	json_open_array(shell, "cpus");
	for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
		shell_print(shell, "CPU %u: APIC ID %u\n", cpu, percpu_table[cpu].apic_id);
		json_open_object(shell, NULL);
		json_u64(shell, "cpu", cpu);
		json_u64(shell, "apic_id", percpu_table[cpu].apic_id);
		json_close_object(shell);
	}
	json_close_array(shell);
	harden_show(shell);
	for (void (*const *fact)(struct shell *shell) = host_facts_start; fact < host_facts_end; fact++)
		(*fact)(shell);
}

static void show_memory(struct shell *shell)
{
	struct page_stats pages;
	struct heap_stats heap;

	page_get_stats(&pages);
	heap_get_stats(&heap);
	shell_print(shell, "total           %10llu KiB\n", pages.total_bytes / KIB);
	shell_print(shell, "free            %10llu KiB, of it %lu pages of 2 MiB\n",
		    pages.free_bytes / KIB, pages.free_large_pages);
	shell_print(shell, "least ever free %10llu KiB\n", pages.low_water_bytes / KIB);
	shell_print(shell, "page metadata   %10llu KiB\n", pages.metadata_bytes / KIB);
	shell_print(shell, "heap            %10lu bytes in %lu objects\n", heap.bytes,
		    heap.objects);
	shell_print(shell, "timers armed    %10lu\n", timer_armed_count());

	json_u64(shell, "total_bytes", pages.total_bytes);
	json_u64(shell, "free_bytes", pages.free_bytes);
	json_u64(shell, "free_large_pages", pages.free_large_pages);
	json_u64(shell, "low_water_bytes", pages.low_water_bytes);
	json_u64(shell, "metadata_bytes", pages.metadata_bytes);
	json_u64(shell, "heap_bytes", heap.bytes);
	json_u64(shell, "heap_objects", heap.objects);
	json_u64(shell, "timers_armed", timer_armed_count());
}

static void log_line(const char *text, void *context)
{
	struct shell *shell = context;

	shell_print(shell, "%s\n", text);
	json_string(shell, NULL, text);
}

static void show_log(struct shell *shell, unsigned lines)
{
	json_open_array(shell, "lines");
	log_replay(lines, log_line, shell);
	json_close_array(shell);
}

static void show_memory_map(struct shell *shell)
{
	static const char *const types[] = {
		"?", "usable", "reserved", "ACPI", "NVS", "MMIO", "bad", "loaded", "loader",
	};
	const struct boot_mem *mem = boot ? phys_to_virt(HPA(boot->mem)) : NULL;

	json_open_array(shell, "memory_map");
	for (u32 i = 0; mem && i < boot->mem_count; i++) {
		const char *type = types[mem[i].type < ARRAY_COUNT(types) ? mem[i].type : 0];

		shell_print(shell, "%012lx %12lu %s\n", mem[i].base,
			    mem[i].bytes, type);
		json_open_object(shell, NULL);
		json_u64(shell, "base", mem[i].base);
		json_u64(shell, "bytes", mem[i].bytes);
		json_string(shell, "type", type);
		json_close_object(shell);
	}
	json_close_array(shell);
}

static void show_interrupts(struct shell *shell)
{
	shell_print(shell, "spurious interrupts %lu, NMIs %lu\n", irq_spurious_count(),
		    nmi_count());
	json_u64(shell, "spurious_interrupts", irq_spurious_count());
	json_u64(shell, "nmis", nmi_count());
	json_open_array(shell, "vectors");
	for (int vector = 0; vector < 256; vector++) {
		if (!irq_count(vector))
			continue;
		shell_print(shell, "vector %#04x: %lu\n", (unsigned)vector, irq_count(vector));
		json_open_object(shell, NULL);
		json_u64(shell, "vector", (u64)vector);
		json_u64(shell, "count", irq_count(vector));
		json_close_object(shell);
	}
	json_close_array(shell);
}

static void show_ports(struct shell *shell)
{
	json_open_array(shell, "serial_ports");
	for (unsigned n = 0; n < UART_ALL; n++) {
		struct uart *uart = uart_port(n);
		struct uart_stats stats;

		if (!uart)
			continue;
		uart_get_stats(uart, &stats);
		shell_print(shell, "%s%s: %lu bytes in, %lu out, %lu lost, %lu errors\n", uart_name(uart),
			    uart == uart_console() ? " (console)" : "", stats.rx_bytes,
			    stats.tx_bytes, stats.rx_lost,
			    stats.errors);
		json_open_object(shell, NULL);
		json_string(shell, "name", uart_name(uart));
		json_u64(shell, "rx_bytes", stats.rx_bytes);
		json_u64(shell, "tx_bytes", stats.tx_bytes);
		json_u64(shell, "rx_lost", stats.rx_lost);
		json_u64(shell, "errors", stats.errors);
		json_close_object(shell);
	}
	json_close_array(shell);
}

static void show_devices(struct shell *shell)
{
	struct pci_device *device;

	json_open_array(shell, "pci_devices");
	for (unsigned i = 0; (device = pci_get(i)); i++) {
		const char *driver = device->driver ? device->driver->name : "none";

		shell_print(shell, "PCI %s %04x:%04x class %02x%02x driver %s\n", device->name, device->vendor,
			    device->device, device->class, device->subclass, driver);
		json_open_object(shell, NULL);
		json_string(shell, "name", device->name);
		json_u64(shell, "vendor", device->vendor);
		json_u64(shell, "device", device->device);
		json_string(shell, "driver", driver);
		json_close_object(shell);
	}
	json_close_array(shell);
}

static enum cmd_result run_info(struct shell *shell, const struct cmd_args *args)
{
	(void)args;
	show_info(shell);
	return CMD_OK;
}

static enum cmd_result run_cpu(struct shell *shell, const struct cmd_args *args)
{
	(void)args;
	show_cpu(shell);
	return CMD_OK;
}

static enum cmd_result run_memory(struct shell *shell, const struct cmd_args *args)
{
	(void)args;
	show_memory(shell);
	return CMD_OK;
}

static enum cmd_result run_log(struct shell *shell, const struct cmd_args *args)
{
	u64 lines = LOG_LINES_DEFAULT;

	if (!shell_take_u64(shell, "N", args->count ? args->word[0] : NULL, 0, LOG_LINES_MAX, &lines))
		return CMD_FAILED;
	show_log(shell, (unsigned)lines);
	return CMD_OK;
}

static void show_section(struct shell *shell, const char *key, void (*show)(struct shell *shell))
{
	json_open_object(shell, key);
	show(shell);
	json_close_object(shell);
	shell_print(shell, "\n");
}

static enum cmd_result run_support(struct shell *shell, const struct cmd_args *args)
{
	(void)args;
	show_section(shell, "info", show_info);
	show_section(shell, "cpu", show_cpu);
	show_section(shell, "memory", show_memory);
	show_section(shell, "firmware", show_memory_map);
	show_section(shell, "interrupts", show_interrupts);
	show_section(shell, "ports", show_ports);
	show_section(shell, "pci", show_devices);
	show_log(shell, LOG_LINES_DEFAULT);
	return CMD_OK;
}

static struct timer power_timer;

static void power_off_now(struct timer *timer)
{
	(void)timer;
	acpi_power_off();
	log_error("host: this machine does not switch off by ACPI");
}

static void reboot_now(struct timer *timer)
{
	(void)timer;
	acpi_reset();
	/* The keyboard controller's reset line, as on the first PC/AT. */
	out8(0x64, 0xfe);
	log_error("host: this machine does not reset by ACPI or keyboard controller");
}

static enum cmd_result power_soon(struct shell *shell, const struct cmd_args *args,
				  void (*action)(struct timer *))
{
	if (!shell_is_confirmed(shell, args, "host", "every guest would end"))
		return CMD_FAILED;
	timer_cancel(&power_timer);
	timer_setup(&power_timer, action);
	timer_arm(&power_timer, this_cpu(), clock_now_ns() + POWER_DELAY_NS);
	return CMD_OK;
}

static enum cmd_result run_poweroff(struct shell *shell, const struct cmd_args *args)
{
	return power_soon(shell, args, power_off_now);
}

static enum cmd_result run_reboot(struct shell *shell, const struct cmd_args *args)
{
	return power_soon(shell, args, reboot_now);
}

static const char *const yes_option[] = { "--yes", NULL };

SHELL_COMMAND(host_info) = {
	.noun = "host", .verb = "info", .usage = "host info",
	.help = "Version, uptime, virtualization, memory in short.", .run = run_info,
};
SHELL_COMMAND(host_cpu) = {
	.noun = "host", .verb = "cpu", .usage = "host cpu",
	.help = "Model, clock and interrupt controller of the CPUs; steps of hardening and why.", .run = run_cpu,
};
SHELL_COMMAND(host_memory) = {
	.noun = "host", .verb = "memory", .usage = "host memory",
	.help = "Free and used memory, and what leaks would show in.", .run = run_memory,
};
SHELL_COMMAND(host_log) = {
	.noun = "host", .verb = "log", .usage = "host log [N]",
	.help = "The last N lines of the log (50).", .max_words = 1, .run = run_log,
};
SHELL_COMMAND(host_support) = {
	.noun = "host", .verb = "support", .usage = "host support",
	.help = "Everything about this host that helps to find a fault; contains no secrets.",
	.run = run_support,
};
SHELL_COMMAND(host_poweroff) = {
	.noun = "host", .verb = "poweroff", .usage = "host poweroff --yes",
	.help = "Switches the machine off, with every guest on it.",
	.options = yes_option, .run = run_poweroff,
};
SHELL_COMMAND(host_reboot) = {
	.noun = "host", .verb = "reboot", .usage = "host reboot --yes",
	.help = "Starts the machine anew; every guest on it ends.",
	.options = yes_option, .run = run_reboot,
};
