/* SPDX-License-Identifier: BSD-2-Clause */
/* For the 32-bit entries in assembly: how they name places, and where they go on. */
#pragma once

/* Where a symbol is loaded: its link address less CORE_BASE. 32-bit code knows no other. */
#define PA(symbol) ((symbol) - 0xffffffff80000000)

/*
 * long_mode_start (boot/long_mode.S), the common rest of the PVH and multiboot2 entries. In:
 *   esi = PA() of u64 convert(start information, u32 eax): returns the address of struct boot_info
 *   ebx = physical address of the loader's start information
 *   eax = as the loader left it
 */
