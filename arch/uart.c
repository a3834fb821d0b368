/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Serial ports: 16550 (TI TL16C550C data sheet; National PC16550D).
 *
 * The interrupt handler is the producer of the receive ring, uart_read its consumer; the
 * two share no lock. Both, and the writer, change the interrupt enable register, so its
 * wanted value is kept in an atomic word and written until it is stable (ier_update).
 */
#include "arch/uart.h"
#include "arch/cpu.h"
#include "arch/ioapic.h"
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/log.h"
#include "kernel/machine.h"
#include "kernel/string.h"
#include "kernel/timer.h"

#define RING_BYTES 4096u
#define FIFO_BYTES 16
#define POLL_NS (2 * NS_PER_MS)
#define WAIT_POLLS 200000 /* of the line status; a port read takes at least 0.2 us */

enum {
	RBR = 0, THR = 0, IER = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6,
	DLL = 0, DLM = 1, /* with LCR_DLAB */
};

#define IER_RX BIT(0)
#define IER_TX BIT(1)
#define IER_LINE BIT(2)
#define IIR_NONE BIT(0)
#define IIR_FIFO 0xc0
#define FCR_ENABLE 0x01
#define FCR_CLEAR 0x06
#define FCR_TRIGGER_8 0x80
#define LCR_8N1 0x03
#define LCR_DLAB 0x80
#define MCR_DTR_RTS 0x03
#define MCR_OUT2 0x08 /* gates the interrupt on PCs */
#define MCR_LOOP 0x10
#define LSR_DATA BIT(0)
#define LSR_ERRORS BITS(4, 1)
#define LSR_OVERRUN BIT(1)
#define LSR_THR_EMPTY BIT(5)
#define LSR_NOBODY 0xff /* an empty bus; a chip never shows data, all errors and an empty sender at once */

struct uart {
	struct uart_place place;
	u8 irq;
	bool is_present;
	bool has_fifo;
	bool has_interrupt;
	bool is_stalled;     /* it took nothing for long: nobody waits for it again */
	u16 firmware_divisor;
	u32 baud;            /* 0: not known */
	bool is_rx_held;     /* the ring is full: receive interrupt is off until it is read */
	u32 ier;             /* atomic: what IER shall be */
	u32 head, tail;      /* of ring; head moves in the handler only, tail in uart_read only */
	u8 ring[RING_BYTES];
	void (*notify)(void *context);
	void *notify_context;
	struct uart_stats stats;
};

static struct uart ports[UART_ALL] = {
	{ .place = { .base = 0x3f8, .stride_bytes = 1 }, .irq = 4 },
	{ .place = { .base = 0x2f8, .stride_bytes = 1 }, .irq = 3 },
	{ .place = { .base = 0x3e8, .stride_bytes = 1 }, .irq = 4 },
	{ .place = { .base = 0x2e8, .stride_bytes = 1 }, .irq = 3 },
};
static struct uart *console;

static u8 port_read(const struct uart *uart, unsigned reg)
{
	const struct uart_place *place = &uart->place;
	unsigned offset = reg * place->stride_bytes;

	if (!place->memory)
		return in8((u16)(place->base + offset));
	if (place->stride_bytes == 4)
		return (u8)mmio_read32(place->memory + offset);
	return place->stride_bytes == 2 ? (u8)mmio_read16(place->memory + offset) : mmio_read8(place->memory + offset);
}

static void port_write(const struct uart *uart, unsigned reg, u64 value)
{
	const struct uart_place *place = &uart->place;
	unsigned offset = reg * place->stride_bytes;

	if (!place->memory)
		out8((u16)(place->base + offset), (u8)value);
	else if (place->stride_bytes == 4)
		mmio_write32(place->memory + offset, (u8)value);
	else if (place->stride_bytes == 2)
		mmio_write16(place->memory + offset, (u8)value);
	else
		mmio_write8(place->memory + offset, (u8)value);
}

/* Whoever wrote last wrote the newest value, or writes again. */
static void ier_update(struct uart *uart, u32 set, u32 clear)
{
	u32 value;

	__atomic_and_fetch(&uart->ier, ~clear, __ATOMIC_SEQ_CST);
	__atomic_or_fetch(&uart->ier, set, __ATOMIC_SEQ_CST);
	do {
		value = __atomic_load_n(&uart->ier, __ATOMIC_SEQ_CST);
		port_write(uart, IER, value);
	} while (value != __atomic_load_n(&uart->ier, __ATOMIC_SEQ_CST));
}

/* In loop mode OUT2 and RTS come back as DCD and CTS: a port that does this is there. */
static bool port_probe(struct uart *uart)
{
	bool is_present;

	port_write(uart, IER, 0);
	port_write(uart, MCR, MCR_LOOP | 0x0a);
	is_present = (port_read(uart, MSR) & 0xf0) == 0x90;
	port_write(uart, MCR, MCR_DTR_RTS);
	return is_present;
}

static u16 port_divisor(struct uart *uart)
{
	u16 divisor;

	port_write(uart, LCR, LCR_DLAB | LCR_8N1);
	divisor = (u16)(port_read(uart, DLL) | port_read(uart, DLM) << 8);
	port_write(uart, LCR, LCR_8N1);
	return divisor;
}

static void port_set_divisor(struct uart *uart, u16 divisor)
{
	port_write(uart, LCR, LCR_DLAB | LCR_8N1);
	port_write(uart, DLL, divisor);
	port_write(uart, DLM, divisor >> 8);
	port_write(uart, LCR, LCR_8N1);
}

static void port_init(struct uart *uart)
{
	uart->is_stalled = false;
	uart->firmware_divisor = port_divisor(uart);
	port_write(uart, FCR, FCR_ENABLE | FCR_CLEAR | FCR_TRIGGER_8);
	uart->has_fifo = (port_read(uart, IIR) & IIR_FIFO) == IIR_FIFO;
	port_write(uart, MCR, MCR_DTR_RTS);
}

void uart_init(void)
{
	for (unsigned n = 0; n < UART_COUNT; n++) {
		ports[n].is_present = port_probe(&ports[n]);
		ports[n].has_interrupt = false;
		if (!ports[n].is_present)
			continue;
		port_init(&ports[n]);
		uart_set_baud(&ports[n], UART_BAUD);
		if (!console)
			console = &ports[n];
	}
}

struct uart *uart_add(const struct uart_place *place)
{
	struct uart *uart = &ports[UART_COUNT];

	if (uart->is_present)
		return NULL;
	uart->place = *place;
	uart->is_present = port_probe(uart);
	if (!uart->is_present)
		return NULL;
	port_init(uart);
	uart->baud = place->baud;
	return uart;
}

/* The clock of COM ports gives UART_BAUD with divisor 1; other ports may have any clock. */
int uart_set_baud(struct uart *uart, u32 baud)
{
	u16 divisor = uart->firmware_divisor;

	if (uart == &ports[UART_COUNT] || (baud && (baud > UART_BAUD || UART_BAUD % baud || UART_BAUD / baud > 0xffff)))
		return -EINVAL;
	if (baud)
		divisor = (u16)(UART_BAUD / baud);
	if (!divisor)
		return -EINVAL;
	port_set_divisor(uart, divisor);
	uart->baud = UART_BAUD / divisor;
	return 0;
}

u32 uart_baud(const struct uart *uart) { return uart->baud; }

/* Moves received bytes to the ring while there is room; the rest waits in the port. */
static void receive(struct uart *uart)
{
	/* Bounded, since a port that is no longer there reads as all ones. */
	for (unsigned tries = 0; tries < RING_BYTES; tries++) {
		u8 status = port_read(uart, LSR);

		if (status == LSR_NOBODY || !(status & (LSR_DATA | LSR_ERRORS)))
			return;
		if (status & LSR_ERRORS)
			uart->stats.errors++;
		if (status & LSR_OVERRUN)
			uart->stats.rx_lost++;
		if (!(status & LSR_DATA))
			continue;
		if (uart->head - __atomic_load_n(&uart->tail, __ATOMIC_ACQUIRE) == RING_BYTES) {
			__atomic_store_n(&uart->is_rx_held, true, __ATOMIC_SEQ_CST);
			ier_update(uart, 0, IER_RX);
			return;
		}
		uart->ring[uart->head % RING_BYTES] = port_read(uart, RBR);
		uart->stats.rx_bytes++;
		__atomic_store_n(&uart->head, uart->head + 1, __ATOMIC_RELEASE);
	}
}

/* Reading IIR acknowledges the transmit interrupt; reading LSR and RBR the others. */
static bool port_handle(struct uart *uart)
{
	if (!uart->is_present || (port_read(uart, IIR) & IIR_NONE))
		return false;
	if (uart->ier & IER_RX)
		receive(uart);
	if ((uart->ier & IER_TX) && (port_read(uart, LSR) & LSR_THR_EMPTY))
		ier_update(uart, 0, IER_TX);
	if (uart->notify)
		uart->notify(uart->notify_context);
	return true;
}

/* Lowers the port's request; if it still has one, the line gets a new edge. */
static void port_ask_again(struct uart *uart)
{
	if (!uart->is_present)
		return;
	port_write(uart, IER, 0);
	port_write(uart, IER, uart->ier);
}

/*
 * Ports share a line, and the line is edge-triggered: handle both until neither asks,
 * but not for ever, since a port that is not there may read as anything. Whoever still asks
 * then must do so anew, or there would be no further edge.
 */
static void line_handle(void *context)
{
	unsigned first = (unsigned)(u64)context;

	for (unsigned tries = 0; tries < 2 * FIFO_BYTES; tries++) {
		bool any = port_handle(&ports[first]);

		if (!port_handle(&ports[first + 2]) && !any)
			return;
	}
	port_ask_again(&ports[first]);
	port_ask_again(&ports[first + 2]);
}

/* Ports without an interrupt are looked at from time to time. */
static void poll_ports(struct timer *timer)
{
	for (unsigned n = 0; n < UART_ALL; n++) {
		if (ports[n].is_present && !ports[n].has_interrupt && ports[n].notify)
			ports[n].notify(ports[n].notify_context);
	}
	timer_arm(timer, timer->cpu, timer->deadline_ns + POLL_NS);
}

static void start_polling(void)
{
	static struct timer poll_timer;

	if (poll_timer.is_armed)
		return;
	timer_setup(&poll_timer, poll_ports);
	timer_arm(&poll_timer, machine->cpu_id(), clock_now_ns() + POLL_NS);
}

void uart_enable_interrupts(void)
{
	if (ports[UART_COUNT].is_present)
		start_polling();
	for (unsigned first = 0; first < 2; first++) {
		if (!ports[first].is_present && !ports[first + 2].is_present)
			continue;
		if (ioapic_route_isa(ports[first].irq, line_handle, (void *)(u64)first) < 0) {
			log_warn("uart: no interrupt for COM%u and COM%u, polling them", first + 1, first + 3);
			start_polling();
			continue;
		}
		for (unsigned n = first; n < UART_COUNT; n += 2) {
			if (!ports[n].is_present)
				continue;
			ports[n].has_interrupt = true;
			port_write(&ports[n], MCR, MCR_DTR_RTS | MCR_OUT2);
			ier_update(&ports[n], IER_RX | IER_LINE, 0);
		}
	}
}

struct uart *uart_port(unsigned n)
{
	return n < UART_ALL && ports[n].is_present ? &ports[n] : NULL;
}

struct uart *uart_by_name(const char *name)
{
	if (strncmp(name, "com", 3) != 0 || name[3] < '1' || name[3] > '0' + UART_COUNT || name[4])
		return NULL;
	return uart_port((unsigned)(name[3] - '1'));
}

const char *uart_name(const struct uart *uart)
{
	static const char *const names[UART_ALL] = { "com1", "com2", "com3", "com4", "spcr" };

	return names[uart - ports];
}

u16 uart_base(const struct uart *uart) { return uart->place.base; }

int uart_read(struct uart *uart)
{
	u8 byte;

	if (!uart->has_interrupt)
		receive(uart);
	if (__atomic_load_n(&uart->head, __ATOMIC_ACQUIRE) == uart->tail) {
		/* Empty again: let the sender go on, if it was held. */
		if (__atomic_exchange_n(&uart->is_rx_held, false, __ATOMIC_SEQ_CST) && uart->has_interrupt)
			ier_update(uart, IER_RX, 0);
		return -1;
	}
	byte = uart->ring[uart->tail % RING_BYTES];
	__atomic_store_n(&uart->tail, uart->tail + 1, __ATOMIC_RELEASE);
	return byte;
}

size_t uart_write(struct uart *uart, const void *data, size_t bytes)
{
	size_t room = uart->has_fifo ? FIFO_BYTES : 1, count = 0;

	if (!bytes)
		return 0;
	if (port_read(uart, LSR) & LSR_THR_EMPTY) {
		for (count = 0; count < MIN(room, bytes); count++)
			port_write(uart, THR, ((const u8 *)data)[count]);
		uart->stats.tx_bytes += count;
	}
	if (count < bytes && uart->has_interrupt)
		ier_update(uart, IER_TX, 0);
	return count;
}

static bool wait_for_room(struct uart *uart)
{
	unsigned polls = uart->is_stalled ? 1 : WAIT_POLLS;

	while (polls-- > 0) {
		if (port_read(uart, LSR) & LSR_THR_EMPTY) {
			uart->is_stalled = false;
			return true;
		}
	}
	uart->is_stalled = true;
	return false;
}

void uart_write_wait(struct uart *uart, const void *data, size_t bytes)
{
	const u8 *byte = data;

	while (bytes && wait_for_room(uart)) {
		size_t count;

		for (count = 0; count < MIN((size_t)(uart->has_fifo ? FIFO_BYTES : 1), bytes); count++)
			port_write(uart, THR, byte[count]);
		uart->stats.tx_bytes += count;
		byte += count;
		bytes -= count;
	}
}

void uart_set_notify(struct uart *uart, void (*notify)(void *context), void *context)
{
	uart->notify = NULL;
	barrier();
	uart->notify_context = context;
	barrier();
	uart->notify = notify;
}

void uart_get_stats(const struct uart *uart, struct uart_stats *stats) { *stats = uart->stats; }

struct uart *uart_console(void) { return console; }
void uart_set_console(struct uart *uart) { console = uart; }
