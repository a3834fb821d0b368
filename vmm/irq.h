/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines and messages from devices to local APICs. Called with vm->lock held.
 *
 * Lines are the platform's global system interrupts: ISA IRQs at 0..15 (IRQ 0 at GSI 2),
 * the SCI at 9. A line goes to the IO-APIC and, for 0..15, to the PIC pair.
 */
#pragma once

#include "kernel/types.h"

struct vcpu;
struct vm;

#define IRQ_TIMER 0   /* PIT */
#define IRQ_TIMER_PIN 2 /* of the IO-APIC for IRQ 0: pin 0 would be the PIC's output; the MADT says so */
#define IRQ_COM1 4
#define IRQ_RTC 8
#define IRQ_SCI 9     /* level, active high as declared in the MADT */

void irq_set_line(struct vm *vm, unsigned irq, bool is_high);
/* low then high: an edge */
void irq_pulse_line(struct vm *vm, unsigned irq);

/* --- what the vCPU loop asks --- */

/* Highest vector that the vCPU could take now if IF is set (local APIC, or PIC by ExtINT); -1: none. */
int irq_pending_vector(struct vcpu *vcpu);
/*
 * Highest vector that only the task priority holds back, -1: none. The guest can lower CR8 without an
 * exit: such a vector needs one at the moment when CR8 falls below vector >> 4.
 */
int irq_blocked_vector(struct vcpu *vcpu);
/* The vector is being delivered to the vCPU: moves IRR to ISR (or acknowledges the PIC). */
void irq_accept(struct vcpu *vcpu, int vector);
/* Keeps the local APIC's task priority and the hardware's CR8 the same (hv_vcpu.tpr). */
u8 irq_get_tpr(struct vcpu *vcpu);
void irq_set_tpr(struct vcpu *vcpu, u8 cr8);
