/* SPDX-License-Identifier: BSD-2-Clause */
/* arch/cpu.h for host tests: time is a variable, instructions are C. */
#pragma once

#include "arch/regs.h"

/* What rdtsc returns. One object over all files of a test. */
__attribute__((weak)) u64 fake_tsc;

static inline u64 rdtsc(void) { return fake_tsc; }
static inline u64 rdtsc_ordered(void) { return fake_tsc; }
static inline void cpu_pause(void) { }
static inline void mfence(void) { }
static inline void lfence(void) { }

static inline u8 mmio_read8(const volatile void *at) { return *(const volatile u8 *)at; }
static inline u16 mmio_read16(const volatile void *at) { return *(const volatile u16 *)at; }
static inline u32 mmio_read32(const volatile void *at) { return *(const volatile u32 *)at; }
static inline u64 mmio_read64(const volatile void *at) { return *(const volatile u64 *)at; }
static inline void mmio_write8(volatile void *at, u8 value) { *(volatile u8 *)at = value; }
static inline void mmio_write16(volatile void *at, u16 value) { *(volatile u16 *)at = value; }
static inline void mmio_write32(volatile void *at, u32 value) { *(volatile u32 *)at = value; }
static inline void mmio_write64(volatile void *at, u64 value) { *(volatile u64 *)at = value; }

static inline void rep_movsb(void *to, const void *from, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		((volatile u8 *)to)[i] = ((const u8 *)from)[i];
}

static inline void rep_stosb(void *to, int byte, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		((volatile u8 *)to)[i] = (u8)byte;
}
