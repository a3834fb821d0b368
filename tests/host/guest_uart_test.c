/* SPDX-License-Identifier: BSD-2-Clause */
/* The serial port: what drivers test when they look for a 16550A, FIFO, interrupts, back-pressure. */
/* SOURCES: kernel/timer.c kernel/clock.c vmm/bus.c vmm/device.c vmm/irq.c vmm/vtime.c vmm/platform.c
 * vmm/dev/acpi_pm.c vmm/dev/apic_bus.c vmm/dev/calendar.c vmm/dev/device_timer.c vmm/dev/ioapic.c
 * vmm/dev/kvmclock.c vmm/dev/lapic.c vmm/dev/lapic_timer.c vmm/dev/pci.c vmm/dev/pic.c vmm/dev/pit.c
 * vmm/dev/reset.c vmm/dev/rtc.c vmm/dev/uart.c */
#include "tests/host/fake/vm.h"
#include "vmm/dev/uart.h"

#define COM1 0x3f8
enum { RBR = COM1, THR = COM1, IER, IIR, LCR, MCR, LSR, MSR, SCR };
#define FCR IIR
#define COM1_VECTOR 0x54

static struct fake_vm *f;

static int setup(void **state)
{
	(void)state;
	fake_time_init(1000000);
	f = fake_vm_new(1);
	fake_enable_apic(f, 0);
	fake_ioapic_write(f, 0x10 + 2 * IRQ_COM1, COM1_VECTOR);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_destroy(f);
	return 0;
}

static u8 in(u16 port) { return guest_in8(f, port); }
static void out(u16 port, u8 value) { guest_out8(f, port, value); }

static bool interrupted(void)
{
	if (guest_take(f, 0) != COM1_VECTOR)
		return false;
	fake_eoi(f, 0);
	return true;
}

static void type(const char *text)
{
	while (*text)
		f->input[f->input_count++] = (u8)*text++;
	uart_poll(f->vm.uart);
}

/* As a driver does it: FIFO with trigger level 8, all interrupts. */
static void open_port(void)
{
	out(FCR, 0x87);
	out(LCR, 3);
	out(MCR, 0x0b);
	out(IER, 0x05);
}

/* Linux drivers/tty/serial/8250: autoconfig(), autoconfig_16550a(). */
static void linux_finds_a_16550a(void **state)
{
	u8 status1, status2;

	(void)state;
	out(IER, 0);
	assert_int_equal(in(IER) & 0x0f, 0);
	out(IER, 0x0f);
	assert_int_equal(in(IER) & 0x0f, 0x0f);
	out(IER, 0);
	out(MCR, 0x1a);
	assert_int_equal(in(MSR) & 0xf0, 0x90);
	out(MCR, 0);
	out(LCR, 0xbf);
	out(FCR, 0);
	out(LCR, 0);
	out(FCR, 1);
	assert_int_equal(in(IIR) >> 6, 3);
	/* Not a 16650 or 16850: no EFR. */
	out(LCR, 0x80);
	assert_int_not_equal(in(IIR), 0);
	out(LCR, 0xbf);
	assert_int_not_equal(in(IIR), 0);
	/* Not a NatSemi: MCR's bit 4 is not seen through register 2. */
	out(LCR, 0);
	status1 = in(MCR);
	out(LCR, 0xe0);
	assert_int_equal((in(IIR) ^ status1) & 0x10, 0);
	out(LCR, 0);
	out(MCR, status1 ^ 0x10);
	out(LCR, 0xe0);
	status2 = in(IIR);
	out(LCR, 0);
	out(MCR, status1);
	assert_int_equal((status2 ^ status1) & 0x10, 0);
	/* Not a 16750: no 64-byte FIFO, with DLAB or without. */
	out(FCR, 0x21);
	assert_int_equal(in(IIR) >> 5, 6);
	out(LCR, 0x80);
	out(FCR, 0x21);
	assert_int_equal(in(IIR) >> 5, 6);
	/* Not an XScale: IER has no UUE bit. */
	out(LCR, 0);
	out(IER, 0x40);
	assert_int_equal(in(IER), 0);
}

static void scratch_and_divisor(void **state)
{
	(void)state;
	out(SCR, 0xa5);
	assert_int_equal(in(SCR), 0xa5);
	out(LCR, 0x83);
	out(COM1, 0x0c);
	out(COM1 + 1, 0x01);
	assert_int_equal(in(COM1), 0x0c);
	assert_int_equal(in(COM1 + 1), 0x01);
	out(LCR, 0x03);
	assert_int_equal(in(IER), 0);
	assert_int_equal(fake_count(f, EVENT_OUTPUT, 0), 0);
}

static void output_arrives_in_order(void **state)
{
	const char *text = "hello";

	(void)state;
	for (const char *c = text; *c; c++) {
		assert_int_equal(in(LSR) & 0x60, 0x60);
		out(THR, (u8)*c);
	}
	assert_int_equal(f->event_count, 5);
	for (u32 i = 0; i < 5; i++)
		assert_int_equal(f->event[i].value, text[i]);
}

/* Linux: the "TXEN" and "THRE" bug tests in serial8250_do_startup(). */
static void enabling_thre_interrupts_every_time(void **state)
{
	(void)state;
	open_port();
	for (u32 i = 0; i < 2; i++) {
		out(IER, 2);
		assert_int_equal(in(IIR), 0xc2);
		assert_int_equal(in(IIR), 0xc1);
		out(IER, 0);
	}
}

static void thre_interrupt_is_an_edge_per_byte(void **state)
{
	(void)state;
	open_port();
	out(IER, 2);
	assert_true(interrupted());
	assert_false(interrupted());
	assert_int_equal(in(IIR), 0xc2); /* acknowledged */
	out(THR, 'x');
	assert_true(interrupted());
	assert_int_equal(in(IIR), 0xc2);
	assert_int_equal(in(IIR), 0xc1);
	assert_false(interrupted());
}

static void full_console_holds_the_guest_and_loses_nothing(void **state)
{
	(void)state;
	open_port();
	out(IER, 2);
	in(IIR);
	while (interrupted())
		;
	f->output_room = 1;
	out(THR, 'a'); /* through */
	in(IIR);
	while (interrupted())
		;
	assert_int_equal(in(LSR) & 0x60, 0x60);
	for (u32 i = 0; i < 16; i++)
		out(THR, (u8)('b' + i));
	assert_int_equal(in(LSR) & 0x60, 0);
	assert_int_equal(in(IIR), 0xc1);
	assert_false(interrupted());
	f->output_room = 10;
	uart_poll(f->vm.uart);
	assert_int_equal(in(LSR) & 0x60, 0); /* 6 are left */
	f->output_room = 100;
	uart_poll(f->vm.uart);
	assert_int_equal(in(LSR) & 0x60, 0x60);
	assert_true(interrupted());
	assert_int_equal(in(IIR), 0xc2);
	assert_int_equal(fake_count(f, EVENT_OUTPUT, 0), 17);
	for (u32 i = 0, n = 0; i < f->event_count; i++) {
		if (f->event[i].kind == EVENT_OUTPUT)
			assert_int_equal(f->event[i].value, 'a' + n++);
	}
}

static void input_interrupts_and_waits_for_room(void **state)
{
	(void)state;
	open_port();
	type("0123456789abcdefGHIJ");
	assert_true(interrupted());
	assert_int_equal(in(IIR), 0xc4); /* trigger level reached */
	for (u32 i = 0; i < 16; i++) {
		assert_int_equal(in(LSR) & 3, 1); /* data, no overrun */
		assert_int_equal(in(RBR), "0123456789abcdef"[i]);
	}
	/* The four that had to wait: below the trigger level, so it is a timeout. */
	assert_int_equal(in(IIR), 0xcc);
	for (u32 i = 0; i < 4; i++)
		assert_int_equal(in(RBR), "GHIJ"[i]);
	assert_int_equal(in(LSR) & 1, 0);
	assert_int_equal(in(IIR), 0xc1);
	type("x");
	assert_true(interrupted());
}

static void without_fifo_one_byte_at_a_time(void **state)
{
	(void)state;
	type("ab");
	assert_int_equal(in(IIR), 0x01);
	assert_int_equal(f->input_count, 1);
	assert_int_equal(in(RBR), 'a');
	assert_int_equal(in(RBR), 'b');
	assert_int_equal(in(RBR), 0);
}

static void loop_mode_returns_bytes_and_overruns(void **state)
{
	(void)state;
	out(FCR, 7);
	out(MCR, 0x10);
	for (u32 i = 0; i < 17; i++)
		out(THR, (u8)i);
	assert_int_equal(fake_count(f, EVENT_OUTPUT, 0), 0);
	assert_int_equal(in(LSR) & 3, 3);
	assert_int_equal(in(LSR) & 3, 1); /* read once */
	for (u32 i = 0; i < 16; i++)
		assert_int_equal(in(RBR), i);
	out(MCR, 0);
}

static void modem_lines_report_changes_once(void **state)
{
	(void)state;
	assert_int_equal(in(MSR), 0xb0);
	out(MCR, 0x10); /* loop: all lines drop */
	assert_int_equal(in(MSR), 0x0b);
	assert_int_equal(in(MSR), 0x00);
	out(MCR, 0x14); /* OUT1 is RI: only its trailing edge is reported */
	assert_int_equal(in(MSR), 0x40);
	out(MCR, 0x10);
	assert_int_equal(in(MSR), 0x04);
}

static void out2_gates_the_interrupt(void **state)
{
	(void)state;
	open_port();
	out(MCR, 3);
	type("x");
	assert_false(interrupted());
	out(MCR, 0x0b);
	assert_true(interrupted());
}

static void clearing_a_fifo(void **state)
{
	(void)state;
	open_port();
	f->output_room = 0;
	out(THR, 'a');
	type("abc");
	out(FCR, 0x83);
	assert_int_equal(in(LSR) & 0x61, 0);
	out(FCR, 0x85);
	assert_int_equal(in(LSR) & 0x61, 0x60);
	f->output_room = 10;
	uart_poll(f->vm.uart);
	assert_int_equal(fake_count(f, EVENT_OUTPUT, 0), 0);
}

/* Typed by an operator, or come in at the port, and not taken before the machine stops. */
static void input_stays_with_the_guest(void **state)
{
	u8 image[8192];
	struct fake_vm *twin;

	(void)state;
	open_port();
	for (u32 i = 0; i < 5000; i++)
		assert_int_equal(uart_feed(f->vm.uart, (u8)(i * 7)), i < 16 + 4096);
	while (interrupted())
		;
	for (u32 i = 0; i < 100; i++)
		assert_int_equal(in(RBR), (u8)(i * 7));
	f->input[f->input_count++] = 'x';
	fake_vm_stop(f);
	assert_int_equal(f->input_count, 0);
	assert_in_range(uart_type.state_bytes, 4096, sizeof(image));
	memcpy(image, f->vm.uart->state, uart_type.state_bytes);
	/* Here, as if the move had failed, and there. */
	twin = fake_vm_create(1);
	memcpy(twin->vm.uart->state, image, uart_type.state_bytes);
	fake_vm_start(twin);
	fake_vm_start(f);
	for (u32 i = 100; i < 16 + 4096; i++) {
		assert_int_equal(in(RBR), (u8)(i * 7));
		assert_int_equal(guest_in8(twin, RBR), (u8)(i * 7));
	}
	assert_int_equal(in(RBR), 'x');
	assert_int_equal(guest_in8(twin, RBR), 'x');
	assert_int_equal(in(LSR) & 1, 0);
	fake_vm_destroy(twin);
}

static void input_outlives_a_reset(void **state)
{
	(void)state;
	for (const char *at = "reboot\nroot\n"; *at; at++)
		uart_feed(f->vm.uart, (u8)*at);
	assert_int_equal(in(RBR), 'r'); /* without a FIFO, one byte is in the chip */
	fake_vm_stop(f);
	uart_type.reset(f->vm.uart);
	uart_feed(f->vm.uart, '!');
	fake_vm_start(f);
	for (const char *at = "boot\nroot\n!"; *at; at++)
		assert_int_equal(in(RBR), *at);
}

/* A move waits a moment for the end of a line that is being sent. */
static void busy_while_a_driver_has_more_to_say(void **state)
{
	(void)state;
	open_port();
	assert_false(vm_is_busy(&f->vm));
	out(IER, 0x07);
	assert_true(vm_is_busy(&f->vm));
	out(THR, 'x');
	out(IER, 0x05);
	assert_false(vm_is_busy(&f->vm));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(busy_while_a_driver_has_more_to_say),
		TEST(linux_finds_a_16550a),
		TEST(scratch_and_divisor),
		TEST(output_arrives_in_order),
		TEST(enabling_thre_interrupts_every_time),
		TEST(thre_interrupt_is_an_edge_per_byte),
		TEST(full_console_holds_the_guest_and_loses_nothing),
		TEST(input_interrupts_and_waits_for_room),
		TEST(without_fifo_one_byte_at_a_time),
		TEST(loop_mode_returns_bytes_and_overruns),
		TEST(modem_lines_report_changes_once),
		TEST(out2_gates_the_interrupt),
		TEST(clearing_a_fifo),
		TEST(input_stays_with_the_guest),
		TEST(input_outlives_a_reset),
	};

	return cmocka_run_group_tests_name("uart", tests, NULL, NULL);
}
