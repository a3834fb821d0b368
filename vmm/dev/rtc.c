/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The real-time clock: an MC146818A with 128 bytes of CMOS memory (Motorola data sheet; century in
 * register 32h as the FADT says).
 *
 * The time of day is VM time plus an offset, made into registers when they are read; no second
 * costs anything. What the three event flags missed is found by comparing "now" with the last look
 * (accounted_ns). A host timer is armed only for events whose interrupt is enabled.
 */
#include "vmm/dev/rtc.h"
#include "kernel/bits.h"
#include "kernel/errno.h"
#include "vmm/dev/calendar.h"
#include "vmm/dev/device_timer.h"
#include "vmm/irq.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

#define RTC_PORT 0x70
#define RAM_BYTES 128

enum {
	SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, DAY, MONTH, YEAR,
	REG_A, REG_B, REG_C, REG_D,
	CENTURY = 0x32,
};

#define A_UIP BIT(7)
#define A_DIVIDER BITS(6, 4)
#define A_DIVIDER_RUNS 0x20 /* 32.768 kHz, counting */
#define A_RATE 0x0fu
#define B_SET BIT(7)
#define B_PERIODIC BIT(6)
#define B_ALARM BIT(5)
#define B_UPDATE BIT(4)
#define B_BINARY BIT(2)
#define B_24_HOURS BIT(1)
#define B_EVENTS (B_PERIODIC | B_ALARM | B_UPDATE)
#define C_REQUEST BIT(7)
#define D_VALID BIT(7) /* the battery is good */
#define HOURS_PM BIT(7)
#define ALARM_ANY 0xc0u /* "don't care" */

/* MC146818A: UIP is set 244 us before the update and through it. */
#define UPDATE_NS (244 * NS_PER_US)
#define SECONDS_PER_DAY 86400u
#define WALL_MAX_SECONDS (200ull * 366 * SECONDS_PER_DAY)

STATE_BEGIN
struct rtc_state {
	s64 offset_ns;        /* time of day = wall base + VM time + this */
	u64 accounted_ns;     /* VM time until which events have been found */
	u8 index;
	u8 flags;             /* register C's bits 6:4 */
	u8 reserved[6];
	u8 ram[RAM_BYTES];    /* time registers only while SET stops the clock */
};
STATE_END

struct rtc_wires {
	struct device_timer timer;
};

/* --- Time ----------------------------------------------------------------------------------- */

/* Since 1970; the clock cannot show what is before. */
static u64 wall_ns(const struct device *dev, u64 vm_ns)
{
	const struct rtc_state *state = dev->state;
	u64 base = vtime_wall_base_ns(dev->vm) + vm_ns;

	if (state->offset_ns < 0 && base < 0 - (u64)state->offset_ns)
		return 0;
	return base + (u64)state->offset_ns;
}

/* VM time at which the wall clock shows this; it is after now. */
static u64 wall_to_vm_ns(const struct device *dev, u64 ns)
{
	const struct rtc_state *state = dev->state;

	return ns - vtime_wall_base_ns(dev->vm) - (u64)state->offset_ns;
}

static u8 encode(const struct rtc_state *state, unsigned value)
{
	return (u8)(state->ram[REG_B] & B_BINARY ? value : (value / 10 % 10) << 4 | value % 10);
}

/* Whatever the guest wrote: the result is only compared or reduced to a range. */
static unsigned decode(const struct rtc_state *state, u8 value)
{
	return state->ram[REG_B] & B_BINARY ? value : (value >> 4) * 10u + (value & 0xf);
}

static u8 encode_hours(const struct rtc_state *state, unsigned hours)
{
	if (state->ram[REG_B] & B_24_HOURS)
		return encode(state, hours);
	return encode(state, hours % 12 ? hours % 12 : 12) | (hours >= 12 ? HOURS_PM : 0);
}

static unsigned decode_hours(const struct rtc_state *state, u8 value)
{
	if (state->ram[REG_B] & B_24_HOURS)
		return decode(state, value);
	return decode(state, value & ~HOURS_PM) % 12 + (value & HOURS_PM ? 12 : 0);
}

static void time_to_registers(struct rtc_state *state, u64 seconds)
{
	struct calendar date;

	calendar_from_seconds(&date, seconds);
	state->ram[SECONDS] = encode(state, date.second);
	state->ram[MINUTES] = encode(state, date.minute);
	state->ram[HOURS] = encode_hours(state, date.hour);
	state->ram[WEEKDAY] = encode(state, date.weekday + 1u);
	state->ram[DAY] = encode(state, date.day);
	state->ram[MONTH] = encode(state, date.month);
	state->ram[YEAR] = encode(state, date.year % 100u);
	state->ram[CENTURY] = encode(state, date.year / 100u);
}

static u64 time_from_registers(const struct rtc_state *state)
{
	struct calendar date = {
		.second = (u8)MIN(decode(state, state->ram[SECONDS]), 59u),
		.minute = (u8)MIN(decode(state, state->ram[MINUTES]), 59u),
		.hour = (u8)MIN(decode_hours(state, state->ram[HOURS]), 23u),
		.day = (u8)MIN(MAX(decode(state, state->ram[DAY]), 1u), 31u),
		.month = (u8)MIN(MAX(decode(state, state->ram[MONTH]), 1u), 12u),
		.year = (u16)(decode(state, state->ram[CENTURY]) * 100 +
			      decode(state, state->ram[YEAR]) % 100),
	};

	return MIN(calendar_to_seconds(&date), WALL_MAX_SECONDS);
}

/* SET, or a divider that is held in reset, stops the clock. */
static bool is_stopped(const struct rtc_state *state)
{
	return (state->ram[REG_B] & B_SET) || (state->ram[REG_A] & A_DIVIDER) != A_DIVIDER_RUNS;
}

static bool is_time_register(unsigned index)
{
	return index == SECONDS || index == MINUTES || index == HOURS ||
	       (index >= WEEKDAY && index <= YEAR) || index == CENTURY;
}

/* --- Events --------------------------------------------------------------------------------- */

/* MC146818A table 5, for 32.768 kHz: 30.5 us x 2^(rate-1), but 1 and 2 are as 8 and 9. In 1/32768 s. */
static u64 period_cycles(const struct rtc_state *state)
{
	unsigned rate = state->ram[REG_A] & A_RATE;

	if (!rate)
		return 0;
	return 1ull << (rate <= 2 ? rate + 6 : rate - 1);
}

/* 10^9 / 32768 = 1953125 / 64. */
static u64 ns_to_cycles(u64 ns) { return ns / 1953125 * 64 + ns % 1953125 * 64 / 1953125; }
static u64 cycles_to_ns(u64 cycles) { return cycles / 64 * 1953125 + (cycles % 64 * 1953125 + 63) / 64; }

static bool matches(u8 alarm, unsigned wanted, unsigned value)
{
	return (alarm & ALARM_ANY) == ALARM_ANY || wanted == value;
}

static bool is_possible(u8 alarm, unsigned wanted, unsigned limit)
{
	return (alarm & ALARM_ANY) == ALARM_ANY || wanted < limit;
}

/*
 * First second after this one at which the alarm goes off, within a day; 0: never. Skips whole hours and
 * minutes that do not match, so it takes at most 24 + 2 x 60 + 2 x 60 steps.
 */
static u64 next_alarm(const struct rtc_state *state, u64 seconds)
{
	const u8 *ram = state->ram;
	unsigned hour = decode_hours(state, ram[HOURS_ALARM]);
	unsigned minute = decode(state, ram[MINUTES_ALARM]), second = decode(state, ram[SECONDS_ALARM]);
	u64 at = seconds + 1;

	if (!is_possible(ram[HOURS_ALARM], hour, 24) || !is_possible(ram[MINUTES_ALARM], minute, 60) ||
	    !is_possible(ram[SECONDS_ALARM], second, 60))
		return 0;
	while (at <= seconds + SECONDS_PER_DAY) {
		if (!matches(ram[HOURS_ALARM], hour, (unsigned)(at / 3600 % 24)))
			at += 3600 - at % 3600;
		else if (!matches(ram[MINUTES_ALARM], minute, (unsigned)(at / 60 % 60)))
			at += 60 - at % 60;
		else if (!matches(ram[SECONDS_ALARM], second, (unsigned)(at % 60)))
			at++;
		else
			return at;
	}
	return 0;
}

/* Sets the flags of all events since the last look. */
static void account(struct device *dev, u64 now_ns)
{
	struct rtc_state *state = dev->state;
	u64 then = wall_ns(dev, state->accounted_ns) / NS_PER_SEC, now = wall_ns(dev, now_ns) / NS_PER_SEC;
	u64 period = period_cycles(state), alarm;

	if (now_ns <= state->accounted_ns)
		return;
	if (period && ns_to_cycles(state->accounted_ns) / period != ns_to_cycles(now_ns) / period)
		state->flags |= B_PERIODIC;
	if (!is_stopped(state) && now > then) {
		alarm = next_alarm(state, then);
		state->flags |= B_UPDATE | (alarm && alarm <= now ? B_ALARM : 0);
	}
	state->accounted_ns = now_ns;
}

/* The next time at which an enabled event happens; 0: never. */
static u64 next_event_ns(const struct device *dev, u64 now_ns)
{
	const struct rtc_state *state = dev->state;
	u64 seconds = wall_ns(dev, now_ns) / NS_PER_SEC, period = period_cycles(state);
	u64 next_ns = ~0ull, alarm;
	u8 enabled = state->ram[REG_B] & (u8)~state->flags; /* a flag that is set cannot interrupt anew */

	if ((enabled & B_PERIODIC) && period)
		next_ns = cycles_to_ns((ns_to_cycles(now_ns) / period + 1) * period);
	if (is_stopped(state))
		return next_ns == ~0ull ? 0 : next_ns;
	if (enabled & B_UPDATE)
		next_ns = MIN(next_ns, wall_to_vm_ns(dev, (seconds + 1) * NS_PER_SEC));
	if (enabled & B_ALARM) {
		alarm = next_alarm(state, seconds);
		if (alarm)
			next_ns = MIN(next_ns, wall_to_vm_ns(dev, alarm * NS_PER_SEC));
	}
	return next_ns == ~0ull ? 0 : next_ns;
}

static void update(struct device *dev)
{
	struct rtc_state *state = dev->state;
	struct rtc_wires *wires = dev->wires;
	u64 now_ns = vtime_now_ns(dev->vm), next_ns;

	account(dev, now_ns);
	irq_set_line(dev->vm, IRQ_RTC, state->flags & state->ram[REG_B] & B_EVENTS);
	next_ns = next_event_ns(dev, now_ns);
	if (next_ns)
		device_timer_arm(&wires->timer, next_ns);
	else
		device_timer_disarm(&wires->timer);
}

/* --- Registers ------------------------------------------------------------------------------ */

static u8 read_register(struct device *dev)
{
	struct rtc_state *state = dev->state;
	u64 now_ns = vtime_now_ns(dev->vm), wall = wall_ns(dev, now_ns);
	u8 value;

	if (is_time_register(state->index) && !is_stopped(state))
		time_to_registers(state, wall / NS_PER_SEC);
	switch (state->index) {
	case REG_A:
		value = state->ram[REG_A];
		if (!is_stopped(state) && wall % NS_PER_SEC >= NS_PER_SEC - UPDATE_NS)
			value |= A_UIP;
		return value;
	case REG_C: /* reading it clears the flags and the line */
		account(dev, now_ns);
		value = state->flags | (state->flags & state->ram[REG_B] & B_EVENTS ? C_REQUEST : 0);
		state->flags = 0;
		update(dev);
		return value;
	case REG_D:
		return D_VALID;
	default:
		return state->ram[state->index];
	}
}

/* The registers become the time of day, now. */
static void set_time(struct device *dev)
{
	struct rtc_state *state = dev->state;
	u64 base = vtime_wall_base_ns(dev->vm) + vtime_now_ns(dev->vm);

	state->offset_ns = (s64)(time_from_registers(state) * NS_PER_SEC - base);
}

static void write_time(struct device *dev, u8 value)
{
	struct rtc_state *state = dev->state;

	if (!is_stopped(state))
		time_to_registers(state, wall_ns(dev, vtime_now_ns(dev->vm)) / NS_PER_SEC);
	state->ram[state->index] = value;
	if (!is_stopped(state))
		set_time(dev);
}

/* Registers A and B can stop the clock, which freezes the time registers, and start it again from them. */
static void write_mode(struct device *dev, u8 value)
{
	struct rtc_state *state = dev->state;
	bool was_stopped = is_stopped(state);

	if (!was_stopped)
		time_to_registers(state, wall_ns(dev, vtime_now_ns(dev->vm)) / NS_PER_SEC);
	state->ram[state->index] = state->index == REG_A ? value & (u8)~A_UIP : value;
	/* MC146818A: setting SET clears the update interrupt's enable bit. */
	if (state->ram[REG_B] & B_SET)
		state->ram[REG_B] &= (u8)~B_UPDATE;
	if (was_stopped && !is_stopped(state))
		set_time(dev);
}

static void write_register(struct device *dev, u8 value)
{
	struct rtc_state *state = dev->state;

	account(dev, vtime_now_ns(dev->vm));
	if (is_time_register(state->index))
		write_time(dev, value);
	else if (state->index == REG_A || state->index == REG_B)
		write_mode(dev, value);
	else if (state->index != REG_C && state->index != REG_D)
		state->ram[state->index] = value;
	update(dev);
}

static u64 rtc_port_read(struct device *dev, u16 port, u8 size)
{
	(void)size;
	return port == RTC_PORT ? 0xff : read_register(dev); /* the index is write-only */
}

static void rtc_port_write(struct device *dev, u16 port, u8 size, u64 value)
{
	struct rtc_state *state = dev->state;

	(void)size;
	if (port == RTC_PORT)
		state->index = value & (RAM_BYTES - 1); /* bit 7 masks NMI on a PC; no NMI source here */
	else
		write_register(dev, (u8)value);
}

/* --- Life ----------------------------------------------------------------------------------- */

static int rtc_check(const void *from)
{
	const struct rtc_state *state = from;
	u32 bad = state->index & ~(RAM_BYTES - 1u);

	for (unsigned i = 0; i < sizeof(state->reserved); i++)
		bad |= state->reserved[i];
	bad |= state->flags & ~(u32)B_EVENTS;
	bad |= state->ram[REG_A] & (u32)A_UIP;
	bad |= (state->ram[REG_B] & B_SET) && (state->ram[REG_B] & B_UPDATE);
	if (state->accounted_ns > DEVICE_TIME_MAX_NS)
		return -EINVAL;
	if (state->offset_ns > (s64)DEVICE_TIME_MAX_NS || state->offset_ns < -(s64)DEVICE_TIME_MAX_NS)
		return -EINVAL;
	return bad ? -EINVAL : 0;
}

static int rtc_attach(struct device *dev)
{
	device_timer_setup(&((struct rtc_wires *)dev->wires)->timer, dev, update);
	return bus_claim_ports(dev, RTC_PORT, 2);
}

/* Time and memory live through a reset; the interrupts' enable bits do not (MC146818A, RESET pin). */
static void rtc_reset(struct device *dev)
{
	struct rtc_state *state = dev->state;

	state->ram[REG_A] = A_DIVIDER_RUNS | 6; /* 1024 Hz, as firmware leaves it */
	state->ram[REG_B] = (state->ram[REG_B] & B_BINARY) | B_24_HOURS;
	state->flags = 0;
	state->index = 0;
}

static void rtc_start(struct device *dev) { update(dev); }
static void rtc_stop(struct device *dev) { device_timer_disarm(&((struct rtc_wires *)dev->wires)->timer); }
static void rtc_detach(struct device *dev) { device_timer_cancel(&((struct rtc_wires *)dev->wires)->timer); }

DEVICE_TYPE(rtc, 1, 152, .detach = rtc_detach, .port_read = rtc_port_read, .port_write = rtc_port_write);
