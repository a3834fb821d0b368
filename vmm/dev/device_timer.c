/* SPDX-License-Identifier: BSD-2-Clause */
/* A device's timer in VM time: the lock, and the question whether the device still runs. */
#include "vmm/dev/device_timer.h"

#include "kernel/clock.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

static void callback(struct timer *from)
{
	struct device_timer *timer = container_of(from, struct device_timer, timer);
	struct device *dev = timer->dev;

	lock_take(&dev->vm->lock);
	/* It may have been stopped, even started again, while this waited for the lock. */
	if (dev->is_started)
		timer->update(dev);
	lock_give(&dev->vm->lock);
}

void device_timer_setup(struct device_timer *timer, struct device *dev, void (*update)(struct device *dev))
{
	timer->dev = dev;
	timer->update = update;
	timer_setup(&timer->timer, callback);
}

void device_timer_arm(struct device_timer *timer, u64 vm_ns)
{
	struct vm *vm = timer->dev->vm;

	timer_arm(&timer->timer, vm->vcpu[timer->dev->instance]->runnable.cpu, vtime_to_host_ns(vm, vm_ns));
}

bool device_timer_is_due(const struct device_timer *timer, u64 ns)
{
	return timer->timer.is_armed && timer->timer.deadline_ns < clock_now_ns() + ns;
}

void device_timer_disarm(struct device_timer *timer) { timer_disarm(&timer->timer); }
void device_timer_cancel(struct device_timer *timer) { timer_cancel(&timer->timer); }
