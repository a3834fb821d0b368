/* SPDX-License-Identifier: BSD-2-Clause */
/* RAM: the map tells the truth, each page is its own, and fresh memory is zero. */
#include "vmm/selftest/lib.h"

static u64 ram_bytes(const struct start_info *info)
{
	const struct memory_range *range = (const struct memory_range *)info->memory_map;
	u64 bytes = 0;

	for (u32 i = 0; i < info->memory_count; i++)
		bytes += range[i].type == 1 ? range[i].bytes : 0;
	return bytes;
}

/* The largest usable range below 4 GiB: what start.S maps. */
static struct memory_range main_range(const struct start_info *info)
{
	const struct memory_range *range = (const struct memory_range *)info->memory_map;
	struct memory_range best = { 0 };

	for (u32 i = 0; i < info->memory_count; i++) {
		if (range[i].type == 1 && range[i].base < 4 * GIB && range[i].bytes > best.bytes)
			best = range[i];
	}
	return best;
}

extern u8 guest_end[];

void guest_main(const struct start_info *info)
{
	struct memory_range range;
	u64 wrong = 0, dirty = 0;

	interrupts_init();
	expect("start_info", 0x336ec578, info->magic);
	expect("boot modules: none", 0, info->module_count);
	expect_true("RSDP", info->rsdp && *(const u64 *)info->rsdp == 0x2052545020445352);
	range = main_range(info);
	/* All but the 388 KiB that a PC has reserved below 1 MiB, and it comes in 2 MiB. */
	expect("RAM is a multiple of 2 MiB", 0, (ram_bytes(info) + 0x100000 - 0x9fc00) % (2 * MIB));
	for (u64 at = ALIGN_UP((u64)guest_end, 4096ull); at < range.base + range.bytes; at += 4096) {
		dirty += *(volatile u64 *)at != 0;
		*(volatile u64 *)at = at;
	}
	expect("fresh memory is zero", 0, dirty);
	for (u64 at = ALIGN_UP((u64)guest_end, 4096ull); at < range.base + range.bytes; at += 4096)
		wrong += *(volatile u64 *)at != at;
	expect("each page is its own", 0, wrong);
	expect("beyond the end is nothing", ~0ull, *(volatile u64 *)(range.base + range.bytes));
	done();
}
