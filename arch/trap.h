/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exceptions and interrupts of Tern itself: IDT, vectors, handlers.
 *
 * Tern runs with interrupts off; they are taken in machine->idle and in
 * cpu_irq_window() only. A handler takes no lock: it acknowledges the device, sets a
 * flag and calls service_wake or sched_note.
 */
#pragma once

#include "kernel/types.h"

/* What trap.S pushes, from low to high addresses. */
struct trap_frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8;
	u64 rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error;
	u64 rip, cs, rflags, rsp, ss;
};

/* Vectors of fixed use; the rest of 0x30..0xef is given out by irq_allocate. */
enum {
	VECTOR_DB = 1, VECTOR_NMI = 2, VECTOR_DF = 8, VECTOR_GP = 13, VECTOR_PF = 14, VECTOR_MC = 18,
	VECTOR_FIRST = 0x30,
	VECTOR_LAST = 0xef,
	VECTOR_TIMER = 0xf0,
	VECTOR_KICK = 0xf1,
	VECTOR_SPURIOUS = 0xff, /* SDM 3A 11.9: low four bits 1 on old APICs */
};

typedef void (*irq_handler)(void *context);

/* The IDT, once, on the boot CPU; then trap_load on every CPU. */
void trap_init(void);
void trap_load(void);
/* Address of the IDT, for what loads it by itself. */
u64 trap_idt_base(void);

/* A free vector for irq_register, or -ENOSPC. Boot CPU's loop only. */
int irq_allocate(void);
void irq_release(int vector);
/* handler runs with interrupts off and is followed by the EOI. NULL takes it away. */
void irq_register(int vector, irq_handler handler, void *context);
/* Interrupts taken on vector since start, and those that no handler wanted. */
u64 irq_count(int vector);
u64 irq_spurious_count(void);
u64 nmi_count(void);

/* As rdmsr and wrmsr, but a #GP is answered -EIO: for probing. */
int rdmsr_safe(u32 msr, u64 *value);
int wrmsr_safe(u32 msr, u64 value);
