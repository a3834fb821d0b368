/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the destination asks of a guest before it lets it in. The offer comes from the peer: all of
 * it is checked before any of it is used, and this host's own limits decide.
 */
#include "migrate/compat.h"

#include "arch/hv.h"
#include "kernel/errno.h"
#include "kernel/fmt.h"
#include "kernel/string.h"
#include "migrate/image.h"
#include "vmm/device.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

#define CPUID_ADDRESS_SIZES 0x80000008u   /* EAX 7:0: physical address width (APM 3, E.4.7) */
#define VM_OVERHEAD_BYTES (2 * LARGE_PAGE_BYTES)

void compat_add(struct compat *compat, const char *code, const char *format, ...)
{
	struct wire_reason *reason;
	va_list args;

	if (compat->count == WIRE_REASONS_MAX)
		return;
	reason = &compat->reason[compat->count++];
	memset(reason, 0, sizeof(*reason));
	str_copy(reason->code, sizeof(reason->code), code);
	va_start(args, format);
	fmt_vsnprintf(reason->why, sizeof(reason->why), format, args);
	va_end(args);
}

static u32 physical_bits(const struct cpuid_policy *policy)
{
	for (u32 i = 0; i < MIN(policy->count, (u32)CPUID_LEAVES_MAX); i++)
		if (policy->leaf[i].function == CPUID_ADDRESS_SIZES)
			return policy->leaf[i].eax & 0xff;
	return 36; /* SDM 3A 4.1.4: what a CPU without the leaf has */
}

bool compat_offer(struct vm *vm, struct wire_offer *offer, struct wire_device_entry *entries)
{
	const struct vm_config *config = &vm->config;

	memset(offer, 0, sizeof(*offer));
	str_copy(offer->name, sizeof(offer->name), config->name);
	str_copy(offer->kernel, sizeof(offer->kernel), config->kernel);
	str_copy(offer->initrd, sizeof(offer->initrd), config->initrd);
	str_copy(offer->cmdline, sizeof(offer->cmdline), config->cmdline);
	str_copy(offer->console, sizeof(offer->console), config->console);
	offer->ram_bytes = config->ram_bytes;
	offer->xcr0 = hv->limits.xcr0;
	offer->tsc_khz = vtime_tsc_khz(vm);
	offer->vcpu_count = config->vcpu_count;
	offer->cpuid = vm->cpuid;
	offer->physical_bits = physical_bits(&vm->cpuid);
	offer->device_count = image_list(vm, entries, WIRE_DEVICES_MAX);
	return offer->device_count > 0;
}

/* --- the destination's questions --- */

static bool check_form(struct compat *compat, const struct wire_offer *offer, u32 bytes)
{
	if (!wire_text_ok(offer->name, sizeof(offer->name)) || !offer->name[0] ||
	    !wire_text_ok(offer->kernel, sizeof(offer->kernel)) ||
	    !wire_text_ok(offer->initrd, sizeof(offer->initrd)) ||
	    !wire_text_ok(offer->cmdline, sizeof(offer->cmdline)) ||
	    !wire_text_ok(offer->console, sizeof(offer->console)))
		compat_add(compat, "E-PROTOCOL", "a text of the offer is broken");
	else if (!offer->device_count || offer->device_count > WIRE_DEVICES_MAX ||
		 bytes != sizeof(*offer) + offer->device_count * sizeof(struct wire_device_entry))
		compat_add(compat, "E-PROTOCOL", "the offer counts other devices than it lists");
	else if (!offer->vcpu_count || offer->vcpu_count > VM_VCPUS_MAX)
		compat_add(compat, "E-VCPUS", "it has %u vCPUs, this host gives at most %u",
			   offer->vcpu_count, VM_VCPUS_MAX);
	else if (offer->ram_bytes < GMEM_RAM_MIN || offer->ram_bytes > GMEM_RAM_MAX ||
		 offer->ram_bytes % LARGE_PAGE_BYTES)
		compat_add(compat, "E-PROTOCOL",
			   "it has an impossible amount of memory (%llu bytes)",
			   (unsigned long long)offer->ram_bytes);
	return compat->count == 0;
}

static void check_cpu(struct compat *compat, const struct wire_offer *offer)
{
	char why[96] = "";
	int err = cpuid_policy_check(&offer->cpuid, why, sizeof(why));

	/* Another maker's CPU is another in every other way too: nothing more is compared. */
	if (err == -ENODEV) {
		compat_add(compat, "E-CPU-VENDOR",
			   "the guest was started on another vendor's CPU: %s", why);
		return;
	}
	if (err)
		compat_add(compat, "E-CPU-MISMATCH",
			   "the guest was offered what this host's CPU lacks: %s", why);
	if (offer->xcr0 & ~hv->limits.xcr0)
		compat_add(compat, "E-CPU-MISMATCH",
			   "the guest may use extended state that this CPU lacks: XCR0 bit %d",
			   __builtin_ctzll(offer->xcr0 & ~hv->limits.xcr0));
	if (offer->physical_bits > hv->limits.physical_bits)
		compat_add(compat, "E-CPU-ADDRESS-WIDTH",
			   "the guest was told of %u physical address bits, this host has %u",
			   offer->physical_bits, hv->limits.physical_bits);
	if (offer->tsc_khz < VTIME_TSC_KHZ_MIN || offer->tsc_khz > VTIME_TSC_KHZ_MAX)
		compat_add(compat, "E-TSC", "the guest's TSC frequency is impossible (%llu kHz)",
			   (unsigned long long)offer->tsc_khz);
}

static void check_memory(struct compat *compat, const struct wire_offer *offer)
{
	struct page_stats stats;
	u64 need = offer->ram_bytes + VM_OVERHEAD_BYTES, have;

	page_get_stats(&stats);
	have = stats.free_large_pages * LARGE_PAGE_BYTES;
	if (need > have)
		compat_add(compat, "E-NO-MEMORY",
			   "it needs %llu MiB in pages of 2 MiB, this host has %llu MiB free",
			   (unsigned long long)(need / MIB), (unsigned long long)(have / MIB));
}

static const struct device_type *find_type(const char *name)
{
	for (const struct device_type *const *type = device_types_start; type < device_types_end;
	     type++)
		if (!strcmp((*type)->name, name))
			return *type;
	return NULL;
}

static void check_device(struct compat *compat, const struct wire_device_entry *entry)
{
	const struct device_type *type;

	if (!wire_text_ok(entry->name, sizeof(entry->name))) {
		compat_add(compat, "E-PROTOCOL", "a device's name is broken");
		return;
	}
	type = find_type(entry->name);
	if (!type)
		compat_add(compat, "E-DEVICE-VERSION", "this host has no device %s", entry->name);
	else if (entry->version != type->version || entry->bytes != type->state_bytes)
		compat_add(compat, "E-DEVICE-VERSION",
			   "device %s is version %u (%u bytes) there, version %u (%u bytes) here",
			   entry->name, entry->version, entry->bytes, type->version,
			   type->state_bytes);
}

void compat_check(struct compat *compat, const struct wire_offer *offer, u32 bytes)
{
	const struct wire_device_entry *entry = (const void *)(offer + 1);

	if (!hv) {
		compat_add(compat, "E-NO-HV", "this host cannot run guests: %s",
			   hv_missing ? hv_missing : "");
		return;
	}
	if (!check_form(compat, offer, bytes))
		return;
	if (vm_find(offer->name))
		compat_add(compat, "E-VM-EXISTS", "this host has a VM %s already", offer->name);
	check_cpu(compat, offer);
	check_memory(compat, offer);
	for (u32 i = 0; i < offer->device_count; i++)
		check_device(compat, &entry[i]);
}

void compat_check_devices(struct compat *compat, struct vm *vm, const struct wire_offer *offer)
{
	const struct wire_device_entry *entry = (const void *)(offer + 1);
	u32 i = 0;

	list_for_each(dev, &vm->devices, struct device, link) {
		if (i == offer->device_count || strcmp(entry[i].name, dev->type->name) ||
		    entry[i].instance != dev->instance) {
			compat_add(compat, "E-DEVICE-VERSION",
				   "this host gives the guest a device %s %u, the other does not",
				   dev->type->name, dev->instance);
			return;
		}
		i++;
	}
	if (i < offer->device_count)
		compat_add(compat, "E-DEVICE-VERSION",
			   "the guest has a device %s %u, which this host would not give it",
			   entry[i].name, entry[i].instance);
}
