/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports: every width, both directions, string forms, and what nobody answers. */
#include "vmm/selftest/lib.h"

#define NOBODY 0x1230
#define SCRATCH 0x3ff /* COM1's scratch register */
#define PM_TIMER 0x608

static u64 in_al(u64 rax, u16 port)
{
	__asm__ volatile("inb %1, %%al" : "+a"(rax) : "d"(port));
	return rax;
}

static u64 in_ax(u64 rax, u16 port)
{
	__asm__ volatile("inw %1, %%ax" : "+a"(rax) : "d"(port));
	return rax;
}

static u64 in_eax(u64 rax, u16 port)
{
	__asm__ volatile("inl %1, %%eax" : "+a"(rax) : "d"(port));
	return rax;
}

static void rep_insb(u16 port, void *to, u64 count)
{
	__asm__ volatile("rep insb" : "+D"(to), "+c"(count) : "d"(port) : "memory");
}

static void rep_outsb(u16 port, const void *from, u64 count)
{
	__asm__ volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(port) : "memory");
}

static void strings(void)
{
	u8 bytes[600];
	u32 words[2] = { 0 };
	const u32 *end = words;
	u64 same = 0;

	for (unsigned i = 0; i < sizeof(bytes); i++)
		bytes[i] = (u8)i;
	rep_outsb(SCRATCH, bytes, 300);
	expect("REP OUTSB: the last byte arrives", bytes[299], in8(SCRATCH));

	out8(SCRATCH, 0x5a);
	rep_insb(SCRATCH, bytes, sizeof(bytes));
	for (unsigned i = 0; i < sizeof(bytes); i++)
		same += bytes[i] == 0x5a;
	expect("REP INSB: all bytes", sizeof(bytes), same);

	__asm__ volatile("insl" : "+D"(end) : "d"(NOBODY) : "memory");
	expect("INSL from nobody", 0xffffffff, words[0]);
	expect("INSL moves RDI", 4, (u64)end - (u64)words);

	out8(SCRATCH, 1);
	bytes[9] = 9, bytes[10] = 10;
	__asm__ volatile("std; outsb; cld" : : "S"(bytes + 10), "d"(SCRATCH) : "memory");
	expect("OUTSB backwards takes the byte it points at", 10, in8(SCRATCH));

	rep_outsb(SCRATCH, bytes + 9, 0);
	expect("REP OUTSB of nothing does nothing", 10, in8(SCRATCH));
}

void guest_main(const struct start_info *info)
{
	u32 first, second;

	(void)info;
	interrupts_init();
	out8(SCRATCH, 0xa5);
	expect("OUT and IN of a byte", 0xa5, in8(SCRATCH));
	__asm__ volatile("outb %%al, $0x80" : : "a"(0));
	expect("IN AL keeps the rest of RAX", 0x11223344556677a5, in_al(0x1122334455667788, SCRATCH));
	expect("nobody: IN AL", 0x11223344556677ff, in_al(0x1122334455667788, NOBODY));
	expect("nobody: IN AX", 0x112233445566ffff, in_ax(0x1122334455667788, NOBODY));
	expect("nobody: IN EAX clears the upper half", 0xffffffff, in_eax(0x1122334455667788, NOBODY));
	out8(NOBODY, 1);
	out16(NOBODY, 1);
	out32(NOBODY, 1);
	out32(0xcf8, 0x80000000);
	expect("a 32-bit write to CF8 is PCI's, not the reset register's", 0x80000000, in32(0xcf8));
	first = in32(PM_TIMER);
	second = in32(PM_TIMER);
	expect_range("PM timer counts up", first + 1, first + 3579545, second);
	strings();
	done();
}
