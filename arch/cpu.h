/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * x86-64 instructions as inline functions: no state, no policy. Each does exactly the
 * instruction it is named after. Section numbers: Intel SDM (2023-12), AMD APM (2023-06).
 */
#pragma once

#include "kernel/bits.h"

/* Model-specific registers that the host machine itself uses. */
#define MSR_APIC_BASE 0x1b
#define MSR_MTRR_CAP 0xfe
#define MSR_MTRR_DEF_TYPE 0x2ff
#define MSR_PAT 0x277
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC(offset) (0x800 + ((offset) >> 4)) /* SDM 3A 11.12.1.2 */
#define MSR_EFER 0xc0000080
#define MSR_FS_BASE 0xc0000100
#define MSR_GS_BASE 0xc0000101
#define MSR_KERNEL_GS_BASE 0xc0000102
#define MSR_TSC_AUX 0xc0000103

#define EFER_SCE BIT(0)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)
#define EFER_NXE BIT(11)
#define EFER_SVME BIT(12)

#define CR0_PE BIT(0)
#define CR0_MP BIT(1)
#define CR0_EM BIT(2)
#define CR0_TS BIT(3)
#define CR0_ET BIT(4)
#define CR0_NE BIT(5)
#define CR0_WP BIT(16)
#define CR0_AM BIT(18)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)

#define CR4_TSD BIT(2)
#define CR4_DE BIT(3)
#define CR4_PSE BIT(4)
#define CR4_PAE BIT(5)
#define CR4_MCE BIT(6)
#define CR4_PGE BIT(7)
#define CR4_OSFXSR BIT(9)
#define CR4_OSXMMEXCPT BIT(10)
#define CR4_UMIP BIT(11)
#define CR4_VMXE BIT(13)
#define CR4_FSGSBASE BIT(16)
#define CR4_PCIDE BIT(17)
#define CR4_OSXSAVE BIT(18)
#define CR4_SMEP BIT(20)
#define CR4_SMAP BIT(21)

#define RFLAGS_FIXED BIT(1) /* SDM 1 3.4.3: always 1 */
#define RFLAGS_IF BIT(9)
#define RFLAGS_AC BIT(18)

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
static inline u64 mmio_read64(const volatile void *at) { return *(const volatile u64 *)at; }
static inline void mmio_write8(volatile void *at, u8 value) { *(volatile u8 *)at = value; }
static inline void mmio_write16(volatile void *at, u16 value) { *(volatile u16 *)at = value; }
static inline void mmio_write32(volatile void *at, u32 value) { *(volatile u32 *)at = value; }
static inline void mmio_write64(volatile void *at, u64 value) { *(volatile u64 *)at = value; }

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
CPU_DEFINE_CR(8)
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

static inline u64 read_rflags(void)
{
	u64 value;

	__asm__ volatile("pushfq; popq %0" : "=r"(value) : : "memory");
	return value;
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
static inline void clac(void) { __asm__ volatile("clac" : : : "memory"); }
static inline void stac(void) { __asm__ volatile("stac" : : : "memory"); }
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
