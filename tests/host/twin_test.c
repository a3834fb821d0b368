/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The twin test: what a guest sees does not depend on where, or how often, its devices were moved.
 *
 * For each type in .device_types, a script of accesses to all that the type claims (known-good
 * set-up first, then seeded random accesses and pauses) runs three times: undisturbed; with the devices
 * stopped and started at some step; and from that step on on a twin, a fresh VM that was given
 * nothing but the bytes of `state`. All reads, interrupts, signals, output and guest memory must agree,
 * with their times. So guest-visible data in wires, and time that start() does not restore, are found.
 *
 * Also: random bytes as state are refused by check(), or the device runs the script with them and
 * the sanitizers are content.
 */
/* SOURCES: kernel/timer.c kernel/clock.c vmm/bus.c vmm/device.c vmm/irq.c vmm/vtime.c vmm/msr.c
 * arch/guest_cpu.c vmm/platform.c
 * vmm/dev/acpi_pm.c vmm/dev/apic_bus.c vmm/dev/calendar.c vmm/dev/device_timer.c vmm/dev/ioapic.c
 * vmm/dev/kvmclock.c vmm/dev/lapic.c vmm/dev/lapic_timer.c vmm/dev/pci.c vmm/dev/pic.c vmm/dev/pit.c
 * vmm/dev/reset.c vmm/dev/rtc.c vmm/dev/uart.c */
#include "tests/host/fake/vm.h"
#include "vmm/dev/lapic.h"
#include "vmm/dev/pic.h"
#include "vmm/dev/uart.h"

#define STEPS 240
#define SETUP_STEPS_MAX 40
#define MOVE_EVERY 7
#define FUZZ_ROUNDS 400
#define FUZZ_STEPS 40
#define VCPUS 2
#define PAUSE_TICKS 987654321
#define SEEN_RAM_BYTES (64 * KIB) /* of guest memory, compared */

/* --- Scripts: the same seed gives the same accesses --------------------------------------------- */

struct script {
	const struct device_type *type;
	u64 random;
};

static u64 next_random(struct script *script)
{
	/* xorshift64* */
	script->random ^= script->random >> 12;
	script->random ^= script->random << 25;
	script->random ^= script->random >> 27;
	return script->random * 0x2545f4914f6cdd1dull;
}

static struct script script_begin(const struct device_type *type, u64 seed)
{
	return (struct script){ .type = type, .random = seed * 0x9e3779b97f4a7c15ull + 1 };
}

enum op_kind {
	OP_PORT_IN, OP_PORT_OUT, OP_MMIO_READ, OP_MMIO_WRITE, OP_RDMSR, OP_WRMSR, OP_WAIT, OP_TYPE, OP_ROOM, OP_EOI,
};

struct op {
	enum op_kind kind;
	u32 vcpu;
	u64 address;
	u64 value; /* or ns to wait, or the byte typed, or the room of the console */
	u8 size;
};

/* What makes a type do its work, before the random part. */
struct preset {
	const char *type;
	struct op op[SETUP_STEPS_MAX];
};

#define OUT(port, value) { OP_PORT_OUT, 0, port, value, 1 }
#define IN(port) { OP_PORT_IN, 0, port, 0, 1 }
#define WRITE(gpa, value) { OP_MMIO_WRITE, 0, gpa, value, 4 }
#define WRMSR(index, value) { OP_WRMSR, 0, index, value, 0 }
#define WAIT_US(us) { OP_WAIT, 0, 0, (us) * 1000ull, 0 }

static const struct preset presets[] = {
	{ "lapic", {
	WRITE(XAPIC(0xf0), 0x1ff), WRITE(XAPIC(0x3e0), 0x3), WRITE(XAPIC(0x320), 0x20041),
	WRITE(XAPIC(0x380), 20000), WAIT_US(1000), WRITE(XAPIC(0x320), 0x45), WRITE(XAPIC(0x380), 90000),
	WAIT_US(100), WRITE(XAPIC(0x300), 0x4c000 | 0x55), WRITE(XAPIC(0x350), 0x700), WAIT_US(3000),
	WRITE(XAPIC(0x320), 0x40046), WRMSR(0x6e0, 9000000), WAIT_US(900), WAIT_US(9000),
	WRITE(XAPIC(0x3e0), 0xb), WRITE(XAPIC(0x320), 0x20048), WRITE(XAPIC(0x380), 777777) } },
	{ "ioapic", {
	WRITE(IOAPIC_SELECT, 0x14), WRITE(IOAPIC_DATA, 0x30), WRITE(IOAPIC_SELECT, 0x18),
	WRITE(IOAPIC_DATA, 0x8034), OUT(0x43, 0x34), OUT(0x40, 0x00), OUT(0x40, 0x10), WAIT_US(20000) } },
	{ "pic", {
	WRITE(XAPIC(0xf0), 0x1ff), WRITE(XAPIC(0x350), 0x700), OUT(0x20, 0x11), OUT(0x21, 0x20), OUT(0x21, 4),
	OUT(0x21, 1), OUT(0xa0, 0x11), OUT(0xa1, 0x28), OUT(0xa1, 2), OUT(0xa1, 1), OUT(0x21, 0), OUT(0xa1, 0),
	OUT(0x43, 0x34), OUT(0x40, 0x00), OUT(0x40, 0x20), OUT(0x70, 0x0b), OUT(0x71, 0x42), WAIT_US(30000) } },
	{ "pit", {
	OUT(0x43, 0x34), OUT(0x40, 0x00), OUT(0x40, 0x08), WAIT_US(9000), OUT(0x61, 1), OUT(0x43, 0xb0),
	OUT(0x42, 0x00), OUT(0x42, 0x40), WAIT_US(1234), IN(0x61), IN(0x42), OUT(0x43, 0xe8), IN(0x42),
	WAIT_US(700), IN(0x42), OUT(0x43, 0x36), OUT(0x40, 0x34), OUT(0x40, 0x12), WAIT_US(50000) } },
	{ "rtc", {
	OUT(0x70, 0x0a), OUT(0x71, 0x26), OUT(0x70, 0x0b), OUT(0x71, 0x42), WAIT_US(5000), OUT(0x70, 0x0c), IN(0x71),
	WAIT_US(2000), IN(0x71), OUT(0x70, 0x0b), OUT(0x71, 0x12), WAIT_US(1500000), OUT(0x70, 0x0c), IN(0x71),
	OUT(0x70, 0x01), OUT(0x71, 0xff), OUT(0x70, 0x03), OUT(0x71, 0xff), OUT(0x70, 0x05), OUT(0x71, 0xff),
	OUT(0x70, 0x0b), OUT(0x71, 0x22), WAIT_US(2500000), OUT(0x70, 0x0c), IN(0x71), OUT(0x70, 0x00), IN(0x71) } },
	{ "uart", {
	OUT(0x3fa, 0x87), OUT(0x3fc, 0x0b), OUT(0x3f9, 0x0f), OUT(0x3f8, 'h'), { OP_TYPE, 0, 0, 'x', 0 }, IN(0x3fa),
	{ OP_ROOM, 0, 0, 2, 0 }, OUT(0x3f8, 'a'), OUT(0x3f8, 'b'), OUT(0x3f8, 'c'), OUT(0x3f8, 'd'), IN(0x3fd),
	IN(0x3fa) } },
	{ "acpi_pm", { { OP_PORT_OUT, 0, 0x602, 0x101, 2 }, WAIT_US(900000000), { OP_PORT_IN, 0, 0x600, 0, 2 } } },
	{ "msr", {
	WRMSR(0x10, 5000), WRMSR(0x2ff, 0xc06), WRMSR(0x200, 0xc0000006), WRMSR(0x201, 0xff0000000800),
	WRMSR(0x250, 0x0606060606060606), WRMSR(0x2ff, 0x07), WRMSR(0xc0011029, 0x202), WRMSR(0x17a, 5) } },
	{ "kvmclock", { WRMSR(0x4b564d01, 0x1001), WRMSR(0x4b564d00, 0x2000), WAIT_US(1000) } },
};

static const struct op *preset_op(const char *type, u32 step)
{
	for (u32 i = 0; i < ARRAY_COUNT(presets); i++) {
		if (!strcmp(presets[i].type, type) && step < SETUP_STEPS_MAX &&
		    (presets[i].op[step].kind || presets[i].op[step].address))
			return &presets[i].op[step];
	}
	return NULL;
}

/* A range that the type has claimed, by chance; NULL if it has none. */
static const struct bus_range *pick_range(struct script *script, const struct vm *vm, enum bus_kind *kind)
{
	const struct bus_range *own[3 * BUS_RANGES_MAX];
	enum bus_kind kinds[3 * BUS_RANGES_MAX];
	u32 count = 0, pick;

	for (u32 k = 0; k < BUS_KIND_COUNT; k++) {
		for (u32 i = 0; i < vm->bus.count[k]; i++) {
			if (vm->bus.range[k][i].dev->type != script->type)
				continue;
			own[count] = &vm->bus.range[k][i];
			kinds[count++] = k;
		}
	}
	if (!count)
		return NULL;
	pick = (u32)(next_random(script) % count);
	*kind = kinds[pick];
	return own[pick];
}

static u64 random_value(struct script *script)
{
	u64 value = next_random(script);

	/* Small and sparse values reach more than noise does. */
	switch (next_random(script) % 4) {
	case 0: return value & 0xff;
	case 1: return 1ull << (value % 32);
	case 2: return value & next_random(script) & 0xffffffff;
	default: return value;
	}
}

static struct op random_op(struct script *script, const struct vm *vm)
{
	static const u8 sizes[] = { 1, 1, 1, 2, 4 };
	u64 dice = next_random(script) % 16;
	enum bus_kind kind = BUS_PORT;
	const struct bus_range *range = pick_range(script, vm, &kind);
	struct op op = { .vcpu = (u32)(next_random(script) % VCPUS), .value = random_value(script) };
	bool is_write = next_random(script) & 1;

	if (!range || dice == 0 || dice == 15)
		return (struct op){ .kind = OP_WAIT, .value = 1 + next_random(script) % (5 * NS_PER_MS) };
	if (dice == 1)
		return (struct op){ .kind = OP_WAIT, .value = 1 + next_random(script) % (50 * NS_PER_US) };
	if (dice == 2)
		return (struct op){ .kind = OP_TYPE, .value = next_random(script) & 0xff };
	if (dice == 3)
		return (struct op){ .kind = OP_ROOM, .value = next_random(script) % 20 };
	if (dice == 4)
		return (struct op){ .kind = OP_EOI, .vcpu = op.vcpu };
	op.address = range->first + next_random(script) % (range->last - range->first + 1);
	op.size = kind == BUS_MMIO ? 4 : sizes[next_random(script) % ARRAY_COUNT(sizes)];
	if (kind == BUS_MMIO && next_random(script) % 8)
		op.address &= ~0xfull; /* mostly real registers */
	if (kind == BUS_MSR)
		op.kind = is_write ? OP_WRMSR : OP_RDMSR;
	else if (kind == BUS_MMIO)
		op.kind = is_write ? OP_MMIO_WRITE : OP_MMIO_READ;
	else
		op.kind = is_write ? OP_PORT_OUT : OP_PORT_IN;
	return op;
}

/* --- Running ------------------------------------------------------------------------------------ */

/* The machine that the devices are in: interrupts arrive as vectors 0x60 + pin. */
static void machine_setup(struct fake_vm *f)
{
	for (u32 i = 0; i < VCPUS; i++)
		fake_enable_apic(f, i);
	for (u32 pin = 0; pin < 24; pin++)
		fake_ioapic_write(f, 0x10 + 2 * pin, (0x60 + pin) | (pin == IRQ_SCI ? 0x8000 : 0));
}

static void do_eoi(struct fake_vm *f, u32 vcpu)
{
	/* By whichever window is open. */
	if (!guest_wrmsr(f, vcpu, 0x80b, 0))
		fake_eoi(f, vcpu);
	guest_out8(f, 0x20, 0x20);
	guest_out8(f, 0xa0, 0x20);
}

static const struct device_type *running_type;

/* The guest's handlers: so that a device that waits to be served goes on. */
static void serve(struct fake_vm *f, u32 vcpu, int vector)
{
	/* These scripts end their interrupts themselves, late or never. */
	if (running_type == &lapic_type || running_type == &pic_type)
		return;
	if (vector == 0x60 + IRQ_RTC) {
		guest_out8(f, 0x70, 0x0c);
		fake_record(&f->vm, EVENT_READ, vcpu, guest_in8(f, 0x71));
	} else if (vector == 0x60 + IRQ_COM1) {
		fake_record(&f->vm, EVENT_READ, vcpu, guest_in8(f, 0x3fa));
	}
	do_eoi(f, vcpu);
}

static void take_all(struct fake_vm *f)
{
	int vector;

	for (u32 i = 0; i < VCPUS; i++) {
		for (u32 tries = 0; tries < 8 && (vector = guest_take(f, i)) >= 0; tries++)
			serve(f, i, vector);
	}
}

static void take_both(void *context)
{
	struct fake_vm **pair = context;

	take_all(pair[0]);
	if (pair[1])
		take_all(pair[1]);
}

static void do_access(struct fake_vm *f, const struct op *op)
{
	u64 value = 0;
	bool done;

	switch (op->kind) {
	case OP_PORT_IN:
		fake_record(&f->vm, EVENT_READ, 0, guest_in(f, (u16)op->address, op->size));
		break;
	case OP_PORT_OUT:
		guest_out(f, (u16)op->address, op->size, op->value);
		break;
	case OP_MMIO_READ:
		fake_record(&f->vm, EVENT_READ, op->vcpu, guest_read32(f, op->vcpu, op->address));
		break;
	case OP_MMIO_WRITE:
		guest_write32(f, op->vcpu, op->address, (u32)op->value);
		break;
	case OP_RDMSR:
		done = guest_rdmsr(f, op->vcpu, (u32)op->address, &value);
		fake_record(&f->vm, EVENT_READ, op->vcpu, done ? value : ~value);
		break;
	case OP_WRMSR:
		done = guest_wrmsr(f, op->vcpu, (u32)op->address, op->value);
		fake_record(&f->vm, EVENT_READ, op->vcpu, done);
		break;
	case OP_TYPE:
		/* At the port, or by an operator. */
		if (op->value & 1)
			uart_feed(f->vm.uart, (u8)op->value);
		else if (f->input_count < FAKE_INPUT_MAX)
			f->input[f->input_count++] = (u8)op->value;
		break;
	case OP_ROOM:
		f->output_room = (u32)op->value;
		break;
	case OP_EOI:
		do_eoi(f, op->vcpu);
		break;
	case OP_WAIT:
		break;
	}
}

static void poll_console(struct fake_vm *f)
{
	lock_take(&f->vm.lock);
	uart_poll(f->vm.uart);
	lock_give(&f->vm.lock);
}

/* One step on f, and on its twin if there is one, at the same host time. */
static void step(struct script *script, u32 n, struct fake_vm *f, struct fake_vm *twin)
{
	const struct op *preset = preset_op(script->type->name, n);
	struct op op = random_op(script, &f->vm);
	struct fake_vm *pair[2] = { f, twin };

	if (preset)
		op = *preset;
	for (u32 i = 0; i < 2 && pair[i]; i++) {
		do_access(pair[i], &op);
		if (op.kind == OP_TYPE || op.kind == OP_ROOM)
			poll_console(pair[i]);
	}
	take_both(pair);
	if (op.kind == OP_WAIT)
		fake_run_until(fake_now_ns() + op.value, take_both, pair);
}

static struct fake_vm *begin(u64 khz)
{
	struct fake_vm *f;

	fake_time_init(khz);
	f = fake_vm_new(VCPUS);
	machine_setup(f);
	return f;
}

/*
 * A fresh VM with the first one's state. Both are stopped at one moment and started a while
 * later: VM time stands still meanwhile, so whoever used the host's clock is found out.
 */
static struct fake_vm *move(struct fake_vm *f)
{
	struct fake_vm *twin = fake_vm_create(VCPUS);
	struct list *to = twin->vm.devices.next;

	fake_vm_stop(f);
	assert_int_equal(f->input_count, 0); /* the twin's port has nothing of it */
	list_for_each(from, &f->vm.devices, struct device, link) {
		struct device *dev = list_entry(to, struct device, link);

		assert_ptr_equal(dev->type, from->type);
		if (from->type->check(from->state))
			fail_msg("%s: its own state is refused", from->type->name);
		memcpy(dev->state, from->state, from->type->state_bytes);
		to = to->next;
	}
	memcpy(twin->ram, f->ram, SEEN_RAM_BYTES);
	for (u32 i = 0; i < VCPUS; i++)
		twin->vcpus[i].tsc_adjust = f->vcpus[i].tsc_adjust; /* goes with the vCPU's state */
	twin->output_room = f->output_room;
	twin->vm.want_reset = f->vm.want_reset;
	twin->vm.want_poweroff = f->vm.want_poweroff;
	memcpy(twin->event, f->event, f->event_count * sizeof(f->event[0]));
	twin->event_count = f->event_count;
	fake_tsc += PAUSE_TICKS;
	fake_vm_start(f);
	fake_vm_start(twin);
	return twin;
}

static void expect_same(const struct device_type *type, u32 moved_at, const char *what, const struct fake_vm *a,
			const struct fake_vm *b)
{
	for (u32 i = 0; i < MIN(a->event_count, b->event_count); i++) {
		const struct fake_event *x = &a->event[i], *y = &b->event[i];

		if (x->kind != y->kind || x->vcpu != y->vcpu || x->value != y->value || x->time_ns != y->time_ns)
			fail_msg("%s, moved at step %u: %s differs at event %u: kind %u/%u value %llx/%llx time %llu/%llu",
				 type->name, moved_at, what, i, x->kind, y->kind, (unsigned long long)x->value,
				 (unsigned long long)y->value, (unsigned long long)x->time_ns,
				 (unsigned long long)y->time_ns);
	}
	assert_int_equal(a->event_count, b->event_count);
	assert_in_range(a->event_count, 0, FAKE_EVENTS_MAX - 1);
	assert_int_equal(a->vm.want_reset, b->vm.want_reset);
	assert_int_equal(a->vm.want_poweroff, b->vm.want_poweroff);
	assert_memory_equal(a->ram + 0x2000, b->ram + 0x2000, SEEN_RAM_BYTES - 0x2000);
}

/* Runs the whole script; moved at the given step, unless that is STEPS. The reference may be NULL. */
static struct fake_vm *run_script(const struct device_type *type, u64 seed, u64 khz, u32 moved_at,
				  const struct fake_vm *reference)
{
	struct script script = script_begin(type, seed);
	struct fake_vm *f = begin(khz), *twin = NULL;

	running_type = type;
	for (u32 n = 0; n < STEPS; n++) {
		if (n == moved_at)
			twin = move(f);
		step(&script, n, f, twin);
	}
	if (reference)
		expect_same(type, moved_at, "stop and start", reference, f);
	if (twin) {
		expect_same(type, moved_at, "the twin", f, twin);
		assert_memory_equal(f->ram, twin->ram, SEEN_RAM_BYTES);
		fake_vm_destroy(twin);
	}
	return f;
}

static void twins_agree(void **state)
{
	(void)state;
	for (const struct device_type *const *type = device_types_start; type < device_types_end; type++) {
		u32 seen = 0;

		for (u64 seed = 1; seed <= 2; seed++) {
			/* Ticks and ns are one, so that stopping rounds nothing: the undisturbed run must be met too. */
			struct fake_vm *reference = run_script(*type, seed, 1000000, STEPS, NULL);

			for (u32 at = 0; at < STEPS; at += MOVE_EVERY)
				fake_vm_destroy(run_script(*type, seed, 1000000, at, reference));
			/* A real clock's rate: the twins agree with each other. */
			for (u32 at = 3; at < STEPS; at += 5 * MOVE_EVERY)
				fake_vm_destroy(run_script(*type, seed, 2794321, at, NULL));
			seen += reference->event_count;
			fake_vm_destroy(reference);
		}
		print_message("  %-10s %u events compared\n", (*type)->name, seen);
		assert_int_equal(timer_armed_count(), 0);
	}
}

/* Each preset makes its type do what it is for: else the test above would compare silence. */
static void scripts_reach_interrupts_and_output(void **state)
{
	static const char *const types[] = { "lapic", "ioapic", "pic", "pit", "rtc", "uart", "acpi_pm" };

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(types); i++) {
		for (const struct device_type *const *type = device_types_start; type < device_types_end; type++) {
			struct fake_vm *f;

			if (strcmp((*type)->name, types[i]))
				continue;
			f = run_script(*type, 1, 1000000, STEPS, NULL);
			if (!fake_count(f, EVENT_VECTOR, 0))
				fail_msg("%s: the script causes no interrupt", types[i]);
			fake_vm_destroy(f);
		}
	}
}

/* --- Hostile state ------------------------------------------------------------------------------ */

static void damage(struct script *script, u8 *bytes, u32 count)
{
	if (next_random(script) % 4 == 0) {
		for (u32 i = 0; i < count; i++)
			bytes[i] = (u8)next_random(script);
		return;
	}
	for (u64 n = 1 + next_random(script) % 6; n; n--) {
		u8 *byte = &bytes[next_random(script) % count];

		*byte = next_random(script) & 1 ? (u8)next_random(script) : *byte ^ (u8)(1u << next_random(script) % 8);
	}
}

static u32 fuzz_round(const struct device_type *type, u64 seed)
{
	struct script script = script_begin(type, seed);
	struct fake_vm *f = begin(1000000);
	struct device *dev = vm_device(&f->vm, type, 0);
	u8 bytes[DEVICE_STATE_MAX];
	u32 n = 0;

	running_type = type;
	for (; n < next_random(&script) % 30; n++)
		step(&script, n, f, NULL);
	fake_vm_stop(f);
	memcpy(bytes, dev->state, type->state_bytes);
	damage(&script, bytes, type->state_bytes);
	if (type->check(bytes)) {
		fake_vm_destroy(f);
		return 0;
	}
	memcpy(dev->state, bytes, type->state_bytes);
	fake_vm_start(f);
	for (u32 end = n + FUZZ_STEPS; n < end; n++)
		step(&script, n, f, NULL);
	/* What was accepted is never left in a state that would be refused. */
	fake_vm_stop(f);
	assert_int_equal(type->check(dev->state), 0);
	fake_vm_destroy(f);
	return 1;
}

static void hostile_states_are_refused_or_run(void **state)
{
	(void)state;
	for (const struct device_type *const *type = device_types_start; type < device_types_end; type++) {
		u32 accepted = 0;

		for (u64 seed = 1; seed <= FUZZ_ROUNDS; seed++)
			accepted += fuzz_round(*type, seed);
		print_message("  %-10s %u of %u accepted\n", (*type)->name, accepted, FUZZ_ROUNDS);
	}
	assert_int_equal(timer_armed_count(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(scripts_reach_interrupts_and_output),
		cmocka_unit_test(twins_agree),
		cmocka_unit_test(hostile_states_are_refused_or_run),
	};

	return cmocka_run_group_tests_name("twin", tests, NULL, NULL);
}
