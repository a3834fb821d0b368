/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Nested page tables have the format of long-mode tables, APM 2 15.25.5. Every guest access
 * counts as a user access, so the user bit belongs to "present". Accessed and dirty bits
 * are always kept by hardware. The memory type is that of PAT entry 0 of the host, write-back,
 * combined with the guest's own (15.25.8).
 */
#include "arch/svm/svm.h"

const struct nested_format svm_nested_format = {
	.present = BIT(0) | BIT(2),
	.write = BIT(1),
	.accessed = BIT(5),
	.dirty = BIT(6),
	.large = BIT(7),
	.memory_wb = 0,
	.address_mask = BITS(51, 12),
};
