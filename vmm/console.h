/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's first serial port, seen from the host: scrollback of each VM, the physical
 * port it may be bound to (console=com2), and the operator's `vm console NAME`.
 */
#pragma once

#include "kernel/shell.h"
#include "kernel/types.h"

struct vm;
struct vm_console;

/* Once, on CPU 0: the service that moves bytes between guests and ports. After uart_enable_interrupts. */
void vm_console_init(void);

/* CPU 0. 0, -ENOMEM. */
int console_create(struct vm *vm);
/* CPU 0. Unbinds, and sends an attached shell back to its prompt. */
void console_destroy(struct vm *vm);

/* For vm create: 0; -ENODEV: no such port; -EBUSY: it is the host's own console. "" is always good. */
int console_check_port(const char *name);
/*
 * Binds the VM to the port its configuration names, if that is free; else only the scrollback
 * gets its output, and the log says so. CPU 0, vm->lock held; does nothing if bound already. The
 * serial port's start() does it, so after a move nobody has to.
 */
void console_bind(struct vm *vm);
/* The port is free again; what is still to be sent is sent. CPU 0, vm->lock held. */
void console_unbind(struct vm *vm);
/* "com2", or "" when unbound. */
const char *console_port_name(const struct vm *vm);

/* The guest sends a byte; false: no room now, uart_poll is called when there is. vm->lock held, any CPU. */
bool console_put(struct vm *vm, u8 byte);
/* The next byte from the port, or -1. vm->lock held, any CPU. */
int console_get(struct vm *vm);

/* Shows the end of the scrollback, then what comes, and types into the guest until Ctrl-]. CPU 0. CMD_RUNNING. */
enum cmd_result console_attach(struct vm *vm, struct shell *shell);
