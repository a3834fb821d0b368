/* SPDX-License-Identifier: BSD-2-Clause */
#include "vmm/selftest/lib.h"

#define COM1 0x3f8
#define LSR_EMPTY 0x20
#define PM_CONTROL_PORT 0x604
#define PM_TIMER_PORT 0x608
#define SLEEP_S5 (BIT(13) | 5u << 10)

/* --- text --- */

static void print_char(char c)
{
	while (!(in8(COM1 + 5) & LSR_EMPTY))
		;
	out8(COM1, (u8)c);
}

void print(const char *text)
{
	for (; *text; text++) {
		if (*text == '\n')
			print_char('\r');
		print_char(*text);
	}
}

void print_hex(u64 value)
{
	char text[19] = "0x";
	unsigned digits = 1;

	while (digits < 16 && value >> (4 * digits))
		digits++;
	for (unsigned i = 0; i < digits; i++)
		text[2 + i] = "0123456789abcdef"[value >> (4 * (digits - 1 - i)) & 15];
	text[2 + digits] = 0;
	print(text);
}

void print_number(u64 value)
{
	char text[21];
	unsigned at = sizeof(text) - 1;

	text[at] = 0;
	do {
		text[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value);
	print(text + at);
}

/* --- facts --- */

static u64 passed, failed;

static void judge(const char *name, bool is_true)
{
	print(is_true ? "PASS " : "FAIL ");
	print(name);
	if (is_true)
		passed++;
	else
		failed++;
}

void expect(const char *name, u64 expected, u64 got)
{
	judge(name, expected == got);
	if (expected != got) {
		print(": expected ");
		print_hex(expected);
		print(", got ");
		print_hex(got);
	}
	print("\n");
}

void expect_range(const char *name, u64 low, u64 high, u64 got)
{
	judge(name, low <= got && got <= high);
	if (got < low || got > high) {
		print(": expected ");
		print_number(low);
		print(" to ");
		print_number(high);
		print(", got ");
		print_number(got);
	}
	print("\n");
}

void done(void)
{
	print("DONE ");
	print_number(passed);
	print(" ");
	print_number(failed);
	print("\n");
	out16(PM_CONTROL_PORT, SLEEP_S5);
	for (;;) {
		cli();
		hlt();
	}
}

/* --- interrupts --- */

extern const u8 interrupt_stubs[256][16];

static struct {
	u16 offset_low, selector;
	u8 ist, type;
	u16 offset_middle;
	u32 offset_high, reserved;
} idt[256];

static interrupt_handler handlers[256];
static volatile u64 counts[256];

void interrupt_handle(struct interrupt_frame *frame);
void interrupt_handle(struct interrupt_frame *frame)
{
	u8 vector = (u8)frame->vector;

	counts[vector]++;
	if (handlers[vector]) {
		handlers[vector](frame);
		return;
	}
	print("FAIL unexpected vector ");
	print_hex(vector);
	print(" error ");
	print_hex(frame->error);
	print(" at ");
	print_hex(frame->rip);
	print(" cr2 ");
	print_hex(read_cr2());
	print("\n");
	failed++;
	done();
}

void interrupt_set(u8 vector, interrupt_handler handler) { handlers[vector] = handler; }
u64 interrupt_count(u8 vector) { return counts[vector]; }

/* Set before an instruction that may fault; the handler goes to resume. */
static volatile u64 resume;
static volatile bool has_faulted;

static void on_gp(struct interrupt_frame *frame)
{
	if (!resume) {
		print("FAIL unexpected #GP at ");
		print_hex(frame->rip);
		print("\n");
		failed++;
		done();
	}
	has_faulted = true;
	frame->rip = resume;
}

void interrupts_init(void)
{
	struct { u16 limit; u64 base; } PACKED pointer = { sizeof(idt) - 1, (u64)idt };

	for (unsigned i = 0; i < 256; i++) {
		u64 stub = (u64)interrupt_stubs[i];

		idt[i].offset_low = (u16)stub;
		idt[i].offset_middle = (u16)(stub >> 16);
		idt[i].offset_high = (u32)(stub >> 32);
		idt[i].selector = 0x08;
		idt[i].type = 0x8e;
		counts[i] = 0;
	}
	__asm__ volatile("lidt %0" : : "m"(pointer));
	interrupt_set(13, on_gp);
}

bool rdmsr_try(u32 msr, u64 *value)
{
	u32 low = 0, high = 0;

	has_faulted = false;
	__asm__ volatile("leaq 1f(%%rip), %%rax; movq %%rax, %2; rdmsr; 1:"
			 : "=&a"(low), "=&d"(high), "=m"(resume) : "c"(msr) : "memory");
	resume = 0;
	*value = (u64)high << 32 | low;
	return !has_faulted;
}

bool wrmsr_try(u32 msr, u64 value)
{
	has_faulted = false;
	__asm__ volatile("leaq 1f(%%rip), %%r8; movq %%r8, %0; wrmsr; 1:"
			 : "=m"(resume) : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "r8", "memory");
	resume = 0;
	return !has_faulted;
}

/* --- interrupt controllers and time --- */

u32 ioapic_read(u32 index)
{
	*(volatile u32 *)IOAPIC = index;
	return *(volatile u32 *)(IOAPIC + 0x10);
}

void ioapic_write(u32 index, u32 value)
{
	*(volatile u32 *)IOAPIC = index;
	*(volatile u32 *)(IOAPIC + 0x10) = value;
}

void lapic_enable(void)
{
	out8(0x21, 0xff);
	out8(0xa1, 0xff);
	lapic_write(LAPIC_SVR, 0x1ff);
}

u32 pm_timer(void) { return in32(PM_TIMER_PORT); }

void wait_us(u64 us)
{
	u32 start = pm_timer();
	u64 ticks = us * PM_TIMER_HZ / 1000000;

	while ((u32)(pm_timer() - start) < ticks)
		cpu_pause();
}
