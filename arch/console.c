/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The operator's console: which serial port, and the shell on it.
 *
 * tern.conf's console= goes before firmware's SPCR table, which goes before the first port found.
 */
#include "arch/console.h"
#include "arch/acpi.h"
#include "arch/uart.h"
#include "kernel/log.h"
#include "kernel/sched.h"
#include "kernel/shell.h"
#include "kernel/status.h"

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

/* SPCR names a port by its registers' address. */
static struct uart *firmware_port(void)
{
	const struct acpi_facts *facts = acpi_get();

	if (!facts->has_spcr || facts->console.space != ACPI_SPACE_IO)
		return NULL;
	for (unsigned n = 0; n < UART_COUNT; n++) {
		struct uart *uart = uart_port(n);

		if (uart && uart_base(uart) == facts->console.address)
			return uart;
	}
	log_warn("console: firmware's port %#lx is none of COM1 to COM4",
		 facts->console.address);
	return NULL;
}

void console_choose(const char *wanted)
{
	struct uart *uart = wanted ? uart_by_name(wanted) : firmware_port();

	if (wanted && !uart)
		log_warn("console: tern.conf wants %s, which this machine does not have", wanted);
	if (!uart || uart == uart_console())
		return;
	log_info("console: goes on at %s", uart_name(uart));
	uart_set_console(uart);
	log_info("console: %s", uart_name(uart));
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
		return status_say(line, STATUS_BAD, "no serial port: commands cannot be typed here, only tern.conf counts");
	return status_say(line, STATUS_PLAIN, "commands are typed on the serial port %s, 115200 baud, 8N1, no flow control",
			  uart_name(uart));
}

STATUS_SOURCE(60, console_status) = { .label = "Console", .line = console_line };
