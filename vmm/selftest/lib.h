/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a tiny guest needs to state one fact: print, compare, touch the machine, take interrupts.
 *
 * A test calls expect() for each fact and ends with done(). On the serial port that gives
 *   PASS name
 *   FAIL name: expected X, got Y
 *   DONE passed failed
 */
#pragma once

#include "arch/cpu.h"
#include "kernel/types.h"

/* From the loader: Xen's public/arch-x86/hvm/start_info.h. */
struct start_info {
	u32 magic, version, flags, module_count;
	u64 module_list, cmdline, rsdp, memory_map;
	u32 memory_count, reserved;
};
struct memory_range {
	u64 base, bytes;
	u32 type, reserved;
};

/* What the test defines; it does not return. */
void guest_main(const struct start_info *info);

void print(const char *text);
void print_hex(u64 value);
void print_number(u64 value);

/* One fact. */
void expect(const char *name, u64 expected, u64 got);
void expect_range(const char *name, u64 low, u64 high, u64 got);
#define expect_true(name, condition) expect(name, 1, (condition) != 0)
/* Prints the last line, and powers the machine off. */
NORETURN void done(void);

/* --- interrupts and exceptions --- */

/* The stack at an interrupt; rip may be changed. */
struct interrupt_frame {
	u64 r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

typedef void (*interrupt_handler)(struct interrupt_frame *frame);

/* Loads an IDT in which every vector without a handler prints FAIL and ends the test. */
void interrupts_init(void);
void interrupt_set(u8 vector, interrupt_handler handler);
/* Interrupts taken on the vector since interrupts_init. */
u64 interrupt_count(u8 vector);

/* As rdmsr and wrmsr; false: the access was #GP(0). */
bool rdmsr_try(u32 msr, u64 *value);
bool wrmsr_try(u32 msr, u64 value);

/* --- the local APIC, by MMIO --- */

#define LAPIC 0xfee00000ull
#define IOAPIC 0xfec00000ull

enum {
	LAPIC_ID = 0x20, LAPIC_VERSION = 0x30, LAPIC_TPR = 0x80, LAPIC_EOI = 0xb0, LAPIC_SVR = 0xf0,
	LAPIC_ISR = 0x100, LAPIC_IRR = 0x200, LAPIC_ICR_LOW = 0x300, LAPIC_ICR_HIGH = 0x310,
	LAPIC_LVT_TIMER = 0x320, LAPIC_LVT_LINT0 = 0x350, LAPIC_TIMER_INITIAL = 0x380,
	LAPIC_TIMER_CURRENT = 0x390, LAPIC_TIMER_DIVIDE = 0x3e0,
};

static inline u32 lapic_read(u32 reg) { return *(volatile u32 *)(LAPIC + reg); }
static inline void lapic_write(u32 reg, u32 value) { *(volatile u32 *)(LAPIC + reg) = value; }

u32 ioapic_read(u32 index);
void ioapic_write(u32 index, u32 value);

/* Software-enables the local APIC and masks the PIC pair. */
void lapic_enable(void);

/* --- time --- */

/* The ACPI power management timer, 3579545 Hz, 32 bits. */
#define PM_TIMER_HZ 3579545ull
u32 pm_timer(void);
/* Waits by the PM timer. */
void wait_us(u64 us);
