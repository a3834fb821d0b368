/* SPDX-License-Identifier: BSD-2-Clause */
/* Three clocks, one time: KVM clock, TSC and PM timer agree over half a second, and never go back. */
#include "vmm/selftest/lib.h"

#define MSR_WALL_CLOCK 0x4b564d00
#define MSR_SYSTEM_TIME 0x4b564d01
#define SPAN_US 500000ull

/* Linux Documentation/virt/kvm/x86/msr.rst */
static volatile struct {
	u32 version, pad;
	u64 tsc, system_time;
	u32 mul;
	s8 shift;
	u8 flags, pad2[2];
} page ALIGNED(64);

static volatile struct {
	u32 version, sec, nsec;
} wall ALIGNED(64);

static u64 kvm_clock_ns(void)
{
	u64 ticks = rdtsc() - page.tsc;

	ticks = page.shift >= 0 ? ticks << page.shift : ticks >> -page.shift;
	return page.system_time + (u64)((unsigned __int128)ticks * page.mul >> 32);
}

struct reading {
	u64 tsc, kvm_ns;
	u32 pm;
};

/* The three at one moment: the closest of some tries, since the host may stop us in between. */
static struct reading read_together(void)
{
	struct reading best = { 0 };
	u64 best_ticks = ~0ull;

	for (unsigned i = 0; i < 50; i++) {
		struct reading now = { .tsc = rdtsc() };
		u64 ticks;

		now.kvm_ns = kvm_clock_ns();
		now.pm = pm_timer();
		ticks = rdtsc() - now.tsc;
		if (ticks < best_ticks) {
			best_ticks = ticks;
			best = now;
		}
	}
	return best;
}

static u64 difference(u64 a, u64 b) { return a > b ? a - b : b - a; }

void guest_main(const struct start_info *info)
{
	u64 khz = cpuid(0x40000010, 0).eax, backward = 0, last, pm_ns, kvm_ns, tsc_ns;
	struct reading first, second;

	(void)info;
	interrupts_init();
	wrmsr(MSR_SYSTEM_TIME, (u64)&page | 1);
	wrmsr(MSR_WALL_CLOCK, (u64)&wall);
	expect("KVM clock: version is even", 0, page.version & 1);
	expect("KVM clock: stable", 1, page.flags & 1);
	expect_range("wall clock: after 2024, before 2100", 1704067200, 4102444800, wall.sec);

	first = read_together();
	wait_us(SPAN_US);
	second = read_together();
	pm_ns = (u64)(u32)(second.pm - first.pm) * 1000000000 / PM_TIMER_HZ;
	tsc_ns = (second.tsc - first.tsc) * 1000000 / khz;
	kvm_ns = second.kvm_ns - first.kvm_ns;
	expect_range("KVM clock and PM timer: within 200 us", 0, 200000, difference(kvm_ns, pm_ns));
	expect_range("KVM clock and TSC: within 200 us", 0, 200000, difference(kvm_ns, tsc_ns));

	last = kvm_clock_ns();
	for (unsigned i = 0; i < 20000; i++) {
		u64 now = kvm_clock_ns();

		backward += now < last;
		last = now;
	}
	expect("KVM clock never goes back", 0, backward);
	done();
}
