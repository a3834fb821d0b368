/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a device is, and how its state is declared.
 *
 * A device is two structures and nothing else. state is sent as it lies in memory when
 * the guest moves; wires (timers, host pointers) are never sent and are made again by
 * start(). Handlers receive only struct device *, and the only way onto the bus is
 * vm_attach(), so a device that works is a device that migrates.
 *
 * All operations but detach run with vm->lock held, on any CPU. A device is either stopped (state
 * is complete, wires are dead) or started. Reads and writes come only when started.
 * Time in state is VM time in ns (vmm/vtime.h), never a host clock. VM time runs before
 * start() and until after stop(). A timer's callback runs without the lock: it takes the lock,
 * then looks whether the device is still started and whether its time has really come.
 */
#pragma once

#include "kernel/list.h"
#include "kernel/state.h"
#include "kernel/types.h"

struct device;
struct vcpu;
struct vm;

#define DEVICE_NAME_MAX 16
#define DEVICE_STATE_MAX (64 * KIB) /* largest record of a device on the wire */

struct device_type {
	const char *name;         /* on the wire too; at most DEVICE_NAME_MAX - 1 */
	u16 version;              /* of state's layout and meaning */
	u16 state_bytes;
	u16 wires_bytes;
	bool is_per_vcpu;         /* one instance for each vCPU, instance = vCPU index */

	/* The peer may be lying: 0 if start() and all handlers are safe with this state. Pure. Required. */
	int (*check)(const void *state);
	/*
	 * Declares ports, MMIO and MSRs (bus_claim_...). Once for each device, at vm_attach. Of a
	 * per-vCPU type, instance 0 claims for all.
	 */
	int (*attach)(struct device *dev);
	/* Power-on values into state. Also when the guest resets the machine; stopped. Required. */
	void (*reset)(struct device *dev);
	/* Make wires from state; arm timers. */
	void (*start)(struct device *dev);
	/* Fold wires back into state; no timer of the device runs after this. */
	void (*stop)(struct device *dev);
	/* Something is half-way that will soon be whole (a line being sent): a good moment to stop comes soon. Optional. */
	bool (*is_busy)(const struct device *dev);
	/* The guest is being interrupted, or will be within ns of host time: better to stop it after that. Optional. */
	bool (*is_due)(const struct device *dev, u64 ns);
	/* Before the device is freed; it is stopped. vm->lock is not held, so it may wait (timer_cancel). Optional. */
	void (*detach)(struct device *dev);

	/* port and gpa are absolute; size is 1, 2, 4 (8 for MMIO). */
	u64 (*port_read)(struct device *dev, u16 port, u8 size);
	void (*port_write)(struct device *dev, u16 port, u8 size, u64 value);
	u64 (*mmio_read)(struct device *dev, u64 gpa, u8 size);
	void (*mmio_write)(struct device *dev, u64 gpa, u8 size, u64 value);
	/* False: the guest gets #GP(0). */
	bool (*msr_read)(struct device *dev, u32 index, u64 *value);
	bool (*msr_write)(struct device *dev, u32 index, u64 value);
};

struct device {
	struct list link;         /* vm->devices, in order of attachment: also the order on the wire */
	const struct device_type *type;
	struct vm *vm;
	u32 instance;
	bool is_started;
	void *state;
	void *wires;
};

/*
 * Declares the type id##_type for struct id##_state and struct id##_wires with functions
 * id_check, id_attach, id_reset, id_start, id_stop. The expected size is written by hand:
 * changing the state stops the build until the version has been considered. Further
 * members follow as designated initialisers:
 *   DEVICE_TYPE(pit, 1, 48, .port_read = pit_read, .port_write = pit_write);
 */
#define DEVICE_TYPE(id, version_, bytes, ...)                                                  \
	_Static_assert(sizeof(struct id##_state) == (bytes),                                    \
		       #id ": state changed: consider its version");                           \
	const struct device_type id##_type = {                                                 \
		.name = #id, .version = version_, .state_bytes = bytes,                        \
		.wires_bytes = sizeof(struct id##_wires), .check = id##_check,                 \
		.attach = id##_attach, .reset = id##_reset, .start = id##_start,               \
		.stop = id##_stop, __VA_ARGS__                                                 \
	};                                                                                     \
	LINKER_SET(".device_types") static const struct device_type *const id##_type_entry = &id##_type

/* All types in the image. */
extern const struct device_type *const device_types_start[], *const device_types_end[];

/* Attaches one device (all vCPUs' for is_per_vcpu types), reset and stopped. 0, -ENOMEM, -EBUSY (range taken), -ENOSPC. */
int vm_attach(struct vm *vm, const struct device_type *type);
/* NULL if there is none. */
struct device *vm_device(struct vm *vm, const struct device_type *type, u32 instance);
void vm_detach_all(struct vm *vm);
/* Does any device say so? Takes vm->lock. A hint that may be stale at once. */
bool vm_is_busy(struct vm *vm);
bool vm_is_due(struct vm *vm, u64 ns);

/* All devices in the order of attachment, those that are not yet started; and all, backwards. */
void vm_start_devices(struct vm *vm);
void vm_stop_devices(struct vm *vm);
/* Power-on values in all devices; they are stopped. */
void vm_reset_devices(struct vm *vm);

/* From attach() only. 0, -EBUSY, -ENOSPC. */
int bus_claim_ports(struct device *dev, u16 first, u16 count);
int bus_claim_mmio(struct device *dev, u64 gpa, u64 bytes);
int bus_claim_msrs(struct device *dev, u32 first, u32 count);
