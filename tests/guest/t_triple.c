/* SPDX-License-Identifier: BSD-2-Clause */
/* Dies of a triple fault; the test looks at what Tern says of it. */
#include "vmm/selftest/lib.h"

void guest_main(const struct start_info *info)
{
	struct { u16 limit; u64 base; } PACKED none = { 0, 0 };

	(void)info;
	print("READY\n");
	__asm__ volatile("lidt %0; ud2" : : "m"(none));
	print("FAIL a triple fault ends the guest: it goes on\n");
	done();
}
