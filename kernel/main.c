/* SPDX-License-Identifier: BSD-2-Clause */
/* Start everything, in order: a table of contents. */
#include "arch/acpi.h"
#include "arch/apic.h"
#include "arch/cpu.h"
#include "arch/ioapic.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "arch/smp.h"
#include "arch/trap.h"
#include "arch/tsc.h"
#include "arch/uart.h"
#include "boot/handoff.h"
#include "kernel/clock.h"
#include "kernel/layout.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/panic.h"
#include "kernel/sched.h"

static struct boot_info *boot_info;

static void boot_check(u64 address)
{
	boot_info = phys_to_virt(HPA(address));
	if (boot_info->magic != BOOT_INFO_MAGIC || boot_info->version != BOOT_INFO_VERSION)
		panic("the loader does not belong to this core: its boot_info has version %u, %u is expected",
		      boot_info->version, BOOT_INFO_VERSION);
}

static void early_sink(const char *text, size_t bytes) { machine->console_write(text, bytes); }

static u16 pm_timer_port(void)
{
	const struct acpi_address *timer = &acpi_get()->pm_timer;

	return timer->space == ACPI_SPACE_IO && timer->address <= 0xffff ? (u16)timer->address : 0;
}

void core_main(u64 boot_info_address) NORETURN;
void core_main(u64 boot_info_address)
{
	direct_map = (u8 *)DIRECT_MAP_BASE;
	trap_init();
	percpu_load(&percpu_table[0]);
	uart_init();
	log_set_sink(early_sink);
	log_info("Tern");
	boot_check(boot_info_address);
	assert_or_panic(paging_init(boot_info) == 0);
	assert_or_panic(page_init(boot_info) == 0);
	assert_or_panic(smp_alloc_stacks(&percpu_table[0]) == 0);
	percpu_load(&percpu_table[0]);
	if (acpi_init(boot_info->rsdp_address) < 0)
		log_warn("no ACPI");
	assert_or_panic(apic_init(acpi_get()->lapic_address) == 0);
	percpu_table[0].apic_id = apic_id();
	ioapic_init();
	clock_init(tsc_find_khz(pm_timer_port()));
	apic_timer_init();
	log_info("tsc %llu kHz (%s), timer %s %llu kHz, %s", (unsigned long long)tsc_khz, tsc_source(),
		 apic_timer_name(), (unsigned long long)apic_timer_khz(), apic_is_x2apic() ? "x2apic" : "xapic");
	smp_init(boot_info);
	log_info("%u CPUs", cpu_count);
	uart_enable_interrupts();
	smp_release();
	sched_loop();
}
