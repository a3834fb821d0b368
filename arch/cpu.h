/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * x86-64 instructions as inline functions: no state, no policy. Each does exactly the
 * instruction it is named after. Section numbers: Intel SDM (2023-12), AMD APM (2023-06).
 */
#pragma once

#include "arch/regs.h"

struct cpuid_leaf {
	u32 eax, ebx, ecx, edx;
};

static inline struct cpuid_leaf cpuid(u32 leaf, u32 subleaf)
{
	struct cpuid_leaf out;

	__asm__ volatile("cpuid"
			 : "=a"(out.eax), "=b"(out.ebx), "=c"(out.ecx), "=d"(out.edx)
			 : "a"(leaf), "c"(subleaf));
	return out;
}

static inline u64 rdmsr(u32 msr)
{
	u32 low, high;

	__asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return (u64)high << 32 | low;
}

static inline void wrmsr(u32 msr, u64 value)
{
	__asm__ volatile("wrmsr" : : "c"(msr), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

/* Not ordered with other instructions; right for a clock that is read often. */
static inline u64 rdtsc(void)
{
	u32 low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (u64)high << 32 | low;
}

/* Read after all earlier loads are done: for measuring. SDM 2B RDTSC: LFENCE before it. */
static inline u64 rdtsc_ordered(void)
{
	u32 low, high;

	__asm__ volatile("lfence; rdtsc; lfence" : "=a"(low), "=d"(high) : : "memory");
	return (u64)high << 32 | low;
}

static inline u8 in8(u16 port)
{
	u8 value;

	__asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline u16 in16(u16 port)
{
	u16 value;

	__asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline u32 in32(u16 port)
{
	u32 value;

	__asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline void out8(u16 port, u8 value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void out16(u16 port, u16 value)
{
	__asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline void out32(u16 port, u32 value)
{
	__asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

/* Device registers: one access of exactly this width, in program order (the mapping is UC). */
static inline u8 mmio_read8(const volatile void *at) { return *(const volatile u8 *)at; }
static inline u16 mmio_read16(const volatile void *at) { return *(const volatile u16 *)at; }
static inline u32 mmio_read32(const volatile void *at) { return *(const volatile u32 *)at; }
static inline void mmio_write8(volatile void *at, u8 value) { *(volatile u8 *)at = value; }
static inline void mmio_write16(volatile void *at, u16 value) { *(volatile u16 *)at = value; }
static inline void mmio_write32(volatile void *at, u32 value) { *(volatile u32 *)at = value; }

#define CPU_DEFINE_CR(n) \
	static inline u64 read_cr##n(void) \
	{ \
		u64 value; \
\
		__asm__ volatile("mov %%cr" #n ", %0" : "=r"(value) : : "memory"); \
		return value; \
	} \
	static inline void write_cr##n(u64 value) \
	{ \
		__asm__ volatile("mov %0, %%cr" #n : : "r"(value) : "memory"); \
	}
CPU_DEFINE_CR(0)
CPU_DEFINE_CR(2)
CPU_DEFINE_CR(3)
CPU_DEFINE_CR(4)
#undef CPU_DEFINE_CR

#define CPU_DEFINE_DR(n) \
	static inline u64 read_dr##n(void) \
	{ \
		u64 value; \
\
		__asm__ volatile("mov %%dr" #n ", %0" : "=r"(value)); \
		return value; \
	} \
	static inline void write_dr##n(u64 value) \
	{ \
		__asm__ volatile("mov %0, %%dr" #n : : "r"(value)); \
	}
CPU_DEFINE_DR(0)
CPU_DEFINE_DR(1)
CPU_DEFINE_DR(2)
CPU_DEFINE_DR(3)
CPU_DEFINE_DR(6)
CPU_DEFINE_DR(7)
#undef CPU_DEFINE_DR

static inline u64 xgetbv(u32 index)
{
	u32 low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(index));
	return (u64)high << 32 | low;
}

static inline void xsetbv(u32 index, u64 value)
{
	__asm__ volatile("xsetbv" : : "c"(index), "a"((u32)value), "d"((u32)(value >> 32)) : "memory");
}

static inline void invlpg(const void *va)
{
	__asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

static inline void wbinvd(void) { __asm__ volatile("wbinvd" : : : "memory"); }
static inline void cli(void) { __asm__ volatile("cli" : : : "memory"); }
static inline void sti(void) { __asm__ volatile("sti" : : : "memory"); }
static inline void hlt(void) { __asm__ volatile("hlt" : : : "memory"); }
static inline void cpu_pause(void) { __asm__ volatile("pause" : : : "memory"); }
static inline void mfence(void) { __asm__ volatile("mfence" : : : "memory"); }
static inline void lfence(void) { __asm__ volatile("lfence" : : : "memory"); }

/* Waits for the next interrupt and takes it. SDM 2B STI: they stay off until HLT has begun. */
static inline void sti_hlt_cli(void) { __asm__ volatile("sti; hlt; cli" : : : "memory"); }

/* Takes the interrupts that are pending now; interrupts are off before and after. */
static inline void cpu_irq_window(void) { __asm__ volatile("sti; nop; cli" : : : "memory"); }

/* Copy and fill by the string instructions: best where CPUID says ERMS, slow in emulators. */
static inline void rep_movsb(void *to, const void *from, size_t bytes)
{
	__asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

static inline void rep_stosb(void *to, int byte, size_t bytes)
{
	__asm__ volatile("rep stosb" : "+D"(to), "+c"(bytes) : "a"(byte) : "memory");
}
