/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The three address spaces of a VM: ports, MMIO, MSRs.
 *
 * Claims are kept sorted by address and never overlap, so routing is a binary search. An
 * access belongs to a device only if all of its bytes do: a 32-bit write to CF8h is not
 * the byte write to CF9h that resets the machine.
 */
#include "vmm/bus.h"
#include "kernel/bits.h"
#include "kernel/errno.h"
#include "vmm/vm.h"

/* --- claims --- */

static int bus_claim(struct device *dev, enum bus_kind kind, u64 first, u64 count)
{
	struct bus *bus = &dev->vm->bus;
	struct bus_range *range = bus->range[kind];
	u64 last = first + count - 1;
	u32 at = 0;

	/* The claims of instance 0 stand for all instances; bus_route finds the vCPU's own. */
	if (dev->instance)
		return 0;
	while (at < bus->count[kind] && range[at].last < first)
		at++;
	if (at < bus->count[kind] && range[at].first <= last)
		return -EBUSY;
	if (bus->count[kind] == BUS_RANGES_MAX)
		return -ENOSPC;
	for (u32 i = bus->count[kind]++; i > at; i--)
		range[i] = range[i - 1];
	range[at] = (struct bus_range){ first, last, dev };
	return 0;
}

int bus_claim_ports(struct device *dev, u16 first, u16 count)
{
	return bus_claim(dev, BUS_PORT, first, count);
}

int bus_claim_mmio(struct device *dev, u64 gpa, u64 bytes)
{
	return bus_claim(dev, BUS_MMIO, gpa, bytes);
}

int bus_claim_msrs(struct device *dev, u32 first, u32 count)
{
	return bus_claim(dev, BUS_MSR, first, count);
}

void bus_release(struct device *dev)
{
	struct bus *bus = &dev->vm->bus;

	for (unsigned kind = 0; kind < BUS_KIND_COUNT; kind++) {
		u32 kept = 0;

		for (u32 i = 0; i < bus->count[kind]; i++) {
			if (bus->range[kind][i].dev != dev)
				bus->range[kind][kept++] = bus->range[kind][i];
		}
		bus->count[kind] = kept;
	}
}

/* --- routing --- */

static struct device *bus_own_instance(struct device *dev, const struct vcpu *vcpu)
{
	if (dev->type->is_per_vcpu) {
		for (u32 i = 0; i < vcpu->index; i++)
			dev = list_entry(dev->link.next, struct device, link);
	}
	return dev;
}

/* The device that has all of [first, first + bytes), or NULL. */
static struct device *bus_route(struct vcpu *vcpu, enum bus_kind kind, u64 first, u64 bytes)
{
	const struct bus *bus = &vcpu->vm->bus;
	const struct bus_range *range = bus->range[kind];
	u32 low = 0, high = bus->count[kind];

	while (low < high) {
		u32 middle = (low + high) / 2;

		if (range[middle].last < first)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == bus->count[kind] || first < range[low].first || first + bytes - 1 > range[low].last)
		return NULL;
	return bus_own_instance(range[low].dev, vcpu);
}

static void bus_count_unknown(struct vcpu *vcpu, enum bus_kind kind, u64 address)
{
	struct bus *bus = &vcpu->vm->bus;

	bus->unknown_count[kind]++;
	bus->last_unknown[kind] = address;
}

static u64 all_ones(u8 size) { return BITS(size * 8u - 1, 0); }

u64 bus_port_read(struct vcpu *vcpu, u16 port, u8 size)
{
	struct device *dev = bus_route(vcpu, BUS_PORT, port, size);

	if (dev && dev->type->port_read)
		return dev->type->port_read(dev, port, size) & all_ones(size);
	bus_count_unknown(vcpu, BUS_PORT, port);
	return all_ones(size);
}

void bus_port_write(struct vcpu *vcpu, u16 port, u8 size, u64 value)
{
	struct device *dev = bus_route(vcpu, BUS_PORT, port, size);

	if (dev && dev->type->port_write)
		dev->type->port_write(dev, port, size, value & all_ones(size));
	else
		bus_count_unknown(vcpu, BUS_PORT, port);
}

u64 bus_mmio_read(struct vcpu *vcpu, u64 gpa, u8 size)
{
	struct device *dev = bus_route(vcpu, BUS_MMIO, gpa, size);

	if (dev && dev->type->mmio_read)
		return dev->type->mmio_read(dev, gpa, size) & all_ones(size);
	bus_count_unknown(vcpu, BUS_MMIO, gpa);
	return all_ones(size);
}

void bus_mmio_write(struct vcpu *vcpu, u64 gpa, u8 size, u64 value)
{
	struct device *dev = bus_route(vcpu, BUS_MMIO, gpa, size);

	if (dev && dev->type->mmio_write)
		dev->type->mmio_write(dev, gpa, size, value & all_ones(size));
	else
		bus_count_unknown(vcpu, BUS_MMIO, gpa);
}

enum bus_msr_result bus_msr_read(struct vcpu *vcpu, u32 index, u64 *value)
{
	struct device *dev = bus_route(vcpu, BUS_MSR, index, 1);

	if (dev && dev->type->msr_read)
		return dev->type->msr_read(dev, index, value) ? BUS_MSR_DONE : BUS_MSR_FAULT;
	bus_count_unknown(vcpu, BUS_MSR, index);
	return BUS_MSR_UNCLAIMED;
}

enum bus_msr_result bus_msr_write(struct vcpu *vcpu, u32 index, u64 value)
{
	struct device *dev = bus_route(vcpu, BUS_MSR, index, 1);

	if (dev && dev->type->msr_write)
		return dev->type->msr_write(dev, index, value) ? BUS_MSR_DONE : BUS_MSR_FAULT;
	bus_count_unknown(vcpu, BUS_MSR, index);
	return BUS_MSR_UNCLAIMED;
}
