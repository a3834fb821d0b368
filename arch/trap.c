/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exceptions and interrupts of Tern itself.
 *
 * An exception in Tern means that we are wrong: panic with the registers, except #GP
 * on the two probing instructions of trap.S. #DF, NMI and #MC run on stacks of their
 * own (IST), so that they can be told even when the stack is the trouble.
 */
#include "arch/trap.h"
#include "arch/apic.h"
#include "arch/backtrace.h"
#include "arch/cpu.h"
#include "arch/mce.h"
#include "arch/percpu.h"
#include "arch/smp.h"
#include "kernel/errno.h"
#include "kernel/panic.h"

/* SDM 3A 6.14.1: 64-bit interrupt gate. */
struct idt_gate {
	u16 offset_low;
	u16 selector;
	u8 ist;
	u8 type;
	u16 offset_middle;
	u32 offset_high;
	u32 reserved;
} PACKED;
_Static_assert(sizeof(struct idt_gate) == 16, "SDM 3A figure 6-8");

#define GATE_INTERRUPT 0x8e /* present, DPL 0, type 14: IF is cleared on entry */
#define STUB_BYTES 16

enum { IST_DF = 1, IST_NMI = 2, IST_MC = 3 };

struct irq_slot {
	irq_handler handler;
	void *context;
	u64 count;
	bool is_allocated;
};

extern const u8 trap_stubs[], rdmsr_safe_insn[], wrmsr_safe_insn[], msr_safe_fault[];

static struct idt_gate idt[256] ALIGNED(16);
static struct irq_slot slots[256];
static u64 spurious, nmis;

static const char *const exception_names[32] = {
	"#DE divide error", "#DB debug", "NMI", "#BP breakpoint", "#OF overflow", "#BR bound range",
	"#UD invalid opcode", "#NM no x87", "#DF double fault", "vector 9", "#TS invalid TSS",
	"#NP segment not present", "#SS stack fault", "#GP general protection", "#PF page fault",
	"vector 15", "#MF x87 error", "#AC alignment", "#MC machine check", "#XM SIMD error",
	"#VE virtualization", "#CP control protection", "vector 22", "vector 23", "vector 24",
	"vector 25", "vector 26", "vector 27", "#HV hypervisor injection", "#VC VMM communication",
	"#SX security", "vector 31",
};

static void gate_set(unsigned vector, u8 ist)
{
	u64 at = (u64)trap_stubs + vector * STUB_BYTES;

	idt[vector] = (struct idt_gate){
		.offset_low = (u16)at,
		.selector = SELECTOR_CODE,
		.ist = ist,
		.type = GATE_INTERRUPT,
		.offset_middle = (u16)(at >> 16),
		.offset_high = (u32)(at >> 32),
	};
}

/* A fault on a probing instruction goes on at its error return. */
static bool fixup_msr(struct trap_frame *frame)
{
	if (frame->vector != VECTOR_GP ||
	    (frame->rip != (u64)rdmsr_safe_insn && frame->rip != (u64)wrmsr_safe_insn))
		return false;
	frame->rip = (u64)msr_safe_fault;
	return true;
}

static void handle_exception(struct trap_frame *frame)
{
	if (frame->vector == VECTOR_NMI) {
		smp_stop_here_if_wanted();
		__atomic_fetch_add(&nmis, 1, __ATOMIC_RELAXED);
		return;
	}
	if (fixup_msr(frame))
		return;
	backtrace_set_frame(frame);
	if (frame->vector == VECTOR_MC)
		mce_panic(frame->rip);
	if (frame->vector == VECTOR_PF)
		panic("#PF page fault: %s of %#lx, error %#lx, at %#lx",
		      frame->error & BIT(4) ? "execution" : frame->error & BIT(1) ? "write" : "read",
		      read_cr2(), frame->error,
		      frame->rip);
	panic("%s, error %#lx, at %#lx", exception_names[frame->vector],
	      frame->error, frame->rip);
}

static void handle_interrupt(unsigned vector)
{
	struct irq_slot *slot = &slots[vector];

	/* SDM 3A 11.9: a spurious interrupt is not in service, so it gets no EOI. */
	if (vector == VECTOR_SPURIOUS) {
		__atomic_fetch_add(&spurious, 1, __ATOMIC_RELAXED);
		return;
	}
	__atomic_fetch_add(&slot->count, 1, __ATOMIC_RELAXED);
	if (slot->handler)
		slot->handler(slot->context);
	else
		__atomic_fetch_add(&spurious, 1, __ATOMIC_RELAXED);
	apic_eoi();
}

/* Called by trap.S. */
void trap_handle(struct trap_frame *frame);
void trap_handle(struct trap_frame *frame)
{
	if (frame->vector < 32)
		handle_exception(frame);
	else
		handle_interrupt((unsigned)frame->vector);
}

void trap_init(void)
{
	for (unsigned vector = 0; vector < 256; vector++)
		gate_set(vector, 0);
	gate_set(VECTOR_DF, IST_DF);
	gate_set(VECTOR_NMI, IST_NMI);
	gate_set(VECTOR_MC, IST_MC);
}

void trap_load(void)
{
	struct {
		u16 limit;
		u64 base;
	} PACKED idtr = { sizeof(idt) - 1, (u64)idt };

	__asm__ volatile("lidt %0" : : "m"(idtr));
}

u64 trap_idt_base(void) { return (u64)idt; }

int irq_allocate(void)
{
	for (int vector = VECTOR_FIRST; vector <= VECTOR_LAST; vector++) {
		if (slots[vector].is_allocated)
			continue;
		slots[vector].is_allocated = true;
		return vector;
	}
	return -ENOSPC;
}

void irq_release(int vector)
{
	assert_or_panic(vector >= VECTOR_FIRST && vector <= VECTOR_LAST && slots[vector].is_allocated);
	slots[vector].handler = NULL;
	slots[vector].is_allocated = false;
}

void irq_register(int vector, irq_handler handler, void *context)
{
	assert_or_panic(vector >= 32 && vector < VECTOR_SPURIOUS);
	slots[vector].handler = NULL;
	barrier();
	slots[vector].context = context;
	barrier();
	slots[vector].handler = handler;
}

u64 irq_count(int vector) { return slots[vector & 255].count; }
u64 irq_spurious_count(void) { return spurious; }
u64 nmi_count(void) { return nmis; }
