/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by vmm/insn.c and vmm/insn_string.c: an instruction as it was fetched and decoded. */
#pragma once

#include <Zydis/Decoder.h>

#include "arch/hv.h"

struct vcpu;

#define INSN_BYTES_MAX 15
#define INSN_OPERANDS 4 /* those that are written out; Zydis decodes no more of them for the forms here */

struct insn {
	struct hv_mode mode;
	u8 bytes[INSN_BYTES_MAX];
	u8 byte_count;
	ZydisDecodedInstruction decoded;
	ZydisDecodedOperand operand[ZYDIS_MAX_OPERAND_COUNT];
};

/* MOVS, STOS, LODS with at least one side in MMIO; false if it is another instruction. */
bool insn_string_mmio(struct vcpu *vcpu, struct insn *insn);
void insn_string_port(struct vcpu *vcpu, struct insn *insn);

/* Flags of RFLAGS after an operation on operands of size bytes (SDM 1 3.4.3.1). */
enum alu_op { ALU_ADD, ALU_OR, ALU_AND, ALU_SUB, ALU_XOR };
/* The result; *rflags gets the six status flags. */
u64 alu(enum alu_op op, u64 a, u64 b, u8 size, u64 *rflags);
