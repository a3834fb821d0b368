/* SPDX-License-Identifier: BSD-2-Clause */
/* Device memory, by each form of instruction that compilers make of it. */
#include "vmm/selftest/lib.h"

#define NOBODY 0xfd000000ull

/* A register of 32 bits that keeps what is written: the timer's initial count, the timer masked. */
#define REG (LAPIC + LAPIC_TIMER_INITIAL)
/* One of 8 bits. */
#define TPR (LAPIC + LAPIC_TPR)

#define OP(text, ...) __asm__ volatile(text : __VA_ARGS__)

static u32 reg(void) { return *(volatile u32 *)REG; }
static void set_reg(u32 value) { *(volatile u32 *)REG = value; }

static void moves(void)
{
	u64 value;

	OP("movl $0x12345678, (%0)", : "r"(REG) : "memory");
	expect("MOV imm32", 0x12345678, reg());
	value = 0xffffffffffffffff;
	OP("movl (%1), %k0", "+r"(value) : "r"(REG));
	expect("MOV r32 clears the upper half", 0x12345678, value);
	OP("movl %k0, (%1)", : "r"(0xcafe1234ull), "r"(REG) : "memory");
	expect("MOV from r32", 0xcafe1234, reg());
	OP("movabsl %0, 0xfee00380", : "a"(0x77665544) : "memory");
	expect("MOV moffs32 store", 0x77665544, reg());
	value = 0;
	OP("movabsl 0xfee00380, %%eax", "=a"(value) :);
	expect("MOV moffs32 load", 0x77665544, value);
	set_reg(0x80);
	OP("movslq (%1), %0", "=r"(value) : "r"(REG));
	expect("MOVSXD", 0x80, value);
	OP("mov %0, %%r15; movl %%r15d, 0x10(%1,%2,4)", : "r"(0xabcull), "r"(REG - 0x50), "r"(0x10ull) : "memory", "r15");
	expect("SIB address, REX register", 0xabc, reg());
}

static void bits_and_arithmetic(void)
{
	u64 value, f;

	set_reg(0xf0f0);
	OP("orl $0x0f, (%0)", : "r"(REG) : "memory");
	expect("OR imm8", 0xf0ff, reg());
	OP("andl %k0, (%1)", : "r"(0xff00ull), "r"(REG) : "memory");
	expect("AND r32", 0xf000, reg());
	OP("xorl $0x1f000, (%0)", : "r"(REG) : "memory");
	expect("XOR imm32", 0x10000, reg());
	OP("addl $0x7fffffff, (%1); pushfq; pop %0", "=r"(f) : "r"(REG) : "memory");
	expect("ADD", 0x8000ffff, reg());
	expect("ADD's flags: OF SF", 0x880, f & 0x8c1);
	OP("subl $0x8000ffff, (%1); pushfq; pop %0", "=r"(f) : "r"(REG) : "memory");
	expect("SUB to zero", 0, reg());
	expect("SUB's flags: ZF", 0x40, f & 0x8c1);
	set_reg(5);
	OP("cmpl $7, (%1); pushfq; pop %0", "=r"(f) : "r"(REG) : "memory");
	expect("CMP below: CF and SF", 0x81, f & 0x8c1);
	OP("cmpl (%2), %k1; pushfq; pop %0", "=r"(f) : "r"(7ull), "r"(REG) : "memory");
	expect("CMP with memory second", 0, f & 0x8c1);
	OP("testl $4, (%1); pushfq; pop %0", "=r"(f) : "r"(REG) : "memory");
	expect("TEST: not zero", 0, f & 0x40);
	OP("stc; incl (%1); pushfq; pop %0", "=r"(f) : "r"(REG) : "memory", "cc");
	expect("INC", 6, reg());
	expect("INC keeps CF", 1, f & 1);
	OP("decl (%0)", : "r"(REG) : "memory");
	expect("DEC", 5, reg());
	OP("notl (%0)", : "r"(REG) : "memory");
	expect("NOT", 0xfffffffa, reg());
	OP("negl (%0)", : "r"(REG) : "memory");
	expect("NEG", 6, reg());
	value = 0x1234;
	OP("xchgl %k0, (%1)", "+r"(value) : "r"(REG) : "memory");
	expect("XCHG: old value", 6, value);
	expect("XCHG: new value", 0x1234, reg());
	value = 0x100000000;
	OP("addl (%1), %k0", "+r"(value) : "r"(REG));
	expect("ADD to a register", 0x1234, value);
}

static void single_bits(void)
{
	u64 f;

	set_reg(0x80000001);
	OP("btl $31, (%1); pushfq; pop %0", "=r"(f) : "r"(REG));
	expect("BT imm: CF", 1, f & 1);
	OP("btsl %k1, (%2); pushfq; pop %0", "=r"(f) : "r"(4ull), "r"(REG) : "memory");
	expect("BTS: CF was 0", 0, f & 1);
	expect("BTS", 0x80000011, reg());
	OP("btrl $0, (%0)", : "r"(REG) : "memory");
	expect("BTR", 0x80000010, reg());
	OP("btcl $31, (%0)", : "r"(REG) : "memory");
	expect("BTC", 0x10, reg());
}

static void narrow(void)
{
	u64 value = 0;

	*(volatile u32 *)TPR = 0x00;
	OP("movzbl (%1), %k0", "=r"(value) : "r"(NOBODY));
	expect("nobody: MOVZX of a byte", 0xff, value);
	OP("movsbq (%1), %0", "=r"(value) : "r"(NOBODY));
	expect("nobody: MOVSX of a byte", ~0ull, value);
	OP("movzwl (%1), %k0", "=r"(value) : "r"(NOBODY));
	expect("nobody: MOVZX of a word", 0xffff, value);
	OP("movq (%1), %0", "=r"(value) : "r"(NOBODY));
	expect("nobody: 64 bits", ~0ull, value);
	value = 0x1111;
	OP("movb (%1), %%ah", "+a"(value) : "r"(NOBODY));
	expect("nobody: MOV AH", 0xff11, value);
	value = 0x11112222;
	OP("movw (%1), %w0", "+r"(value) : "r"(NOBODY));
	expect("nobody: MOV r16 keeps the rest", 0x1111ffff, value);
	OP("movb $1, (%0); movw $1, (%0); movq $1, (%0)", : "r"(NOBODY) : "memory");
	OP("movb %%bh, (%0)", : "r"(NOBODY) : "memory");
}

static void strings(void)
{
	u32 words[300];
	void *to = words;
	const void *from = (const void *)REG;
	u64 count = 1, good = 0;

	set_reg(0x13572468);
	OP("rep movsl", "+D"(to), "+S"(from), "+c"(count) : : "memory");
	expect("REP MOVS from device memory", 0x13572468, words[0]);
	expect("REP MOVS: RDI", (u64)(words + 1), (u64)to);
	to = (void *)REG;
	count = 1;
	OP("rep stosl", "+D"(to), "+c"(count) : "a"(0x2468) : "memory");
	expect("REP STOS to device memory", 0x2468, reg());
	from = words;
	to = (void *)REG;
	words[0] = 0x99;
	OP("movsl", "+D"(to), "+S"(from) : : "memory");
	expect("MOVS from RAM to device memory", 0x99, reg());
	from = (const void *)REG;
	count = 0;
	OP("lodsl", "+S"(from), "=a"(count) : : "memory");
	expect("LODS", 0x99, count);

	/* More elements than one exit does. */
	to = words;
	from = (const void *)NOBODY;
	count = ARRAY_COUNT(words);
	OP("rep movsl", "+D"(to), "+S"(from), "+c"(count) : : "memory");
	for (unsigned i = 0; i < ARRAY_COUNT(words); i++)
		good += words[i] == 0xffffffff;
	expect("REP MOVS of 300 words", 300, good);
	expect("REP MOVS: RCX", 0, count);
}

/* The instruction itself crosses from one page to the next. */
static void across_pages(void)
{
	extern u8 pages[];
	u8 *code = (u8 *)ALIGN_UP((u64)pages, 4096) + 4096 - 3;
	const u8 bytes[] = { 0xc7, 0x07, 0xef, 0xbe, 0xad, 0xde, 0xc3 }; /* mov dword [rdi], 0xdeadbeef; ret */

	for (unsigned i = 0; i < sizeof(bytes); i++)
		code[i] = bytes[i];
	OP("call *%0", : "r"(code), "D"(REG) : "memory");
	expect("an instruction across two pages", 0xdeadbeef, reg());
}

u8 pages[3 * 4096];

void guest_main(const struct start_info *info)
{
	(void)info;
	interrupts_init();
	lapic_enable();
	lapic_write(LAPIC_LVT_TIMER, 0x10000);
	expect("IO-APIC version: 24 pins", 23, ioapic_read(1) >> 16 & 0xff);
	ioapic_write(0x10 + 2 * 20, 0x10020);
	expect("IO-APIC redirection entry is kept", 0x10020, ioapic_read(0x10 + 2 * 20) & 0x1ffff);
	moves();
	bits_and_arithmetic();
	single_bits();
	narrow();
	strings();
	across_pages();
	done();
}
