/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VM without a processor, for host tests of devices: the real bus, devices, interrupt routing,
 * VM time and timers; around them memory, a console and a vCPU that are variables. Included by the test's
 * own file, once. SOURCES of such a test: kernel/{timer,clock}.c, vmm/{bus,device,irq,vtime,platform}.c and
 * all of vmm/dev/.
 *
 * The vCPU takes interrupts when the test calls fake_vm_take().
 */
#pragma once

#include "tests/host/fake/machine.h"
#include "arch/hv.h"
#include "kernel/clock.h"
#include "kernel/heap.h"
#include "kernel/log.h"
#include "kernel/timer.h"
#include "vmm/console.h"
#include "vmm/irq.h"
#include "vmm/msr.h"
#include "vmm/platform.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

#define FAKE_RAM_BYTES MIB /* reaches to the end of the ACPI tables */
#define FAKE_EVENTS_MAX 65536
#define FAKE_INPUT_MAX 256

/* What the guest or the outside could see; value is a vector, a byte, ... */
enum fake_event_kind {
	EVENT_READ, EVENT_VECTOR, EVENT_NMI_SIGNAL, EVENT_INIT_SIGNAL, EVENT_SIPI_SIGNAL, EVENT_OUTPUT,
};

struct fake_event {
	enum fake_event_kind kind;
	u32 vcpu;
	u64 value;
	u64 time_ns; /* VM time */
};

/* Only in tests that list vmm/msr.c. */
extern const struct device_type msr_type __attribute__((weak));

struct fake_vm {
	struct vm vm;
	struct vcpu vcpus[VM_VCPUS_MAX];
	u8 ram[FAKE_RAM_BYTES];
	struct fake_event event[FAKE_EVENTS_MAX];
	u32 event_count;
	u8 input[FAKE_INPUT_MAX];      /* typed, not yet read by the guest */
	u32 input_count;
	u32 output_room;               /* bytes that the console takes */
	u32 kick_count;
};

static struct hv_ops fake_hv;
struct hv_ops *hv = &fake_hv;
struct list vm_list = LIST_HEAD_INIT(vm_list);
unsigned cpu_count = 1;

static struct fake_vm *fake_of(const struct vm *vm) { return container_of(vm, struct fake_vm, vm); }

static void fake_record(const struct vm *vm, enum fake_event_kind kind, u32 vcpu, u64 value)
{
	struct fake_vm *f = fake_of(vm);

	if (f->event_count < FAKE_EVENTS_MAX)
		f->event[f->event_count++] = (struct fake_event){ kind, vcpu, value, vtime_now_ns(vm) };
}

/* --- what the devices call --- */

void *heap_alloc(size_t bytes) { return bytes ? calloc(1, bytes) : NULL; }
void heap_free(void *object) { free(object); }
void panic(const char *format, ...)
{
	(void)format;
	fake_halt();
}
void log_write(enum log_level level, const char *format, ...) { (void)level, (void)format; }
void sched_note(unsigned cpu) { (void)cpu; }
void service_wake(void) { }

void vcpu_kick(struct vcpu *vcpu) { fake_of(vcpu->vm)->kick_count++; }
void vcpu_init_signal(struct vcpu *vcpu) { fake_record(vcpu->vm, EVENT_INIT_SIGNAL, vcpu->index, 0); }
void vcpu_sipi(struct vcpu *vcpu, u8 vector) { fake_record(vcpu->vm, EVENT_SIPI_SIGNAL, vcpu->index, vector); }
void vcpu_nmi(struct vcpu *vcpu) { fake_record(vcpu->vm, EVENT_NMI_SIGNAL, vcpu->index, 0); }

static struct fake_vm *fake_of_gmem(const struct gmem *gmem)
{
	return fake_of(container_of(gmem, struct vm, gmem));
}

bool gmem_is_ram(const struct gmem *gmem, gpa_t gpa, u64 bytes)
{
	(void)gmem;
	return gpa.value < FAKE_RAM_BYTES && bytes <= FAKE_RAM_BYTES - gpa.value;
}

int gmem_write(struct gmem *gmem, gpa_t gpa, const void *from, size_t bytes)
{
	if (!gmem_is_ram(gmem, gpa, bytes))
		return -14;
	memcpy(fake_of_gmem(gmem)->ram + gpa.value, from, bytes);
	return 0;
}

void console_bind(struct vm *vm) { (void)vm; }

bool console_put(struct vm *vm, u8 byte)
{
	struct fake_vm *f = fake_of(vm);

	if (!f->output_room)
		return false;
	f->output_room--;
	fake_record(vm, EVENT_OUTPUT, 0, byte);
	return true;
}

int console_get(struct vm *vm)
{
	struct fake_vm *f = fake_of(vm);
	int byte = f->input[0];

	if (!f->input_count)
		return -1;
	memmove(f->input, f->input + 1, --f->input_count);
	return byte;
}

/* --- life --- */

/* A clock of so many kHz at 0; 1000000 makes ticks and ns the same. */
static inline void fake_time_init(u64 khz)
{
	fake_tsc = 0;
	clock_init(khz);
}

static struct fake_vm *fake_vm_create(u32 vcpus)
{
	struct fake_vm *f = calloc(1, sizeof(*f));

	f->vm.config.vcpu_count = vcpus;
	f->output_room = ~0u;
	list_init(&f->vm.devices);
	for (u32 i = 0; i < vcpus; i++) {
		f->vcpus[i] = (struct vcpu){ .vm = &f->vm, .index = i };
		f->vm.vcpu[i] = &f->vcpus[i];
	}
	assert_int_equal(vm_attach(&f->vm, &vtime_type), 0);
	f->vm.cpuid.leaf[0].ebx = 0x68747541; /* AuthenticAMD */
	if (&msr_type)
		assert_int_equal(vm_attach(&f->vm, &msr_type), 0);
	vtime_set_wall_base(&f->vm, 1700000000ull * NS_PER_SEC);
	assert_int_equal(platform_attach(&f->vm), 0);
	return f;
}

static void fake_vm_start(struct fake_vm *f)
{
	lock_take(&f->vm.lock);
	vm_start_devices(&f->vm);
	lock_give(&f->vm.lock);
}

static void fake_vm_stop(struct fake_vm *f)
{
	lock_take(&f->vm.lock);
	vm_stop_devices(&f->vm);
	lock_give(&f->vm.lock);
}

static void fake_vm_destroy(struct fake_vm *f)
{
	fake_vm_stop(f);
	vm_detach_all(&f->vm);
	free(f);
}

static inline struct fake_vm *fake_vm_new(u32 vcpus)
{
	struct fake_vm *f = fake_vm_create(vcpus);

	fake_vm_start(f);
	return f;
}

/* --- time --- */

static inline u64 fake_now_ns(void) { return clock_now_ns(); }

/* Earliest deadline of an armed timer, at most limit_ns. */
static inline u64 fake_next_deadline(u64 limit_ns)
{
	timer_interrupt(); /* what was programmed before is void */
	timer_program(limit_ns);
	return fake.deadline_ns[0];
}

/* Host time goes to ns, stopping at each timer; between() may be NULL. Returns how many stops there were. */
static inline u32 fake_run_until(u64 ns, void (*between)(void *context), void *context)
{
	u32 stops = 0;

	while (clock_now_ns() < ns) {
		u64 next_ns = MAX(fake_next_deadline(ns), clock_now_ns());

		fake_tsc = clock_tsc_at(MIN(next_ns, ns));
		while (clock_now_ns() < MIN(next_ns, ns))
			fake_tsc++; /* the conversion rounds down */
		timer_run();
		if (between)
			between(context);
		/* A timer must not be able to stop time. */
		assert_true(++stops < 2000000);
	}
	return stops;
}

/* --- the guest --- */

static inline u64 guest_in(struct fake_vm *f, u16 port, u8 size)
{
	u64 value;

	lock_take(&f->vm.lock);
	value = bus_port_read(&f->vcpus[0], port, size);
	lock_give(&f->vm.lock);
	return value;
}

static inline void guest_out(struct fake_vm *f, u16 port, u8 size, u64 value)
{
	lock_take(&f->vm.lock);
	bus_port_write(&f->vcpus[0], port, size, value);
	lock_give(&f->vm.lock);
}

static inline u8 guest_in8(struct fake_vm *f, u16 port) { return (u8)guest_in(f, port, 1); }
static inline void guest_out8(struct fake_vm *f, u16 port, u8 value) { guest_out(f, port, 1, value); }

static inline u32 guest_read32(struct fake_vm *f, u32 vcpu, u64 gpa)
{
	u64 value;

	lock_take(&f->vm.lock);
	value = bus_mmio_read(&f->vcpus[vcpu], gpa, 4);
	lock_give(&f->vm.lock);
	return (u32)value;
}

static inline void guest_write32(struct fake_vm *f, u32 vcpu, u64 gpa, u32 value)
{
	lock_take(&f->vm.lock);
	bus_mmio_write(&f->vcpus[vcpu], gpa, 4, value);
	lock_give(&f->vm.lock);
}

static inline bool guest_rdmsr(struct fake_vm *f, u32 vcpu, u32 index, u64 *value)
{
	enum bus_msr_result result;

	lock_take(&f->vm.lock);
	result = bus_msr_read(&f->vcpus[vcpu], index, value);
	lock_give(&f->vm.lock);
	return result == BUS_MSR_DONE;
}

static inline bool guest_wrmsr(struct fake_vm *f, u32 vcpu, u32 index, u64 value)
{
	enum bus_msr_result result;

	lock_take(&f->vm.lock);
	result = bus_msr_write(&f->vcpus[vcpu], index, value);
	lock_give(&f->vm.lock);
	return result == BUS_MSR_DONE;
}

/* The vCPU takes the interrupt that is next, as if IF were 1: its vector, or -1. */
static inline int guest_take(struct fake_vm *f, u32 vcpu)
{
	int vector;

	lock_take(&f->vm.lock);
	vector = irq_pending_vector(&f->vcpus[vcpu]);
	if (vector >= 0) {
		irq_accept(&f->vcpus[vcpu], vector);
		fake_record(&f->vm, EVENT_VECTOR, vcpu, (u64)vector);
	}
	lock_give(&f->vm.lock);
	return vector;
}

static inline void fake_line(struct fake_vm *f, unsigned irq, bool is_high)
{
	lock_take(&f->vm.lock);
	irq_set_line(&f->vm, irq, is_high);
	lock_give(&f->vm.lock);
}

/* How many events of the kind there were since event `from`. */
static inline u32 fake_count(const struct fake_vm *f, enum fake_event_kind kind, u32 from)
{
	u32 count = 0;

	for (u32 i = from; i < f->event_count; i++)
		count += f->event[i].kind == kind;
	return count;
}

/* --- registers that tests use --- */

#define XAPIC(offset) (0xfee00000ull + (offset))
#define IOAPIC_SELECT 0xfec00000ull
#define IOAPIC_DATA 0xfec00010ull

static inline void fake_ioapic_write(struct fake_vm *f, u32 reg, u32 value)
{
	guest_write32(f, 0, IOAPIC_SELECT, reg);
	guest_write32(f, 0, IOAPIC_DATA, value);
}

static inline u32 fake_ioapic_read(struct fake_vm *f, u32 reg)
{
	guest_write32(f, 0, IOAPIC_SELECT, reg);
	return guest_read32(f, 0, IOAPIC_DATA);
}

static inline void fake_eoi(struct fake_vm *f, u32 vcpu) { guest_write32(f, vcpu, XAPIC(0xb0), 0); }
static inline void fake_enable_apic(struct fake_vm *f, u32 vcpu) { guest_write32(f, vcpu, XAPIC(0xf0), 0x1ff); }
