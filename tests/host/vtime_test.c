/* SPDX-License-Identifier: BSD-2-Clause */
/* VM time: stands still when stopped, never goes back, and agrees with TSC and KVM clock on any host. */
/* SOURCES: vmm/vtime.c vmm/device.c vmm/bus.c kernel/clock.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "arch/cpu.h"
#include "kernel/clock.h"
#include "kernel/panic.h"
#include "kernel/string.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

void *heap_alloc(size_t bytes) { return calloc(1, bytes); }
void heap_free(void *object) { free(object); }
void panic(const char *format, ...)
{
	(void)format;
	abort();
}

static struct {
	u64 offset, ratio;
	bool trap;
	unsigned calls;
} told;

static void fake_set_tsc(struct hv_vcpu *vcpu, u64 offset, u64 ratio, bool trap)
{
	(void)vcpu;
	told.offset = offset;
	told.ratio = ratio;
	told.trap = trap;
	told.calls++;
}

static struct hv_ops ops = { .set_tsc = fake_set_tsc };
struct hv_ops *hv = &ops;

static struct vm vm;
static struct vcpu vcpu;

/* A host, and a VM that was told guest_khz. */
static void boot(u64 host_khz, u64 guest_khz, u64 ratio_max)
{
	struct { u64 ns, tsc, tsc_khz, wall; } *state;

	fake_tsc = 123456789;
	clock_init(host_khz);
	fake_tsc += 987654321;
	ops.limits.tsc_ratio_max = ratio_max;
	memset(&vm, 0, sizeof(vm));
	list_init(&vm.devices);
	vm.config.vcpu_count = 1;
	vcpu = (struct vcpu){ .vm = &vm };
	vm.vcpu[0] = &vcpu;
	assert_int_equal(vm_attach(&vm, &vtime_type), 0);
	state = vm.vtime->state;
	assert_int_equal(state->tsc_khz, host_khz);
	state->tsc_khz = guest_khz;
	assert_int_equal(vtime_type.check(state), 0);
}

static int teardown(void **state)
{
	(void)state;
	vm_stop_devices(&vm);
	vm_detach_all(&vm);
	return 0;
}

/* What the guest computes from its clock page. */
static u64 kvm_clock(u64 tsc)
{
	struct vtime_scale scale;
	u64 ticks;

	vtime_get_scale(&vm, &scale);
	ticks = tsc - scale.tsc_base;
	ticks = scale.shift >= 0 ? ticks << scale.shift : ticks >> -scale.shift;
	return scale.ns_base + (u64)((unsigned __int128)ticks * scale.mul >> 32);
}

static u64 guest_rdtsc(void)
{
	return (u64)((unsigned __int128)fake_tsc * told.ratio >> 32) + told.offset;
}

static void run_host_ns(u64 ns) { fake_tsc += (u64)((unsigned __int128)ns * tsc_khz / 1000000); }

static void time_stands_still_when_stopped(void **state)
{
	u64 ns, tsc;

	(void)state;
	boot(2596136, 2596136, 0);
	assert_int_equal(vtime_now_ns(&vm), 0);
	run_host_ns(NS_PER_SEC);
	assert_int_equal(vtime_now_ns(&vm), 0);
	assert_true(vtime_to_host_ns(&vm, 5) == ~0ull);
	vm_start_devices(&vm);
	run_host_ns(NS_PER_SEC);
	assert_in_range(vtime_now_ns(&vm), NS_PER_SEC - 2, NS_PER_SEC + 2);
	vm_stop_devices(&vm);
	ns = vtime_now_ns(&vm);
	tsc = vtime_tsc_now(&vm);
	run_host_ns(3600 * NS_PER_SEC);
	assert_int_equal(vtime_now_ns(&vm), ns);
	assert_int_equal(vtime_tsc_now(&vm), tsc);
	vm_start_devices(&vm);
	assert_int_equal(vtime_now_ns(&vm), ns);
	assert_int_equal(vtime_tsc_now(&vm), tsc);
}

static void the_tsc_of_hardware_is_the_tsc_of_the_vm(void **state)
{
	(void)state;
	boot(3000000, 3000000, 0);
	vm_start_devices(&vm);
	assert_true(vcpu.want_tsc_load);
	vtime_load_tsc(&vcpu);
	assert_false(told.trap);
	assert_int_equal(told.ratio, 1ull << 32);
	run_host_ns(12345678);
	assert_int_equal(guest_rdtsc(), vtime_tsc_now(&vm));
	vcpu.tsc_adjust = 1000;
	vtime_load_tsc(&vcpu);
	assert_int_equal(guest_rdtsc(), vtime_tsc_now(&vm) + 1000);
}

/* Over rates from 1 MHz to 16 GHz and a month: 1 us at most against exact arithmetic, the clocks to the ns. */
static void there_is_no_drift(void **state)
{
	static const u64 rates[] = { 1000, 33333, 999999, 1000000, 1000001, 1593000, 1999999, 2000000, 2000001,
				     2596136, 3999999, 4000001, 5200123, 15999999 };

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(rates); i++) {
		u64 month_ns = 30ull * 86400 * NS_PER_SEC;

		boot(rates[i], rates[i], 0);
		vm_start_devices(&vm);
		vtime_load_tsc(&vcpu);
		run_host_ns(month_ns);
		/* mul has at least 31 good bits. */
		assert_in_range(vtime_now_ns(&vm), month_ns - (month_ns >> 30), month_ns + (month_ns >> 30));
		assert_int_equal(kvm_clock(guest_rdtsc()), vtime_now_ns(&vm));
		vm_stop_devices(&vm);
		vm_detach_all(&vm);
	}
	boot(1000000, 1000000, 0);
}

static void time_never_goes_back(void **state)
{
	u64 x = 88172645463325252ull, last_ns = 0, last_tsc = 0;

	(void)state;
	boot(2596136, 2596136, 0);
	for (unsigned i = 0; i < 20000; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		fake_tsc += x % 5000;
		if (x >> 60 == 1)
			vm_start_devices(&vm);
		else if (x >> 60 == 2)
			vm_stop_devices(&vm);
		assert_true(vtime_now_ns(&vm) >= last_ns);
		assert_true(vtime_tsc_now(&vm) >= last_tsc);
		last_ns = vtime_now_ns(&vm);
		last_tsc = vtime_tsc_now(&vm);
	}
}

static void a_move_adds_the_time_that_passed(void **state)
{
	u64 ns, tsc;

	(void)state;
	boot(2500000, 2500000, 0);
	vm_start_devices(&vm);
	run_host_ns(777);
	vm_stop_devices(&vm);
	ns = vtime_now_ns(&vm);
	tsc = vtime_tsc_now(&vm);
	vtime_add(&vm, 3 * NS_PER_SEC + 4);
	assert_int_equal(vtime_now_ns(&vm), ns + 3 * NS_PER_SEC + 4);
	assert_int_equal(vtime_tsc_now(&vm), tsc + 7500000010);
}

/* The guest was told 2 GHz, this host has 3: hardware scales. */
static void another_rate_is_scaled_by_hardware(void **state)
{
	u64 tsc;

	(void)state;
	boot(3000000, 2000000, 1ull << 40);
	vm_start_devices(&vm);
	vtime_load_tsc(&vcpu);
	assert_false(told.trap);
	assert_false(vtime_would_trap(2000000));
	assert_int_equal(told.ratio, (2000000ull << 32) / 3000000);
	tsc = guest_rdtsc();
	assert_int_equal(tsc, vtime_tsc_now(&vm));
	run_host_ns(10 * NS_PER_SEC);
	assert_int_equal(guest_rdtsc(), vtime_tsc_now(&vm));
	assert_in_range(guest_rdtsc() - tsc, 20000000000 - 20, 20000000000 + 20);
	assert_in_range(vtime_now_ns(&vm), 10 * NS_PER_SEC - 20, 10 * NS_PER_SEC + 20);
	assert_int_equal(vtime_tsc_khz(&vm), 2000000);
}

/* Without scaling: a little off goes at the host's rate, VM time stays exact; more is trapped. */
static void another_rate_without_scaling(void **state)
{
	(void)state;
	boot(2510000, 2500000, 0);
	vm_start_devices(&vm);
	vtime_load_tsc(&vcpu);
	assert_false(told.trap);
	assert_false(vtime_would_trap(2500000));
	assert_int_equal(told.ratio, 1ull << 32);
	run_host_ns(100 * NS_PER_SEC);
	assert_in_range(vtime_now_ns(&vm), 100 * NS_PER_SEC - 100, 100 * NS_PER_SEC + 100);
	assert_int_equal(kvm_clock(guest_rdtsc()), vtime_now_ns(&vm));
	vm_stop_devices(&vm);
	vm_detach_all(&vm);

	boot(2600000, 2500000, 0);
	vm_start_devices(&vm);
	vtime_load_tsc(&vcpu);
	assert_true(told.trap);
	assert_true(vtime_would_trap(2500000));
	run_host_ns(100 * NS_PER_SEC);
	assert_in_range(vtime_now_ns(&vm), 100 * NS_PER_SEC - 100, 100 * NS_PER_SEC + 100);
	assert_in_range(vtime_tsc_now(&vm), 250000000000 - 100, 250000000000 + 100);
}

/* 2 GHz on a host of 3, whose hardware multiplies by a half at the most. */
static void what_scaling_cannot_reach_is_trapped(void **state)
{
	(void)state;
	boot(3000000, 2000000, 1ull << 31);
	vm_start_devices(&vm);
	vtime_load_tsc(&vcpu);
	assert_true(told.trap);
	assert_true(vtime_would_trap(2000000));
	assert_false(vtime_would_trap(1000000));
	run_host_ns(NS_PER_SEC);
	assert_in_range(vtime_now_ns(&vm), NS_PER_SEC - 20, NS_PER_SEC + 20);
}

/* At the host time that a deadline is turned into, the deadline has come, and not long ago. */
static void deadlines_are_never_early(void **state)
{
	u64 x = 88172645463325252ull;

	(void)state;
	boot(2596137, 2596137, 0);
	vm_start_devices(&vm);
	for (unsigned i = 0; i < 5000; i++) {
		u64 deadline_ns, host_ns;

		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		fake_tsc += x % 100000;
		deadline_ns = vtime_now_ns(&vm) + (x >> 10) % (x & 1 ? 1000 : NS_PER_SEC);
		host_ns = vtime_to_host_ns(&vm, deadline_ns);
		assert_true(host_ns >= clock_now_ns());
		while (clock_now_ns() < host_ns)
			fake_tsc += MAX((host_ns - clock_now_ns()) * 2, 1);
		assert_true(vtime_now_ns(&vm) >= deadline_ns);
		assert_true(vtime_now_ns(&vm) <= deadline_ns + 10);
	}
	assert_int_equal(vtime_to_host_ns(&vm, 0), clock_now_ns());
	assert_true(vtime_to_host_ns(&vm, ~0ull) >= clock_now_ns());
}

static void tsc_deadlines_become_vm_time(void **state)
{
	(void)state;
	boot(2000000, 2000000, 0);
	vm_start_devices(&vm);
	run_host_ns(NS_PER_SEC);
	assert_in_range(vtime_tsc_to_ns(&vm, vtime_tsc_now(&vm) + 2000000), NS_PER_SEC + NS_PER_MS - 2,
			NS_PER_SEC + NS_PER_MS + 2);
	assert_in_range(vtime_tsc_to_ns(&vm, vtime_tsc_now(&vm)), NS_PER_SEC - 2, NS_PER_SEC + 2);
	assert_in_range(vtime_tsc_to_ns(&vm, vtime_tsc_now(&vm) - 2000000), NS_PER_SEC - NS_PER_MS - 2,
			NS_PER_SEC - NS_PER_MS + 2);
	assert_int_equal(vtime_tsc_to_ns(&vm, vtime_tsc_now(&vm) - (1ull << 62)), 0);
}

static void a_lying_peer_is_refused(void **state)
{
	struct { u64 ns, tsc, tsc_khz, wall; } s = { 1, ~0ull, 2500000, 1 };

	(void)state;
	boot(1000000, 1000000, 0);
	assert_int_equal(vtime_type.check(&s), 0);
	s.tsc_khz = 0;
	assert_int_not_equal(vtime_type.check(&s), 0);
	s.tsc_khz = 999;
	assert_int_not_equal(vtime_type.check(&s), 0);
	s.tsc_khz = 16000001;
	assert_int_not_equal(vtime_type.check(&s), 0);
	s.tsc_khz = 2500000;
	s.ns = ~0ull;
	assert_int_not_equal(vtime_type.check(&s), 0);
	s.ns = 0;
	s.wall = ~0ull;
	assert_int_not_equal(vtime_type.check(&s), 0);
}

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(time_stands_still_when_stopped),
		TEST(the_tsc_of_hardware_is_the_tsc_of_the_vm),
		TEST(there_is_no_drift),
		TEST(time_never_goes_back),
		TEST(a_move_adds_the_time_that_passed),
		TEST(another_rate_is_scaled_by_hardware),
		TEST(another_rate_without_scaling),
		TEST(what_scaling_cannot_reach_is_trapped),
		TEST(deadlines_are_never_early),
		TEST(tsc_deadlines_become_vm_time),
		TEST(a_lying_peer_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
