/* SPDX-License-Identifier: BSD-2-Clause */
/* What a PVH loader hands over: Xen, xen/include/public/arch-x86/hvm/start_info.h. */
#pragma once

#include "kernel/types.h"

#define HVM_START_MAGIC 0x336ec578

struct hvm_start_info {
	u32 magic;
	u32 version;
	u32 flags;
	u32 module_count;
	u64 modules;
	u64 command_line;
	u64 rsdp;
	u64 memory_map; /* of struct collect_range; from version 1 on */
	u32 memory_map_count;
	u32 reserved;
};
_Static_assert(sizeof(struct hvm_start_info) == 56, "start_info.h: version 1 has 56 bytes");

struct hvm_module {
	u64 address;
	u64 bytes;
	u64 command_line;
	u64 reserved;
};
_Static_assert(sizeof(struct hvm_module) == 32, "start_info.h: a module has 32 bytes");

/* Returns the physical address of the finished struct boot_info. Called by boot/pvh.S only, once. */
u64 pvh_convert(const struct hvm_start_info *start);
