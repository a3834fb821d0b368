/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every CPU gets before it runs C code of Tern for good: descriptors, per-CPU data,
 * and the same control registers.
 */
#include "arch/percpu.h"
#include "arch/cpu.h"
#include "arch/trap.h"

struct percpu percpu_table[CPU_MAX];

#define GDT_CODE 0x00af9b000000ffffull /* SDM 3A 3.4.5: present, DPL 0, code, L=1 */
#define GDT_DATA 0x00cf93000000ffffull
#define TSS_BYTES 104
#define TSS_IST1 0x24 /* SDM 3A figure 8-11 */
#define TSS_IO_BASE 0x66

static void tss_init(struct percpu *percpu)
{
	u64 base = (u64)percpu->tss;

	for (unsigned i = 0; i < ARRAY_COUNT(percpu->trap_stack); i++)
		__builtin_memcpy(percpu->tss + TSS_IST1 + 8 * i, &percpu->trap_stack[i], 8);
	percpu->tss[TSS_IO_BASE] = TSS_BYTES; /* no port bitmap */

	percpu->gdt[SELECTOR_CODE / 8] = GDT_CODE;
	percpu->gdt[SELECTOR_DATA / 8] = GDT_DATA;
	/* SDM 3A 8.2.3: 64-bit TSS descriptor, 16 bytes, type 9 (available). */
	percpu->gdt[SELECTOR_TSS / 8] = (TSS_BYTES - 1) | (base & BITS(23, 0)) << 16 |
					0x89ull << 40 | FIELD(base, 31, 24) << 56;
	percpu->gdt[SELECTOR_TSS / 8 + 1] = base >> 32;
}

static void load_segments(struct percpu *percpu)
{
	struct {
		u16 limit;
		u64 base;
	} PACKED gdtr = { sizeof(percpu->gdt) - 1, (u64)percpu->gdt };

	__asm__ volatile("lgdt %0\n\t"
			 "pushq %1\n\t"
			 "leaq 1f(%%rip), %%rax\n\t"
			 "pushq %%rax\n\t"
			 "lretq\n"
			 "1:\n\t"
			 "movl %2, %%ds\n\t"
			 "movl %2, %%es\n\t"
			 "movl %2, %%ss\n\t"
			 "movl %3, %%fs\n\t"
			 "movl %3, %%gs\n\t"
			 :
			 : "m"(gdtr), "i"(SELECTOR_CODE), "r"(SELECTOR_DATA), "r"(0)
			 : "rax", "memory");
	wrmsr(MSR_FS_BASE, 0);
	wrmsr(MSR_GS_BASE, (u64)percpu);
	__asm__ volatile("ltr %w0" : : "r"(SELECTOR_TSS));
}

void percpu_load(struct percpu *percpu)
{
	percpu->self = percpu;
	tss_init(percpu);
	load_segments(percpu);
	trap_load();
	percpu_set_controls();
}

/*
 * SDM 3A 12.12.2: WB, WC, UC-, UC, twice. As after reset but for entry 1, which is WT then: Tern's
 * tables use it for pictures (arch/paging.c). Nested tables count on entry 0.
 */
#define PAT_VALUE 0x0007010600070106ull

/* SDM 1 13.1: x87, SSE, AVX, AVX-512. Others would need care that Tern does not take. */
#define XCR0_WANTED (BITS(2, 0) | BITS(7, 5))

static u64 xcr0_offered(void)
{
	struct cpuid_leaf xsave = cpuid(0xd, 0);
	u64 mask = ((u64)xsave.edx << 32 | xsave.eax) & XCR0_WANTED;

	/* SDM 1 13.3: the three AVX-512 components come together, and only with AVX. */
	if ((mask & BITS(7, 5)) != BITS(7, 5) || !(mask & BIT(2)))
		mask &= ~BITS(7, 5);
	return mask;
}

void percpu_set_controls(void)
{
	u32 max_leaf = cpuid(0, 0).eax;
	struct cpuid_leaf basic = cpuid(1, 0);
	struct cpuid_leaf extended = max_leaf >= 7 ? cpuid(7, 0) : (struct cpuid_leaf){ 0 };
	u64 cr4 = read_cr4() | CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_MCE | CR4_DE;

	if (basic.ecx & BIT(26))
		cr4 |= CR4_OSXSAVE;
	if (extended.ebx & BIT(7))
		cr4 |= CR4_SMEP;
	if (extended.ebx & BIT(20))
		cr4 |= CR4_SMAP;
	if (extended.ecx & BIT(2))
		cr4 |= CR4_UMIP;
	/* Loaders may have left these; Tern uses none of them. */
	cr4 &= ~(CR4_PCIDE | CR4_TSD | CR4_VMXE | CR4_FSGSBASE);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NXE);
	write_cr0((read_cr0() | CR0_WP | CR0_NE | CR0_MP | CR0_ET) &
		  ~(CR0_EM | CR0_TS | CR0_CD | CR0_NW | CR0_AM));
	write_cr4(cr4);
	wrmsr(MSR_PAT, PAT_VALUE);
	if (cr4 & CR4_OSXSAVE)
		xsetbv(0, xcr0_offered());
}
