/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A device's timer in VM time: its wires hold one of these. update() is the device's own "do what
 * is due and arm for the rest"; it is called with vm->lock held and may be called too early or for nothing.
 */
#pragma once

#include "kernel/timer.h"
#include "vmm/device.h"

struct device_timer {
	struct timer timer;
	struct device *dev;
	void (*update)(struct device *dev);
};

/* Once, in attach(). */
void device_timer_setup(struct device_timer *timer, struct device *dev, void (*update)(struct device *dev));
/* On the CPU of the vCPU that the device's instance belongs to, so that delivery there needs no kick. */
void device_timer_arm(struct device_timer *timer, u64 vm_ns);
void device_timer_disarm(struct device_timer *timer);
/* Armed, and due within ns of host time. A hint. */
bool device_timer_is_due(const struct device_timer *timer, u64 ns);
/* In detach(): after this update() does not run and will not. vm->lock is not held. */
void device_timer_cancel(struct device_timer *timer);

/*
 * No guest gets a CPU's loop for periodic work more often than this: shorter periods are as long as
 * this. Periods that were missed are one event.
 */
#define DEVICE_PERIOD_MIN_NS (20 * NS_PER_US)
/* What check() takes for a time in VM ns: 146 years, so that sums do not overflow. */
#define DEVICE_TIME_MAX_NS (1ull << 62)
