/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 8254 timer (Intel 8254 data sheet) and port 61h, which holds channel 2's gate and output.
 *
 * A channel is the VM time at which its count began, and everything else follows from the clock:
 * what it counts, its output and the next edge. Channel 0's output is IRQ 0; only its rising
 * edges matter there, so the line is pulsed at each and stays high. Edges that were missed
 * are one edge. Channel 1 (DRAM refresh) counts and has no effect.
 */
#include "vmm/dev/pit.h"
#include "kernel/bits.h"
#include "kernel/errno.h"
#include "vmm/dev/device_timer.h"
#include "vmm/irq.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

#define PIT_PORT 0x40
#define CONTROL_PORT 0x43
#define GATE_PORT 0x61

#define CHANNELS 3
#define MODES 6
#define PERIOD_MIN_TICKS (DEVICE_PERIOD_MIN_NS / 838)
#define REFRESH_NS 15085 /* half a period of the refresh bit */

#define GATE2 BIT(0)
#define GATE_WRITABLE 0x0fu
#define GATE_REFRESH BIT(4)
#define GATE_OUT2 BIT(5)

#define STATUS_OUT BIT(7)
#define STATUS_NULL BIT(6)

/* Access, control word bits 5:4. */
enum { ACCESS_LATCH, ACCESS_LOW, ACCESS_HIGH, ACCESS_BOTH };

STATE_BEGIN
struct pit_channel {
	u64 start_ns;      /* VM time at which the count began */
	u64 edges;         /* rising edges of the output since then that IRQ 0 has seen */
	u32 count;         /* 1..65536; 0: none loaded since the control word */
	u32 held_ticks;    /* what had been counted when the gate went low (modes 0, 4) */
	u16 latch;         /* latched count, as the guest will read it */
	u8 latched_bytes;  /* of it, not yet read; and with both bytes latched the low one comes first */
	u8 status;         /* latched status */
	u8 has_status;
	u8 mode;           /* 0..5 */
	u8 access;
	u8 is_bcd;
	u8 gate;
	u8 is_triggered;   /* modes 1, 5: a gate edge has started the count */
	u8 read_high;      /* with ACCESS_BOTH: the next byte is the high one */
	u8 write_high;
	u8 write_low;      /* the low byte, until the high one comes */
	u8 reserved[3];
};

struct pit_state {
	struct pit_channel channel[CHANNELS];
	u8 gate_port;
	u8 reserved[7];
};
STATE_END

struct pit_wires {
	struct device_timer timer;
};

/* 1.193182 MHz is 105/88 MHz, exactly. */
static u64 ns_to_ticks(u64 ns) { return ns / 88000 * 105 + ns % 88000 * 105 / 88000; }
/* The first ns at which so many ticks have passed. */
static u64 ticks_to_ns(u64 ticks) { return ticks / 105 * 88000 + (ticks % 105 * 88000 + 104) / 105; }

static bool is_periodic(const struct pit_channel *ch) { return ch->mode == 2 || ch->mode == 3; }
static bool needs_trigger(const struct pit_channel *ch) { return ch->mode == 1 || ch->mode == 5; }

/* Ticks since the count began. */
static u64 elapsed(const struct pit_channel *channel, u64 now_ns)
{
	if (!channel->gate && !needs_trigger(channel))
		return is_periodic(channel) ? 0 : channel->held_ticks;
	return now_ns > channel->start_ns ? ns_to_ticks(now_ns - channel->start_ns) : 0;
}

static bool is_counting(const struct pit_channel *channel)
{
	return channel->count && (needs_trigger(channel) ? channel->is_triggered : channel->gate);
}

/* 8254, "mode definitions": the output, given that so many ticks have passed. */
static bool output(const struct pit_channel *channel, u64 now_ns)
{
	u64 ticks = elapsed(channel, now_ns), count = channel->count;

	switch (channel->mode) {
	case 0:
		return count && ticks >= count;
	case 1:
		return !channel->is_triggered || !count || ticks >= count;
	case 2:
		return !count || ticks % count != count - 1;
	case 3:
		return !count || ticks % count < (count + 1) / 2;
	default: /* strobes: low for the one tick after the count */
		return !count || ticks != count || (needs_trigger(channel) && !channel->is_triggered);
	}
}

/* The counting element, before BCD. */
static u32 counter(const struct pit_channel *channel, u64 now_ns)
{
	u64 ticks = elapsed(channel, now_ns);
	u32 range = channel->is_bcd ? 10000 : 65536;

	if (!channel->count || (needs_trigger(channel) && !channel->is_triggered))
		return channel->count % range;
	if (channel->mode == 3) /* counts by two, twice a period; even values only */
		return (channel->count & ~1u) - (u32)(2 * ticks % MAX(channel->count & ~1u, 2u));
	if (channel->mode == 2)
		return channel->count - (u32)(ticks % channel->count);
	/* The others go on below 0, round the whole range. */
	return (u32)((channel->count + range - ticks % range) % range);
}

static u16 to_bcd(u32 value)
{
	return (u16)(value / 1000 % 10 << 12 | value / 100 % 10 << 8 | value / 10 % 10 << 4 | value % 10);
}

static u32 from_bcd(u32 value)
{
	return FIELD(value, 15, 12) * 1000 + FIELD(value, 11, 8) * 100 + FIELD(value, 7, 4) * 10 +
	       FIELD(value, 3, 0);
}

static u16 read_counter(const struct pit_channel *channel, u64 now_ns)
{
	u32 value = counter(channel, now_ns);

	return channel->is_bcd ? to_bcd(value) : (u16)value;
}

/* Ticks between two interrupts. */
static u64 period_ticks(const struct pit_channel *channel) { return MAX(channel->count, PERIOD_MIN_TICKS); }

/* Rising edges of the output since the count began. */
static u64 edges_until(const struct pit_channel *channel, u64 ticks)
{
	if (is_periodic(channel))
		return ticks / period_ticks(channel);
	if (channel->mode == 0 || channel->mode == 1)
		return ticks >= channel->count;
	return ticks > channel->count;
}

static u64 edge_ticks(const struct pit_channel *channel, u64 edge)
{
	if (is_periodic(channel))
		return edge * period_ticks(channel);
	return channel->count + (channel->mode >= 4);
}

/* Pulses IRQ 0 if channel 0's output has risen, and arms the timer for the next time. */
static void update(struct device *dev)
{
	struct pit_state *state = dev->state;
	struct pit_wires *wires = dev->wires;
	struct pit_channel *channel = &state->channel[0];
	u64 now_ns = vtime_now_ns(dev->vm), edges, next_ns;

	if (!is_counting(channel)) {
		device_timer_disarm(&wires->timer);
		return;
	}
	edges = edges_until(channel, elapsed(channel, now_ns));
	if (edges > channel->edges) {
		channel->edges = edges;
		irq_pulse_line(dev->vm, IRQ_TIMER);
	}
	if (channel->edges && !is_periodic(channel)) {
		device_timer_disarm(&wires->timer);
		return;
	}
	next_ns = channel->start_ns + ticks_to_ns(edge_ticks(channel, channel->edges + 1));
	device_timer_arm(&wires->timer, next_ns);
}

/* The output at the moment when control word or count were written: low in mode 0, else high. */
static void restart(struct device *dev, struct pit_channel *channel)
{
	struct pit_state *state = dev->state;

	channel->start_ns = vtime_now_ns(dev->vm);
	channel->edges = 0;
	channel->held_ticks = 0;
	if (channel != &state->channel[0])
		return;
	irq_set_line(dev->vm, IRQ_TIMER, channel->mode != 0);
	update(dev);
}

static void latch_count(struct pit_channel *channel, u64 now_ns)
{
	if (channel->latched_bytes)
		return; /* 8254: a second latch before the first was read is ignored */
	channel->latch = read_counter(channel, now_ns);
	channel->latched_bytes = channel->access == ACCESS_BOTH ? 2 : 1;
	if (channel->access == ACCESS_HIGH)
		channel->latch >>= 8;
}

static void latch_status(struct pit_channel *channel, u64 now_ns)
{
	if (channel->has_status)
		return;
	channel->has_status = 1;
	channel->status = (u8)(output(channel, now_ns) ? STATUS_OUT : 0) |
			  (u8)(channel->count ? 0 : STATUS_NULL) |
			  (u8)(channel->access << 4 | channel->mode << 1 | channel->is_bcd);
}

static void write_control(struct device *dev, u8 value)
{
	struct pit_state *state = dev->state;
	u64 now_ns = vtime_now_ns(dev->vm);
	struct pit_channel *channel;

	if (value >> 6 == CHANNELS) { /* read-back: bits 5 and 4 are low for count and status */
		for (unsigned n = 0; n < CHANNELS; n++) {
			if (!(value >> (n + 1) & 1))
				continue;
			if (!(value & BIT(5)))
				latch_count(&state->channel[n], now_ns);
			if (!(value & BIT(4)))
				latch_status(&state->channel[n], now_ns);
		}
		return;
	}
	channel = &state->channel[value >> 6];
	if (FIELD(value, 5, 4) == ACCESS_LATCH) {
		latch_count(channel, now_ns);
		return;
	}
	*channel = (struct pit_channel){
		.access = FIELD(value, 5, 4),
		.mode = FIELD(value, 3, 1) >= MODES ? FIELD(value, 2, 1) : FIELD(value, 3, 1),
		.is_bcd = value & 1,
		.gate = channel->gate,
	};
	restart(dev, channel);
}

static void load_count(struct device *dev, struct pit_channel *channel, u32 value)
{
	/* Digits above 9 have no meaning in the data sheet: they carry, and what is too large starts anew. */
	u32 count = channel->is_bcd ? from_bcd(value) % 10000 : value;
	bool was_loaded = channel->count;

	if (!count)
		count = channel->is_bcd ? 10000 : 65536;
	/* 8254: in the modes that a gate edge starts, a new count waits for the next edge. */
	channel->count = count;
	if (!needs_trigger(channel) || !was_loaded)
		restart(dev, channel);
}

static void write_count(struct device *dev, struct pit_channel *channel, u8 value)
{
	switch (channel->access) {
	case ACCESS_LOW:
		load_count(dev, channel, value);
		break;
	case ACCESS_HIGH:
		load_count(dev, channel, (u32)value << 8);
		break;
	default:
		channel->write_high ^= 1;
		if (channel->write_high)
			channel->write_low = value;
		else
			load_count(dev, channel, (u32)value << 8 | channel->write_low);
		break;
	}
}

static u8 read_count(struct pit_channel *channel, u64 now_ns)
{
	u16 value;

	if (channel->has_status) {
		channel->has_status = 0;
		return channel->status;
	}
	if (channel->latched_bytes) {
		u8 byte = (u8)channel->latch;

		channel->latched_bytes--;
		channel->latch >>= 8;
		return byte;
	}
	value = read_counter(channel, now_ns);
	if (channel->access == ACCESS_LOW)
		return (u8)value;
	if (channel->access == ACCESS_BOTH) {
		channel->read_high ^= 1;
		if (channel->read_high)
			return (u8)value;
	}
	return (u8)(value >> 8);
}

/* 8254, "gate": modes 0 and 4 stand still while it is low; the others begin anew when it rises. */
static void set_gate(struct device *dev, struct pit_channel *channel, bool gate)
{
	u64 now_ns = vtime_now_ns(dev->vm);

	if (gate == channel->gate)
		return;
	if (needs_trigger(channel) || is_periodic(channel)) {
		channel->gate = gate;
		if (gate) {
			channel->is_triggered = needs_trigger(channel);
			restart(dev, channel);
		}
	} else if (gate) {
		channel->gate = 1;
		channel->start_ns = now_ns - MIN(now_ns, ticks_to_ns(channel->held_ticks));
	} else {
		u64 ticks = elapsed(channel, now_ns);

		channel->held_ticks = (u32)MIN(ticks, 1u << 30);
		channel->gate = 0;
	}
}

static u64 pit_port_read(struct device *dev, u16 port, u8 size)
{
	struct pit_state *state = dev->state;
	u64 now_ns = vtime_now_ns(dev->vm);

	(void)size;
	if (port == CONTROL_PORT)
		return 0xff; /* write-only */
	if (port != GATE_PORT)
		return read_count(&state->channel[port - PIT_PORT], now_ns);
	return state->gate_port | (now_ns / REFRESH_NS & 1 ? GATE_REFRESH : 0) |
	       (output(&state->channel[2], now_ns) ? GATE_OUT2 : 0);
}

static void pit_port_write(struct device *dev, u16 port, u8 size, u64 value)
{
	struct pit_state *state = dev->state;

	(void)size;
	if (port == GATE_PORT) {
		state->gate_port = value & GATE_WRITABLE;
		set_gate(dev, &state->channel[2], value & GATE2);
	} else if (port == CONTROL_PORT) {
		write_control(dev, (u8)value);
	} else {
		write_count(dev, &state->channel[port - PIT_PORT], (u8)value);
	}
}

static int check_channel(const struct pit_channel *channel)
{
	u32 flags = channel->has_status | channel->is_bcd | channel->gate | channel->is_triggered |
		    channel->read_high | channel->write_high;

	if (channel->start_ns > DEVICE_TIME_MAX_NS)
		return -EINVAL;
	/* So that the time of the next edge does not overflow. */
	if (channel->edges > ns_to_ticks(DEVICE_TIME_MAX_NS) / period_ticks(channel))
		return -EINVAL;
	if (channel->count > (channel->is_bcd ? 10000 : 65536) || channel->held_ticks > 1u << 30)
		return -EINVAL;
	if (channel->mode >= MODES || channel->access == ACCESS_LATCH || channel->access > ACCESS_BOTH)
		return -EINVAL;
	if (flags > 1 || channel->latched_bytes > 2)
		return -EINVAL;
	return channel->reserved[0] | channel->reserved[1] | channel->reserved[2] ? -EINVAL : 0;
}

static int pit_check(const void *from)
{
	const struct pit_state *state = from;
	u32 bad = state->gate_port & ~GATE_WRITABLE;

	for (unsigned i = 0; i < sizeof(state->reserved); i++)
		bad |= state->reserved[i];
	/* The gates of channels 0 and 1 are wired high, that of channel 2 to port 61h. */
	bad |= !state->channel[0].gate || !state->channel[1].gate;
	bad |= state->channel[2].gate != (state->gate_port & GATE2);
	for (unsigned n = 0; n < CHANNELS; n++)
		bad |= check_channel(&state->channel[n]) != 0;
	return bad ? -EINVAL : 0;
}

static int pit_attach(struct device *dev)
{
	int err;

	device_timer_setup(&((struct pit_wires *)dev->wires)->timer, dev, update);
	err = bus_claim_ports(dev, PIT_PORT, 4);
	return err ? err : bus_claim_ports(dev, GATE_PORT, 1);
}

/* Nothing counts until the guest says so: an idle guest costs no host timer. */
static void pit_reset(struct device *dev)
{
	struct pit_state *state = dev->state;

	*state = (struct pit_state){ .gate_port = 0 };
	for (unsigned n = 0; n < CHANNELS; n++)
		state->channel[n] = (struct pit_channel){ .access = ACCESS_BOTH, .mode = 3, .gate = n < 2 };
}

static void pit_start(struct device *dev) { update(dev); }
static void pit_stop(struct device *dev) { device_timer_disarm(&((struct pit_wires *)dev->wires)->timer); }
static void pit_detach(struct device *dev) { device_timer_cancel(&((struct pit_wires *)dev->wires)->timer); }

DEVICE_TYPE(pit, 1, 128, .detach = pit_detach, .port_read = pit_port_read, .port_write = pit_port_write);
