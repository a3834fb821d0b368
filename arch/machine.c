/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine as kernel/ sees it: struct machine_ops filled with the hardware. */
#include "kernel/machine.h"
#include "arch/apic.h"
#include "arch/backtrace.h"
#include "arch/cpu.h"
#include "arch/percpu.h"
#include "arch/screen.h"
#include "arch/smp.h"
#include "arch/trap.h"
#include "arch/uart.h"
#include "kernel/sched.h"

static unsigned machine_cpu_id(void) { return this_cpu(); }

static void machine_kick(unsigned cpu) { apic_send_ipi(percpu_table[cpu].apic_id, VECTOR_KICK); }

/* Interrupts are off: one that comes after the check ends the HLT (sti_hlt_cli says why). */
static void machine_idle(void)
{
	if (!sched_is_turn_wanted())
		sti_hlt_cli();
}

static void machine_console_write(const char *text, size_t bytes)
{
	if (uart_console())
		uart_write_wait(uart_console(), text, bytes);
	screen_write(text, bytes);
}

static void machine_stop_others(void)
{
	smp_stop_others();
	screen_panic();
}

static NORETURN void machine_halt(void)
{
	for (;;) {
		cli();
		hlt();
	}
}

static const struct machine_ops x86_machine = {
	.cpu_id = machine_cpu_id,
	.kick = machine_kick,
	.set_deadline = apic_timer_set,
	.idle = machine_idle,
	.console_write = machine_console_write,
	.irq_window = cpu_irq_window,
	.stop_others = machine_stop_others,
	.dump = backtrace_dump,
	.halt = machine_halt,
};

const struct machine_ops *machine = &x86_machine;
