/* SPDX-License-Identifier: BSD-2-Clause */
/* Interrupts: a line through the IO-APIC, the PIC, IPIs to oneself, priorities, masking, HLT. */
#include "vmm/selftest/lib.h"

#define LINE_VECTOR 0x51
#define LOW_VECTOR 0x41
#define HIGH_VECTOR 0x81
#define PIC_VECTOR 0x24

static volatile u8 order[8];
static volatile unsigned order_count;

static void on_apic(struct interrupt_frame *frame)
{
	if (order_count < sizeof(order))
		order[order_count++] = (u8)frame->vector;
	lapic_write(LAPIC_EOI, 0);
}

static void on_line(struct interrupt_frame *frame)
{
	(void)in8(0x3fa); /* IIR: THRE is acknowledged by reading it */
	on_apic(frame);
}

static void on_pic(struct interrupt_frame *frame)
{
	(void)frame;
	(void)in8(0x3fa);
	out8(0x20, 0x20);
}

static void window(void)
{
	sti();
	wait_us(300);
	cli();
}

static void self_ipi(u8 vector) { lapic_write(LAPIC_ICR_LOW, 0x44000 | vector); }

static void set_cr8(u64 value) { __asm__ volatile("mov %0, %%cr8" : : "r"(value) : "memory"); }

static void ipis(void)
{
	self_ipi(LOW_VECTOR);
	expect("self IPI: pending while IF is 0", BIT(LOW_VECTOR % 32), lapic_read(LAPIC_IRR + LOW_VECTOR / 32 * 16));
	window();
	expect("self IPI: taken", 1, interrupt_count(LOW_VECTOR));
	expect("self IPI: not in service after EOI", 0, lapic_read(LAPIC_ISR + LOW_VECTOR / 32 * 16));
	order_count = 0;
	self_ipi(LOW_VECTOR);
	self_ipi(HIGH_VECTOR);
	window();
	expect("priority: both taken", 2, order_count);
	expect("priority: the higher first", HIGH_VECTOR, order[0]);
}

static void priorities(void)
{
	lapic_write(LAPIC_TPR, 0x50);
	self_ipi(LOW_VECTOR);
	window();
	expect("TPR holds it back", 2, interrupt_count(LOW_VECTOR));
	lapic_write(LAPIC_TPR, 0);
	window();
	expect("TPR lowered by MMIO", 3, interrupt_count(LOW_VECTOR));
	set_cr8(5);
	expect("CR8 is the TPR's upper half", 0x50, lapic_read(LAPIC_TPR));
	self_ipi(LOW_VECTOR);
	window();
	expect("CR8 holds it back", 3, interrupt_count(LOW_VECTOR));
	sti();
	set_cr8(0);
	for (unsigned i = 0; i < 1000000 && interrupt_count(LOW_VECTOR) < 4; i++)
		cpu_pause();
	cli();
	expect("CR8 lowered: taken without another reason to exit", 4, interrupt_count(LOW_VECTOR));
}

/* The transmitter is empty: enabling its interrupt raises it, once. Off again before anything is printed. */
static void serial_interrupt(void)
{
	out8(0x3f9, 0x02);
	window();
	out8(0x3f9, 0);
}

/* The serial port: IRQ 4, edge. */
static void line(void)
{
	out8(0x3fc, 0x0b);
	ioapic_write(0x10 + 2 * 4 + 1, 0);
	ioapic_write(0x10 + 2 * 4, LINE_VECTOR);
	serial_interrupt();
	expect("a line through the IO-APIC", 1, interrupt_count(LINE_VECTOR));
	ioapic_write(0x10 + 2 * 4, LINE_VECTOR | 0x10000);
	serial_interrupt();
	expect("masked in the IO-APIC", 1, interrupt_count(LINE_VECTOR));
}

static void pic(void)
{
	out8(0x20, 0x11);
	out8(0x21, 0x20);
	out8(0x21, 0x04);
	out8(0x21, 0x01);
	out8(0x21, (u8)~0x10);
	lapic_write(LAPIC_LVT_LINT0, 0x700); /* ExtINT */
	serial_interrupt();
	expect("the same line through the PIC", 1, interrupt_count(PIC_VECTOR));
	out8(0x21, 0xff);
	lapic_write(LAPIC_LVT_LINT0, 0x10000);
}

static void halted(void)
{
	u64 count = interrupt_count(HIGH_VECTOR);

	self_ipi(HIGH_VECTOR);
	__asm__ volatile("sti; hlt; cli");
	expect("STI; HLT with one pending: goes on", count + 1, interrupt_count(HIGH_VECTOR));
}

static void nmi(void)
{
	u64 before = interrupt_count(2);

	/* By destination: SDM 3A table 11-3 has no NMI with the self shorthand. */
	lapic_write(LAPIC_ICR_HIGH, 0);
	lapic_write(LAPIC_ICR_LOW, 0x4400);
	expect("NMI to oneself is taken with IF 0", before + 1, interrupt_count(2));
	lapic_write(LAPIC_ICR_LOW, 0x4400);
	expect("and a second one", before + 2, interrupt_count(2));
}

static void on_nmi(struct interrupt_frame *frame) { (void)frame; }

void guest_main(const struct start_info *info)
{
	(void)info;
	interrupts_init();
	interrupt_set(LOW_VECTOR, on_apic);
	interrupt_set(HIGH_VECTOR, on_apic);
	interrupt_set(LINE_VECTOR, on_line);
	interrupt_set(PIC_VECTOR, on_pic);
	interrupt_set(2, on_nmi);
	lapic_enable();
	ipis();
	priorities();
	line();
	pic();
	halted();
	nmi();
	done();
}
