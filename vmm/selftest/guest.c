/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest that every Tern runs at start. It lives as a Linux does in its first minutes after a move:
 * sleeps in HLT, is woken by its TSC-deadline timer, reads the KVM clock, and feeds its serial port
 * by interrupt, FIFO by FIFO, through the IO-APIC and the x2APIC. Whatever is not as
 * the manuals say ends it by a triple fault; a good end is power-off.
 */
#include "vmm/selftest/lib.h"

enum {
	TICKS = 40, TICK_US = 100,
	VECTOR_TIMER = 0x40, VECTOR_SERIAL = 0x41, VECTOR_SELF = 0x42,
	COM1 = 0x3f8, IER = COM1 + 1, IIR = COM1 + 2, FCR = COM1 + 2, MCR = COM1 + 4, LSR = COM1 + 5,
	IER_THRE = 2, IIR_THRE = 2, LSR_THRE = 0x20, FIFO_BYTES = 16,
	X2APIC_EOI = 0x80b, X2APIC_SVR = 0x80f, X2APIC_LVT_TIMER = 0x832, X2APIC_SELF_IPI = 0x83f,
	LVT_TSC_DEADLINE = 2 << 17,
	CPUID_XSAVE = 1 << 26,
	KVM_CLOCK_LEAF = 0x40000000, KVM_SYSTEM_TIME = 0x4b564d01,
	IOAPIC_ENTRY_4 = 0x18,
};

/* Linux Documentation/virt/kvm/x86/msr.rst. */
static volatile struct {
	u32 version, pad;
	u64 tsc, system_ns;
	u32 mul;
	s8 shift;
	u8 flags, pad2[2];
} clock_page ALIGNED(32);

static volatile u64 to_send;

static NORETURN void give_up(void)
{
	struct { u16 limit; u64 base; } PACKED none = { 0, 0 };

	__asm__ volatile("lidt %0; ud2" : : "m"(none));
	__builtin_unreachable();
}

static void demand(bool is_true)
{
	if (!is_true)
		give_up();
}

static void on_timer(struct interrupt_frame *frame)
{
	(void)frame;
	wrmsr(X2APIC_EOI, 0);
}

/* As an 8250 driver does: asks why, fills the FIFO, stops asking when there is no more to say. */
static void on_serial(struct interrupt_frame *frame)
{
	(void)frame;
	if ((in8(IIR) & 0xf) == IIR_THRE && in8(LSR) & LSR_THRE) {
		for (int i = 0; i < FIFO_BYTES && to_send; i++, to_send--)
			out8(COM1, '.');
		if (!to_send)
			out8(IER, 0);
	}
	wrmsr(X2APIC_EOI, 0);
}

/* As an operating system has it, with all that it is offered; Tern itself runs with the guest's XCR0. */
static void enable_xsave(void)
{
	if (!(cpuid(1, 0).ecx & CPUID_XSAVE))
		return;
	write_cr4(read_cr4() | CR4_OSXSAVE);
	xsetbv(0, cpuid(0xd, 0).eax);
	demand(xgetbv(0) == cpuid(0xd, 0).eax);
}

static void set_up(void)
{
	enable_xsave();
	interrupts_init();
	interrupt_set(VECTOR_TIMER, on_timer);
	interrupt_set(VECTOR_SELF, on_timer);
	interrupt_set(VECTOR_SERIAL, on_serial);
	lapic_enable();
	wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | BIT(10));
	wrmsr(X2APIC_SVR, 0x1ff);
	wrmsr(X2APIC_LVT_TIMER, VECTOR_TIMER | LVT_TSC_DEADLINE);
	ioapic_write(IOAPIC_ENTRY_4 + 1, 0);
	ioapic_write(IOAPIC_ENTRY_4, VECTOR_SERIAL);
	out8(FCR, 7);
	out8(MCR, 0xb);
	demand(cpuid(KVM_CLOCK_LEAF, 0).ebx == 0x4b4d564b);
	wrmsr(KVM_SYSTEM_TIME, (u64)(uintptr_t)&clock_page | 1);
	demand(clock_page.mul && !(clock_page.version & 1));
}

/* One sleep of TICK_US, in which the serial port sends a line. */
static void tick(u64 cycles)
{
	u64 before = interrupt_count(VECTOR_TIMER), start = rdtsc();

	to_send = 2 * FIFO_BYTES;
	out8(IER, IER_THRE);
	wrmsr(MSR_TSC_DEADLINE, start + cycles);
	while (interrupt_count(VECTOR_TIMER) == before || to_send)
		__asm__ volatile("sti; hlt; cli" ::: "memory");
	demand(rdtsc() - start >= cycles);
}

void guest_main(const struct start_info *info)
{
	u64 cycles = cpuid(KVM_CLOCK_LEAF + 0x10, 0).eax / 1000 * TICK_US;

	(void)info;
	set_up();
	for (int i = 0; i < TICKS; i++)
		tick(cycles);
	demand(interrupt_count(VECTOR_TIMER) == TICKS && interrupt_count(VECTOR_SERIAL) >= 2 * TICKS);
	wrmsr(X2APIC_SELF_IPI, VECTOR_SELF);
	__asm__ volatile("sti; nop; cli" ::: "memory");
	demand(interrupt_count(VECTOR_SELF) == 1);
	done();
}
