/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Serial ports: 16550 on COM1..COM4, with FIFO and interrupts, and one more that firmware
 * names, by port or in memory, which is polled.
 *
 * Reading and writing never wait. Received bytes are moved to a ring by the interrupt
 * handler (or by uart_read itself where the interrupt is missing); after a write that was cut
 * short the services are woken when there is room again. One reader and one writer a port.
 */
#pragma once

#include "kernel/types.h"

#define UART_COUNT 4               /* COM ports */
#define UART_ALL (UART_COUNT + 1)  /* and firmware's */
#define UART_BAUD 115200

struct uart;

/* Finds the ports. Needs nothing; so it is the first thing to be called. */
void uart_init(void);
/* Interrupts for all ports found. After apic, ioapic. */
void uart_enable_interrupts(void);

/* Where a port's registers are: every stride_bytes, by accesses of as many bytes (1, 2 or 4). */
struct uart_place {
	volatile u8 *memory; /* mapped; NULL: in port space, from base on */
	u16 base;
	u8 stride_bytes;
	u32 baud; /* what firmware set; 0: it does not say */
};
/* One port more, named "spcr"; its speed stays as firmware set it. NULL: nothing answers as a 16550 does. Once. */
struct uart *uart_add(const struct uart_place *place);

/* COM(n+1), n < UART_COUNT, or firmware's port, n == UART_COUNT; NULL when there is no such port. */
struct uart *uart_port(unsigned n);
/* "com1" -> the port, or NULL. */
struct uart *uart_by_name(const char *name);
const char *uart_name(const struct uart *uart);
u16 uart_base(const struct uart *uart);

/* A COM port's speed: UART_BAUD divided by a whole number, 0: as firmware had set it. -EINVAL: it cannot be had. */
int uart_set_baud(struct uart *uart, u32 baud);
/* 0: not known. */
u32 uart_baud(const struct uart *uart);

/* The next received byte, or -1. */
int uart_read(struct uart *uart);
/* Writes what fits now and returns how much that was; if less than bytes, notify is called later. */
size_t uart_write(struct uart *uart, const void *data, size_t bytes);
/*
 * Writes all by waiting, for early messages and panic. A port that takes nothing for some tenths of a
 * second is not waited for again until it takes something.
 */
void uart_write_wait(struct uart *uart, const void *data, size_t bytes);
/* Called from the interrupt handler (flags only!) when bytes have come or there is room to send. */
void uart_set_notify(struct uart *uart, void (*notify)(void *context), void *context);

struct uart_stats {
	u64 rx_bytes, tx_bytes, rx_lost, errors;
};
void uart_get_stats(const struct uart *uart, struct uart_stats *stats);

/* The console's port: COM1 unless told otherwise. May be NULL. */
struct uart *uart_console(void);
void uart_set_console(struct uart *uart);
