/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attach devices to a VM, and start and stop them together.
 *
 * vm->devices is in order of attachment; the instances of a per-vCPU type are neighbours
 * there, by vCPU. Started in that order and stopped in the reverse, so what was attached
 * first (time, then interrupts) is there for all that follow. CPU 0 only, vm->lock held
 * once the VM's vCPUs run.
 */
#include "vmm/device.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/panic.h"
#include "vmm/vm.h"

static void device_destroy(struct device *dev)
{
	assert_or_panic(!dev->is_started);
	bus_release(dev);
	list_remove(&dev->link);
	heap_free(dev->state);
	heap_free(dev->wires);
	heap_free(dev);
}

static struct device *device_create(struct vm *vm, const struct device_type *type, u32 instance)
{
	struct device *dev = heap_alloc(sizeof(*dev));

	if (!dev)
		return NULL;
	*dev = (struct device){ .type = type, .vm = vm, .instance = instance };
	/* A type may have no state or no wires; its pointers are good all the same. */
	dev->state = heap_alloc(MAX(type->state_bytes, 1));
	dev->wires = heap_alloc(MAX(type->wires_bytes, 1));
	list_add_tail(&vm->devices, &dev->link);
	if (dev->state && dev->wires)
		return dev;
	device_destroy(dev);
	return NULL;
}

static int device_attach(struct vm *vm, const struct device_type *type, u32 instance)
{
	struct device *dev = device_create(vm, type, instance);
	int err;

	if (!dev)
		return -ENOMEM;
	err = type->attach ? type->attach(dev) : 0;
	if (err) {
		device_destroy(dev);
		return err;
	}
	type->reset(dev);
	return 0;
}

static void device_detach(struct device *dev)
{
	if (dev->type->detach)
		dev->type->detach(dev);
	device_destroy(dev);
}

int vm_attach(struct vm *vm, const struct device_type *type)
{
	u32 count = type->is_per_vcpu ? vm->config.vcpu_count : 1;

	for (u32 i = 0; i < count; i++) {
		int err = device_attach(vm, type, i);

		if (!err)
			continue;
		while (i--)
			device_detach(vm_device(vm, type, i));
		return err;
	}
	return 0;
}

struct device *vm_device(struct vm *vm, const struct device_type *type, u32 instance)
{
	list_for_each(dev, &vm->devices, struct device, link) {
		if (dev->type == type && dev->instance == instance)
			return dev;
	}
	return NULL;
}

void vm_detach_all(struct vm *vm)
{
	while (!list_is_empty(&vm->devices))
		device_detach(list_entry(vm->devices.prev, struct device, link));
}

void vm_start_devices(struct vm *vm)
{
	list_for_each(dev, &vm->devices, struct device, link) {
		if (dev->is_started)
			continue;
		dev->is_started = true;
		if (dev->type->start)
			dev->type->start(dev);
	}
}

void vm_stop_devices(struct vm *vm)
{
	for (struct list *at = vm->devices.prev; at != &vm->devices; at = at->prev) {
		struct device *dev = list_entry(at, struct device, link);

		if (!dev->is_started)
			continue;
		if (dev->type->stop)
			dev->type->stop(dev);
		dev->is_started = false;
	}
}

void vm_reset_devices(struct vm *vm)
{
	list_for_each(dev, &vm->devices, struct device, link)
		dev->type->reset(dev);
}

bool vm_is_busy(struct vm *vm)
{
	bool is_busy = false;

	lock_take(&vm->lock);
	list_for_each(dev, &vm->devices, struct device, link) {
		if (dev->type->is_busy && dev->type->is_busy(dev))
			is_busy = true;
	}
	lock_give(&vm->lock);
	return is_busy;
}

bool vm_is_due(struct vm *vm, u64 ns)
{
	bool is_due = false;

	lock_take(&vm->lock);
	list_for_each(dev, &vm->devices, struct device, link) {
		if (dev->type->is_due && dev->type->is_due(dev, ns))
			is_due = true;
	}
	lock_give(&vm->lock);
	return is_due;
}
