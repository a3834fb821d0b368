/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CPU's local APIC (SDM 3A chapter 11), in xAPIC mode by MMIO or x2APIC mode by MSR.
 *
 * x2APIC is used where there is one: it needs no mapping, and its ICR is one register, so
 * that sending an interrupt cannot be torn.
 */
#include "arch/apic.h"
#include "arch/cpu.h"
#include "arch/paging.h"
#include "arch/trap.h"
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/timer.h"

/* Register offsets, SDM 3A table 11-1. */
enum {
	APIC_ID = 0x20, APIC_TPR = 0x80, APIC_EOI = 0xb0, APIC_LDR = 0xd0, APIC_DFR = 0xe0,
	APIC_SVR = 0xf0, APIC_ESR = 0x280, APIC_ICR = 0x300, APIC_ICR_HIGH = 0x310,
	APIC_LVT_TIMER = 0x320, APIC_LVT_THERMAL = 0x330, APIC_LVT_PERF = 0x340,
	APIC_LVT_LINT0 = 0x350, APIC_LVT_LINT1 = 0x360, APIC_LVT_ERROR = 0x370,
	APIC_TIMER_INITIAL = 0x380, APIC_TIMER_CURRENT = 0x390, APIC_TIMER_DIVIDE = 0x3e0,
};

#define APIC_BASE_ENABLE BIT(11)
#define APIC_BASE_X2APIC BIT(10)
#define SVR_ENABLE BIT(8)
#define LVT_MASKED BIT(16)
#define LVT_NMI (4u << 8)
#define LVT_TSC_DEADLINE (2u << 17)
#define ICR_ASSERT BIT(14)
#define ICR_PENDING BIT(12)
#define ICR_NMI (4u << 8)
#define ICR_INIT (5u << 8)
#define ICR_STARTUP (6u << 8)
#define ICR_ALL_BUT_SELF (3u << 18)
#define DIVIDE_BY_1 0xb

#define ONE_SHOT_MAX_TICKS 0xffffffffull

static volatile u8 *registers; /* xAPIC mode */
static bool is_x2apic;
static bool is_enabled;
static bool has_tsc_deadline;
static u64 timer_khz; /* one-shot mode */

static u32 apic_read(u32 offset)
{
	return is_x2apic ? (u32)rdmsr(MSR_X2APIC(offset)) : mmio_read32(registers + offset);
}

static void apic_write(u32 offset, u64 value)
{
	if (is_x2apic)
		wrmsr(MSR_X2APIC(offset), (u32)value);
	else
		mmio_write32(registers + offset, (u32)value);
}

int apic_init(void)
{
	u64 base = rdmsr(MSR_APIC_BASE);

	is_x2apic = (cpuid(1, 0).ecx & BIT(21)) || (base & APIC_BASE_X2APIC);
	if (!is_x2apic) {
		registers = paging_map_mmio(HPA(base & BITS(51, 12)), 4 * KIB);
		if (!registers)
			return -ENOMEM;
	}
	apic_cpu_init();
	is_enabled = true;
	return 0;
}

void apic_cpu_init(void)
{
	u64 base = rdmsr(MSR_APIC_BASE) | APIC_BASE_ENABLE;

	wrmsr(MSR_APIC_BASE, base);
	/* SDM 3A 11.12.1: to x2APIC only from enabled xAPIC. */
	if (is_x2apic)
		wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
	/* LVT entries can be written only as masked until SVR enables (SDM 3A 11.4.7.2). */
	apic_write(APIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
	apic_write(APIC_TPR, 0);
	apic_write(APIC_LVT_TIMER, LVT_MASKED);
	apic_write(APIC_LVT_LINT0, LVT_MASKED);
	apic_write(APIC_LVT_LINT1, LVT_NMI);
	apic_write(APIC_LVT_ERROR, LVT_MASKED);
	/* Back to back writes clear what firmware left. */
	apic_write(APIC_ESR, 0);
	apic_eoi();
}

bool apic_is_x2apic(void) { return is_x2apic; }

u32 apic_id(void) { return is_x2apic ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24; }

void apic_eoi(void) { apic_write(APIC_EOI, 0); }

static void icr_write(u32 destination, u32 command)
{
	if (is_x2apic) {
		/* SDM 3A 11.12.3: x2APIC writes are not serializing; earlier stores must be seen first. */
		__asm__ volatile("mfence; lfence" : : : "memory");
		wrmsr(MSR_X2APIC(APIC_ICR), (u64)destination << 32 | command);
		return;
	}
	while (apic_read(APIC_ICR) & ICR_PENDING)
		cpu_pause();
	apic_write(APIC_ICR_HIGH, destination << 24);
	apic_write(APIC_ICR, command);
}

void apic_send_ipi(u32 apic_id, u8 vector) { icr_write(apic_id, (u32)ICR_ASSERT | vector); }

void apic_send_nmi_to_others(void)
{
	if (is_enabled)
		icr_write(0, ICR_ALL_BUT_SELF | (u32)ICR_ASSERT | ICR_NMI);
}

void apic_send_init(u32 apic_id) { icr_write(apic_id, ICR_INIT | (u32)ICR_ASSERT); }

void apic_send_startup(u32 apic_id, u8 page)
{
	icr_write(apic_id, ICR_STARTUP | (u32)ICR_ASSERT | page);
}

static void timer_fired(void *context)
{
	(void)context;
	timer_interrupt();
}

/* The one-shot timer's rate against the TSC. The best of three: an interrupted one is too slow. */
static u64 measure_timer_khz(void)
{
	u64 best = 0;

	for (unsigned sample = 0; sample < 3; sample++) {
		u64 span = tsc_khz * 5, start, ticks, elapsed;

		apic_write(APIC_TIMER_INITIAL, ONE_SHOT_MAX_TICKS);
		start = rdtsc_ordered();
		while (rdtsc() - start < span)
			cpu_pause();
		ticks = ONE_SHOT_MAX_TICKS - apic_read(APIC_TIMER_CURRENT);
		elapsed = rdtsc_ordered() - start;
		best = MAX(best, ticks * tsc_khz / elapsed);
	}
	apic_write(APIC_TIMER_INITIAL, 0);
	return MAX(best, 1ull);
}

void apic_timer_init(void)
{
	irq_register(VECTOR_TIMER, timer_fired, NULL);
	has_tsc_deadline = cpuid(1, 0).ecx & BIT(24);
	if (!has_tsc_deadline) {
		apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
		timer_khz = measure_timer_khz();
	}
	apic_timer_cpu_init();
}

void apic_timer_cpu_init(void)
{
	if (has_tsc_deadline) {
		apic_write(APIC_LVT_TIMER, LVT_TSC_DEADLINE | VECTOR_TIMER);
		/* SDM 3A 11.5.4.1: order the mode change before the first deadline in xAPIC mode. */
		mfence();
		return;
	}
	apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
	apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
}

/* One-shot ticks from now to the deadline, rounded up; a far one comes early, which is allowed. */
static u64 ticks_until(u64 deadline_ns)
{
	u64 now_ns = clock_now_ns();

	if (deadline_ns <= now_ns)
		return 1;
	if (deadline_ns - now_ns >= NS_PER_SEC)
		deadline_ns = now_ns + NS_PER_SEC;
	return MIN((deadline_ns - now_ns) * timer_khz / 1000000 + 1, ONE_SHOT_MAX_TICKS);
}

void apic_timer_set(u64 deadline_ns)
{
	/* A deadline in the past fires at once; 0 would disarm. */
	if (has_tsc_deadline)
		wrmsr(MSR_TSC_DEADLINE, deadline_ns == ~0ull ? 0 : clock_tsc_at(deadline_ns) + 1);
	else
		apic_write(APIC_TIMER_INITIAL, deadline_ns == ~0ull ? 0 : ticks_until(deadline_ns));
}

const char *apic_timer_name(void) { return has_tsc_deadline ? "tsc-deadline" : "one-shot"; }
u64 apic_timer_khz(void) { return has_tsc_deadline ? tsc_khz : timer_khz; }
