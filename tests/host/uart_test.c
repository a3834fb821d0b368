/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's serial ports, against a model of a 16550 that keeps its own rules. */
/* SOURCES: arch/uart.c kernel/timer.c kernel/clock.c kernel/sched.c kernel/log.c kernel/panic.c
	    kernel/fmt.c kernel/str.c */
#include "tests/host/fake/machine.h"
#include "arch/ioapic.h"
#include "arch/uart.h"
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/sched.h"
#include "kernel/timer.h"

#define FIFO 16

/* One port: what the driver may see of the chip. */
static struct chip {
	bool is_present;
	u8 ier, lcr, mcr, divisor_low, divisor_high;
	u8 rx[FIFO];
	unsigned rx_count;
	bool has_overrun;
	u8 tx[FIFO];
	unsigned tx_count;
	bool is_tx_event;       /* THR empty is news: cleared by reading IIR */
	unsigned thr_overflows; /* bytes written where there was no room */
	bool is_eager;          /* the sender has the next byte whenever the driver has looked */
	unsigned edges;         /* requests that began by a write of IER */
} chips[UART_COUNT];

static unsigned reads; /* of any register */
static char sent[65536]; /* what COM1's wire carried */
static unsigned sent_count;

static irq_handler line_handler[2];
static void *line_context[2];
static bool has_no_ioapic;
static unsigned notified;

int ioapic_route_isa(u8 irq, irq_handler handler, void *context)
{
	assert_true(irq == 4 || irq == 3);
	if (has_no_ioapic)
		return -ENODEV;
	line_handler[irq == 3] = handler;
	line_context[irq == 3] = context;
	return 0;
}

static int chip_index(u16 port)
{
	static const u16 bases[UART_COUNT] = { 0x3f8, 0x2f8, 0x3e8, 0x2e8 };

	for (int i = 0; i < UART_COUNT; i++) {
		if ((port & ~7) == bases[i])
			return i;
	}
	return -1;
}

static bool wants_interrupt(const struct chip *chip)
{
	if (!(chip->mcr & 0x08))
		return false;
	return ((chip->ier & 4) && chip->has_overrun) || ((chip->ier & 1) && chip->rx_count) ||
	       ((chip->ier & 2) && chip->is_tx_event);
}

static u8 chip_take(struct chip *chip)
{
	u8 byte = chip->rx[0];

	if (!chip->rx_count)
		return 0;
	memmove(chip->rx, chip->rx + 1, --chip->rx_count);
	return byte;
}

static void chip_receive(struct chip *chip)
{
	if (chip->is_eager && !chip->rx_count)
		chip->rx[chip->rx_count++] = 'e';
}

static u8 chip_iir(struct chip *chip)
{
	chip_receive(chip);
	if ((chip->ier & 4) && chip->has_overrun)
		return 0xc6;
	if ((chip->ier & 1) && chip->rx_count)
		return 0xc4;
	if ((chip->ier & 2) && chip->is_tx_event) {
		chip->is_tx_event = false;
		return 0xc2;
	}
	return 0xc1;
}

u32 fake_in(u16 port, unsigned bytes)
{
	int index = chip_index(port);
	struct chip *chip = &chips[index < 0 ? 0 : index];
	u8 value;

	assert_true(index >= 0 && bytes == 1);
	reads++;
	if (!chip->is_present)
		return 0xff;
	switch (port & 7) {
	case 0:
		return chip->lcr & 0x80 ? chip->divisor_low : chip_take(chip);
	case 1:
		return chip->lcr & 0x80 ? chip->divisor_high : chip->ier;
	case 2:
		return chip_iir(chip);
	case 5:
		value = (u8)((chip->rx_count ? 1 : 0) | (chip->has_overrun ? 2 : 0) | (chip->tx_count ? 0 : 0x60));
		chip->has_overrun = false;
		return value;
	case 6:
		return chip->mcr & 0x10 ? (u8)((chip->mcr & 0x0f) == 0x0a ? 0x90 : 0) : 0xb0;
	}
	return 0;
}

void fake_out(u16 port, unsigned bytes, u32 value)
{
	int index = chip_index(port);
	struct chip *chip = &chips[index < 0 ? 0 : index];

	assert_true(index >= 0 && bytes == 1);
	switch (port & 7) {
	case 0:
		if (chip->lcr & 0x80)
			chip->divisor_low = (u8)value;
		else if (chip->tx_count < FIFO)
			chip->tx[chip->tx_count++] = (u8)value;
		else
			chip->thr_overflows++;
		break;
	case 1:
		/* Switching the interrupt on while THR is empty is news. */
		if (chip->lcr & 0x80) {
			chip->divisor_high = (u8)value;
		} else {
			bool was_asking;

			chip_receive(chip);
			was_asking = wants_interrupt(chip);

			if ((value & 2) && !(chip->ier & 2) && !chip->tx_count)
				chip->is_tx_event = true;
			chip->ier = (u8)value;
			chip->edges += !was_asking && wants_interrupt(chip);
		}
		break;
	case 3:
		chip->lcr = (u8)value;
		break;
	case 4:
		chip->mcr = (u8)value;
		break;
	}
}

static void interrupt(unsigned line)
{
	if (line_handler[line] && (wants_interrupt(&chips[line]) || wants_interrupt(&chips[line + 2])))
		line_handler[line](line_context[line]);
}

/* The wire takes all that was written; that is news. */
static void drain(struct chip *chip)
{
	if (chip == &chips[0] && chip->tx_count) {
		memcpy(sent + sent_count, chip->tx, chip->tx_count);
		sent_count += chip->tx_count;
	}
	if (chip->tx_count)
		chip->is_tx_event = true;
	chip->tx_count = 0;
	interrupt((unsigned)(chip - chips) % 2);
}

/* A sender that respects the FIFO (flow control, or an emulator); false: no room. */
static bool feed(struct chip *chip, u8 byte)
{
	if (chip->rx_count == FIFO)
		return false;
	chip->rx[chip->rx_count++] = byte;
	interrupt((unsigned)(chip - chips) % 2);
	return true;
}

static void on_notify(void *context) { notified += *(unsigned *)context; }

/* The driver's state is the process's: the tests run in order on one set of ports, COM4 missing. */
static int setup(void **state)
{
	static unsigned one = 1;

	(void)state;
	memset(chips, 0, sizeof(chips));
	chips[0].is_present = chips[1].is_present = chips[2].is_present = true;
	chips[2].divisor_low = 2;
	clock_init(1000000);
	uart_init();
	uart_enable_interrupts();
	while (uart_read(uart_port(0)) >= 0)
		;
	uart_set_notify(uart_port(0), on_notify, &one);
	sent_count = notified = 0;
	return 0;
}

static void finds_what_is_there(void **state)
{
	(void)state;
	assert_non_null(uart_port(0));
	assert_non_null(uart_port(1));
	assert_non_null(uart_port(2));
	assert_null(uart_port(3));
	assert_null(uart_port(4));
	assert_ptr_equal(uart_by_name("com2"), uart_port(1));
	assert_null(uart_by_name("com4"));
	assert_null(uart_by_name("com5"));
	assert_null(uart_by_name("com"));
	assert_null(uart_by_name("com22"));
	assert_ptr_equal(uart_console(), uart_port(0));
	assert_string_equal(uart_name(uart_port(2)), "com3");
}

static void sets_the_line(void **state)
{
	(void)state;
	assert_int_equal(chips[0].lcr, 0x03);
	assert_int_equal(chips[0].divisor_low, 1);
	assert_int_equal(chips[0].mcr, 0x0b);
	assert_int_equal(chips[0].ier, 5);
}

static void received_bytes_arrive_in_order(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		assert_true(feed(&chips[0], (u8)i));
	assert_true(notified > 0);
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(uart_read(uart_port(0)), (u8)i);
	assert_int_equal(uart_read(uart_port(0)), -1);
}

/* More than the ring holds: the sender is held, and nothing is lost. */
static void a_full_ring_holds_the_sender(void **state)
{
	unsigned fed = 0, read = 0;

	(void)state;
	while (feed(&chips[0], (u8)(fed * 7)) && fed < 100000)
		fed++;
	assert_in_range(fed, 4096, 8192);
	assert_int_equal(chips[0].ier & 1, 0);
	while (read < 20000) {
		int byte = uart_read(uart_port(0));

		interrupt(0);
		if (byte >= 0) {
			assert_int_equal(byte, (u8)(read * 7));
			read++;
		}
		if (feed(&chips[0], (u8)(fed * 7)))
			fed++;
	}
	assert_int_equal(chips[0].thr_overflows, 0);
}

static void writing_never_overruns_the_fifo(void **state)
{
	char text[1000];
	size_t done = 0;
	unsigned calls = 0;

	(void)state;
	for (unsigned i = 0; i < sizeof(text); i++)
		text[i] = (char)(i * 13);
	while (done < sizeof(text)) {
		done += uart_write(uart_port(0), text + done, sizeof(text) - done);
		calls++;
		if (calls % 3 == 0)
			drain(&chips[0]);
	}
	drain(&chips[0]);
	assert_int_equal(chips[0].thr_overflows, 0);
	assert_int_equal(sent_count, sizeof(text));
	assert_memory_equal(sent, text, sizeof(text));
}

static void room_is_told_once_after_a_short_write(void **state)
{
	char text[40] = { 0 };

	(void)state;
	assert_int_equal(uart_write(uart_port(0), text, 40), FIFO);
	assert_int_equal(uart_write(uart_port(0), text, 24), 0);
	assert_int_equal(notified, 0);
	drain(&chips[0]);
	assert_int_equal(notified, 1);
	/* A write that fits asks for nothing. */
	assert_int_equal(uart_write(uart_port(0), text, 10), 10);
	drain(&chips[0]);
	assert_int_equal(notified, 1);
	assert_int_equal(chips[0].ier & 2, 0);
}

static void ports_that_share_a_line_are_both_served(void **state)
{
	(void)state;
	chips[0].rx[chips[0].rx_count++] = 'a';
	chips[2].rx[chips[2].rx_count++] = 'c';
	interrupt(0);
	assert_int_equal(uart_read(uart_port(0)), 'a');
	assert_int_equal(uart_read(uart_port(2)), 'c');
	assert_false(wants_interrupt(&chips[0]) || wants_interrupt(&chips[2]));
}

/* The line is edge-triggered: a handler that gives up must leave a new edge behind. */
static void an_endless_sender_is_not_lost(void **state)
{
	(void)state;
	chips[0].is_eager = true;
	line_handler[0](line_context[0]);
	chips[0].is_eager = false;
	assert_true(wants_interrupt(&chips[0]));
	assert_int_equal(chips[0].edges, 1);
	interrupt(0);
	assert_int_equal(chips[0].rx_count, 0);
}

static void overruns_are_counted(void **state)
{
	struct uart_stats before, after;

	(void)state;
	uart_get_stats(uart_port(0), &before);
	chips[0].has_overrun = true;
	feed(&chips[0], 'x');
	uart_get_stats(uart_port(0), &after);
	assert_int_equal(after.rx_lost - before.rx_lost, 1);
	assert_int_equal(after.rx_bytes - before.rx_bytes, 1);
}

/* A cable that was pulled, or a port that reads as all ones, must not keep anyone. */
static void a_port_that_dies_blocks_nobody(void **state)
{
	char text[100] = { 0 };

	(void)state;
	chips[0].is_present = false;
	line_handler[0](line_context[0]);
	chips[0].is_present = true;
	chips[0].tx_count = FIFO; /* never drained */
	uart_write_wait(uart_port(0), text, sizeof(text));
	assert_int_equal(uart_write(uart_port(0), text, sizeof(text)), 0);
}

/* Whoever writes to a dead port waits once, not at each line; and again when it lives. */
static void a_dead_port_is_waited_for_once(void **state)
{
	char text[10] = "lines";
	unsigned first;

	(void)state;
	chips[0].tx_count = FIFO;
	reads = 0;
	uart_write_wait(uart_port(0), text, sizeof(text));
	first = reads;
	assert_in_range(first, 1000, 1000000);
	for (unsigned i = 0; i < 100; i++)
		uart_write_wait(uart_port(0), text, sizeof(text));
	assert_in_range(reads - first, 100, 200);
	drain(&chips[0]);
	sent_count = 0;
	uart_write_wait(uart_port(0), text, sizeof(text));
	drain(&chips[0]);
	assert_int_equal(sent_count, sizeof(text));
}

/* An empty bus has "data" for ever, all ones. */
static void an_empty_bus_sends_nothing(void **state)
{
	(void)state;
	chips[0].is_present = false;
	reads = 0;
	line_handler[0](line_context[0]);
	assert_int_equal(uart_read(uart_port(0)), -1);
	assert_in_range(reads, 1, 1000);
}

static void has_the_speed_that_is_wanted(void **state)
{
	(void)state;
	assert_int_equal(uart_baud(uart_port(0)), 115200);
	assert_int_equal(uart_set_baud(uart_port(0), 9600), 0);
	assert_int_equal(chips[0].divisor_low, 12);
	assert_int_equal(chips[0].lcr, 0x03);
	assert_int_equal(uart_baud(uart_port(0)), 9600);
	assert_int_equal(uart_set_baud(uart_port(0), 1), -EINVAL); /* a divisor of 17 bits */
	assert_int_equal(uart_set_baud(uart_port(0), 100000), -EINVAL);
	assert_int_equal(uart_set_baud(uart_port(0), 230400), -EINVAL);
	assert_int_equal(uart_set_baud(uart_port(0), 300), 0);
	assert_int_equal(chips[0].divisor_low | chips[0].divisor_high << 8, 384);
	/* What firmware had: COM3 came with 57600, see setup. */
	assert_int_equal(uart_set_baud(uart_port(2), 0), 0);
	assert_int_equal(chips[2].divisor_low, 2);
	assert_int_equal(uart_baud(uart_port(2)), 57600);
	/* COM2 was never set up. */
	assert_int_equal(uart_set_baud(uart_port(1), 0), -EINVAL);
	assert_int_equal(uart_baud(uart_port(1)), 115200);
}

/* Registers four bytes apart, as a chip on a system's own bus has them: here memory that never sends. */
static void firmware_may_name_a_port_in_memory(void **state)
{
	static u32 registers[8];
	struct uart_place place = { .memory = (volatile u8 *)registers, .stride_bytes = 4, .baud = 9600 };
	struct uart *uart;

	(void)state;
	assert_null(uart_port(UART_COUNT));
	assert_null(uart_add(&place)); /* it does not answer in loop mode */
	registers[6] = 0x90;
	uart = uart_add(&place);
	assert_non_null(uart);
	assert_ptr_equal(uart_port(UART_COUNT), uart);
	assert_string_equal(uart_name(uart), "spcr");
	assert_null(uart_by_name("spcr"));
	assert_int_equal(registers[3], 0x03);
	assert_int_equal(registers[4], 0x03);
	assert_int_equal(uart_baud(uart), 9600);
	assert_int_equal(uart_set_baud(uart, 115200), -EINVAL);
	registers[5] = 0x60;
	assert_int_equal(uart_write(uart, "x", 1), 1);
	assert_int_equal(registers[0], 'x');
	registers[5] = 0;
	assert_int_equal(uart_write(uart, "y", 1), 0);
	assert_int_equal(registers[0], 'x');
	assert_null(uart_add(&place)); /* there is one */
}

static void without_interrupt_ports_are_polled(void **state)
{
	(void)state;
	has_no_ioapic = true;
	uart_init();
	uart_enable_interrupts();
	assert_int_equal(timer_armed_count(), 1);
	chips[0].rx[chips[0].rx_count++] = 'z';
	for (unsigned i = 1; i <= 3; i++) {
		fake_tsc += 2 * NS_PER_MS;
		timer_run();
		assert_int_equal(notified, i);
	}
	assert_int_equal(uart_read(uart_port(0)), 'z');
	assert_int_equal(uart_read(uart_port(0)), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(finds_what_is_there, setup),
		cmocka_unit_test_setup(sets_the_line, setup),
		cmocka_unit_test_setup(received_bytes_arrive_in_order, setup),
		cmocka_unit_test_setup(a_full_ring_holds_the_sender, setup),
		cmocka_unit_test_setup(writing_never_overruns_the_fifo, setup),
		cmocka_unit_test_setup(room_is_told_once_after_a_short_write, setup),
		cmocka_unit_test_setup(ports_that_share_a_line_are_both_served, setup),
		cmocka_unit_test_setup(an_endless_sender_is_not_lost, setup),
		cmocka_unit_test_setup(overruns_are_counted, setup),
		cmocka_unit_test_setup(a_port_that_dies_blocks_nobody, setup),
		cmocka_unit_test_setup(a_dead_port_is_waited_for_once, setup),
		cmocka_unit_test_setup(an_empty_bus_sends_nothing, setup),
		cmocka_unit_test_setup(has_the_speed_that_is_wanted, setup),
		cmocka_unit_test_setup(firmware_may_name_a_port_in_memory, setup),
		cmocka_unit_test_setup(without_interrupt_ports_are_polled, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
