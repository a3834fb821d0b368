/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VM time: ns since the guest's power-on. Stops while the VM is paused by the operator,
 * and continues through a move (the destination adds the time that the stun took). The
 * guest's TSC follows it: TSC = tsc_at_base + (host TSC - host base) x ratio, plus each
 * vCPU's tsc_adjust.
 *
 * Also a device without ports ("vtime"), so that it migrates as all else does: time runs from its start to
 * its stop. Called with vm->lock held unless noted.
 */
#pragma once

#include "kernel/types.h"

struct device_type;
struct vm;
struct vcpu;

/* What a guest may have been told of its TSC: 1 MHz to 16 GHz. */
#define VTIME_TSC_KHZ_MIN 1000ull
#define VTIME_TSC_KHZ_MAX 16000000ull

/* VM time now; any CPU, no lock needed. Frozen while not running. */
u64 vtime_now_ns(const struct vm *vm);
/* Host clock (kernel/clock.h) at which VM time will be vm_ns; ~0 while stopped. Past times give now. */
u64 vtime_to_host_ns(const struct vm *vm, u64 vm_ns);

/* The VM's TSC (without a vCPU's tsc_adjust) now, and conversions between it and VM time. No lock needed. */
u64 vtime_tsc_now(const struct vm *vm);
u64 vtime_tsc_to_ns(const struct vm *vm, u64 tsc);   /* VM time at which the VM's TSC is tsc (may be past) */
u64 vtime_tsc_khz(const struct vm *vm);               /* what the guest was told */

/* Would a guest that was told this rate run here with every RDTSC trapped? For a move, before there is a VM. */
bool vtime_would_trap(u64 guest_khz);

/* Stopped only: the time that passed elsewhere (a move) is added to VM time and TSC. */
void vtime_add(struct vm *vm, u64 ns);

/* Tells the back end this vCPU's TSC offset, ratio or trap; before entering after a start or a change. */
void vtime_load_tsc(struct vcpu *vcpu);

/*
 * For the KVM clock: VM time = (((TSC - tsc_base) << shift) x mul >> 32) + ns_base
 * (Linux Documentation/virt/kvm/x86/msr.rst).
 */
struct vtime_scale {
	u64 tsc_base;
	u64 ns_base;
	u32 mul;
	s8 shift;
};
void vtime_get_scale(const struct vm *vm, struct vtime_scale *scale);

/* Wall clock: ns since 1970 at VM time 0, from the host's RTC at the start; migrates. */
u64 vtime_wall_base_ns(const struct vm *vm);
void vtime_set_wall_base(struct vm *vm, u64 ns);

/* The first device of every VM: vm_attach(vm, &vtime_type). */
extern const struct device_type vtime_type;
