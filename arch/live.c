/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One vCPU's registers are in each CPU at most; the next one's coming writes the last one's back.
 */
#include "arch/live.h"

#include "arch/cpu.h"
#include "arch/harden.h"
#include "arch/limits.h"
#include "kernel/errno.h"
#include "kernel/page.h"
#include "kernel/panic.h"

static struct {
	u64 xcr0;
	bool has_tsc_aux;
	bool has_system_registers;
} machine_has;

static struct {
	struct live *live;
	u64 last_serial; /* of the vCPU that ran here last */
} here[CPU_MAX];

static u64 last_serial;

void live_setup(u64 xcr0, bool has_system_registers)
{
	machine_has.xcr0 = xcr0;
	machine_has.has_system_registers = has_system_registers;
	machine_has.has_tsc_aux = cpu_has_tsc_aux();
}

int live_init(struct live *live)
{
	*live = (struct live){ .cpu = NO_CPU, .xsave = page_alloc_zeroed() };
	live->serial = __atomic_add_fetch(&last_serial, 1, __ATOMIC_RELAXED);
	return live->xsave ? 0 : -ENOMEM;
}

void live_fini(struct live *live)
{
	if (!live->xsave)
		return;
	live_drop(live);
	page_free_va(live->xsave);
	live->xsave = NULL;
}

/*
 * With all components that the host can give, so that one which the guest has since disabled
 * in XCR0 keeps its contents (SDM 1 13.3).
 */
static void xsave_to(u8 *area)
{
	__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
}

static void xrstor_from(const u8 *area)
{
	__asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
}

/* Tern itself uses neither SYSCALL nor SWAPGS, and a page fault of its own is its end. */
static void system_registers_store(struct live *live)
{
	live->cr2 = read_cr2();
	live->dr6 = read_dr6();
	live->star = rdmsr(MSR_STAR);
	live->lstar = rdmsr(MSR_LSTAR);
	live->cstar = rdmsr(MSR_CSTAR);
	live->sfmask = rdmsr(MSR_SFMASK);
	live->kernel_gs_base = rdmsr(MSR_KERNEL_GS_BASE);
}

static void system_registers_fetch(const struct live *live)
{
	write_cr2(live->cr2);
	write_dr6(live->dr6);
	wrmsr(MSR_STAR, live->star);
	wrmsr(MSR_LSTAR, live->lstar);
	wrmsr(MSR_CSTAR, live->cstar);
	wrmsr(MSR_SFMASK, live->sfmask);
	wrmsr(MSR_KERNEL_GS_BASE, live->kernel_gs_base);
}

static void live_store(struct live *live)
{
	xsetbv(0, machine_has.xcr0);
	xsave_to(live->xsave);
	live->dr[0] = read_dr0();
	live->dr[1] = read_dr1();
	live->dr[2] = read_dr2();
	live->dr[3] = read_dr3();
	if (machine_has.has_tsc_aux)
		live->tsc_aux = rdmsr(MSR_TSC_AUX);
	if (machine_has.has_system_registers)
		system_registers_store(live);
	live->cpu = NO_CPU;
}

static void live_fetch(struct live *live)
{
	xsetbv(0, machine_has.xcr0);
	xrstor_from(live->xsave);
	xsetbv(0, live->xcr0);
	write_dr0(live->dr[0]);
	write_dr1(live->dr[1]);
	write_dr2(live->dr[2]);
	write_dr3(live->dr[3]);
	if (machine_has.has_tsc_aux)
		wrmsr(MSR_TSC_AUX, live->tsc_aux);
	if (machine_has.has_system_registers)
		system_registers_fetch(live);
	live->cpu = this_cpu();
}

void live_acquire(struct live *live)
{
	unsigned cpu = this_cpu();

	assert_or_panic(live->cpu == NO_CPU);
	if (here[cpu].live)
		live_store(here[cpu].live);
	live_fetch(live);
	here[cpu].live = live;
	if (here[cpu].last_serial != live->serial)
		harden_vcpu_switch();
	here[cpu].last_serial = live->serial;
}

void live_release(struct live *live)
{
	if (live->cpu == NO_CPU)
		return;
	assert_or_panic(live->cpu == this_cpu());
	live_store(live);
	here[this_cpu()].live = NULL;
}

void live_drop(struct live *live)
{
	if (live->cpu == NO_CPU)
		return;
	assert_or_panic(live->cpu == this_cpu());
	live->cpu = NO_CPU;
	here[this_cpu()].live = NULL;
}

bool live_is_nothing(void) { return !here[this_cpu()].live; }

u64 live_tsc_aux(const struct live *live)
{
	return live->cpu == NO_CPU || !machine_has.has_tsc_aux ? live->tsc_aux : rdmsr(MSR_TSC_AUX);
}

void live_set_xcr0(struct live *live, u64 xcr0)
{
	live->xcr0 = xcr0;
	if (live_is_here(live))
		xsetbv(0, xcr0);
}

void live_set_cr2(struct live *live, u64 cr2)
{
	live->cr2 = cr2;
	if (live_is_here(live))
		write_cr2(cr2);
}

u64 live_dr6(const struct live *live) { return live_is_here(live) ? read_dr6() : live->dr6; }

void live_set_dr6(struct live *live, u64 dr6)
{
	live->dr6 = dr6;
	if (live_is_here(live))
		write_dr6(dr6);
}
