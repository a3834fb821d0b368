/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CPU itself: what belongs to the hypervisor is #UD or #GP, and the registers that Tern
 * keeps live in the CPU survive exits.
 */
#include "vmm/selftest/lib.h"

#define ICR_NMI (4u << 8)

/* An instruction that must fault: its vector, and where to go on. */
static volatile u64 resume;
static volatile u64 fault_vector, fault_error;

static void on_fault(struct interrupt_frame *frame)
{
	fault_vector = frame->vector;
	fault_error = frame->error;
	frame->rip = resume;
}

#define FAULTS(name, vector, instruction) \
	do { \
		fault_vector = 0; \
		__asm__ volatile("leaq 1f(%%rip), %%r8; movq %%r8, %0; " instruction "; 1:" \
				 : "=m"(resume) : "a"(0), "c"(0), "d"(0) : "r8", "memory"); \
		expect(name, vector, fault_vector); \
	} while (0)

static void test_forbidden(void)
{
	interrupt_set(6, on_fault);
	interrupt_set(13, on_fault);
	FAULTS("VMRUN is #UD", 6, "vmrun");
	FAULTS("VMLOAD is #UD", 6, "vmload");
	FAULTS("VMSAVE is #UD", 6, "vmsave");
	FAULTS("STGI is #UD", 6, "stgi");
	FAULTS("CLGI is #UD", 6, "clgi");
	FAULTS("INVLPGA is #UD", 6, "invlpga");
	FAULTS("MONITOR is #UD", 6, "monitor");
	FAULTS("MWAIT is #UD", 6, "mwait");
	FAULTS("RDPMC of no counter is #GP", 13, "rdpmc");
	FAULTS("UD2 is #UD", 6, "ud2");
	FAULTS("XSETBV without x87 is #GP", 13, "xsetbv");
	expect("#GP has error code 0", 0, fault_error);
}

static void test_fpu(void)
{
	const u64 value = 0x0123456789abcdef;
	u64 low = 0, high = 0;

	write_cr0((read_cr0() | CR0_MP) & ~(CR0_EM | CR0_TS));
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT);
	__asm__ volatile("movq %0, %%xmm5" : : "r"(value));
	for (unsigned i = 0; i < 100; i++)
		cpuid(0, 0);
	__asm__ volatile("movq %%xmm5, %0" : "=r"(low));
	expect("xmm5 survives exits", value, low);

	if (!(cpuid(1, 0).ecx & BIT(28))) {
		print("NOTE no AVX\n");
		return;
	}
	write_cr4(read_cr4() | CR4_OSXSAVE);
	xsetbv(0, 7);
	expect("XCR0 is what was set", 7, xgetbv(0));
	/* The upper half of ymm5: it lives in a component of its own. */
	__asm__ volatile("vmovq %0, %%xmm5; vinsertf128 $1, %%xmm5, %%ymm5, %%ymm5" : : "r"(value));
	xsetbv(0, 3);
	cpuid(0, 0);
	xsetbv(0, 7);
	__asm__ volatile("vextractf128 $1, %%ymm5, %%xmm6; vmovq %%xmm6, %0" : "=r"(high));
	expect("AVX state survives while XCR0 has it off", value, high);
}

static volatile u64 nmi_depth, nmi_deepest;

/* By its own APIC ID: the shorthand "self" is for fixed interrupts only (SDM 3A table 11-3). */
static void send_nmi(void)
{
	lapic_write(LAPIC_ICR_HIGH, lapic_read(LAPIC_ID));
	lapic_write(LAPIC_ICR_LOW, ICR_NMI);
}

/* The first sends itself another one, which must wait for this one's IRET. */
static void on_nmi(struct interrupt_frame *frame)
{
	(void)frame;
	nmi_depth++;
	if (nmi_depth > nmi_deepest)
		nmi_deepest = nmi_depth;
	if (interrupt_count(2) == 1) {
		send_nmi();
		cpuid(0, 0);
	}
	nmi_depth--;
}

static void test_nmi(void)
{
	lapic_enable();
	interrupt_set(2, on_nmi);
	send_nmi();
	for (unsigned i = 0; i < 1000 && interrupt_count(2) < 2; i++)
		cpuid(0, 0);
	expect("two NMIs", 2, interrupt_count(2));
	expect("never one in the other", 1, nmi_deepest);
}

static void test_rdtscp(void)
{
	u32 eax, edx, ecx;

	if (!(cpuid(0x80000001, 0).edx & BIT(27))) {
		print("NOTE no RDTSCP\n");
		return;
	}
	wrmsr_try(MSR_TSC_AUX, 0x1234);
	cpuid(0, 0);
	__asm__ volatile("rdtscp" : "=a"(eax), "=d"(edx), "=c"(ecx));
	expect("RDTSCP gives TSC_AUX", 0x1234, ecx);
}

void guest_main(const struct start_info *info)
{
	(void)info;
	interrupts_init();
	test_rdtscp(); /* with the library's own #GP handler */
	test_fpu();
	test_nmi();
	test_forbidden();
	done();
}
