/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The operator's console: which serial port, and the shell on it.
 *
 * tern.conf's console= goes before firmware's SPCR table, which goes before the first port found. A
 * wish that cannot be fulfilled is told, and the next one counts: a wrong line must not
 * leave a machine without a console.
 */
#include "arch/console.h"
#include "arch/acpi.h"
#include "arch/paging.h"
#include "arch/uart.h"
#include "kernel/log.h"
#include "kernel/sched.h"
#include "kernel/shell.h"
#include "kernel/status.h"
#include "kernel/string.h"

#define REGISTERS 8
#define LOG_LINES_MAX 1000

/* SPCR's interface types of 16550 and its likes (Serial Port Console Redirection Table, and DBG2's list). */
enum { SPCR_16550 = 0, SPCR_16450 = 1, SPCR_16550_BY_ADDRESS = 0x12 };

static void write_waiting(const char *text, size_t bytes)
{
	/* Terminals want CR before LF; log lines have one LF, at their end. */
	if (bytes && text[bytes - 1] == '\n') {
		machine->console_write(text, bytes - 1);
		machine->console_write("\r\n", 2);
		return;
	}
	machine->console_write(text, bytes);
}

void console_init_early(void) { log_set_sink(write_waiting); }

static struct uart *com_port_at(u64 address)
{
	for (unsigned n = 0; n < UART_COUNT; n++) {
		struct uart *uart = uart_port(n);

		if (uart && uart_base(uart) == address)
			return uart;
	}
	return NULL;
}

/* ACPI 5.2.3.2: the access size counts, and the register's width where that is not said. */
static u8 stride_of(const struct acpi_address *address)
{
	bool is_said = address->access_size >= 1 && address->access_size <= 4;
	unsigned bits = is_said ? 4u << address->access_size : address->bit_width;

	return bits >= 32 ? 4 : bits >= 16 ? 2 : 1;
}

/* A port that is none of COM1 to COM4: on a card, or in memory. */
static struct uart *add_port_at(const struct acpi_address *address, u32 baud)
{
	struct uart_place place = { .stride_bytes = stride_of(address), .baud = baud };
	u64 bytes = REGISTERS * place.stride_bytes;

	if (address->space == ACPI_SPACE_IO && address->address <= 0x10000 - bytes) {
		place.base = (u16)address->address;
	} else if (address->space == ACPI_SPACE_MEMORY) {
		place.memory = paging_map_mmio(HPA(address->address), bytes);
		if (!place.memory)
			return NULL;
	} else {
		return NULL;
	}
	return uart_add(&place);
}

/* The port that firmware redirects its own console to, at firmware's speed. */
static struct uart *firmware_port(void)
{
	const struct acpi_facts *facts = acpi_get();
	const struct acpi_address *address = &facts->console;
	struct uart *uart;

	/* An address of 0 means that redirection is switched off. */
	if (!facts->has_spcr || !address->address)
		return NULL;
	if (facts->console_kind != SPCR_16550 && facts->console_kind != SPCR_16450 &&
	    facts->console_kind != SPCR_16550_BY_ADDRESS) {
		log_warn("console: firmware's port (SPCR) is no 16550 but of type %#x: write console=com1 in tern.conf",
			 facts->console_kind);
		return NULL;
	}
	uart = address->space == ACPI_SPACE_IO ? com_port_at(address->address) : NULL;
	if (uart)
		uart_set_baud(uart, facts->console_baud);
	else
		uart = add_port_at(address, facts->console_baud);
	if (!uart)
		log_warn("console: firmware's port (SPCR) at %s %#lx does not answer", address->space ? "port" : "address",
			 address->address);
	return uart;
}

/* "com2" or "com2,57600". NULL: no wish, or one that cannot be fulfilled. */
static struct uart *wanted_port(const char *wanted)
{
	char name[16] = "";
	const char *comma;
	struct uart *uart;
	u64 baud = UART_BAUD;

	if (!wanted)
		return NULL;
	comma = strchr(wanted, ',');
	str_copy(name, MIN(sizeof(name), comma ? (size_t)(comma - wanted) + 1 : sizeof(name)), wanted);
	uart = uart_by_name(name);
	if (!uart) {
		log_warn("console: tern.conf wants %s, which this machine does not have", wanted);
		return NULL;
	}
	if (comma && (str_to_u64(comma + 1, &baud) || !baud || baud > UART_BAUD || uart_set_baud(uart, (u32)baud)))
		log_warn("console: console=%s: the speed is not one of 9600, 19200, 38400, 57600, 115200: it stays %u", wanted,
			 uart_baud(uart));
	return uart;
}

static void write_line(const char *text, void *context)
{
	(void)context;
	uart_write_wait(uart_console(), text, strlen(text));
	uart_write_wait(uart_console(), "\r\n", 2);
}

void console_choose(const char *wanted)
{
	struct uart *first = uart_console(), *uart = wanted_port(wanted);

	if (!uart)
		uart = firmware_port();
	if (!uart || uart == first)
		return;
	log_info("console: goes on at %s", uart_name(uart));
	uart_set_console(uart);
	/* Whoever looks there has seen nothing yet. */
	log_replay(LOG_LINES_MAX, write_line, NULL);
}

static int shell_read(void) { return uart_console() ? uart_read(uart_console()) : -1; }

/* Without a port the text is gone at once, so that nothing piles up. */
static size_t shell_write_some(const char *text, size_t bytes)
{
	return uart_console() ? uart_write(uart_console(), text, bytes) : bytes;
}

static void port_notify(void *context)
{
	(void)context;
	service_wake();
}

void console_start(const char *host_name)
{
	if (uart_console())
		uart_set_notify(uart_console(), port_notify, NULL);
	if (!shell_start(host_name, shell_read, shell_write_some))
		log_error("console: no memory for the shell");
}

static bool console_line(unsigned index, struct status_line *line)
{
	const struct uart *uart = uart_console();

	if (index > 0)
		return false;
	if (!uart)
		return status_say(line, STATUS_BAD, "no serial port: nothing can be typed, and only tern.conf counts");
	if (!uart_baud(uart))
		return status_say(line, STATUS_PLAIN, "type on the serial port that the firmware uses, at its speed, 8N1");
	return status_say(line, STATUS_PLAIN, "type on serial port %s (%#x), %u baud, 8N1", uart_name(uart), uart_base(uart),
			  uart_baud(uart));
}

STATUS_SOURCE(60, console_status) = { .label = "Console", .line = console_line };
