/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other CPUs: started one after the other by INIT-SIPI-SIPI (SDM 3A 9.4.4), parked in a
 * gate where the boot CPU can call functions on them, then released to their loops.
 */
#include "arch/smp.h"
#include "arch/acpi.h"
#include "arch/apic.h"
#include "arch/cpu.h"
#include "arch/mce.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "arch/trap.h"
#include "boot/handoff.h"
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/sched.h"
#include "kernel/string.h"

#define INIT_WAIT_NS (10 * NS_PER_MS) /* SDM 3A 9.4.4.1 */
#define STARTUP_WAIT_NS (200 * NS_PER_US)
#define START_LIMIT_NS (500 * NS_PER_MS)
#define TSC_SKEW_TRIES 16
#define XAPIC_ID_MAX 254

/* The end of trampoline.S. */
struct trampoline_words {
	u16 reserved;
	u16 gdt_limit;
	u32 gdt_base;
	u32 far_offset;
	u16 far_selector;
	u16 reserved2;
	u64 root;
	u64 stack;
	u64 argument;
	u64 entry;
} PACKED;
_Static_assert(sizeof(struct trampoline_words) == 48, "trampoline.S");

extern const u8 trampoline_start[], trampoline_end[], trampoline_words[];

/* What the gate of one CPU is asked to do; fn is cleared when it is done. */
struct gate {
	void (*fn)(void *context);
	void *context;
} ALIGNED(64);

static struct gate gates[CPU_MAX];
static bool is_released;
static bool is_stopping;
static hpa_t trampoline; /* the page */

static void wait_ns(u64 ns)
{
	u64 end_ns = clock_now_ns() + ns;

	while (clock_now_ns() < end_ns)
		cpu_pause();
}

static void kick_handler(void *context) { (void)context; /* the flag is set already: sched_note */ }

/* Where a CPU waits until the boot CPU has started everything. */
static void wait_in_gate(struct gate *gate)
{
	while (!__atomic_load_n(&is_released, __ATOMIC_ACQUIRE)) {
		void (*fn)(void *) = __atomic_load_n(&gate->fn, __ATOMIC_ACQUIRE);

		if (fn) {
			fn(gate->context);
			__atomic_store_n(&gate->fn, NULL, __ATOMIC_RELEASE);
		}
		cpu_pause();
	}
}

/* First C code of a CPU, on its own stack, with interrupts off. */
static NORETURN void cpu_start(struct percpu *percpu)
{
	write_cr3(paging_root());
	percpu_load(percpu);
	apic_cpu_init();
	apic_timer_cpu_init();
	mce_cpu_init();
	__atomic_store_n(&percpu->is_running, true, __ATOMIC_RELEASE);
	wait_in_gate(&gates[percpu->cpu]);
	sched_loop();
}

int smp_alloc_stacks(struct percpu *percpu)
{
	for (unsigned i = 0; i < ARRAY_COUNT(percpu->trap_stack); i++) {
		percpu->trap_stack[i] = stack_alloc();
		if (!percpu->trap_stack[i])
			return -ENOMEM;
	}
	percpu->stack_top = stack_alloc();
	return percpu->stack_top ? 0 : -ENOMEM;
}

/* A usable page below 1 MiB, which page.c never gives out; not page 0. */
static bool trampoline_find(const struct boot_info *info)
{
	const struct boot_mem *mem = phys_to_virt(HPA(info->mem));

	for (u32 i = 0; i < info->mem_count; i++) {
		u64 start = ALIGN_UP(MAX(mem[i].base, PAGE_BYTES), PAGE_BYTES);

		if (mem[i].type != BOOT_MEM_USABLE || start + PAGE_BYTES > MIB ||
		    start + PAGE_BYTES > mem[i].base + mem[i].bytes)
			continue;
		trampoline = HPA(start);
		return true;
	}
	return false;
}

static struct trampoline_words *trampoline_copy(const struct boot_info *info)
{
	u8 *page = phys_to_virt(trampoline);
	struct trampoline_words *words = (void *)(page + (trampoline_words - trampoline_start));

	memcpy(page, trampoline_start, (size_t)(trampoline_end - trampoline_start));
	words->gdt_base += (u32)trampoline.value;
	words->far_offset += (u32)trampoline.value;
	words->root = paging_map_trampoline(info, trampoline);
	words->entry = (u64)cpu_start;
	return words;
}

static bool wait_running(const struct percpu *percpu, u64 ns)
{
	u64 end_ns = clock_now_ns() + ns;

	while (!__atomic_load_n(&percpu->is_running, __ATOMIC_ACQUIRE)) {
		if (clock_now_ns() >= end_ns)
			return false;
		cpu_pause();
	}
	return true;
}

static bool start_cpu(struct percpu *percpu, struct trampoline_words *words)
{
	u8 page = (u8)(trampoline.value / PAGE_BYTES);

	words->stack = percpu->stack_top;
	words->argument = (u64)percpu;
	mfence();
	apic_send_init(percpu->apic_id);
	wait_ns(INIT_WAIT_NS);
	apic_send_startup(percpu->apic_id, page);
	if (wait_running(percpu, STARTUP_WAIT_NS))
		return true;
	apic_send_startup(percpu->apic_id, page);
	if (wait_running(percpu, START_LIMIT_NS))
		return true;
	/* Whatever it is doing, it must not find the next one's stack, nor speak for it. */
	apic_send_init(percpu->apic_id);
	wait_ns(INIT_WAIT_NS);
	__atomic_store_n(&percpu->is_running, false, __ATOMIC_RELEASE);
	return false;
}

static void read_tsc(void *context) { *(u64 *)context = rdtsc_ordered(); }

static void call_on(unsigned cpu, void (*fn)(void *), void *context)
{
	gates[cpu].context = context;
	__atomic_store_n(&gates[cpu].fn, fn, __ATOMIC_RELEASE);
	while (__atomic_load_n(&gates[cpu].fn, __ATOMIC_ACQUIRE))
		cpu_pause();
}

/* Ticks by which another CPU's TSC is surely off ours: its reading must lie between two of ours. */
static u64 tsc_skew(unsigned cpu)
{
	u64 skew = ~0ull;

	for (unsigned try = 0; try < TSC_SKEW_TRIES; try++) {
		u64 before = rdtsc_ordered(), there, after, off = 0;

		call_on(cpu, read_tsc, &there);
		after = rdtsc_ordered();
		if (there < before)
			off = before - there;
		else if (there > after)
			off = there - after;
		skew = MIN(skew, off);
	}
	return skew;
}

static void start_all(const struct acpi_facts *facts, struct trampoline_words *words)
{
	u32 boot_id = percpu_table[0].apic_id;

	for (unsigned i = 0; i < facts->cpu_count && cpu_count < CPU_MAX; i++) {
		struct percpu *percpu = &percpu_table[cpu_count];
		u64 skew;

		if (facts->cpu[i].apic_id == boot_id)
			continue;
		if (!apic_is_x2apic() && facts->cpu[i].apic_id > XAPIC_ID_MAX) {
			log_warn("smp: CPU with APIC ID %u needs x2APIC, left out", facts->cpu[i].apic_id);
			continue;
		}
		percpu->cpu = cpu_count;
		percpu->apic_id = facts->cpu[i].apic_id;
		if (!percpu->stack_top && smp_alloc_stacks(percpu)) {
			log_warn("smp: no memory for the stacks of CPU %u", cpu_count);
			return;
		}
		if (!start_cpu(percpu, words)) {
			log_warn("smp: CPU with APIC ID %u does not start, left out", percpu->apic_id);
			continue;
		}
		skew = tsc_skew(cpu_count++);
		if (skew)
			log_warn("smp: TSC of CPU %u is %lu ticks off the boot CPU's", percpu->cpu,
				 skew);
	}
}

void smp_init(const struct boot_info *info)
{
	const struct acpi_facts *facts = acpi_get();

	irq_register(VECTOR_KICK, kick_handler, NULL);
	if (facts->cpu_count <= 1)
		return;
	if (!trampoline_find(info)) {
		log_warn("smp: no usable memory below 1 MiB to start other CPUs from; using one CPU");
		return;
	}
	start_all(facts, trampoline_copy(info));
}

void smp_call_each(void (*fn)(void *), void *context)
{
	fn(context);
	for (unsigned cpu = 1; cpu < cpu_count; cpu++)
		call_on(cpu, fn, context);
}

void smp_release(void) { __atomic_store_n(&is_released, true, __ATOMIC_RELEASE); }

void smp_stop_others(void)
{
	__atomic_store_n(&is_stopping, true, __ATOMIC_SEQ_CST);
	apic_send_nmi_to_others();
}

void smp_stop_here_if_wanted(void)
{
	if (__atomic_load_n(&is_stopping, __ATOMIC_SEQ_CST))
		machine->halt();
}
