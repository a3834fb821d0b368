/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who an interrupt message is for, and what its delivery mode does there (SDM 3A 11.6.2, 11.12.10).
 */
#include "kernel/bits.h"
#include "vmm/dev/lapic.h"
#include "vmm/vm.h"

#define SVR_ENABLED BIT(8)
#define ICR_LOGICAL BIT(11)
#define ICR_ASSERT BIT(14)
#define ICR_LEVEL BIT(15)
#define DFR_FLAT 0xfu /* bits 31:28 */

/* xAPIC: an 8-bit mask, flat or as 4-bit clusters. */
static bool matches_xapic(const struct lapic_state *state, u32 dest)
{
	u32 ldr = state->ldr >> 24;

	if (state->dfr >> 28 == DFR_FLAT)
		return ldr & dest;
	return ((dest >> 4) == (ldr >> 4) || (dest >> 4) == 0xf) && (ldr & dest & 0xf);
}

static bool matches_x2apic(u32 id, u32 dest)
{
	u32 ldr = lapic_x2apic_ldr(id);

	return dest >> 16 == ldr >> 16 && (dest & ldr & 0xffff);
}

static bool is_for(const struct device *dev, const struct apic_message *message)
{
	const struct lapic_state *state = dev->state;

	if (message->is_broadcast)
		return true;
	if (!message->is_logical)
		return message->dest == dev->instance;
	return lapic_is_x2apic(state) ? matches_x2apic(dev->instance, message->dest)
				      : matches_xapic(state, message->dest);
}

static bool receive_vector(struct device *dev, const struct apic_message *message)
{
	const struct lapic_state *state = dev->state;

	/* SDM 3A 11.4.7.2: software-disabled, it takes only INIT, NMI, SMI and SIPI. */
	if (!(state->svr & SVR_ENABLED))
		return false;
	if (message->vector < 16)
		lapic_error(dev, LAPIC_ESR_RECEIVE_ILLEGAL);
	else
		lapic_request(dev, message->vector, message->is_level);
	return true;
}

bool lapic_receive(struct device *dev, const struct apic_message *message)
{
	struct lapic_state *state = dev->state;
	struct vcpu *vcpu = dev->vm->vcpu[dev->instance];

	if (!(state->base & LAPIC_BASE_ENABLED))
		return false;
	switch (message->mode) {
	case APIC_FIXED:
	case APIC_LOWEST:
		return receive_vector(dev, message);
	case APIC_NMI:
		vcpu_nmi(vcpu);
		return true;
	case APIC_INIT:
		lapic_init_signal(dev);
		vcpu_init_signal(vcpu);
		return true;
	case APIC_STARTUP:
		vcpu_sipi(vcpu, message->vector);
		return true;
	case APIC_EXTINT:
		state->is_extint_pending = 1;
		vcpu_kick(vcpu);
		return true;
	default:
		return false; /* SMI: there is no SMM to enter; others are reserved */
	}
}

/* SDM 3A 11.6.2.4: the one whose processor priority is lowest; the first of equals. */
static struct device *lowest_priority(struct vm *vm, const struct apic_message *message)
{
	struct device *best = NULL;

	for (u32 i = 0; i < vm->config.vcpu_count; i++) {
		struct device *dev = vm->lapic[i];
		const struct lapic_state *state = dev->state;

		if (!(state->svr & SVR_ENABLED) || !is_for(dev, message))
			continue;
		if (!best || lapic_priority(state) < lapic_priority(best->state))
			best = dev;
	}
	return best;
}

bool apic_bus_send(struct vm *vm, const struct apic_message *message)
{
	bool is_taken = false;

	if (message->mode == APIC_LOWEST) {
		struct device *dev = lowest_priority(vm, message);

		return dev && lapic_receive(dev, message);
	}
	for (u32 i = 0; i < vm->config.vcpu_count; i++) {
		if (is_for(vm->lapic[i], message))
			is_taken |= lapic_receive(vm->lapic[i], message);
	}
	return is_taken;
}

static void send_to_all(struct device *from, const struct apic_message *message, bool with_self)
{
	for (u32 i = 0; i < from->vm->config.vcpu_count; i++) {
		if (with_self || i != from->instance)
			lapic_receive(from->vm->lapic[i], message);
	}
}

void apic_bus_command(struct device *dev, u32 icr, u32 dest, u32 broadcast)
{
	struct apic_message message = {
		.dest = dest,
		.vector = (u8)icr,
		.mode = (u8)FIELD(icr, 10, 8),
		.is_logical = icr & ICR_LOGICAL,
		.is_broadcast = dest == broadcast,
	};
	bool is_vector = message.mode == APIC_FIXED || message.mode == APIC_LOWEST;

	if (is_vector && message.vector < 16) {
		lapic_error(dev, LAPIC_ESR_SEND_ILLEGAL);
		return;
	}
	/* INIT level de-assert only synchronised arbitration IDs of old processors. */
	if (message.mode == APIC_INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT))
		return;
	switch (FIELD(icr, 19, 18)) {
	case 0:
		apic_bus_send(dev->vm, &message);
		break;
	case 1: /* SDM 3A table 11-3: to itself only fixed is valid */
		if (message.mode == APIC_FIXED)
			lapic_receive(dev, &message);
		break;
	case 2:
		send_to_all(dev, &message, true);
		break;
	case 3:
		send_to_all(dev, &message, false);
		break;
	}
}
