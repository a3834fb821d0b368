/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's serial port: a 16550A at COM1 (National PC16550D data sheet, "UART").
 *
 * Sending takes no time: a byte goes straight to the console. When the console has no room the
 * byte stays in the transmit FIFO and THRE stays low, so the guest waits and nothing is lost.
 * Receiving takes bytes from the console as long as the FIFO has room. A character timeout is
 * taken to have passed at once, as input comes in lumps: so there is no timer here.
 *
 * What was typed and the guest has not taken yet is part of the state, and so moves with the guest;
 * stop() adds what waits at the port, which stays behind.
 */
#include "vmm/dev/uart.h"
#include "kernel/bits.h"
#include "kernel/errno.h"
#include "kernel/string.h"
#include "vmm/console.h"
#include "vmm/irq.h"
#include "vmm/vm.h"

#define COM1_PORT 0x3f8
#define FIFO_BYTES 16
#define INPUT_BYTES 4096 /* as many as arch/uart.c keeps of a port */

enum {
	RBR = 0, THR = 0, DLL = 0, IER = 1, DLM = 1, IIR = 2, FCR = 2, LCR = 3, MCR = 4, LSR = 5, MSR = 6,
	SCR = 7,
};

#define IER_RX BIT(0)
#define IER_TX BIT(1)
#define IER_LINE BIT(2)
#define IER_MODEM BIT(3)
#define IER_VALID 0x0fu

#define IIR_NONE 0x01
#define IIR_MODEM 0x00
#define IIR_TX 0x02
#define IIR_RX 0x04
#define IIR_LINE 0x06
#define IIR_TIMEOUT 0x0c
#define IIR_FIFO 0xc0

#define FCR_ENABLE BIT(0)
#define FCR_CLEAR_RX BIT(1)
#define FCR_CLEAR_TX BIT(2)
#define FCR_VALID 0xc9u /* what stays: enable, DMA mode, trigger level */

#define LCR_DLAB BIT(7)

#define MCR_OUT2 BIT(3) /* gates the interrupt on PCs */
#define MCR_LOOP BIT(4)
#define MCR_VALID 0x1fu

#define LSR_DATA BIT(0)
#define LSR_OVERRUN BIT(1)
#define LSR_TX_EMPTY (BIT(5) | BIT(6)) /* holding register, transmitter */

#define MSR_DELTA_RING BIT(2) /* trailing edge only */
#define MSR_LINES 0xf0u
#define MSR_CONNECTED 0xb0u /* CTS, DSR, DCD: somebody listens */

STATE_BEGIN
struct uart_state {
	u8 rx[FIFO_BYTES];  /* the oldest first */
	u8 tx[FIFO_BYTES];
	u8 rx_count;
	u8 tx_count;
	u8 ier;
	u8 fcr;
	u8 lcr;
	u8 mcr;
	u8 scr;
	u8 dll;
	u8 dlm;
	u8 msr;             /* with delta bits */
	u8 has_overrun;
	u8 is_tx_pending;   /* the THRE interrupt; reading IIR takes it back */
	u8 is_line_high;
	u8 reserved[3];
	u16 input_first;    /* where in input the oldest byte is that waits to be received, */
	u16 input_count;    /* and how many wait */
	u8 input[INPUT_BYTES];
};
STATE_END

struct uart_wires {
	char none;
};

static unsigned fifo_room(const struct uart_state *state) { return state->fcr & FCR_ENABLE ? FIFO_BYTES : 1; }

/* PC16550D table II, FCR bits 7:6. */
static unsigned trigger_level(const struct uart_state *state)
{
	static const u8 levels[4] = { 1, 4, 8, 14 };

	return state->fcr & FCR_ENABLE ? levels[state->fcr >> 6] : 1;
}

/* The interrupt of highest priority. */
static u8 interrupt_id(const struct uart_state *state)
{
	if ((state->ier & IER_LINE) && state->has_overrun)
		return IIR_LINE;
	if ((state->ier & IER_RX) && state->rx_count)
		return state->rx_count >= trigger_level(state) ? IIR_RX : IIR_TIMEOUT;
	if ((state->ier & IER_TX) && state->is_tx_pending)
		return IIR_TX;
	if ((state->ier & IER_MODEM) && (state->msr & ~MSR_LINES))
		return IIR_MODEM;
	return IIR_NONE;
}

static void update_line(struct device *dev)
{
	struct uart_state *state = dev->state;
	/* In loop mode OUT2 is disconnected from its pin. */
	bool is_wired = (state->mcr & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;
	bool is_high = is_wired && interrupt_id(state) != IIR_NONE;

	if (is_high == state->is_line_high)
		return;
	state->is_line_high = is_high;
	irq_set_line(dev->vm, IRQ_COM1, is_high);
}

static void receive(struct uart_state *state, u8 byte)
{
	if (state->rx_count < fifo_room(state))
		state->rx[state->rx_count++] = byte;
	else
		state->has_overrun = 1;
}

static bool input_put(struct uart_state *state, u8 byte)
{
	if (state->input_count == INPUT_BYTES)
		return false;
	state->input[(state->input_first + state->input_count++) % INPUT_BYTES] = byte;
	return true;
}

/* The next byte for the guest, or -1. */
static int input_get(struct device *dev)
{
	struct uart_state *state = dev->state;
	u8 byte;

	if (!state->input_count)
		return console_get(dev->vm);
	byte = state->input[state->input_first];
	state->input_first = (state->input_first + 1) % INPUT_BYTES;
	state->input_count--;
	return byte;
}

/* Takes input while there is room for it. */
static void fill(struct device *dev)
{
	struct uart_state *state = dev->state;
	int byte;

	if (state->mcr & MCR_LOOP)
		return;
	while (state->rx_count < fifo_room(state) && (byte = input_get(dev)) >= 0)
		state->rx[state->rx_count++] = (u8)byte;
}

/* Gives what was held back to the console. */
static void drain(struct device *dev)
{
	struct uart_state *state = dev->state;
	unsigned sent = 0;

	while (sent < state->tx_count && console_put(dev->vm, state->tx[sent]))
		sent++;
	if (!sent)
		return;
	state->tx_count = (u8)(state->tx_count - sent);
	memmove(state->tx, state->tx + sent, state->tx_count);
	if (!state->tx_count)
		state->is_tx_pending = 1;
}

static void transmit(struct device *dev, u8 byte)
{
	struct uart_state *state = dev->state;

	if (state->mcr & MCR_LOOP)
		receive(state, byte);
	else if (state->tx_count || !console_put(dev->vm, byte)) {
		/* A guest that does not look at THRE loses the byte, as with the chip. */
		if (state->tx_count < fifo_room(state))
			state->tx[state->tx_count++] = byte;
		state->is_tx_pending = 0;
		return;
	}
	state->is_tx_pending = 1;
}

static u8 read_rbr(struct device *dev)
{
	struct uart_state *state = dev->state;
	u8 byte = state->rx[0];

	if (!state->rx_count)
		return 0;
	state->rx_count--;
	memmove(state->rx, state->rx + 1, state->rx_count);
	if (!state->rx_count)
		fill(dev);
	return byte;
}

static u8 read_iir(struct uart_state *state)
{
	u8 id = interrupt_id(state);

	/* PC16550D table III: reading IIR resets THRE, if that is what it shows. */
	if (id == IIR_TX)
		state->is_tx_pending = 0;
	return id | (state->fcr & FCR_ENABLE ? IIR_FIFO : 0);
}

static u8 read_lsr(struct uart_state *state)
{
	u8 value = (state->rx_count ? LSR_DATA : 0) | (state->tx_count ? 0 : LSR_TX_EMPTY);

	if (state->has_overrun)
		value |= LSR_OVERRUN;
	state->has_overrun = 0;
	return value;
}

/* The four modem inputs: connected, or in loop mode the outputs (RTS, DTR, OUT1, OUT2). */
static void update_modem(struct uart_state *state)
{
	u8 lines = MSR_CONNECTED, changed;

	if (state->mcr & MCR_LOOP)
		lines = (u8)((state->mcr & BIT(1)) << 3 | (state->mcr & BIT(0)) << 5 |
			     (state->mcr & 0x0c) << 4);
	changed = (u8)((lines ^ state->msr) >> 4);
	if (lines & BIT(6))
		changed &= ~MSR_DELTA_RING;
	state->msr = lines | (state->msr & 0x0f) | changed;
}

static void write_fcr(struct device *dev, u8 value)
{
	struct uart_state *state = dev->state;
	bool is_switched = (value ^ state->fcr) & FCR_ENABLE;

	/* PC16550D: the other bits count only while bit 0 is being written as 1; changing it empties both. */
	state->fcr = value & FCR_ENABLE ? value & FCR_VALID : 0;
	if (is_switched || (state->fcr && (value & FCR_CLEAR_RX)))
		state->rx_count = 0;
	if ((is_switched || (state->fcr && (value & FCR_CLEAR_TX))) && state->tx_count) {
		state->tx_count = 0;
		state->is_tx_pending = 1;
	}
	fill(dev);
}

static void write_ier(struct uart_state *state, u8 value)
{
	/* Enabling it while the register is empty raises the interrupt each time: drivers test that. */
	if ((value & ~state->ier & IER_TX) && !state->tx_count)
		state->is_tx_pending = 1;
	state->ier = value & IER_VALID;
}

static u64 uart_port_read(struct device *dev, u16 port, u8 size)
{
	struct uart_state *state = dev->state;
	u8 value = 0;

	(void)size;
	switch (port - COM1_PORT) {
	case RBR:
		value = state->lcr & LCR_DLAB ? state->dll : read_rbr(dev);
		break;
	case IER:
		return state->lcr & LCR_DLAB ? state->dlm : state->ier;
	case IIR:
		value = read_iir(state);
		break;
	case LCR:
		return state->lcr;
	case MCR:
		return state->mcr;
	case LSR:
		if (!state->has_overrun)
			return read_lsr(state); /* the common case changes nothing */
		value = read_lsr(state);
		break;
	case MSR:
		value = state->msr;
		state->msr &= MSR_LINES;
		break;
	case SCR:
		return state->scr;
	}
	update_line(dev);
	return value;
}

static void uart_port_write(struct device *dev, u16 port, u8 size, u64 wide)
{
	struct uart_state *state = dev->state;
	u8 value = (u8)wide;

	(void)size;
	switch (port - COM1_PORT) {
	case THR:
		if (state->lcr & LCR_DLAB)
			state->dll = value;
		else
			transmit(dev, value);
		break;
	case IER:
		if (state->lcr & LCR_DLAB)
			state->dlm = value;
		else
			write_ier(state, value);
		break;
	case FCR:
		write_fcr(dev, value);
		break;
	case LCR:
		state->lcr = value;
		break;
	case MCR:
		state->mcr = value & MCR_VALID;
		update_modem(state);
		fill(dev);
		break;
	case SCR:
		state->scr = value;
		break;
	}
	update_line(dev);
}

void uart_poll(struct device *dev)
{
	if (!dev->is_started)
		return;
	drain(dev);
	fill(dev);
	update_line(dev);
}

bool uart_feed(struct device *dev, u8 byte)
{
	bool is_kept = input_put(dev->state, byte);

	uart_poll(dev);
	return is_kept;
}

static int uart_check(const void *from)
{
	const struct uart_state *state = from;
	unsigned room = fifo_room(state);
	u32 bad = state->reserved[0] | state->reserved[1] | state->reserved[2];

	bad |= state->ier & ~IER_VALID;
	bad |= state->fcr & ~FCR_VALID;
	bad |= state->fcr && !(state->fcr & FCR_ENABLE);
	bad |= state->mcr & ~MCR_VALID;
	bad |= (state->has_overrun | state->is_tx_pending | state->is_line_high) & ~1u;
	bad |= state->input_first >= INPUT_BYTES || state->input_count > INPUT_BYTES;
	return bad || state->rx_count > room || state->tx_count > room ? -EINVAL : 0;
}

static int uart_attach(struct device *dev)
{
	dev->vm->uart = dev;
	return bus_claim_ports(dev, COM1_PORT, 8);
}

/* What was typed while the machine was being reset is for whoever comes up. */
static void uart_reset(struct device *dev)
{
	struct uart_state *state = dev->state;

	memset(state, 0, offsetof(struct uart_state, input_first));
	state->msr = MSR_CONNECTED;
	state->dll = 1;
	state->lcr = 3;
}

static void uart_start(struct device *dev)
{
	console_bind(dev->vm);
	drain(dev);
	fill(dev);
	update_line(dev);
}

static void uart_stop(struct device *dev)
{
	struct uart_state *state = dev->state;
	int byte;

	while (state->input_count < INPUT_BYTES && (byte = console_get(dev->vm)) >= 0)
		input_put(state, (u8)byte);
}

/* A driver that wants to know when it may send more has not come to the end of what it is saying. */
static bool uart_is_busy(const struct device *dev)
{
	const struct uart_state *state = dev->state;

	return (state->ier & IER_TX) || state->tx_count;
}

static void uart_detach(struct device *dev) { dev->vm->uart = NULL; }

DEVICE_TYPE(uart, 2, 4148, .is_busy = uart_is_busy, .detach = uart_detach, .port_read = uart_port_read,
	    .port_write = uart_port_write);
