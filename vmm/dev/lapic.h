/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC of each vCPU: registers, interrupt state and timer. vm->lock is held.
 */
#pragma once

#include "kernel/bits.h"
#include "vmm/dev/device_timer.h"

/* Of the timer before its divider; CPUID 0x15 and 0x40000010 tell the guest the same. One tick is 1 ns. */
#define LAPIC_TIMER_HZ 1000000000ull
#define LAPIC_BASE 0xfee00000ull

/* Local vector table, in the order of the registers at 0x320 (SDM 3A 11.5.1). */
enum { LVT_TIMER, LVT_THERMAL, LVT_PERF, LVT_LINT0, LVT_LINT1, LVT_ERROR, LVT_COUNT };

#define LVT_MASKED BIT(16)
#define LVT_TIMER_MODE BITS(18, 17)
#define LVT_TIMER_PERIODIC BIT(17)
#define LVT_TIMER_DEADLINE BIT(18)

/* Delivery modes of messages and LVT entries (SDM 3A 11.6.1). */
enum {
	APIC_FIXED = 0,
	APIC_LOWEST = 1,
	APIC_SMI = 2,
	APIC_NMI = 4,
	APIC_INIT = 5,
	APIC_STARTUP = 6,
	APIC_EXTINT = 7,
};

STATE_BEGIN
struct lapic_state {
	u64 base;              /* IA32_APIC_BASE */
	u64 timer_next_ns;     /* VM time at which a counting timer reaches 0; 0: it does not count */
	u64 timer_deadline;    /* IA32_TSC_DEADLINE; 0: not armed */
	u32 irr[8];
	u32 isr[8];
	u32 tmr[8];
	u32 lvt[LVT_COUNT];
	u32 tpr;
	u32 ldr;               /* xAPIC only; in x2APIC mode it follows from the ID */
	u32 dfr;
	u32 svr;
	u32 esr;               /* as last latched by a write */
	u32 esr_next;          /* errors since then */
	u32 icr_low;
	u32 icr_high;
	u32 timer_initial;
	u32 timer_divide;
	u8 is_extint_pending;  /* a message asked for the PIC's vector */
	u8 is_lint0_high;      /* the PIC's output, as last seen */
	u8 reserved[6];
};
STATE_END

struct lapic_wires {
	struct device_timer timer;
};

#define LAPIC_BASE_BSP BIT(8)
#define LAPIC_BASE_X2APIC BIT(10)
#define LAPIC_BASE_ENABLED BIT(11)

extern const struct device_type lapic_type;

/* A message on the APIC bus: an IPI, an IO-APIC pin's or an MSI. */
struct apic_message {
	u32 dest;
	u8 vector;
	u8 mode;
	bool is_logical;
	bool is_broadcast;
	bool is_level;
};

/* Gives the message to all local APICs it is for; true if one took it (vmm/dev/apic_bus.c). */
bool apic_bus_send(struct vm *vm, const struct apic_message *message);

/* A write to the interrupt command register of dev (SDM 3A 11.6.1); broadcast is the window's "everybody". */
void apic_bus_command(struct device *dev, u32 icr, u32 dest, u32 broadcast);

/* One APIC takes a message that is for it; false if it does not (vmm/dev/apic_bus.c). */
bool lapic_receive(struct device *dev, const struct apic_message *message);

/* Highest vector that the processor priority lets through, or -1. */
int lapic_pending_vector(const struct device *dev);
/* Highest requested vector that only the task priority holds back, or -1. */
int lapic_blocked_vector(const struct device *dev);
/* The vector goes from IRR to ISR. */
void lapic_accept(struct device *dev, u8 vector);
/* True if this APIC passes the PIC's interrupt on now (given that the PIC has one). */
bool lapic_takes_extint(const struct device *dev);
/* The PIC's output, wired to LINT0, has changed. */
void lapic_set_lint0(struct device *dev, bool is_high);
/* Delivers what a local vector table entry says. */
void lapic_fire(struct device *dev, unsigned entry);
/* Sets the vector's request bit and tells the vCPU. */
void lapic_request(struct device *dev, u8 vector, bool is_level);
/* The state that INIT leaves: power-on but for APIC_BASE and ID (SDM 3A 11.4.7.3). */
void lapic_init_signal(struct device *dev);

bool lapic_is_x2apic(const struct lapic_state *state);
u32 lapic_x2apic_ldr(u32 id);
u32 lapic_priority(const struct lapic_state *state);
#define LAPIC_ESR_SEND_ILLEGAL BIT(5)
#define LAPIC_ESR_RECEIVE_ILLEGAL BIT(6)
#define LAPIC_ESR_REGISTER BIT(7)
void lapic_error(struct device *dev, u32 bit);

u8 lapic_get_cr8(const struct device *dev);
void lapic_set_cr8(struct device *dev, u8 cr8);

/* --- vmm/dev/lapic_timer.c, for lapic.c --- */

/* Expires what is due and arms the host's timer for the rest. */
void lapic_timer_update(struct device *dev);
void lapic_timer_disarm(struct device *dev);
u32 lapic_timer_count(struct device *dev);
void lapic_timer_set_initial(struct device *dev, u32 count);
void lapic_timer_set_divide(struct device *dev, u32 divide);
void lapic_timer_set_lvt(struct device *dev, u32 lvt);
u64 lapic_timer_get_deadline(struct device *dev);
void lapic_timer_set_deadline(struct device *dev, u64 deadline);
