/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an exit costs the guest, in its own TSC's cycles: prints "COST kind cycles" for each
 * kind, the least mean of a few batches. Under an emulator these are not hardware's cycles.
 */
#include "tests/guest/hypercall.h"

enum { BATCHES = 8, BATCH = 2000, PORT_UNCLAIMED = 0x2e0, HYPERCALL_UNKNOWN = 0x7fff };

static void nothing(void) { barrier(); }
static void exit_cpuid(void) { cpuid(0, 0); }
static void exit_port(void) { in8(PORT_UNCLAIMED); }
static void exit_apic_msr(void) { rdmsr(0x1b); }
static void exit_hypercall(void) { hypercall(HYPERCALL_UNKNOWN); }

static u64 batch_cycles(void (*act)(void))
{
	u64 start = rdtsc();

	for (int i = 0; i < BATCH; i++)
		act();
	return rdtsc() - start;
}

static void measure(const char *kind, void (*act)(void))
{
	u64 least = ~0ull;

	for (int i = 0; i < BATCHES; i++) {
		u64 cycles = batch_cycles(act);

		least = MIN(least, cycles);
	}
	print("COST ");
	print(kind);
	print(" ");
	print_number(least / BATCH);
	print("\n");
}

void guest_main(const struct start_info *info)
{
	(void)info;
	measure("none", nothing);
	measure("cpuid", exit_cpuid);
	measure("port", exit_port);
	measure("msr", exit_apic_msr);
	measure("hypercall", exit_hypercall);
	done();
}
