/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VM to records and back. The sender writes each device's state as it lies in memory; the
 * receiver has each state checked by its own device type before any of it is loaded.
 * CPU 0, VM halted (sender) or incoming (receiver); takes vm->lock.
 */
#include "migrate/image.h"

#include "arch/hv.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/string.h"
#include "migrate/digest.h"
#include "vmm/device.h"
#include "vmm/vm.h"

_Static_assert(DEVICE_STATE_MAX <= WIRE_STATE_MAX, "every device fits a record");
_Static_assert(sizeof(((struct wire_device_entry *)0)->name) == DEVICE_NAME_MAX, "names fit");

static void describe(const struct device *dev, struct wire_device_entry *entry)
{
	memset(entry, 0, sizeof(*entry));
	str_copy(entry->name, sizeof(entry->name), dev->type->name);
	entry->instance = dev->instance;
	entry->version = dev->type->version;
	entry->bytes = dev->type->state_bytes;
}

u32 image_list(struct vm *vm, struct wire_device_entry *entry, u32 max)
{
	u32 count = 0;

	list_for_each(dev, &vm->devices, struct device, link) {
		if (count == max)
			return 0;
		describe(dev, &entry[count++]);
	}
	return count;
}

u64 image_wire_bytes(struct vm *vm)
{
	u64 bytes = vm->config.vcpu_count *
		    wire_record_bytes(sizeof(struct wire_vcpu) + sizeof(struct vcpu_state));

	list_for_each(dev, &vm->devices, struct device, link)
		bytes += wire_record_bytes(sizeof(struct wire_device) + dev->type->state_bytes);
	return bytes;
}

static int send_devices(struct vm *vm, struct wire *wire, u64 *ordinal, u64 *digest)
{
	int err = 0;

	lock_take(&vm->lock);
	list_for_each(dev, &vm->devices, struct device, link) {
		struct wire_device record;

		describe(dev, &record.entry);
		err = wire_put2(wire, WIRE_DEVICE, &record, sizeof(record), dev->state,
				dev->type->state_bytes);
		if (err)
			break;
		*digest += digest_mix((*ordinal)++,
				      digest_bytes(dev->state, dev->type->state_bytes));
	}
	lock_give(&vm->lock);
	return err;
}

int image_send(struct vm *vm, struct wire *wire, struct vcpu_state *scratch, u64 *digest)
{
	u64 ordinal = DIGEST_ORDINAL_STATE;
	int err = send_devices(vm, wire, &ordinal, digest);

	for (u32 i = 0; !err && i < vm->config.vcpu_count; i++) {
		struct wire_vcpu record = { .index = i, .bytes = sizeof(*scratch) };

		memset(scratch, 0, sizeof(*scratch));
		vcpu_save(vm->vcpu[i], scratch);
		err = wire_put2(wire, WIRE_VCPU, &record, sizeof(record), scratch,
				sizeof(*scratch));
		*digest += digest_mix(ordinal++, digest_bytes(scratch, sizeof(*scratch)));
	}
	return err;
}

/* --- receiving --- */

int image_init(struct image *image, struct vm *vm)
{
	u32 bytes = 0;

	*image = (struct image){ .vm = vm, .vcpu_count = vm->config.vcpu_count };
	list_for_each(dev, &vm->devices, struct device, link) {
		bytes += ALIGN_UP((u32)dev->type->state_bytes, 16u);
		image->device_count++;
	}
	image->next = list_first(&vm->devices, struct device, link);
	image->state = heap_alloc(MAX(bytes, 16u));
	image->vcpu = heap_alloc(image->vcpu_count * sizeof(image->vcpu[0]));
	if (image->state && image->vcpu)
		return 0;
	image_fini(image);
	return -ENOMEM;
}

void image_fini(struct image *image)
{
	heap_free(image->state);
	heap_free(image->vcpu);
	*image = (struct image){ .vm = NULL };
}

static bool refuse(struct wire_reason *reason, const char *what, const char *name, u32 number)
{
	wire_reason_set(reason, "E-DEVICE-STATE", "%s (%s %u)", what, name, number);
	return false;
}

bool image_take_device(struct image *image, const void *payload, u32 bytes,
		       struct wire_reason *reason)
{
	const struct wire_device *record = payload;
	const void *state = record + 1;
	struct device *dev = image->next;
	struct wire_device_entry want;
	void *slot;

	if (!dev || image->vcpus_taken)
		return refuse(reason, "more devices came than were offered", "number",
			      image->devices_taken);
	describe(dev, &want);
	if (memcmp(&record->entry, &want, sizeof(want)) ||
	    bytes != ALIGN_UP(sizeof(*record) + want.bytes, 8))
		return refuse(reason, "another device came than was offered", want.name,
			      want.instance);
	slot = image->state + image->next_at;
	memcpy(slot, state, want.bytes);
	if (dev->type->check(slot))
		return refuse(reason, "the device's state is impossible", want.name, want.instance);
	image->digest += digest_mix(DIGEST_ORDINAL_STATE + image->devices_taken,
				    digest_bytes(slot, want.bytes));
	image->devices_taken++;
	image->next_at += ALIGN_UP((u32)want.bytes, 16u);
	image->next = dev->link.next == &image->vm->devices
			      ? NULL
			      : list_entry(dev->link.next, struct device, link);
	return true;
}

bool image_take_vcpu(struct image *image, const void *payload, u32 bytes,
		     struct wire_reason *reason)
{
	const struct wire_vcpu *record = payload;
	struct vcpu_state *slot;
	const char *why = "";

	if (image->next || record->index != image->vcpus_taken ||
	    record->index >= image->vcpu_count || record->bytes != sizeof(*slot) ||
	    bytes != ALIGN_UP(sizeof(*record) + sizeof(*slot), 8))
		return refuse(reason, "another vCPU came than was offered", "vCPU", record->index);
	slot = &image->vcpu[record->index];
	memcpy(slot, record + 1, sizeof(*slot));
	if (vcpu_state_check(slot, &hv->limits, &why)) {
		wire_reason_set(reason, "E-VCPU-STATE", "vCPU %u cannot run here: %s",
				record->index, why);
		return false;
	}
	image->digest += digest_mix(DIGEST_ORDINAL_STATE + image->device_count + image->vcpus_taken,
				    digest_bytes(slot, sizeof(*slot)));
	image->vcpus_taken++;
	return true;
}

bool image_is_complete(const struct image *image)
{
	return !image->next && image->vcpus_taken == image->vcpu_count;
}

static void rewind(struct image *image)
{
	image->next = list_first(&image->vm->devices, struct device, link);
	image->next_at = image->devices_taken = image->vcpus_taken = 0;
	image->digest = 0;
}

void image_rehearse(struct image *image, void *scratch)
{
	struct wire_reason reason;
	bool is_good = true;

	list_for_each(dev, &image->vm->devices, struct device, link) {
		struct wire_device *record = scratch;
		u32 bytes = (u32)ALIGN_UP(sizeof(*record) + dev->type->state_bytes, 8);

		describe(dev, &record->entry);
		memcpy(record + 1, dev->state, dev->type->state_bytes);
		is_good = is_good && image_take_device(image, record, bytes, &reason);
	}
	for (u32 i = 0; i < image->vcpu_count; i++) {
		struct wire_vcpu *record = scratch;

		*record = (struct wire_vcpu){ .index = i, .bytes = sizeof(struct vcpu_state) };
		vcpu_save(image->vm->vcpu[i], (struct vcpu_state *)(record + 1));
		is_good = is_good &&
			  image_take_vcpu(image, record,
					  (u32)ALIGN_UP(sizeof(*record) + record->bytes, 8),
					  &reason);
	}
	if (is_good)
		image_apply(image);
	rewind(image);
}

void image_apply(struct image *image)
{
	u8 *slot = image->state;

	lock_take(&image->vm->lock);
	list_for_each(dev, &image->vm->devices, struct device, link) {
		memcpy(dev->state, slot, dev->type->state_bytes);
		slot += ALIGN_UP((u32)dev->type->state_bytes, 16u);
	}
	lock_give(&image->vm->lock);
	for (u32 i = 0; i < image->vcpu_count; i++)
		vcpu_load(image->vm->vcpu[i], &image->vcpu[i]);
}
