/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Start everything, in order: a table of contents. Where parts meet, so the only file of
 * kernel/ that may include everything.
 *
 * The world may be in disorder (no virtualization, no ACPI, no card, a broken tern.conf): then one
 * line says what and what to do, and Tern goes on with what there is.
 */
#include "arch/acpi.h"
#include "arch/apic.h"
#include "arch/blocks.h"
#include "arch/console.h"
#include "arch/cpu.h"
#include "arch/host.h"
#include "arch/hv.h"
#include "arch/ioapic.h"
#include "arch/mce.h"
#include "arch/paging.h"
#include "arch/pci.h"
#include "arch/percpu.h"
#include "arch/screen.h"
#include "arch/screen_page.h"
#include "arch/smp.h"
#include "arch/trap.h"
#include "arch/tsc.h"
#include "arch/uart.h"
#include "boot/handoff.h"
#include "kernel/bootfile.h"
#include "kernel/clock.h"
#include "kernel/config.h"
#include "kernel/layout.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/sched.h"
#include "migrate/migrate.h"
#include "net/net.h"
#include "vmm/console.h"
#include "vmm/selftest.h"
#include "vmm/vm.h"

#define CONFIG_FILE "tern.conf"

/* For what makes it impossible to go on: says why and stops. */
static NORETURN void give_up(const char *why)
{
	log_error("%s", why);
	machine->halt();
}

/* boot/handoff.h promises it, and paging and page allocator rely on it. */
static bool is_map_sorted(const struct boot_info *info)
{
	const struct boot_mem *mem = phys_to_virt(HPA(info->mem));
	u64 end = 0;

	for (u32 i = 0; i < info->mem_count; i++) {
		if (mem[i].base < end || mem[i].base + mem[i].bytes < mem[i].base)
			return false;
		end = mem[i].base + mem[i].bytes;
	}
	return info->mem_count > 0;
}

static struct boot_info *check_boot_info(u64 address)
{
	struct boot_info *info = phys_to_virt(HPA(address));

	if (info->magic != BOOT_INFO_MAGIC || info->version != BOOT_INFO_VERSION)
		give_up("loader and core do not belong together; install both from the same build of Tern");
	if (info->complaint)
		log_warn("loader: %s", (const char *)phys_to_virt(HPA(info->complaint)));
	if (!is_map_sorted(info))
		give_up("the loader's memory map is empty or out of order; this is a fault of Tern's loader");
	return info;
}

static void init_memory(struct boot_info *info)
{
	if (paging_init(info) || page_init(info) || smp_alloc_stacks(&percpu_table[0]))
		give_up("too little memory; Tern needs at least 32 MiB below 4 GiB");
	/* Again, now with stacks for #DF, NMI and #MC. */
	percpu_load(&percpu_table[0]);
	/* Nothing of the loader's is in use any more. */
	for (u32 i = 0; i < info->mem_count; i++) {
		const struct boot_mem *range = (const struct boot_mem *)phys_to_virt(HPA(info->mem)) + i;

		if (range->type == BOOT_MEM_LOADER)
			page_add_range(range->base, range->bytes);
	}
}

static void init_config(const struct boot_info *info)
{
	const char *text;
	u64 bytes;

	boot_files_init(info);
	text = boot_file_find(CONFIG_FILE, &bytes);
	if (text)
		config_parse(text, bytes);
	else
		log_warn("no %s on the boot volume: this host has no name, no address and no peers", CONFIG_FILE);
	log_choose_echo(config_get("host", NULL, "log"));
	host_init(info, config_get("host", NULL, "name"));
}

static void init_interrupts(void)
{
	/*
	 * The 8259 pair is silenced while the APIC still lets it through: a request of firmware's
	 * timer that is cut off half-way stays pending in QEMU's CPU, without a vector.
	 */
	ioapic_init();
	if (apic_init())
		give_up("the local APIC cannot be mapped");
	percpu_table[0].apic_id = apic_id();
	mce_cpu_init();
}

static u16 pm_timer_port(void)
{
	const struct acpi_address *timer = &acpi_get()->pm_timer;

	return timer->space == ACPI_SPACE_IO && timer->address <= 0xffff ? (u16)timer->address : 0;
}

static void init_time(void)
{
	clock_init(tsc_find_khz(pm_timer_port()));
	apic_timer_init();
	if (!tsc_is_invariant())
		log_debug("tsc: the CPU does not promise a constant rate");
}

static void log_start(void)
{
	struct page_stats pages;

	page_get_stats(&pages);
	log_info("%u CPU%s, %llu MiB, TSC %lu MHz by %s", cpu_count, cpu_count == 1 ? "" : "s",
		 pages.total_bytes / MIB, tsc_khz / 1000, tsc_source());
}

void core_main(u64 boot_info_address) NORETURN;

/* Called by arch/start.S on the boot CPU. */
void core_main(u64 boot_info_address)
{
	u64 entry_tsc = rdtsc();
	struct boot_info *info;

	direct_map = (u8 *)DIRECT_MAP_BASE;
	trap_init();                         /* first, so that every later mistake is told */
	percpu_load(&percpu_table[0]);       /* this CPU can say who it is */
	blocks_init();                       /* before the first large copy */
	uart_init();                         /* and where to */
	console_init_early();
	log_info("Tern %s", TERN_VERSION);
	info = check_boot_info(boot_info_address);
	init_memory(info);                   /* own tables before the allocator: it may use all memory */
	screen_init(info);                   /* for whom has no serial cable */
	init_config(info);                   /* says which console is wanted */
	if (acpi_init(info->rsdp_address))
		log_warn("no ACPI tables: one CPU, no serial interrupts");
	console_choose(config_get("host", NULL, "console"));
	init_interrupts();                   /* by the MADT's addresses */
	init_time();                         /* against the FADT's timer; from here on there is time */
	smp_init(info);                      /* needs time to wait, and this CPU's timer rate */
	log_start();
	mce_watch();
	if (hv_init())                       /* on every CPU, while they wait */
		log_error("no guests can run: %s", hv_missing);
	uart_enable_interrupts();
	pci_init();                          /* before the cards' drivers look for them */
	pci_probe_all();                     /* cards take their interrupts: the I/O APIC is ready */
	net_init();
	vm_console_init();                   /* guests write to ports from their first start */
	smp_release();                       /* other CPUs run vCPUs from here on */
	selftest_run();                      /* before anybody's guest */
	vm_init();
	migrate_init();                      /* listens to peers: VMs can arrive from now on */
	console_start(host_name());          /* last, so that the prompt means: ready */
	screen_page_start();
	host_is_ready(entry_tsc);
	sched_loop();
}
