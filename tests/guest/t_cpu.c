/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CPU itself: what belongs to the hypervisor is #UD or #GP, traps come where they would
 * without one, and the registers that Tern keeps live in the CPU survive exits.
 */
#include "vmm/selftest/lib.h"

#define RFLAGS_TF BIT(8)
#define DR6_BS BIT(14)
#define DR6_B0 BIT(0)
#define DR7_L0_WRITE_8 (BIT(0) | 1ull << 16 | 2ull << 18)
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

static volatile u64 step_count, step_dr6;

static void on_step(struct interrupt_frame *frame)
{
	(void)frame;
	step_count++;
	step_dr6 |= read_dr6();
	write_dr6(0xffff0ff0);
}

/* TF traps after each instruction, those included that Tern carries out itself. */
static void test_single_step(void)
{
	u32 eax = 0, ecx = 0;

	interrupt_set(1, on_step);
	__asm__ volatile("pushfq; orq %2, (%%rsp); popfq\n\t"
			 "cpuid\n\t"                /* intercepted */
			 "nop\n\t"
			 "outb %%al, $0x80\n\t"     /* intercepted */
			 "pushfq; andq %3, (%%rsp); popfq"
			 : "+a"(eax), "+c"(ecx) : "i"(RFLAGS_TF), "i"(~RFLAGS_TF) : "rbx", "rdx", "memory");
	expect("six traps for six instructions", 6, step_count);
	expect("DR6 says single step", DR6_BS, step_dr6 & (DR6_BS | DR6_B0));
}

static volatile u64 watched;

static void test_watchpoint(void)
{
	step_count = step_dr6 = 0;
	write_dr0((u64)&watched);
	write_dr7(DR7_L0_WRITE_8 | BIT(10));
	cpuid(0, 0);
	watched = 1;
	write_dr7(BIT(10));
	watched = 2;
	expect("a watched write traps once", 1, step_count);
	expect("DR6 says which", DR6_B0, step_dr6 & (DR6_BS | DR6_B0));
	expect("DR0 survives exits", (u64)&watched, read_dr0());
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
	test_single_step();
	test_watchpoint();
	test_nmi();
	test_forbidden();
	done();
}
