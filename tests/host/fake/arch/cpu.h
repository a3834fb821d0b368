/* SPDX-License-Identifier: BSD-2-Clause */
/* arch/cpu.h for host tests: time is a variable, instructions are C. */
#pragma once

#include "arch/regs.h"

/* What rdtsc returns. One object over all files of a test. */
__attribute__((weak)) u64 fake_tsc;

static inline u64 rdtsc(void) { return fake_tsc; }
static inline u64 rdtsc_ordered(void) { return fake_tsc; }
static inline void cpu_pause(void) { }

/* CPUID knows two facts; CR3 is a variable. */
__attribute__((weak)) bool fake_has_1g_pages;
__attribute__((weak)) u64 fake_cr3;

struct cpuid_leaf {
	u32 eax, ebx, ecx, edx;
};

/* A test that wants a whole CPU defines this. */
struct cpuid_leaf fake_cpuid(u32 leaf, u32 subleaf) __attribute__((weak));

static inline struct cpuid_leaf cpuid(u32 leaf, u32 subleaf)
{
	if (fake_cpuid)
		return fake_cpuid(leaf, subleaf);
	if (leaf == 0x80000000)
		return (struct cpuid_leaf){ .eax = 0x80000001 };
	return (struct cpuid_leaf){ .edx = leaf == 0x80000001 && fake_has_1g_pages ? (u32)BIT(26) : 0 };
}

static inline u64 read_cr3(void) { return fake_cr3; }
static inline void write_cr3(u64 value) { fake_cr3 = value; }
/* How often the host could take its interrupts. */
__attribute__((weak)) unsigned fake_irq_window_count;
static inline void cpu_irq_window(void) { fake_irq_window_count++; }

static inline void mfence(void) { }
static inline void lfence(void) { }

/* Ports: a test that has any defines these; otherwise nobody answers. */
u32 fake_in(u16 port, unsigned bytes) __attribute__((weak));
void fake_out(u16 port, unsigned bytes, u32 value) __attribute__((weak));
static inline u32 in_port(u16 port, unsigned bytes) { return fake_in ? fake_in(port, bytes) : ~0u; }
static inline void out_port(u16 port, unsigned bytes, u32 value)
{
	if (fake_out)
		fake_out(port, bytes, value);
}
static inline u8 in8(u16 port) { return (u8)in_port(port, 1); }
static inline u16 in16(u16 port) { return (u16)in_port(port, 2); }
static inline u32 in32(u16 port) { return in_port(port, 4); }
static inline void out8(u16 port, u8 value) { out_port(port, 1, value); }
static inline void out16(u16 port, u16 value) { out_port(port, 2, value); }
static inline void out32(u16 port, u32 value) { out_port(port, 4, value); }

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
