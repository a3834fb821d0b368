/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vCPU on the fake back end, with a guest that is a list of exits and all around it as variables: for
 * tests of vmm/vcpu.c and vmm/exit.c. Included by the test's own file, once.
 */
#pragma once

#include "tests/host/fake/machine.h"
#include "tests/host/fake/memory.h"
#include "tests/host/fake/hv_fake.h"
#include "vmm/insn.h"
#include "vmm/irq.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

struct vm vm;

/* --- what surrounds vcpu.c and exit.c, as variables --- */

int pending_vector, blocked_vector, accepted_vector;
u8 lapic_tpr;
bool should_yield;
unsigned wakes, service_wakes, tsc_loads;
bool was_killed;
u64 last_port_value;

int irq_pending_vector(struct vcpu *vcpu)
{
	(void)vcpu;
	return pending_vector;
}

int irq_blocked_vector(struct vcpu *vcpu)
{
	(void)vcpu;
	return blocked_vector;
}

void irq_accept(struct vcpu *vcpu, int vector)
{
	(void)vcpu;
	accepted_vector = vector;
	pending_vector = -1;
}

u8 irq_get_tpr(struct vcpu *vcpu)
{
	(void)vcpu;
	return lapic_tpr;
}

void irq_set_tpr(struct vcpu *vcpu, u8 cr8)
{
	(void)vcpu;
	lapic_tpr = cr8;
}

void sched_add(struct runnable *runnable) { runnable->cpu = 1; }
void sched_remove(struct runnable *runnable) { (void)runnable; }
void sched_wake(struct runnable *runnable)
{
	(void)runnable;
	wakes++;
}
bool sched_should_yield(void) { return should_yield; }
void service_wake(void) { service_wakes++; }

void vtime_load_tsc(struct vcpu *vcpu)
{
	(void)vcpu;
	tsc_loads++;
}

u64 vtime_tsc_now(const struct vm *which)
{
	(void)which;
	return 0x1234567890;
}

void vm_kill(struct vm *which, const char *why, u64 value)
{
	(void)why, (void)value;
	was_killed = true;
	which->vcpu[0]->want_park = true;
}

u64 bus_port_read(struct vcpu *vcpu, u16 port, u8 size)
{
	(void)vcpu, (void)size;
	return port == 0x60 ? 0xa1b2c3d4 & BITS(size * 8u - 1, 0) : 0;
}

void bus_port_write(struct vcpu *vcpu, u16 port, u8 size, u64 value)
{
	(void)vcpu, (void)port;
	last_port_value = value & BITS(size * 8u - 1, 0);
}

enum bus_msr_result bus_msr_read(struct vcpu *vcpu, u32 index, u64 *value)
{
	(void)vcpu;
	*value = 0x1122334455667788;
	return index == 1 ? BUS_MSR_DONE : index == 2 ? BUS_MSR_FAULT : BUS_MSR_UNCLAIMED;
}

enum bus_msr_result bus_msr_write(struct vcpu *vcpu, u32 index, u64 value)
{
	return bus_msr_read(vcpu, index, &value);
}

bool gmem_is_ram(const struct gmem *gmem, gpa_t gpa, u64 bytes)
{
	(void)gmem, (void)bytes;
	return gpa.value < MIB;
}

static unsigned left_count;
void track_left_guest(struct vcpu *vcpu)
{
	assert_int_equal(vcpu->entry_count & 1, 1); /* nobody may see it outside yet */
	left_count++;
}

/* Page 6 is watched. */
bool track_fault(struct vm *of, gpa_t gpa)
{
	(void)of;
	return gpa.value == 0x6000;
}

void cpuid_exit(struct vcpu *vcpu) { vcpu->hv->gpr[RAX] = 0xc0de; }

bool cpuid_allows_xcr0(const struct cpuid_policy *policy, u64 xcr0)
{
	(void)policy;
	return !(xcr0 & ~7ull);
}

u64 mmio_gpa;

void insn_mmio(struct vcpu *vcpu, u64 gpa, bool is_write)
{
	(void)is_write;
	mmio_gpa = gpa;
	vcpu->hv->rip += 3;
}

void insn_string_io(struct vcpu *vcpu) { vcpu->hv->rip += 2; }

bool insn_cr8_write(struct vcpu *vcpu, u64 *value, u8 *length)
{
	*value = vcpu->hv->gpr[RBX];
	*length = 4;
	return true;
}

bool insn_is_rdtscp(struct vcpu *vcpu)
{
	(void)vcpu;
	return false;
}

u8 insn_length(struct vcpu *vcpu)
{
	(void)vcpu;
	return 2;
}

/* --- the guest: a list of exits, then HLT --- */

struct hv_exit script[8];
unsigned script_count, script_at;
void (*on_enter)(struct fake_vcpu *guest);

static inline void guest(struct fake_vcpu *vcpu, struct hv_exit *exit)
{
	if (on_enter)
		on_enter(vcpu);
	vcpu->hv.is_event_queued = false; /* it was delivered */
	if (script_at < script_count)
		*exit = script[script_at++];
	else
		*exit = (struct hv_exit){ .reason = HV_EXIT_HLT, .insn_len = 1 };
}

struct vcpu *vcpu;

static inline int setup(void **state)
{
	(void)state;
	fake_memory_init(16 * MIB);
	fake_hv_init();
	memset(&vm, 0, sizeof(vm));
	vm.config.vcpu_count = 1;
	pending_vector = blocked_vector = accepted_vector = -1;
	lapic_tpr = 0;
	should_yield = was_killed = false;
	wakes = service_wakes = tsc_loads = 0;
	script_count = script_at = 0;
	on_enter = NULL;
	fake_guest = guest;
	fake.cpu = 1;
	assert_int_equal(vcpu_create(&vm, 0), 0);
	vcpu = vm.vcpu[0];
	vcpu->hv->rip = 0x1000;
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	vcpu_park(vcpu);
	vcpu->runnable.run(&vcpu->runnable);
	vcpu_destroy(vcpu);
	assert_int_equal(fake_vcpu_count, 0);
	return 0;
}

static inline enum run_result run(void) { return vcpu->runnable.run(&vcpu->runnable); }
static inline struct fake_vcpu *inside(void) { return fake_vcpu(vcpu->hv); }

/* The guest leaves with this exit, once, and the vCPU answers it. */
static inline void play(struct hv_exit exit)
{
	script[0] = exit;
	script_count = 1;
	script_at = 0;
	vcpu->activity = VCPU_ACTIVE;
	vcpu_unpark(vcpu);
	vcpu->hv->rip = 0x1000;
	inside()->inject_count = 0;
	should_yield = true;
	run();
	should_yield = false;
}
