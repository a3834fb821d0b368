/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's first serial port, seen from the host.
 *
 * What the guest sends goes to the VM's scrollback and, byte for byte, to the physical port
 * that it is bound to. A port has one owner and a ring of what could not be sent yet. The ring
 * belongs to the port, not to the VM: when the guest has moved on, its last bytes still go out.
 * A full ring holds the guest's transmitter back (vmm/dev/uart.c), so no output is lost.
 *
 * Rings are filled on the vCPU's CPU and emptied on CPU 0, which the port's interrupt wakes.
 * Owners and attached shells change on CPU 0 only. vm->lock guards the VM's console; port->lock, taken
 * inside it, the port's ring.
 */
#include "vmm/console.h"
#include "arch/uart.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/log.h"
#include "kernel/sched.h"
#include "kernel/string.h"
#include "vmm/dev/uart.h"
#include "vmm/vm.h"

#define SCROLLBACK_BYTES (64 * KIB)
#define PORT_RING_BYTES 4096u
#define ROOM_BYTES (PORT_RING_BYTES / 2) /* free before a guest that waits may go on */
#define SHOW_BYTES 512u                   /* to the shell in one go */
#define REPLAY_BYTES (4 * KIB)            /* of the scrollback when a shell attaches */
#define KEY_LEAVE 0x1d                    /* Ctrl-] */

struct port {
	struct uart *uart;   /* NULL: there is no such port */
	struct vm *owner;
	struct lock lock;
	u32 head, tail;      /* of ring, never reduced */
	bool is_guest_waiting;
	bool is_notified;    /* by the port's interrupt: input, or room to send */
	u8 ring[PORT_RING_BYTES];
};

struct vm_console {
	struct port *port;
	struct shell *shell; /* the attached one */
	u64 head;            /* bytes ever put into the scrollback */
	u64 shown;           /* of these, what the shell has seen */
	bool want_show;      /* the services have been asked to show the rest */
	u8 scrollback[SCROLLBACK_BYTES];
};

static struct port ports[UART_COUNT];

/* --- Physical ports ------------------------------------------------------------------------- */

/* Interrupt context: flags only. */
static void port_notify(void *context)
{
	struct port *port = context;

	__atomic_store_n(&port->is_notified, true, __ATOMIC_RELEASE);
	service_wake();
}

/* Sends from the ring what the port takes now. With port->lock held. */
static void port_drain(struct port *port)
{
	while (port->tail != port->head) {
		u32 at = port->tail % PORT_RING_BYTES;
		u32 run = MIN(port->head - port->tail, PORT_RING_BYTES - at);
		u32 sent = (u32)uart_write(port->uart, port->ring + at, run);

		port->tail += sent;
		if (sent < run)
			return;
	}
}

/* One byte to the port or its ring; false when that is full. */
static bool port_put(struct port *port, u8 byte)
{
	bool is_taken = true;

	lock_take(&port->lock);
	if (port->head == port->tail && uart_write(port->uart, &byte, 1) == 1) {
		lock_give(&port->lock);
		return true;
	}
	if (port->head - port->tail < PORT_RING_BYTES) {
		port->ring[port->head++ % PORT_RING_BYTES] = byte;
	} else {
		port->is_guest_waiting = true;
		is_taken = false;
	}
	lock_give(&port->lock);
	return is_taken;
}

static void port_poll(struct port *port)
{
	lock_take(&port->lock);
	port_drain(port);
	if (PORT_RING_BYTES - (port->head - port->tail) >= ROOM_BYTES)
		port->is_guest_waiting = false;
	lock_give(&port->lock);
	if (!port->owner || port->is_guest_waiting)
		return;
	lock_take(&port->owner->lock);
	if (port->owner->uart)
		uart_poll(port->owner->uart);
	lock_give(&port->owner->lock);
}

int console_check_port(const char *name)
{
	struct uart *uart;

	if (!*name)
		return 0;
	uart = uart_by_name(name);
	if (!uart)
		return -ENODEV;
	return uart == uart_console() ? -EBUSY : 0;
}

static struct port *port_by_name(const char *name)
{
	struct uart *uart = uart_by_name(name);

	for (unsigned i = 0; uart && i < UART_COUNT; i++) {
		if (ports[i].uart == uart && uart != uart_console())
			return &ports[i];
	}
	return NULL;
}

void console_bind(struct vm *vm)
{
	struct vm_console *console = vm->console;
	const char *name = vm->config.console;
	struct port *port;

	if (!console || console->port || !*name)
		return;
	port = port_by_name(name);
	if (!port || port->owner) {
		log_warn("%s: serial output goes to the scrollback only: %s is %s", vm->config.name, name,
			 !port ? "not a free port of this host" : "in use by another VM");
		return;
	}
	port->owner = vm;
	console->port = port;
}

void console_unbind(struct vm *vm)
{
	struct vm_console *console = vm->console;

	if (!console || !console->port)
		return;
	console->port->owner = NULL;
	console->port = NULL;
}

const char *console_port_name(const struct vm *vm)
{
	const struct vm_console *console = vm->console;

	return console && console->port ? uart_name(console->port->uart) : "";
}

/* --- The guest's side ------------------------------------------------------------------------- */

static void ask_to_show(struct vm_console *console)
{
	if (console->want_show)
		return;
	console->want_show = true;
	service_wake();
}

bool console_put(struct vm *vm, u8 byte)
{
	struct vm_console *console = vm->console;

	if (!console)
		return true;
	if (console->port && !port_put(console->port, byte))
		return false;
	console->scrollback[console->head++ % SCROLLBACK_BYTES] = byte;
	if (console->shell)
		ask_to_show(console);
	return true;
}

int console_get(struct vm *vm)
{
	const struct vm_console *console = vm->console;

	return console && console->port ? uart_read(console->port->uart) : -1;
}

/* --- The operator's side ------------------------------------------------------------------------ */

/* False: the guest takes no more now. A stunned one's state may be on its way already. */
static bool type(struct vm *vm, u8 byte)
{
	bool is_taken;

	lock_take(&vm->lock);
	is_taken = vm->uart && vm->state != VM_STUNNED && uart_feed(vm->uart, byte);
	lock_give(&vm->lock);
	return is_taken;
}

static void detach(struct vm *vm, enum cmd_result result)
{
	struct shell *shell = vm->console->shell;

	lock_take(&vm->lock);
	vm->console->shell = NULL;
	lock_give(&vm->lock);
	shell_leave_raw(shell, result);
}

static void raw(struct shell *shell, u8 byte, void *context)
{
	struct vm *vm = context;

	if (byte == KEY_LEAVE)
		detach(vm, CMD_OK);
	else if (!type(vm, byte))
		shell_write(shell, "\a", 1);
}

/* Copies what the shell has not seen, at most SHOW_BYTES; counts what was overwritten before. */
static size_t take_unseen(struct vm *vm, u8 *to, u64 *lost)
{
	struct vm_console *console = vm->console;
	size_t bytes;

	lock_take(&vm->lock);
	*lost = console->head - console->shown > SCROLLBACK_BYTES
			? console->head - console->shown - SCROLLBACK_BYTES : 0;
	console->shown += *lost;
	bytes = MIN(console->head - console->shown, SHOW_BYTES);
	for (size_t i = 0; i < bytes; i++)
		to[i] = console->scrollback[console->shown++ % SCROLLBACK_BYTES];
	console->want_show = console->shown != console->head;
	lock_give(&vm->lock);
	return bytes;
}

/* True if there is more. */
static bool show(struct vm *vm)
{
	u8 bytes[SHOW_BYTES];
	u64 lost;
	size_t count = take_unseen(vm, bytes, &lost);

	if (lost)
		shell_print(vm->console->shell, "\n[%llu bytes not shown]\n", (unsigned long long)lost);
	shell_write(vm->console->shell, bytes, count);
	return vm->console->want_show;
}

enum cmd_result console_attach(struct vm *vm, struct shell *shell)
{
	struct vm_console *console = vm->console;

	shell_print(shell, "%s's serial port; Ctrl-] leaves\n", vm->config.name);
	lock_take(&vm->lock);
	console->shell = shell;
	console->shown = console->head - MIN(console->head, REPLAY_BYTES);
	/* Begin with a whole line if the start of this one is not there. */
	if (console->shown)
		while (console->shown < console->head &&
		       console->scrollback[(console->shown - 1) % SCROLLBACK_BYTES] != '\n')
			console->shown++;
	console->want_show = true;
	lock_give(&vm->lock);
	shell_set_raw(shell, raw, vm);
	service_wake();
	return CMD_RUNNING;
}

/* --- Life ---------------------------------------------------------------------------------------- */

static bool console_poll(struct service *service)
{
	bool is_more = false;

	(void)service;
	for (unsigned i = 0; i < UART_COUNT; i++) {
		if (ports[i].uart && __atomic_exchange_n(&ports[i].is_notified, false, __ATOMIC_ACQUIRE))
			port_poll(&ports[i]);
	}
	list_for_each(vm, &vm_list, struct vm, link) {
		if (vm->console && vm->console->shell && vm->console->want_show)
			is_more |= show(vm);
	}
	return is_more;
}

void vm_console_init(void)
{
	static struct service service = { .name = "console", .poll = console_poll };

	for (unsigned i = 0; i < UART_COUNT; i++) {
		struct uart *uart = uart_port(i);

		if (!uart || uart == uart_console())
			continue;
		ports[i].uart = uart;
		uart_set_notify(uart, port_notify, &ports[i]);
	}
	service_add(&service);
}

int console_create(struct vm *vm)
{
	vm->console = heap_alloc(sizeof(*vm->console));
	return vm->console ? 0 : -ENOMEM;
}

void console_destroy(struct vm *vm)
{
	if (!vm->console)
		return;
	if (vm->console->shell) {
		shell_print(vm->console->shell, "\n[%s is gone from this host]\n", vm->config.name);
		detach(vm, CMD_OK);
	}
	lock_take(&vm->lock);
	console_unbind(vm);
	lock_give(&vm->lock);
	heap_free(vm->console);
	vm->console = NULL;
}
