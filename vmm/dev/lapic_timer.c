/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC's timer: one-shot, periodic and TSC-deadline (SDM 3A 11.5.4).
 *
 * Counting modes keep the VM time at which the count reaches 0, so that time passes
 * without anybody's help; the deadline mode keeps the guest's TSC value. The host's timer is
 * armed, on the vCPU's own CPU, only while expiry would be seen: not when LVT is masked.
 */
#include "kernel/bits.h"
#include "vmm/dev/lapic.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

/* A deadline further away is looked at again then: no conversion overflows. */
#define DEADLINE_REACH_MS (24ull * 3600 * 1000)

static bool is_deadline_mode(const struct lapic_state *state)
{
	return (state->lvt[LVT_TIMER] & LVT_TIMER_MODE) == LVT_TIMER_DEADLINE;
}

static bool is_periodic(const struct lapic_state *state)
{
	return (state->lvt[LVT_TIMER] & LVT_TIMER_MODE) == LVT_TIMER_PERIODIC;
}

/* ns of one count. SDM 3A figure 11-10: bits 3, 1, 0; 111b divides by 1. LAPIC_TIMER_HZ is 1 GHz. */
static u64 count_ns(const struct lapic_state *state)
{
	u32 code = (state->timer_divide & 3) | (state->timer_divide & 8) >> 1;

	return 1ull << ((code + 1) & 7);
}

static u64 period_ns(const struct lapic_state *state)
{
	u64 ns = state->timer_initial * count_ns(state);

	return is_periodic(state) ? MAX(ns, DEVICE_PERIOD_MIN_NS) : ns;
}

static struct vcpu *vcpu_of(const struct device *dev) { return dev->vm->vcpu[dev->instance]; }

static void arm(struct device *dev, u64 vm_ns)
{
	device_timer_arm(&((struct lapic_wires *)dev->wires)->timer, vm_ns);
}

static void update_deadline(struct device *dev)
{
	struct lapic_state *state = dev->state;
	u64 vm_tsc = vtime_tsc_now(dev->vm);
	u64 guest_tsc = vm_tsc + vcpu_of(dev)->tsc_adjust;

	if (state->timer_deadline && guest_tsc >= state->timer_deadline) {
		state->timer_deadline = 0;
		lapic_fire(dev, LVT_TIMER);
	}
	if (state->timer_deadline && !(state->lvt[LVT_TIMER] & LVT_MASKED)) {
		u64 left = state->timer_deadline - guest_tsc;

		left = MIN(left, DEADLINE_REACH_MS * vtime_tsc_khz(dev->vm));
		arm(dev, vtime_tsc_to_ns(dev->vm, vm_tsc + left));
	} else {
		lapic_timer_disarm(dev);
	}
}

static void update_count(struct device *dev)
{
	struct lapic_state *state = dev->state;
	u64 now_ns = vtime_now_ns(dev->vm);

	if (state->timer_next_ns && state->timer_next_ns <= now_ns) {
		u64 late_ns = now_ns - state->timer_next_ns, period = period_ns(state);

		state->timer_next_ns = is_periodic(state) ? now_ns - late_ns % period + period : 0;
		lapic_fire(dev, LVT_TIMER);
	}
	if (!state->timer_next_ns || (state->lvt[LVT_TIMER] & LVT_MASKED))
		lapic_timer_disarm(dev);
	else
		arm(dev, state->timer_next_ns);
}

void lapic_timer_update(struct device *dev)
{
	if (is_deadline_mode(dev->state))
		update_deadline(dev);
	else
		update_count(dev);
}

void lapic_timer_disarm(struct device *dev)
{
	device_timer_disarm(&((struct lapic_wires *)dev->wires)->timer);
}

u32 lapic_timer_count(struct device *dev)
{
	struct lapic_state *state = dev->state;
	u64 now_ns = vtime_now_ns(dev->vm), count;

	if (is_deadline_mode(state) || !state->timer_next_ns)
		return 0;
	if (state->timer_next_ns <= now_ns) {
		lapic_timer_update(dev);
		if (!state->timer_next_ns)
			return 0;
	}
	count = (state->timer_next_ns - now_ns + count_ns(state) - 1) / count_ns(state);
	return (u32)MIN(count, state->timer_initial);
}

void lapic_timer_set_initial(struct device *dev, u32 count)
{
	struct lapic_state *state = dev->state;

	/* SDM 3A 11.5.4.1: ignored in TSC-deadline mode. */
	if (is_deadline_mode(state))
		return;
	state->timer_initial = count;
	state->timer_next_ns = count ? vtime_now_ns(dev->vm) + period_ns(state) : 0;
	update_count(dev);
}

/* The count goes on from where it is, at the new speed. */
void lapic_timer_set_divide(struct device *dev, u32 divide)
{
	struct lapic_state *state = dev->state;
	u32 count = lapic_timer_count(dev);

	state->timer_divide = divide;
	if (!count)
		return;
	state->timer_next_ns = vtime_now_ns(dev->vm) + count * count_ns(state);
	update_count(dev);
}

void lapic_timer_set_lvt(struct device *dev, u32 lvt)
{
	struct lapic_state *state = dev->state;
	bool was_deadline = is_deadline_mode(state);

	if (!was_deadline)
		update_count(dev); /* what expired until now did so under the old entry */
	state->lvt[LVT_TIMER] = lvt;
	/* SDM 3A 11.5.4.1: a change to or from TSC-deadline mode disarms the timer. */
	if (was_deadline != is_deadline_mode(state)) {
		state->timer_deadline = 0;
		state->timer_next_ns = 0;
	}
	lapic_timer_update(dev);
}

u64 lapic_timer_get_deadline(struct device *dev)
{
	struct lapic_state *state = dev->state;

	if (!is_deadline_mode(state))
		return 0;
	update_deadline(dev);
	return state->timer_deadline;
}

void lapic_timer_set_deadline(struct device *dev, u64 deadline)
{
	struct lapic_state *state = dev->state;

	/* SDM 3A 11.5.4.1: ignored in the other modes; 0 disarms. */
	if (!is_deadline_mode(state))
		return;
	state->timer_deadline = deadline;
	update_deadline(dev);
}
