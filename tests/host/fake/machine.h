/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine for host tests: which CPU "runs", kicks, deadlines and sleeps are variables.
 * Included by the test's own file, once; a panic fails the test, or satisfies
 * expect_assert_failure().
 */
#pragma once

#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "arch/cpu.h"
#include "kernel/machine.h"
#include "kernel/string.h"

static struct {
	unsigned cpu;             /* that asks */
	unsigned kicks[CPU_MAX];
	u64 deadline_ns[CPU_MAX]; /* as programmed last; 0: never */
	unsigned programmed;      /* calls of set_deadline */
	unsigned windows;         /* calls of irq_window */
	void (*on_window)(void);  /* an "interrupt" that comes in the next window */
} fake;

static unsigned fake_cpu_id(void) { return fake.cpu; }
static void fake_kick(unsigned cpu) { fake.kicks[cpu]++; }

static void fake_set_deadline(u64 deadline_ns)
{
	fake.deadline_ns[fake.cpu] = deadline_ns;
	fake.programmed++;
}

static void fake_idle(void) { }

static void fake_console_write(const char *text, size_t bytes) { print_message("%.*s", (int)bytes, text); }

static void fake_irq_window(void)
{
	void (*interrupt)(void) = fake.on_window;

	fake.windows++;
	fake.on_window = NULL;
	if (interrupt)
		interrupt();
}

static void fake_nothing(void) { }

static NORETURN void fake_halt(void)
{
	mock_assert(0, "Tern panicked", "tests/host/fake/machine.h", __LINE__);
	abort();
}

static const struct machine_ops fake_machine = {
	.cpu_id = fake_cpu_id,
	.kick = fake_kick,
	.set_deadline = fake_set_deadline,
	.idle = fake_idle,
	.console_write = fake_console_write,
	.irq_window = fake_irq_window,
	.stop_others = fake_nothing,
	.dump = fake_nothing,
	.halt = fake_halt,
};

const struct machine_ops *machine = &fake_machine;
