/* SPDX-License-Identifier: BSD-2-Clause */
/* A second vCPU: started by INIT and SIPI, has its own id and APIC, and both see one memory. Needs vcpus=2. */
#include "vmm/selftest/lib.h"

#define TRAMPOLINE 0x8000ull
#define IPI_VECTOR 0x50

/* 16-bit code at 0x8000: counts at 0x8100 with a locked increment, writes its APIC id, then halts. */
static const u8 trampoline[] = {
	0xfa,                               /* cli */
	0x31, 0xc0, 0x8e, 0xd8,             /* xor ax, ax; mov ds, ax */
	0x8c, 0xc8, 0xa3, 0x08, 0x81,       /* mov ax, cs; mov [0x8108], ax */
	0x66, 0xb8, 0x01, 0x00, 0x00, 0x00, /* mov eax, 1 */
	0x0f, 0xa2,                         /* cpuid */
	0x66, 0xc1, 0xeb, 0x18,             /* shr ebx, 24 */
	0x89, 0x1e, 0x04, 0x81,             /* mov [0x8104], bx */
	0xf0, 0xff, 0x06, 0x00, 0x81,       /* lock inc word [0x8100] */
	0xf4,                               /* hlt */
	0xeb, 0xfd,                         /* jmp to the hlt */
};

static volatile u16 *word(u64 at) { return (volatile u16 *)at; }

static void send(u32 icr)
{
	lapic_write(LAPIC_ICR_HIGH, 1u << 24);
	lapic_write(LAPIC_ICR_LOW, icr);
}

static void wait_for_count(u16 count)
{
	for (unsigned i = 0; i < 1000 && *word(0x8100) != count; i++)
		wait_us(1000);
}

void guest_main(const struct start_info *info)
{
	(void)info;
	interrupts_init();
	lapic_enable();
	expect("topology: two vCPUs", 2, cpuid(0xb, 1).ebx);
	for (unsigned i = 0; i < sizeof(trampoline); i++)
		((volatile u8 *)TRAMPOLINE)[i] = trampoline[i];
	*word(0x8100) = 0;
	*word(0x8104) = 0xffff;

	send(0x4608); /* a SIPI before any INIT: it waits for SIPI since power-on, so it starts */
	wait_for_count(1);
	expect("SIPI starts the second vCPU", 1, *word(0x8100));
	expect("its APIC id", 1, *word(0x8104));
	expect("its code segment is the vector", 0x800, *word(0x8108));
	send(0x4608);
	wait_us(5000);
	expect("a SIPI without INIT does nothing", 1, *word(0x8100));
	send(0x4500); /* INIT */
	wait_us(5000);
	expect("INIT stops it", 1, *word(0x8100));
	send(0x4608);
	wait_for_count(2);
	expect("SIPI after INIT starts it again", 2, *word(0x8100));
	expect("this vCPU's id", 0, cpuid(1, 0).ebx >> 24);
	done();
}
