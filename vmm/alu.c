/* SPDX-License-Identifier: BSD-2-Clause */
/* Arithmetic with the six status flags of RFLAGS, for instructions that Tern carries out. SDM 1 3.4.3.1. */
#include "kernel/bits.h"
#include "vmm/insn_decode.h"

#define FLAG_CF BIT(0)
#define FLAG_PF BIT(2)
#define FLAG_AF BIT(4)
#define FLAG_ZF BIT(6)
#define FLAG_SF BIT(7)
#define FLAG_OF BIT(11)
#define FLAGS_STATUS (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

u64 alu(enum alu_op op, u64 a, u64 b, u8 size, u64 *rflags)
{
	u64 mask = BITS(size * 8u - 1, 0), sign = BIT(size * 8u - 1);
	u64 result = 0, flags = 0;

	a &= mask;
	b &= mask;
	switch (op) {
	case ALU_ADD:
		result = (a + b) & mask;
		flags |= result < a ? FLAG_CF : 0;
		flags |= ~(a ^ b) & (a ^ result) & sign ? FLAG_OF : 0;
		flags |= (a ^ b ^ result) & 0x10 ? FLAG_AF : 0;
		break;
	case ALU_SUB:
		result = (a - b) & mask;
		flags |= a < b ? FLAG_CF : 0;
		flags |= (a ^ b) & (a ^ result) & sign ? FLAG_OF : 0;
		flags |= (a ^ b ^ result) & 0x10 ? FLAG_AF : 0;
		break;
	case ALU_OR:
		result = a | b;
		break;
	case ALU_AND:
		result = a & b;
		break;
	case ALU_XOR:
		result = a ^ b;
		break;
	}
	flags |= result ? 0 : FLAG_ZF;
	flags |= result & sign ? FLAG_SF : 0;
	flags |= bits_count(result & 0xff) % 2 ? 0 : FLAG_PF;
	*rflags = (*rflags & ~FLAGS_STATUS) | flags;
	return result;
}
