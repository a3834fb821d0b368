/* SPDX-License-Identifier: BSD-2-Clause */
/* The bus: claims, routing, what nobody answers; and the life of devices on it. */
/* SOURCES: vmm/bus.c vmm/device.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "kernel/errno.h"
#include "kernel/string.h"
#include "kernel/panic.h"
#include "vmm/vm.h"

/* --- what the two files need --- */

static unsigned allocations, allocations_left;

void *heap_alloc(size_t bytes)
{
	if (!allocations_left)
		return NULL;
	allocations_left--;
	allocations++;
	return calloc(1, bytes);
}

void heap_free(void *object)
{
	allocations -= object != NULL;
	free(object);
}

void panic(const char *format, ...)
{
	(void)format;
	abort();
}

/* --- a type with all spaces, and one per vCPU --- */

struct probe_state {
	u64 last_address, last_value;
	u64 last_size;
};
struct probe_wires {
	u64 starts, stops;
};

static u64 probe_port_base, probe_mmio_base;
static u16 probe_port_count;
static unsigned order_count;
static const char *order[16];

static int probe_check(const void *state) { return state ? 0 : -EINVAL; }

static int probe_attach(struct device *dev)
{
	int err = bus_claim_ports(dev, (u16)probe_port_base, probe_port_count);

	if (!err)
		err = bus_claim_mmio(dev, probe_mmio_base, 0x1000);
	return err ? err : bus_claim_msrs(dev, 0xc0010000, 2);
}

static void probe_reset(struct device *dev) { ((struct probe_state *)dev->state)->last_value = 0x77; }
static void probe_start(struct device *dev)
{
	order[order_count++] = dev->type->name;
	((struct probe_wires *)dev->wires)->starts++;
}
static void probe_stop(struct device *dev)
{
	order[order_count++] = dev->type->name;
	((struct probe_wires *)dev->wires)->stops++;
}

static u64 probe_read(struct device *dev, u64 address, u8 size)
{
	struct probe_state *state = dev->state;

	state->last_address = address;
	state->last_size = size;
	return 0x1122334455667788;
}

static void probe_write(struct device *dev, u64 address, u8 size, u64 value)
{
	probe_read(dev, address, size);
	((struct probe_state *)dev->state)->last_value = value;
}

static u64 probe_port_read(struct device *dev, u16 port, u8 size) { return probe_read(dev, port, size); }
static void probe_port_write(struct device *dev, u16 port, u8 size, u64 value) { probe_write(dev, port, size, value); }

static bool probe_msr_read(struct device *dev, u32 index, u64 *value)
{
	*value = dev->instance;
	return index == 0xc0010000;
}

static bool probe_msr_write(struct device *dev, u32 index, u64 value)
{
	(void)dev, (void)index;
	return value == 1;
}

DEVICE_TYPE(probe, 1, 24, .port_read = probe_port_read, .port_write = probe_port_write,
	    .mmio_read = probe_read, .mmio_write = probe_write);
static const struct device_type each_type = {
	.name = "each", .version = 1, .state_bytes = 24, .wires_bytes = 16, .is_per_vcpu = true,
	.check = probe_check, .attach = probe_attach, .reset = probe_reset, .start = probe_start, .stop = probe_stop,
	.mmio_read = probe_read, .msr_read = probe_msr_read, .msr_write = probe_msr_write,
};

static struct vm vm;
static struct vcpu vcpus[3];

static int setup(void **state)
{
	(void)state;
	memset(&vm, 0, sizeof(vm));
	list_init(&vm.devices);
	vm.config.vcpu_count = 3;
	for (u32 i = 0; i < 3; i++)
		vcpus[i] = (struct vcpu){ .vm = &vm, .index = i };
	probe_port_base = 0x100;
	probe_port_count = 4;
	probe_mmio_base = 0xfe000000;
	order_count = 0;
	allocations_left = ~0u;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	vm_stop_devices(&vm);
	vm_detach_all(&vm);
	assert_int_equal(allocations, 0);
	for (unsigned kind = 0; kind < BUS_KIND_COUNT; kind++)
		assert_int_equal(vm.bus.count[kind], 0);
	return 0;
}

static struct probe_state *attach_probe(void)
{
	assert_int_equal(vm_attach(&vm, &probe_type), 0);
	return vm_device(&vm, &probe_type, 0)->state;
}

static void an_access_reaches_its_device(void **state)
{
	struct probe_state *probe = attach_probe();

	(void)state;
	assert_int_equal(probe->last_value, 0x77);
	assert_int_equal(bus_port_read(&vcpus[0], 0x103, 1), 0x88);
	assert_int_equal(probe->last_address, 0x103);
	assert_int_equal(bus_port_read(&vcpus[0], 0x100, 4), 0x55667788);
	bus_port_write(&vcpus[2], 0x102, 2, 0xaabbccdd);
	assert_int_equal(probe->last_value, 0xccdd);
	assert_int_equal(bus_mmio_read(&vcpus[0], 0xfe000ff8, 8), 0x1122334455667788);
	assert_int_equal(probe->last_size, 8);
	assert_int_equal(vm.bus.unknown_count[BUS_PORT] + vm.bus.unknown_count[BUS_MMIO], 0);
}

static void nobody_reads_ones_and_is_counted(void **state)
{
	struct probe_state *probe = attach_probe();

	(void)state;
	assert_int_equal(bus_port_read(&vcpus[0], 0xff, 1), 0xff);
	assert_int_equal(bus_port_read(&vcpus[0], 0x104, 2), 0xffff);
	assert_int_equal(bus_port_read(&vcpus[0], 0xffff, 4), 0xffffffff);
	bus_port_write(&vcpus[0], 0x50, 1, 0);
	assert_int_equal(vm.bus.unknown_count[BUS_PORT], 4);
	assert_int_equal(vm.bus.last_unknown[BUS_PORT], 0x50);
	assert_true(bus_mmio_read(&vcpus[0], 0xfe001000, 8) == ~0ull);
	bus_mmio_write(&vcpus[0], ~0ull, 8, 1);
	assert_int_equal(vm.bus.unknown_count[BUS_MMIO], 2);
	assert_int_equal(probe->last_size, 0);
}

/* The byte at the border does not belong to the device, so the access does not. */
static void an_access_across_a_border_is_nobodys(void **state)
{
	struct probe_state *probe = attach_probe();

	(void)state;
	assert_int_equal(bus_port_read(&vcpus[0], 0xfe, 4), 0xffffffff);
	assert_int_equal(bus_port_read(&vcpus[0], 0x103, 2), 0xffff);
	assert_true(bus_mmio_read(&vcpus[0], 0xfe000ffc, 8) == ~0ull);
	assert_int_equal(probe->last_size, 0);
}

static void claims_do_not_overlap(void **state)
{
	(void)state;
	attach_probe();
	probe_mmio_base = 0xfd000000;
	for (probe_port_base = 0xfd; probe_port_base <= 0x103; probe_port_base++)
		assert_int_equal(vm_attach(&vm, &each_type), -EBUSY);
	assert_null(vm_device(&vm, &each_type, 0));
	probe_port_base = 0x104;
	probe_mmio_base = 0xfe000fff;
	assert_int_equal(vm_attach(&vm, &each_type), -EBUSY);
	probe_mmio_base = 0xfe001000;
	/* MSRs still collide; nothing of the failed attempt stays claimed. */
	assert_int_equal(vm_attach(&vm, &each_type), -EBUSY);
	assert_int_equal(vm.bus.count[BUS_PORT], 1);
	assert_int_equal(vm.bus.count[BUS_MMIO], 1);
}

static void each_vcpu_has_its_own_instance(void **state)
{
	u64 value;

	(void)state;
	probe_port_base = 0x200;
	assert_int_equal(vm_attach(&vm, &each_type), 0);
	for (u32 i = 0; i < 3; i++) {
		assert_int_equal(bus_msr_read(&vcpus[i], 0xc0010000, &value), BUS_MSR_DONE);
		assert_int_equal(value, i);
		bus_mmio_read(&vcpus[i], 0xfe000000 + i, 1);
		assert_int_equal(((struct probe_state *)vm_device(&vm, &each_type, i)->state)->last_address, 0xfe000000 + i);
	}
	assert_int_equal(bus_msr_read(&vcpus[0], 0xc0010001, &value), BUS_MSR_FAULT);
	assert_int_equal(bus_msr_write(&vcpus[0], 0xc0010000, 2), BUS_MSR_FAULT);
	assert_int_equal(bus_msr_read(&vcpus[0], 0xc0010002, &value), BUS_MSR_UNCLAIMED);
	assert_int_equal(vm.bus.unknown_count[BUS_MSR], 1);
}

static void start_goes_forward_and_stop_backward(void **state)
{
	(void)state;
	attach_probe();
	bus_release(vm_device(&vm, &probe_type, 0));
	assert_int_equal(vm_attach(&vm, &each_type), 0);
	vm_start_devices(&vm);
	vm_start_devices(&vm);
	assert_int_equal(order_count, 4);
	assert_string_equal(order[0], "probe");
	vm_stop_devices(&vm);
	vm_stop_devices(&vm);
	assert_int_equal(order_count, 8);
	assert_string_equal(order[7], "probe");
}

/* Every allocation that can fail does, once. */
static void running_out_of_memory_leaves_nothing(void **state)
{
	unsigned need;

	(void)state;
	assert_int_equal(vm_attach(&vm, &each_type), 0);
	need = allocations;
	vm_detach_all(&vm);
	for (unsigned left = 0; left < need; left++) {
		allocations_left = left;
		assert_int_equal(vm_attach(&vm, &each_type), -ENOMEM);
		assert_int_equal(allocations, 0);
		assert_true(list_is_empty(&vm.devices));
	}
}

/* Routing against a plain search, over random layouts. */
static void routing_agrees_with_a_search(void **state)
{
	u64 x = 88172645463325252ull;

	(void)state;
	for (unsigned layout = 0; layout < 50; layout++) {
		struct device *owner[512] = { NULL };
		struct device devices[BUS_RANGES_MAX];

		memset(&vm.bus, 0, sizeof(vm.bus));
		for (unsigned i = 0; i < 40; i++) {
			u16 first, count;
			bool is_free = true;

			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			first = x % 500;
			count = 1 + (x >> 20) % 10;
			devices[i] = (struct device){ .vm = &vm, .type = &probe_type };
			for (unsigned p = first; p < first + count && p < 512; p++)
				is_free &= !owner[p];
			assert_int_equal(bus_claim_ports(&devices[i], first, count), is_free ? 0 : -EBUSY);
			for (unsigned p = first; is_free && p < first + count && p < 512; p++)
				owner[p] = &devices[i];
		}
		for (u16 port = 0; port < 500; port++) {
			struct probe_state probe = { 0 };
			u64 unknown = vm.bus.unknown_count[BUS_PORT];

			for (unsigned i = 0; i < 40; i++)
				devices[i].state = &probe;
			bus_port_read(&vcpus[0], port, 4);
			assert_int_equal(vm.bus.unknown_count[BUS_PORT] == unknown,
					 owner[port] && owner[port] == owner[port + 3]);
		}
	}
	memset(&vm.bus, 0, sizeof(vm.bus));
}

static void a_full_table_is_told(void **state)
{
	struct device dev = { .vm = &vm, .type = &probe_type };

	(void)state;
	for (u16 i = 0; i < BUS_RANGES_MAX; i++)
		assert_int_equal(bus_claim_ports(&dev, (u16)(i * 8), 4), 0);
	assert_int_equal(bus_claim_ports(&dev, 0x8000, 4), -ENOSPC);
	bus_release(&dev);
	assert_int_equal(bus_claim_ports(&dev, 0x8000, 4), 0);
	bus_release(&dev);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_access_reaches_its_device),
		TEST(nobody_reads_ones_and_is_counted),
		TEST(an_access_across_a_border_is_nobodys),
		TEST(claims_do_not_overlap),
		TEST(each_vcpu_has_its_own_instance),
		TEST(start_goes_forward_and_stop_backward),
		TEST(running_out_of_memory_leaves_nothing),
		TEST(routing_agrees_with_a_search),
		TEST(a_full_table_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
