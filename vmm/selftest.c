/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The self-test at start: a tiny guest goes the way that every guest goes (vm_create, vm_start, exits,
 * interrupts, timers, its serial port, power-off) and dies of a triple fault if anything is not
 * as the manuals say. A machine that fails it is told so before somebody trusts it with a guest.
 *
 * It has a second use: the first guest that arrives finds this code in the caches (and, under an
 * emulator, translated), when each microsecond counts: it is in the middle of its stun.
 */
#include "vmm/selftest.h"

#include "kernel/bootfile.h"
#include "kernel/clock.h"
#include "kernel/log.h"
#include "kernel/machine.h"
#include "kernel/sched.h"
#include "kernel/timer.h"
#include "vmm/vm.h"

#define RAM_BYTES GMEM_RAM_MIN
#define PATIENCE_NS (5 * NS_PER_SEC)

extern const u8 selftest_image_start[], selftest_image_end[];

static bool is_late;

static void too_late(struct timer *timer)
{
	(void)timer;
	is_late = true;
}

/* The services and, on a machine with one CPU, the guest itself run inside this loop. */
static void wait_for_end(const struct vm *vm)
{
	struct timer patience;

	timer_setup(&patience, too_late);
	timer_arm(&patience, 0, clock_now_ns() + PATIENCE_NS);
	while (!vm_wants_attention(vm) && !is_late)
		if (!sched_turn())
			machine->idle();
	timer_cancel(&patience);
}

static void report(const struct vm *vm, u64 start_ns)
{
	const char *why = is_late ? "it did not come to its end in 5 s" : "it reset its machine";

	if (vm->want_poweroff && !vm->want_kill)
		log_debug("self-test: passed in %llu us",
			  (unsigned long long)((clock_now_ns() - start_ns) / NS_PER_US));
	else
		log_error("self-test: a tiny guest failed here: %s; do not trust a guest to this machine "
			  "before this is understood", vm->want_kill ? vm->why : why);
}

static int run(const char **why)
{
	struct vm_config config = {
		.name = "selftest", .kernel = BOOT_FILE_SELFTEST, .ram_bytes = RAM_BYTES, .vcpu_count = 1,
	};
	u64 start_ns = clock_now_ns();
	struct vm *vm;
	int err = vm_create(&vm, &config, why);

	if (err)
		return err;
	vm->migration = vm; /* its end is ours to see, not the VM service's */
	err = vm_start(vm, why);
	if (!err) {
		wait_for_end(vm);
		report(vm, start_ns);
	}
	vm->migration = NULL;
	vm_destroy(vm);
	return err;
}

void selftest_run(void)
{
	const char *why = "";

	if (!hv)
		return;
	boot_file_add(BOOT_FILE_SELFTEST, selftest_image_start, (u64)(selftest_image_end - selftest_image_start));
	if (run(&why))
		log_warn("self-test skipped: %s", why);
}
