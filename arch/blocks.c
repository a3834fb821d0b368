/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Large copies and fills by string instructions, where the CPU says that they are fast.
 *
 * SDM 1, 7.3.9.3: CPUID.7.EBX bit 9, enhanced REP MOVSB and STOSB. QEMU's software
 * emulation offers that bit with some CPU models and then executes byte for byte; there the
 * loops of kernel/string.c stay.
 */
#include "arch/blocks.h"

#include "arch/cpu.h"
#include "kernel/string.h"

#define HYPERVISOR_LEAF 0x40000000

static bool is_emulated(void)
{
	struct cpuid_leaf leaf = cpuid(HYPERVISOR_LEAF, 0);
	u32 name[3] = { leaf.ebx, leaf.ecx, leaf.edx };

	/* CPUID.1.ECX bit 31: there is a hypervisor, so its leaves mean something. */
	return cpuid(1, 0).ecx & BIT(31) && memcmp(name, "TCGTCGTCGTCG", sizeof(name)) == 0;
}

static bool has_erms(void)
{
	return cpuid(0, 0).eax >= 7 && cpuid(7, 0).ebx & BIT(9);
}

static void copy_block(void *to, const void *from, size_t bytes)
{
	rep_movsb(to, from, bytes);
}

static void fill_block(void *to, int byte, size_t bytes)
{
	rep_stosb(to, byte, bytes);
}

void blocks_init(void)
{
	if (has_erms() && !is_emulated())
		string_use_blocks(copy_block, fill_block);
}
