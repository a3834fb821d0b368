/* SPDX-License-Identifier: BSD-2-Clause */
/* Debug traps come where they would without a hypervisor, also after what Tern carries out itself. */
#include "vmm/selftest/lib.h"

#define RFLAGS_TF BIT(8)
#define DR6_BS BIT(14)
#define DR6_B0 BIT(0)
#define DR7_L0_WRITE_8 (BIT(0) | 1ull << 16 | 2ull << 18)

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

void guest_main(const struct start_info *info)
{
	(void)info;
	interrupts_init();
	test_single_step();
	test_watchpoint();
	done();
}
