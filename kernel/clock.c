/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Host monotonic time from the TSC. Conversions split whole ms from the rest, so that they
 * are exact (rounded down) and cannot overflow before centuries have passed.
 */
#include "kernel/clock.h"
#include "arch/cpu.h"

u64 tsc_khz;
static u64 start_tsc;

void clock_init(u64 khz)
{
	start_tsc = rdtsc();
	tsc_khz = khz;
}

u64 clock_tsc_to_ns(u64 ticks)
{
	return ticks / tsc_khz * NS_PER_MS + ticks % tsc_khz * NS_PER_MS / tsc_khz;
}

u64 clock_ns_to_tsc(u64 ns)
{
	u64 ms = ns / NS_PER_MS;

	if (ms >= ~0ull / tsc_khz)
		return ~0ull;
	return ms * tsc_khz + ns % NS_PER_MS * tsc_khz / NS_PER_MS;
}

u64 clock_now_ns(void) { return tsc_khz ? clock_tsc_to_ns(rdtsc() - start_tsc) : 0; }

u64 clock_tsc_at(u64 ns)
{
	u64 ticks = clock_ns_to_tsc(ns);

	return ticks > ~0ull - start_tsc ? ~0ull : start_tsc + ticks;
}
