/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * STI; HLT with the interrupt due at about the same moment: whatever Tern does between the two
 * instructions, the interrupt may not be taken there, or the guest sleeps for ever.
 */
#include "vmm/selftest/lib.h"

#define VECTOR 0x40
#define ROUNDS 4000
#define LVT_DEADLINE (2u << 17)
#define X2APIC_EOI 0x80b
#define X2APIC_LVT_TIMER 0x832

static void on_timer(struct interrupt_frame *frame)
{
	(void)frame;
	wrmsr(X2APIC_EOI, 0);
}

/* Sleeps until the timer fires; the deadline walks over all the time that an exit takes. */
static bool sleep_once(u64 cycles)
{
	u64 before = interrupt_count(VECTOR);

	wrmsr(MSR_TSC_DEADLINE, rdtsc() + cycles);
	__asm__ volatile("sti; hlt; cli" ::: "memory");
	return interrupt_count(VECTOR) == before + 1;
}

void guest_main(const struct start_info *info)
{
	u64 per_us = cpuid(0x40000010, 0).eax / 1000, awake = 0;

	(void)info;
	interrupts_init();
	interrupt_set(VECTOR, on_timer);
	lapic_enable();
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BIT(10));
	wrmsr(X2APIC_LVT_TIMER, VECTOR | LVT_DEADLINE);
	for (u64 i = 0; i < ROUNDS; i++)
		awake += sleep_once(i % 100 * per_us);
	expect("sleeps that ended with their interrupt", ROUNDS, awake);
	done();
}
