/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's output on its way to port, scrollback and attached shell: nothing lost, nothing twice. */
/* SOURCES: vmm/console.c */
#include <stdio.h>

#include "tests/host/fake/machine.h"
#include "arch/uart.h"
#include "kernel/heap.h"
#include "kernel/log.h"
#include "kernel/sched.h"
#include "vmm/console.h"
#include "vmm/dev/uart.h"
#include "vmm/vm.h"

#define RING 4096 /* of a port, in vmm/console.c */
#define SCROLLBACK 65536

struct uart {
	unsigned number;
	size_t room;                     /* bytes that it takes before it says stop */
	u8 sent[256 * KIB];
	size_t sent_count;
	const char *typed;
	void (*notify)(void *context);
	void *context;
};

struct list vm_list = LIST_HEAD_INIT(vm_list);
static struct uart uarts[UART_COUNT];
static struct service *service;
static unsigned wakes, polls, warnings;
static struct vm vms[2];
static struct device uart_devices[2];
static u8 typed[4];
static u32 typed_count;

/* The shell, as far as the console sees it. */
static char shown[256 * KIB];
static size_t shown_count;
static void (*raw)(struct shell *shell, u8 byte, void *context);
static void *raw_context;
#define SHELL ((struct shell *)shown)

/* --- what the console calls --- */

void *heap_alloc(size_t bytes) { return calloc(1, bytes); }
void heap_free(void *object) { free(object); }
void log_write(enum log_level level, const char *format, ...) { (void)format, warnings += level == LOG_WARN; }
void service_add(struct service *s) { service = s; }
void service_wake(void) { wakes++; }
void uart_poll(struct device *dev) { (void)dev, polls++; }

bool uart_feed(struct device *dev, u8 byte)
{
	assert_ptr_equal(dev, &uart_devices[0]);
	typed[typed_count++] = byte;
	return typed_count < sizeof(typed);
}

struct uart *uart_port(unsigned n) { return n < 3 ? &uarts[n] : NULL; }
struct uart *uart_console(void) { return &uarts[0]; }
const char *uart_name(const struct uart *uart) { return uart == &uarts[1] ? "com2" : "com3"; }

struct uart *uart_by_name(const char *name)
{
	return !strncmp(name, "com", 3) && name[3] >= '1' ? uart_port((unsigned)(name[3] - '1')) : NULL;
}

int uart_read(struct uart *uart) { return uart->typed && *uart->typed ? *uart->typed++ : -1; }

size_t uart_write(struct uart *uart, const void *data, size_t bytes)
{
	size_t count = MIN(MIN(bytes, uart->room), 16);

	memcpy(uart->sent + uart->sent_count, data, count);
	uart->sent_count += count;
	uart->room -= count;
	return count;
}

void uart_set_notify(struct uart *uart, void (*notify)(void *context), void *context)
{
	uart->notify = notify;
	uart->context = context;
}

void shell_print(struct shell *shell, const char *format, ...)
{
	va_list args;

	(void)shell;
	va_start(args, format);
	shown_count += (size_t)vsnprintf(shown + shown_count, sizeof(shown) - shown_count, format, args);
	va_end(args);
}

void shell_write(struct shell *shell, const void *bytes, size_t count)
{
	(void)shell;
	memcpy(shown + shown_count, bytes, count);
	shown_count += count;
}

void shell_set_raw(struct shell *shell, void (*handler)(struct shell *, u8, void *), void *context)
{
	(void)shell;
	raw = handler;
	raw_context = context;
}

void shell_leave_raw(struct shell *shell, enum cmd_result result)
{
	(void)shell;
	assert_int_equal(result, CMD_OK);
	raw = NULL;
}

/* --- the tests --- */

static int setup(void **state)
{
	(void)state;
	memset(uarts, 0, sizeof(uarts));
	memset(vms, 0, sizeof(vms));
	list_init(&vm_list);
	shown_count = wakes = polls = warnings = typed_count = 0;
	raw = NULL;
	for (u32 i = 0; i < UART_COUNT; i++)
		uarts[i] = (struct uart){ .number = i, .room = ~0ull };
	vm_console_init();
	for (u32 i = 0; i < 2; i++) {
		memcpy(vms[i].config.console, "com2", 5);
		vms[i].uart = &uart_devices[i];
		assert_int_equal(console_create(&vms[i]), 0);
		list_add_tail(&vm_list, &vms[i].link);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	for (u32 i = 0; i < 2; i++)
		console_destroy(&vms[i]);
	while (service->poll(service))
		;
	return 0;
}

static bool put(struct vm *vm, u8 byte)
{
	bool is_taken;

	lock_take(&vm->lock);
	is_taken = console_put(vm, byte);
	lock_give(&vm->lock);
	return is_taken;
}

static void say(struct vm *vm, const char *text)
{
	while (*text)
		assert_true(put(vm, (u8)*text++));
}

static void poll(void)
{
	while (service->poll(service))
		;
}

/* The port's FIFO takes 16 bytes at a time; an interrupt follows each time. */
static void drain(void)
{
	size_t before;

	uarts[1].room = ~0ull;
	do {
		before = uarts[1].sent_count;
		uarts[1].notify(uarts[1].context);
		poll();
	} while (uarts[1].sent_count != before);
}

static void ports_are_checked(void **state)
{
	(void)state;
	assert_int_equal(console_check_port(""), 0);
	assert_int_equal(console_check_port("com2"), 0);
	assert_true(console_check_port("com1") < 0); /* Tern's own */
	assert_true(console_check_port("com4") < 0);
	assert_true(console_check_port("tty") < 0);
}

static void a_port_has_one_owner(void **state)
{
	(void)state;
	console_bind(&vms[0]);
	console_bind(&vms[0]); /* again: nothing */
	assert_int_equal(warnings, 0);
	console_bind(&vms[1]);
	assert_int_equal(warnings, 1);
	assert_string_equal(console_port_name(&vms[0]), "com2");
	assert_string_equal(console_port_name(&vms[1]), "");
	say(&vms[0], "a");
	say(&vms[1], "b");
	assert_int_equal(uarts[1].sent_count, 1);
	console_unbind(&vms[0]);
	console_bind(&vms[1]);
	say(&vms[1], "c");
	assert_memory_equal(uarts[1].sent, "ac", 2);
}

static void a_slow_port_holds_the_guest_and_gets_every_byte(void **state)
{
	size_t count = 0;

	(void)state;
	console_bind(&vms[0]);
	uarts[1].room = 10;
	while (count < RING + 10) {
		assert_true(put(&vms[0], (u8)(count * 7)));
		count++;
	}
	assert_false(put(&vms[0], 'x'));
	/* A little room: the ring drains, but the guest waits until half is free. */
	uarts[1].room = 100;
	uarts[1].notify(uarts[1].context);
	poll();
	assert_int_equal(polls, 0);
	while (!polls) {
		uarts[1].room = 16;
		uarts[1].notify(uarts[1].context);
		poll();
	}
	assert_in_range(uarts[1].sent_count - 10, RING / 2, RING / 2 + 16);
	drain();
	assert_int_equal(uarts[1].sent_count, RING + 10);
	for (size_t i = 0; i < RING + 10; i++)
		assert_int_equal(uarts[1].sent[i], (u8)(i * 7));
}

static void bytes_outlive_their_vm(void **state)
{
	(void)state;
	console_bind(&vms[0]);
	uarts[1].room = 2;
	say(&vms[0], "hello");
	console_destroy(&vms[0]);
	console_bind(&vms[1]);
	say(&vms[1], ", world");
	drain();
	assert_int_equal(uarts[1].sent_count, 12);
	assert_memory_equal(uarts[1].sent, "hello, world", 12);
}

static void input_comes_from_the_port(void **state)
{
	(void)state;
	assert_int_equal(console_get(&vms[0]), -1);
	console_bind(&vms[0]);
	uarts[1].typed = "hi";
	uarts[1].notify(uarts[1].context);
	assert_true(wakes > 0);
	poll();
	assert_int_equal(polls, 1);
	assert_int_equal(console_get(&vms[0]), 'h');
	assert_int_equal(console_get(&vms[0]), 'i');
	assert_int_equal(console_get(&vms[0]), -1);
}

static void an_attached_shell_sees_scrollback_and_what_follows(void **state)
{
	(void)state;
	say(&vms[0], "first\r\n");
	assert_int_equal(console_attach(&vms[0], SHELL), CMD_RUNNING);
	poll();
	wakes = 0;
	say(&vms[0], "second\r\n");
	assert_int_equal(wakes, 1); /* once, not for each byte */
	poll();
	shown[shown_count] = 0;
	assert_non_null(strstr(shown, "Ctrl-]"));
	assert_non_null(strstr(shown, "first\r\nsecond\r\n"));
	/* Typing. */
	raw(SHELL, 'l', raw_context);
	raw(SHELL, 's', raw_context);
	assert_int_equal(typed_count, 2);
	assert_memory_equal(typed, "ls", 2);
	/* No room: the bell. */
	raw(SHELL, 'x', raw_context);
	shown_count = 0;
	raw(SHELL, 'y', raw_context);
	assert_int_equal(shown_count, 1);
	assert_int_equal(shown[0], '\a');
	/* Nor while a move has the guest in its hands: what is typed then would be lost in silence. */
	typed_count = shown_count = 0;
	vms[0].state = VM_STUNNED;
	raw(SHELL, 'z', raw_context);
	vms[0].state = VM_RUNNING;
	assert_int_equal(typed_count, 0);
	assert_int_equal(shown_count, 1);
	raw(SHELL, 0x1d, raw_context);
	assert_null(raw);
	shown_count = 0;
	say(&vms[0], "unseen");
	poll();
	assert_int_equal(shown_count, 0);
}

static void replay_begins_with_a_whole_line(void **state)
{
	(void)state;
	for (u32 i = 0; i < 2000; i++)
		say(&vms[0], "0123456789\n");
	console_attach(&vms[0], SHELL);
	shown_count = 0;
	poll();
	assert_in_range(shown_count, 4096 - 11, 4096);
	assert_memory_equal(shown, "0123456789\n", 11);
}

static void a_shell_that_lags_is_told_what_it_missed(void **state)
{
	(void)state;
	console_attach(&vms[0], SHELL);
	poll();
	for (u32 i = 0; i < SCROLLBACK + 100; i++)
		put(&vms[0], 'x');
	shown_count = 0;
	poll();
	shown[shown_count] = 0;
	assert_non_null(strstr(shown, "[100 bytes not shown]"));
	assert_in_range(shown_count, SCROLLBACK, SCROLLBACK + 40);
}

static void a_vm_that_goes_sends_the_shell_home(void **state)
{
	(void)state;
	memcpy(vms[0].config.name, "web1", 5);
	console_attach(&vms[0], SHELL);
	console_destroy(&vms[0]);
	assert_null(raw);
	shown[shown_count] = 0;
	assert_non_null(strstr(shown, "web1 is gone"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(ports_are_checked),
		TEST(a_port_has_one_owner),
		TEST(a_slow_port_holds_the_guest_and_gets_every_byte),
		TEST(bytes_outlive_their_vm),
		TEST(input_comes_from_the_port),
		TEST(an_attached_shell_sees_scrollback_and_what_follows),
		TEST(replay_begins_with_a_whole_line),
		TEST(a_shell_that_lags_is_told_what_it_missed),
		TEST(a_vm_that_goes_sends_the_shell_home),
	};

	return cmocka_run_group_tests_name("console", tests, NULL, NULL);
}
