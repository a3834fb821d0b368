/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A stopped VM to records and back, by walking its devices: no device is known here by name.
 * Order on the wire: devices in order of attachment, then vCPUs by index.
 */
#pragma once

#include "migrate/wire.h"

struct vm;
struct vcpu_state;

/* Describes the VM's devices; returns how many, or 0 if there are more than max. */
u32 image_list(struct vm *vm, struct wire_device_entry *entry, u32 max);
/* Bytes on the stream of all DEVICE and VCPU records. */
u64 image_wire_bytes(struct vm *vm);
/*
 * Sends all DEVICE and VCPU records of the halted and settled VM and adds them to *digest. The wire
 * must have room for image_wire_bytes. scratch is the caller's, so that nothing is allocated here.
 */
int image_send(struct vm *vm, struct wire *wire, struct vcpu_state *scratch, u64 *digest);

/* The receiving side's staging area: nothing reaches the VM before all of it was checked. */
struct image {
	struct vm *vm;
	u8 *state;             /* of all devices, one after the other */
	struct vcpu_state *vcpu;
	u32 device_count, vcpu_count;
	u32 devices_taken, vcpus_taken;
	struct device *next;
	u32 next_at;           /* in state */
	u64 digest;
};

/* For an incoming VM, at the offer. 0 or -ENOMEM. */
int image_init(struct image *image, struct vm *vm);
void image_fini(struct image *image);
/* Takes one record out of a wire's scratch. False: *reason says what is wrong with it. */
bool image_take_device(struct image *image, const void *payload, u32 bytes,
		       struct wire_reason *reason);
bool image_take_vcpu(struct image *image, const void *payload, u32 bytes,
		     struct wire_reason *reason);
bool image_is_complete(const struct image *image);
/*
 * Does with the VM's own power-on state all that will be done with the state that comes, so that
 * nothing in the stun is done for the first time. Before any record was taken; scratch has room for
 * a record.
 */
void image_rehearse(struct image *image, void *scratch);
/* Loads what was taken into the VM. */
void image_apply(struct image *image);
