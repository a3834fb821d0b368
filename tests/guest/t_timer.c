/* SPDX-License-Identifier: BSD-2-Clause */
/* The local APIC's timer: one-shot, periodic and TSC-deadline, in xAPIC and in x2APIC mode. */
#include "vmm/selftest/lib.h"

#define VECTOR 0x40
#define PERIOD_US 5000
#define LVT_MASKED_BIT BIT(16)
#define LVT_PERIODIC_BIT BIT(17)
#define LVT_DEADLINE_BIT BIT(18)

static bool is_x2apic;
static volatile u64 tsc_at_last;

static void reg_write(u32 reg, u32 value)
{
	if (is_x2apic)
		wrmsr(0x800 + reg / 16, value);
	else
		lapic_write(reg, value);
}

static u32 reg_read(u32 reg) { return is_x2apic ? (u32)rdmsr(0x800 + reg / 16) : lapic_read(reg); }

static void on_timer(struct interrupt_frame *frame)
{
	(void)frame;
	tsc_at_last = rdtsc();
	reg_write(LAPIC_EOI, 0);
}

static u64 ticks_per_us(void) { return cpuid(0x40000010, 0).eax / 1000; }
static u64 timer_per_us(void) { return cpuid(0x40000010, 0).ebx / 1000; }

/* Interrupts taken while waiting. */
static u64 count_during(u64 us)
{
	u64 before = interrupt_count(VECTOR);

	sti();
	wait_us(us);
	cli();
	return interrupt_count(VECTOR) - before;
}

static void one_shot(void)
{
	reg_write(LAPIC_TIMER_DIVIDE, 0xb); /* by 1 */
	reg_write(LAPIC_LVT_TIMER, VECTOR);
	reg_write(LAPIC_TIMER_INITIAL, (u32)(5000 * timer_per_us()));
	expect_true("one-shot: counts down", reg_read(LAPIC_TIMER_CURRENT) < 5000 * timer_per_us());
	expect("one-shot: fires once", 1, count_during(30000));
	expect("one-shot: then stands at 0", 0, reg_read(LAPIC_TIMER_CURRENT));
	reg_write(LAPIC_TIMER_INITIAL, (u32)(5000 * timer_per_us()));
	reg_write(LAPIC_TIMER_INITIAL, 0);
	expect("one-shot: 0 stops it", 0, count_during(15000));
}

static void periodic(void)
{
	u64 start, before;

	reg_write(LAPIC_TIMER_DIVIDE, 0x3); /* by 16 */
	reg_write(LAPIC_LVT_TIMER, VECTOR | LVT_PERIODIC_BIT);
	start = rdtsc();
	before = interrupt_count(VECTOR);
	reg_write(LAPIC_TIMER_INITIAL, (u32)(PERIOD_US * timer_per_us() / 16));
	/* Ticks may be lost if the host is slow, but none comes too early and they do not end. */
	while (interrupt_count(VECTOR) - before < 20)
		count_during(PERIOD_US);
	expect_true("periodic: 20 ticks, not too early", rdtsc() - start >= 19 * PERIOD_US * ticks_per_us());
	reg_write(LAPIC_LVT_TIMER, VECTOR | LVT_PERIODIC_BIT | LVT_MASKED_BIT);
	count_during(2 * PERIOD_US); /* one may be on its way */
	expect("periodic: masked", 0, count_during(30000));
	reg_write(LAPIC_TIMER_INITIAL, 0);
}

static void deadline(void)
{
	u64 at, value = 1;

	reg_write(LAPIC_LVT_TIMER, VECTOR | LVT_DEADLINE_BIT);
	at = rdtsc() + 5000 * ticks_per_us();
	wrmsr(MSR_TSC_DEADLINE, at);
	expect("deadline: reads back", at, rdmsr(MSR_TSC_DEADLINE));
	expect("deadline: fires once", 1, count_during(30000));
	expect_true("deadline: not early", tsc_at_last >= at);
	expect_true("deadline: reads 0 after", rdmsr_try(MSR_TSC_DEADLINE, &value) && value == 0);
	wrmsr(MSR_TSC_DEADLINE, rdtsc() - 1000);
	expect("deadline: one in the past fires at once", 1, count_during(2000));
	wrmsr(MSR_TSC_DEADLINE, rdtsc() + 5000 * ticks_per_us());
	wrmsr(MSR_TSC_DEADLINE, 0);
	expect("deadline: 0 disarms", 0, count_during(15000));
}

static void halted(void)
{
	u64 before = rdtsc(), count = interrupt_count(VECTOR);

	wrmsr(MSR_TSC_DEADLINE, before + 3000 * ticks_per_us());
	__asm__ volatile("sti; hlt; cli");
	expect("HLT: woken by the timer", count + 1, interrupt_count(VECTOR));
	expect_true("HLT: not early", rdtsc() - before >= 3000 * ticks_per_us());
}

static void all_modes(const char *name)
{
	print("# ");
	print(name);
	print("\n");
	one_shot();
	periodic();
	deadline();
	halted();
}

void guest_main(const struct start_info *info)
{
	(void)info;
	interrupts_init();
	interrupt_set(VECTOR, on_timer);
	lapic_enable();
	all_modes("xAPIC");
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BIT(10));
	is_x2apic = true;
	expect("x2APIC: id", 0, rdmsr(0x802));
	all_modes("x2APIC");
	done();
}
