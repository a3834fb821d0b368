/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Route port, MMIO and MSR accesses to devices. What nobody claims behaves like hardware
 * (reads all ones, writes are lost; MSRs: vmm/msr.c decides) and is counted.
 * Called with vm->lock held.
 */
#pragma once

#include "vmm/device.h"

#define BUS_RANGES_MAX 64

enum bus_kind { BUS_PORT, BUS_MMIO, BUS_MSR, BUS_KIND_COUNT };

struct bus_range {
	u64 first;
	u64 last;
	struct device *dev; /* per-vCPU devices: instance 0; the vCPU's own is looked up */
};

struct bus {
	struct bus_range range[BUS_KIND_COUNT][BUS_RANGES_MAX];
	u32 count[BUS_KIND_COUNT];
	u64 unknown_count[BUS_KIND_COUNT];
	u64 last_unknown[BUS_KIND_COUNT]; /* address of the last one, for vm show */
};

/* The device's claims are void; for devices that are detached. */
void bus_release(struct device *dev);

u64 bus_port_read(struct vcpu *vcpu, u16 port, u8 size);
void bus_port_write(struct vcpu *vcpu, u16 port, u8 size, u64 value);
u64 bus_mmio_read(struct vcpu *vcpu, u64 gpa, u8 size);
void bus_mmio_write(struct vcpu *vcpu, u64 gpa, u8 size, u64 value);

enum bus_msr_result { BUS_MSR_DONE, BUS_MSR_FAULT, BUS_MSR_UNCLAIMED };
enum bus_msr_result bus_msr_read(struct vcpu *vcpu, u32 index, u64 *value);
enum bus_msr_result bus_msr_write(struct vcpu *vcpu, u32 index, u64 value);
