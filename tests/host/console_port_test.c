/* SPDX-License-Identifier: BSD-2-Clause */
/* Which serial port is the operator's: tern.conf, else SPCR, else the first; and what happens when they are wrong. */
/* SOURCES: arch/console.c kernel/log.c kernel/status.c kernel/fmt.c kernel/str.c
	    tests/host/fake/shell_fake.c */
#include <string.h>

#include "tests/host/fake/machine.h"
#include "arch/acpi.h"
#include "arch/console.h"
#include "arch/paging.h"
#include "arch/uart.h"
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/log.h"
#include "kernel/sched.h"
#include "kernel/shell.h"
#include "kernel/status.h"

struct uart {
	const char *name;
	u16 base;
	u32 baud;
	bool is_present;
};

static struct uart ports[UART_ALL];
static struct uart *console;
static struct uart_place added; /* what uart_add was asked for last */
static bool is_added_present;
static struct acpi_facts facts;
static u8 registers[4096];
static u64 mapped;
static char replayed[64 * KIB];

u64 clock_now_ns(void) { return 0; }
void service_wake(void) { }
struct shell *shell_start(const char *host_name, int (*read)(void), size_t (*write)(const char *text, size_t bytes))
{
	(void)host_name;
	assert_int_equal(read(), -1);
	assert_int_equal(write("abc", 3), 3);
	return (struct shell *)registers;
}

const struct acpi_facts *acpi_get(void) { return &facts; }

void *paging_map_mmio(hpa_t hpa, u64 bytes)
{
	mapped = bytes;
	return hpa.value >= BIT(52) ? NULL : registers;
}

struct uart *uart_port(unsigned n) { return n < UART_ALL && ports[n].is_present ? &ports[n] : NULL; }
struct uart *uart_by_name(const char *name)
{
	for (unsigned n = 0; n < UART_COUNT; n++) {
		if (strcmp(name, ports[n].name) == 0)
			return uart_port(n);
	}
	return NULL;
}
const char *uart_name(const struct uart *uart) { return uart->name; }
u16 uart_base(const struct uart *uart) { return uart->base; }
u32 uart_baud(const struct uart *uart) { return uart->baud; }
int uart_set_baud(struct uart *uart, u32 baud)
{
	if (baud % 100)
		return -EINVAL;
	uart->baud = baud;
	return 0;
}
struct uart *uart_add(const struct uart_place *place)
{
	added = *place;
	ports[UART_COUNT].is_present = is_added_present;
	ports[UART_COUNT].baud = place->baud;
	return uart_port(UART_COUNT);
}
int uart_read(struct uart *uart)
{
	assert_true(uart->is_present);
	return -1;
}
size_t uart_write(struct uart *uart, const void *data, size_t bytes)
{
	(void)data;
	assert_true(uart->is_present);
	return bytes;
}
void uart_write_wait(struct uart *uart, const void *data, size_t bytes)
{
	assert_ptr_equal(uart, console);
	strncat(replayed, data, bytes);
}
void uart_set_notify(struct uart *uart, void (*notify)(void *context), void *context)
{
	assert_true(uart->is_present);
	notify(context);
}
struct uart *uart_console(void) { return console; }
void uart_set_console(struct uart *uart) { console = uart; }

static int setup(void **state)
{
	static const struct uart fresh[UART_ALL] = {
		{ "com1", 0x3f8, 115200, true }, { "com2", 0x2f8, 115200, true }, { "com3", 0x3e8, 115200, false },
		{ "com4", 0x2e8, 115200, false }, { "spcr", 0, 0, false },
	};

	(void)state;
	memcpy(ports, fresh, sizeof(ports));
	console = &ports[0];
	memset(&facts, 0, sizeof(facts));
	memset(&added, 0, sizeof(added));
	is_added_present = false;
	replayed[0] = 0;
	return 0;
}

static u64 warnings(void)
{
	struct log_trouble trouble;

	log_get_trouble(&trouble);
	return trouble.warnings;
}

static void spcr(u8 space, u64 address, u8 kind, u32 baud)
{
	facts.has_spcr = true;
	facts.console = (struct acpi_address){ .address = address, .space = space, .bit_width = 8, .access_size = 1 };
	facts.console_kind = kind;
	facts.console_baud = baud;
}

static void without_a_wish_it_is_the_first(void **state)
{
	(void)state;
	console_choose(NULL);
	assert_ptr_equal(console, &ports[0]);
	assert_string_equal(replayed, "");
}

static void the_configuration_goes_before_firmware(void **state)
{
	(void)state;
	spcr(ACPI_SPACE_IO, 0x3f8, 0, 9600);
	log_info("an early line");
	console_choose("com2");
	assert_ptr_equal(console, &ports[1]);
	assert_int_equal(console->baud, 115200);
	/* Who looks at com2 sees what was said before. */
	assert_non_null(strstr(replayed, "an early line\r\n"));
}

static void a_speed_may_follow(void **state)
{
	u64 before = warnings();

	(void)state;
	console_choose("com2,57600");
	assert_ptr_equal(console, &ports[1]);
	assert_int_equal(console->baud, 57600);
	assert_int_equal(warnings(), before);
	console_choose("com1,fast");
	assert_ptr_equal(console, &ports[0]);
	assert_int_equal(console->baud, 115200);
	console_choose("com1,");
	console_choose("com1,0");
	console_choose("com1,12345");
	console_choose("com1,99999999999999999999");
	assert_int_equal(console->baud, 115200);
	assert_int_equal(warnings(), before + 5);
}

static void a_wrong_wish_leaves_firmwares(void **state)
{
	static const char *const wrong[] = { "com3", "com5", "", ",", "COM2", "a name that is far too long for a port,9600" };
	u64 before = warnings();

	(void)state;
	spcr(ACPI_SPACE_IO, 0x2f8, 0, 19200);
	for (unsigned i = 0; i < ARRAY_COUNT(wrong); i++) {
		console = &ports[0];
		console_choose(wrong[i]);
		assert_ptr_equal(console, &ports[1]);
		assert_int_equal(console->baud, 19200);
		assert_int_equal(warnings(), before + i + 1);
	}
}

static void firmware_may_name_any_port(void **state)
{
	(void)state;
	is_added_present = true;
	spcr(ACPI_SPACE_IO, 0xc040, 0, 115200);
	console_choose(NULL);
	assert_ptr_equal(console, &ports[UART_COUNT]);
	assert_null(added.memory);
	assert_int_equal(added.base, 0xc040);
	assert_int_equal(added.stride_bytes, 1);
	assert_int_equal(added.baud, 115200);
}

static void firmware_may_name_registers_in_memory(void **state)
{
	static const struct {
		u8 bit_width, access_size, stride;
	} cases[] = { { 8, 1, 1 }, { 32, 3, 4 }, { 32, 0, 4 }, { 16, 2, 2 }, { 0, 0, 1 }, { 32, 1, 1 }, { 8, 255, 1 }, { 255, 9, 4 } };

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		setup(NULL);
		is_added_present = true;
		spcr(ACPI_SPACE_MEMORY, 0xfedc6000, 0x12, 0);
		facts.console.bit_width = cases[i].bit_width;
		facts.console.access_size = cases[i].access_size;
		console_choose(NULL);
		assert_ptr_equal(console, &ports[UART_COUNT]);
		assert_ptr_equal(added.memory, registers);
		assert_int_equal(added.stride_bytes, cases[i].stride);
		assert_int_equal(mapped, 8 * cases[i].stride);
	}
}

static void absurd_tables_change_nothing(void **state)
{
	static const struct {
		u8 space;
		u64 address;
		u8 kind;
	} cases[] = {
		{ ACPI_SPACE_IO, 0xffff, 0 }, { ACPI_SPACE_IO, ~0ull, 0 }, { ACPI_SPACE_MEMORY, ~0ull, 0 },
		{ ACPI_SPACE_PCI, 0x10, 0 }, { 0x7f, 0x3f8, 0 }, { ACPI_SPACE_IO, 0x3f8, 3 }, { ACPI_SPACE_IO, 0x3e8, 0 },
	};
	u64 before = warnings();

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		spcr(cases[i].space, cases[i].address, cases[i].kind, 115200);
		console_choose(NULL);
		assert_ptr_equal(console, &ports[0]);
		assert_int_equal(warnings(), before + i + 1);
	}
	/* Redirection switched off is no fault. */
	spcr(ACPI_SPACE_IO, 0, 0, 0);
	console_choose(NULL);
	assert_ptr_equal(console, &ports[0]);
	assert_int_equal(warnings(), before + ARRAY_COUNT(cases));
}

static void a_machine_without_ports_is_silent(void **state)
{
	const struct status_source *source;
	struct status_line line;
	bool is_told = false;

	(void)state;
	memset(ports, 0, sizeof(ports));
	for (unsigned n = 0; n < UART_ALL; n++)
		ports[n].name = "com";
	console = NULL;
	console_init_early();
	console_choose("com1");
	console_start("host1");
	assert_null(console);
	for (unsigned i = 0; (source = status_source(i)); i++) {
		for (unsigned at = 0; source->line(at, &line); at++)
			is_told |= line.level == STATUS_BAD && strstr(line.text, "no serial port");
	}
	assert_true(is_told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(without_a_wish_it_is_the_first, setup),
		cmocka_unit_test_setup(the_configuration_goes_before_firmware, setup),
		cmocka_unit_test_setup(a_speed_may_follow, setup),
		cmocka_unit_test_setup(a_wrong_wish_leaves_firmwares, setup),
		cmocka_unit_test_setup(firmware_may_name_any_port, setup),
		cmocka_unit_test_setup(firmware_may_name_registers_in_memory, setup),
		cmocka_unit_test_setup(absurd_tables_change_nothing, setup),
		cmocka_unit_test_setup(a_machine_without_ports_is_silent, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
