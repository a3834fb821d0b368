/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The TSC's frequency: what CPUID says if it can be true, else what a clock of known rate says.
 *
 * Measuring: a sample is two readings of the clock, each framed by two TSC readings. An
 * interruption (SMI, an emulator's pause) widens a frame; framings are tried until they are
 * narrow, and the median of the samples is taken.
 */
#include "arch/tsc.h"
#include "arch/cpu.h"

#define PM_TIMER_HZ 3579545ull /* ACPI 4.8.3.3 */
#define PM_TIMER_MASK 0xffffffull /* 24 bits are always there */
#define PIT_HZ 1193182ull
#define PIT_CHANNEL_2 0x42
#define PIT_COMMAND 0x43
#define PIT_GATE 0x61
#define FRAME_TRIES 32
#define SAMPLES 5
#define SAMPLE_MS 20ull
#define SAMPLE_TICKS_MAX (1ull << 30) /* at any rate much longer than SAMPLE_MS */

static const char *source = "none";

/* One reading of the reference clock, and the TSC at that moment. */
struct reading {
	u64 clock;
	u64 tsc;
};

static u16 pm_port;

static u64 pm_timer_read(void) { return in32(pm_port) & PM_TIMER_MASK; }

/* Channel 2 counts down from 65535; its latch gives a consistent value. */
static u64 pit_read(void)
{
	u64 low;

	out8(PIT_COMMAND, 0x80);
	low = in8(PIT_CHANNEL_2);
	return 0xffff - (low | (u64)in8(PIT_CHANNEL_2) << 8);
}

static void pit_start(void)
{
	out8(PIT_GATE, (in8(PIT_GATE) & ~2u) | 1); /* gate on, speaker off */
	out8(PIT_COMMAND, 0xb0);                   /* channel 2, low then high byte, mode 0 */
	out8(PIT_CHANNEL_2, 0xff);
	out8(PIT_CHANNEL_2, 0xff);
}

/* The narrowest of some framings, right after the clock stepped. */
static struct reading read_framed(u64 (*read)(void))
{
	struct reading best = { 0, 0 };
	u64 best_width = ~0ull, last = read(), before = rdtsc_ordered();

	for (unsigned try = 0; try < FRAME_TRIES; try++) {
		u64 clock = read(), after = rdtsc_ordered();

		if (clock != last && after - before < best_width) {
			best_width = after - before;
			best = (struct reading){ clock, before + (after - before) / 2 };
		}
		last = clock;
		before = after;
	}
	return best;
}

/* 0: the clock stands still, as a PIT does that is not there. */
static u64 sample_khz(u64 (*read)(void), u64 mask, u64 hz)
{
	struct reading first = read_framed(read), second;
	u64 start = rdtsc(), ticks;

	while (((read() - first.clock) & mask) < hz * SAMPLE_MS / 1000) {
		if (rdtsc() - start > SAMPLE_TICKS_MAX)
			return 0;
		cpu_pause();
	}
	second = read_framed(read);
	ticks = (second.clock - first.clock) & mask;
	return ticks ? (second.tsc - first.tsc) * hz / ticks / 1000 : 0;
}

static u64 median(u64 *values, unsigned count)
{
	for (unsigned i = 1; i < count; i++) {
		for (unsigned k = i; k > 0 && values[k] < values[k - 1]; k--) {
			u64 swap = values[k];

			values[k] = values[k - 1];
			values[k - 1] = swap;
		}
	}
	return values[count / 2];
}

static u64 sample(void)
{
	if (pm_port)
		return sample_khz(pm_timer_read, PM_TIMER_MASK, PM_TIMER_HZ);
	pit_start();
	return sample_khz(pit_read, 0xffff, PIT_HZ);
}

static u64 measure_khz(void)
{
	u64 samples[SAMPLES];

	for (unsigned i = 0; i < SAMPLES; i++)
		samples[i] = sample();
	return median(samples, SAMPLES);
}

/*
 * Whether a stated frequency can be true. It is finer than a measured one, but an emulator may
 * pass on its model's CPUID and run the TSC at a rate of its own: Bochs does, 70 times slower.
 */
static bool is_seen(u64 khz)
{
	u64 seen = sample();

	return !seen || (seen > khz - khz / 8 && seen < khz + khz / 8);
}

/* A PM timer that stands still would be waited for for ever. */
static bool pm_timer_works(u16 port)
{
	u64 first;

	if (!port)
		return false;
	first = in32(port) & PM_TIMER_MASK;
	for (unsigned i = 0; i < 10000; i++) {
		if ((in32(port) & PM_TIMER_MASK) != first)
			return true;
	}
	return false;
}

/* SDM 3A 20.7.3: TSC = crystal * EBX / EAX; some parts leave the crystal out but have leaf 16h. */
static u64 cpuid_khz(void)
{
	u32 max_leaf = cpuid(0, 0).eax;
	struct cpuid_leaf leaf;

	if (max_leaf < 0x15)
		return 0;
	leaf = cpuid(0x15, 0);
	if (!leaf.eax || !leaf.ebx)
		return 0;
	if (leaf.ecx)
		return (u64)leaf.ecx * leaf.ebx / leaf.eax / 1000;
	return max_leaf >= 0x16 ? (u64)(cpuid(0x16, 0).eax & 0xffff) * 1000 : 0;
}

/* The timing leaf that KVM, VMware and others agree on; EAX in kHz. */
static u64 hypervisor_khz(void)
{
	if (!(cpuid(1, 0).ecx & BIT(31)) || cpuid(0x40000000, 0).eax < 0x40000010)
		return 0;
	return cpuid(0x40000010, 0).eax;
}

u64 tsc_find_khz(u16 pm_timer_port)
{
	u64 khz = cpuid_khz();

	pm_port = pm_timer_works(pm_timer_port) ? pm_timer_port : 0;
	source = "cpuid";
	if (!khz) {
		khz = hypervisor_khz();
		source = "hypervisor";
	}
	if (!khz || !is_seen(khz)) {
		khz = measure_khz();
		source = pm_port ? "pm-timer" : "pit";
	}
	/* No clock of the machine moves: 1 GHz keeps time going, wrongly. */
	if (!khz) {
		khz = 1000000;
		source = "none";
	}
	return khz;
}

const char *tsc_source(void) { return source; }

bool tsc_is_invariant(void)
{
	return cpuid(0x80000000, 0).eax >= 0x80000007 && (cpuid(0x80000007, 0).edx & BIT(8));
}
