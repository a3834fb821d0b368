/* SPDX-License-Identifier: BSD-2-Clause */
/* Instructions that leave the guest for good reason: hypercalls, cache control, what is not offered. */
#include "tests/guest/hypercall.h"

#define KVM_ENOSYS 1000

static volatile u64 undefined_count;

static void on_ud(struct interrupt_frame *frame)
{
	undefined_count++;
	frame->rip += 3; /* all below have three bytes */
}

void guest_main(const struct start_info *info)
{
	(void)info;
	interrupts_init();
	interrupt_set(6, on_ud);
	expect("unknown hypercall", (u64)-KVM_ENOSYS, hypercall(999));
	wbinvd();
	__asm__ volatile("invd" : : : "memory");
	expect("cache control goes on", 0, undefined_count);
	__asm__ volatile("monitor" : : "a"(&undefined_count), "c"(0), "d"(0));
	expect("MONITOR is #UD", 1, undefined_count);
	__asm__ volatile("vmrun" : : "a"(0));
	expect("VMRUN is #UD", 2, undefined_count);
	__asm__ volatile("stgi");
	expect("STGI is #UD", 3, undefined_count);
	cpu_pause();
	done();
}
