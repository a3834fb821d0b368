/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Per-CPU data of the machine, found through the GS base. GS must be right whenever C
 * code of Tern runs; a back end restores it before its first C instruction after an exit.
 */
#pragma once

#include "kernel/machine.h"

struct percpu {
	struct percpu *self;    /* at gs:0 */
	u32 cpu;                /* 0..cpu_count-1; at gs:8 */
	u32 apic_id;
	u64 trap_stack[3];      /* tops of the stacks for #DF, NMI, #MC (trap.c fills the TSS from it) */
	u64 stack_top;          /* of the loop */
	u64 gdt[8];
	u8 tss[104] ALIGNED(8); /* SDM 3A 8.7: 64-bit TSS */
	bool is_running;
} ALIGNED(64);

extern struct percpu percpu_table[CPU_MAX];

static inline struct percpu *this_percpu(void)
{
	struct percpu *self;

	__asm__("movq %%gs:0, %0" : "=r"(self));
	return self;
}

static inline unsigned this_cpu(void)
{
	u32 cpu;

	__asm__("movl %%gs:8, %0" : "=r"(cpu));
	return cpu;
}

/* GDT, TSS, GS base, IDT and control registers of the calling CPU; cpu and stacks are set already. */
void percpu_load(struct percpu *percpu);
/* Control registers, EFER and XCR0 as Tern wants them (arch/percpu.c says which). */
void percpu_set_controls(void);

enum { SELECTOR_CODE = 0x08, SELECTOR_DATA = 0x10, SELECTOR_TSS = 0x18 };
