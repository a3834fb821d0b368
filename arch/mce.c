/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machine checks (SDM 3B chapter 16, APM 2 chapter 9). What the hardware corrected is logged.
 * Tern recovers from nothing else: memory or CPU are broken, and going on could spread wrong
 * data to a guest or to a peer.
 */
#include "arch/mce.h"
#include "arch/cpu.h"
#include "arch/trap.h"
#include "kernel/clock.h"
#include "kernel/log.h"
#include "kernel/machine.h"
#include "kernel/panic.h"
#include "kernel/timer.h"

#define MSR_MCG_CAP 0x179
#define MSR_MCG_STATUS 0x17a
#define MSR_MCG_CTL 0x17b
#define MSR_MC_CTL(bank) (0x400 + 4 * (bank))
#define MSR_MC_STATUS(bank) (0x401 + 4 * (bank))
#define MSR_MC_ADDR(bank) (0x402 + 4 * (bank))

#define WATCH_NS (30 * NS_PER_SEC)

#define MCG_CAP_COUNT BITS(7, 0)
#define MCG_CAP_HAS_CTL BIT(8)
#define MC_STATUS_VALID BIT(63)
#define MC_STATUS_ADDR_VALID BIT(58)

/* CPUID.1:EDX: 7 MCE, 14 MCA. */
static bool has_banks(void) { return (cpuid(1, 0).edx & (BIT(7) | BIT(14))) == (BIT(7) | BIT(14)); }

static unsigned bank_count(void)
{
	u64 cap;

	return has_banks() && !rdmsr_safe(MSR_MCG_CAP, &cap) ? (unsigned)(cap & MCG_CAP_COUNT) : 0;
}

/* Banks that firmware keeps for itself fault on access: they read as having nothing to say. */
static u64 bank_status(unsigned bank)
{
	u64 status;

	return rdmsr_safe(MSR_MC_STATUS(bank), &status) ? 0 : status;
}

static u64 bank_address(unsigned bank, u64 status)
{
	u64 address;

	return (status & MC_STATUS_ADDR_VALID) && !rdmsr_safe(MSR_MC_ADDR(bank), &address) ? address : 0;
}

/* What the calling CPU's banks hold goes to the log, and room is made for the next. */
static void log_banks(const char *what)
{
	unsigned banks = bank_count();

	for (unsigned bank = 0; bank < banks; bank++) {
		u64 status = bank_status(bank);

		if (!(status & MC_STATUS_VALID))
			continue;
		log_warn("CPU %u: %s: bank %u, status %#lx, address %#lx", machine->cpu_id(), what, bank,
			 status, bank_address(bank, status));
		(void)wrmsr_safe(MSR_MC_STATUS(bank), 0);
	}
}

/* The order of SDM 3B example 16-1. */
void mce_cpu_init(void)
{
	unsigned banks = bank_count();
	u64 cap;

	if (!banks || rdmsr_safe(MSR_MCG_CAP, &cap))
		return;
	if (cap & MCG_CAP_HAS_CTL)
		(void)wrmsr_safe(MSR_MCG_CTL, ~0ull);
	log_banks("hardware error before the start");
	for (unsigned bank = 0; bank < banks; bank++)
		(void)wrmsr_safe(MSR_MC_CTL(bank), ~0ull);
}

static void watch(struct timer *timer)
{
	static u64 nmis_told;

	log_banks("hardware error, corrected");
	if (timer->cpu == 0 && nmi_count() != nmis_told) {
		nmis_told = nmi_count();
		log_warn("%lu NMIs so far: the machine reports trouble", nmis_told);
	}
	timer_arm(timer, timer->cpu, clock_now_ns() + WATCH_NS);
}

void mce_watch(void)
{
	static struct timer timers[CPU_MAX];

	for (unsigned cpu = 0; cpu < cpu_count; cpu++) {
		timer_setup(&timers[cpu], watch);
		timer_arm(&timers[cpu], cpu, clock_now_ns() + WATCH_NS);
	}
}

void mce_panic(u64 rip)
{
	unsigned banks = bank_count();
	u64 global = 0;

	(void)rdmsr_safe(MSR_MCG_STATUS, &global);
	for (unsigned bank = 0; bank < banks; bank++) {
		u64 status = bank_status(bank);

		if (status & MC_STATUS_VALID)
			panic("#MC machine check at %#lx, MCG_STATUS %#lx, bank %u: status %#lx, address %#lx",
			      rip, global, bank, status, bank_address(bank, status));
	}
	panic("#MC machine check at %#lx, MCG_STATUS %#lx, no bank says why", rip, global);
}
