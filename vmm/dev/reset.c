/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The old ports by which PC software resets the machine: 92h (fast A20 and INIT, PS/2) and the pulse of
 * the keyboard controller, 64h. Also the POST code port 80h, which software writes for the delay.
 *
 * There is no keyboard controller: 60h and 64h read as ones, which drivers take as "absent" at once.
 */
#include "vmm/dev/reset.h"
#include "kernel/bits.h"
#include "kernel/errno.h"
#include "kernel/sched.h"
#include "vmm/vm.h"

#define POST_PORT 0x80
#define PORT92 0x92
#define KEYBOARD_DATA 0x60
#define KEYBOARD_COMMAND 0x64

#define PORT92_RESET BIT(0) /* a 0 to 1 transition resets */
#define PORT92_A20 BIT(1)
/* F0h to FFh pulse the output lines whose bits are 0; line 0 is reset. */
#define KEYBOARD_PULSE 0xf0

STATE_BEGIN
struct reset_state {
	u8 port92;
	u8 post;
	u8 reserved[6];
};
STATE_END

struct reset_wires {
	char none;
};

static void request_reset(struct device *dev)
{
	dev->vm->want_reset = true;
	service_wake();
}

static u64 reset_port_read(struct device *dev, u16 port, u8 size)
{
	const struct reset_state *state = dev->state;

	(void)size;
	switch (port) {
	case PORT92: return state->port92;
	case POST_PORT: return state->post;
	default: return 0xff;
	}
}

static void reset_port_write(struct device *dev, u16 port, u8 size, u64 value)
{
	struct reset_state *state = dev->state;
	u8 old;

	(void)size;
	switch (port) {
	case PORT92:
		old = state->port92;
		state->port92 = value & (PORT92_RESET | PORT92_A20);
		if (value & ~old & PORT92_RESET)
			request_reset(dev);
		break;
	case POST_PORT:
		state->post = (u8)value;
		break;
	case KEYBOARD_COMMAND:
		if ((value & KEYBOARD_PULSE) == KEYBOARD_PULSE && !(value & 1))
			request_reset(dev);
		break;
	}
}

static int reset_check(const void *from)
{
	const struct reset_state *state = from;
	u32 bad = state->port92 & ~(u32)(PORT92_RESET | PORT92_A20);

	for (unsigned i = 0; i < sizeof(state->reserved); i++)
		bad |= state->reserved[i];
	return bad ? -EINVAL : 0;
}

static int reset_attach(struct device *dev)
{
	static const u16 ports[] = { KEYBOARD_DATA, KEYBOARD_COMMAND, POST_PORT, PORT92 };
	int err = 0;

	for (unsigned i = 0; i < ARRAY_COUNT(ports) && !err; i++)
		err = bus_claim_ports(dev, ports[i], 1);
	return err;
}

static void reset_reset(struct device *dev)
{
	*(struct reset_state *)dev->state = (struct reset_state){ .port92 = PORT92_A20 };
}

static void reset_start(struct device *dev) { (void)dev; }
static void reset_stop(struct device *dev) { (void)dev; }

DEVICE_TYPE(reset, 1, 8, .port_read = reset_port_read, .port_write = reset_port_write);
