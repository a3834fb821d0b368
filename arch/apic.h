/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CPU's local APIC, in xAPIC or x2APIC mode: acknowledge, interrupt another CPU, timer.
 */
#pragma once

#include "kernel/types.h"

/*
 * Takes the mode, and enables the boot CPU's APIC; then apic_cpu_init on every other CPU. 0, or
 * -ENOMEM when its registers cannot be mapped.
 */
int apic_init(void);
void apic_cpu_init(void);
bool apic_is_x2apic(void);
u32 apic_id(void);

void apic_eoi(void);
void apic_send_ipi(u32 apic_id, u8 vector);
/* To all CPUs but the caller; does nothing before apic_init. */
void apic_send_nmi_to_others(void);
/* INIT and STARTUP, SDM 3A 9.4.4; page is the trampoline's page number. */
void apic_send_init(u32 apic_id);
void apic_send_startup(u32 apic_id, u8 page);

/* Takes TSC-deadline or one-shot mode, measures the timer's rate in the latter. After clock_init. */
void apic_timer_init(void);
void apic_timer_cpu_init(void);
/* The calling CPU's next timer interrupt, in clock_now_ns() time; ~0: none. */
void apic_timer_set(u64 deadline_ns);
const char *apic_timer_name(void);
u64 apic_timer_khz(void);
