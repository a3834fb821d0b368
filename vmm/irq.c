/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the platform's interrupt lines and messages go, and what a vCPU is to take next.
 *
 * The PIC's interrupt comes before the local APIC's: it is ExtINT, which has no priority there
 * (SDM 3A 11.8.1).
 */
#include "vmm/irq.h"
#include "kernel/bits.h"
#include "vmm/dev/ioapic.h"
#include "vmm/dev/lapic.h"
#include "vmm/dev/pic.h"
#include "vmm/vm.h"

#define ISA_IRQS 16

void irq_set_line(struct vm *vm, unsigned irq, bool is_high)
{
	if (irq < ISA_IRQS)
		pic_set_line(vm->pic, irq, is_high);
	if (irq < IOAPIC_PINS)
		ioapic_set_pin(vm->ioapic, irq == IRQ_TIMER ? IRQ_TIMER_PIN : irq, is_high);
}

void irq_pulse_line(struct vm *vm, unsigned irq)
{
	irq_set_line(vm, irq, false);
	irq_set_line(vm, irq, true);
}

static bool takes_pic(struct vcpu *vcpu)
{
	struct vm *vm = vcpu->vm;

	return lapic_takes_extint(vm->lapic[vcpu->index]) && pic_has_interrupt(vm->pic);
}

int irq_pending_vector(struct vcpu *vcpu)
{
	if (takes_pic(vcpu))
		return pic_peek_vector(vcpu->vm->pic);
	return lapic_pending_vector(vcpu->vm->lapic[vcpu->index]);
}

int irq_blocked_vector(struct vcpu *vcpu)
{
	return lapic_blocked_vector(vcpu->vm->lapic[vcpu->index]);
}

void irq_accept(struct vcpu *vcpu, int vector)
{
	struct vm *vm = vcpu->vm;
	struct device *lapic = vm->lapic[vcpu->index];

	if (takes_pic(vcpu) && pic_peek_vector(vm->pic) == vector) {
		((struct lapic_state *)lapic->state)->is_extint_pending = 0;
		pic_acknowledge(vm->pic);
	} else {
		lapic_accept(lapic, (u8)vector);
	}
}

u8 irq_get_tpr(struct vcpu *vcpu) { return lapic_get_cr8(vcpu->vm->lapic[vcpu->index]); }
void irq_set_tpr(struct vcpu *vcpu, u8 cr8) { lapic_set_cr8(vcpu->vm->lapic[vcpu->index], cr8); }
