/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fetch, decode and carry out one instruction that touched MMIO.
 *
 * The bytes are fetched once, into a buffer, and only the buffer is looked at after: another
 * vCPU may be rewriting them. The exit has said which guest-physical address was touched, so
 * a memory operand needs no address arithmetic; only string instructions (insn_string.c) do.
 *
 * Forms: what compilers make of volatile loads and stores, and read-modify-write operations.
 * Vector moves to devices are not among them.
 */
#include "vmm/insn.h"
#include "arch/cpu.h"
#include "kernel/errno.h"
#include "kernel/fmt.h"
#include "kernel/string.h"
#include "vmm/insn_decode.h"
#include "vmm/vm.h"
#include "vmm/walk.h"

/* --- fetch and decode --- */

/* As many bytes as can be read, up to the longest instruction: the next page may not be there. */
static void insn_fetch(struct vcpu *vcpu, struct insn *insn)
{
	u64 linear = insn->mode.base[SEG_CS] + vcpu->hv->rip;
	struct walk_access access = { .is_fetch = true, .is_user = insn->mode.cpl == 3 };

	if (insn->mode.code_bits != 64)
		linear = (u32)linear;
	while (insn->byte_count < INSN_BYTES_MAX) {
		u64 at = linear + insn->byte_count;
		u64 piece = MIN(INSN_BYTES_MAX - (u64)insn->byte_count, PAGE_BYTES - at % PAGE_BYTES);
		u32 error_code;
		gpa_t gpa;

		if (walk_translate(&vcpu->vm->gmem, &insn->mode, at, access, &gpa, &error_code) ||
		    gmem_read(&vcpu->vm->gmem, gpa, insn->bytes + insn->byte_count, piece))
			return;
		insn->byte_count += (u8)piece;
	}
}

static bool insn_decode(struct insn *insn)
{
	ZydisDecoder decoder;
	ZyanStatus status;

	if (insn->mode.code_bits == 64)
		status = ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	else if (insn->mode.code_bits == 32)
		status = ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_32, ZYDIS_STACK_WIDTH_32);
	else
		status = ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LEGACY_16, ZYDIS_STACK_WIDTH_16);
	return ZYAN_SUCCESS(status) &&
	       ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, insn->bytes, insn->byte_count, &insn->decoded,
						   insn->operand));
}

static bool insn_get(struct vcpu *vcpu, struct insn *insn)
{
	insn->byte_count = 0;
	memset(insn->bytes, 0, sizeof(insn->bytes));
	hv->mode(vcpu->hv, &insn->mode);
	insn_fetch(vcpu, insn);
	return insn_decode(insn);
}

/* Ends the VM with the bytes in the message. */
static void insn_kill(struct vcpu *vcpu, const struct insn *insn, const char *what)
{
	char text[64 + 2 * INSN_BYTES_MAX];
	int length = fmt_snprintf(text, sizeof(text), "%s:", what);

	for (unsigned i = 0; i < insn->byte_count && length < (int)sizeof(text) - 3; i++)
		length += fmt_snprintf(text + length, sizeof(text) - (size_t)length, "%02x", insn->bytes[i]);
	fmt_snprintf(text + length, sizeof(text) - (size_t)length, " at rip");
	vm_kill(vcpu->vm, text, vcpu->hv->rip);
}

/* --- registers --- */

/* Index and shift of a general register of any width; false for another kind. */
static bool gpr_find(ZydisRegister reg, unsigned *index, unsigned *shift, u8 *size)
{
	*shift = 0;
	if (reg >= ZYDIS_REGISTER_AL && reg <= ZYDIS_REGISTER_BL)
		*index = reg - ZYDIS_REGISTER_AL, *size = 1;
	else if (reg >= ZYDIS_REGISTER_AH && reg <= ZYDIS_REGISTER_BH)
		*index = reg - ZYDIS_REGISTER_AH, *size = 1, *shift = 8;
	else if (reg >= ZYDIS_REGISTER_SPL && reg <= ZYDIS_REGISTER_R15B)
		*index = reg - ZYDIS_REGISTER_SPL + RSP, *size = 1;
	else if (reg >= ZYDIS_REGISTER_AX && reg <= ZYDIS_REGISTER_R15W)
		*index = reg - ZYDIS_REGISTER_AX, *size = 2;
	else if (reg >= ZYDIS_REGISTER_EAX && reg <= ZYDIS_REGISTER_R15D)
		*index = reg - ZYDIS_REGISTER_EAX, *size = 4;
	else if (reg >= ZYDIS_REGISTER_RAX && reg <= ZYDIS_REGISTER_R15)
		*index = reg - ZYDIS_REGISTER_RAX, *size = 8;
	else
		return false;
	return true;
}

/* A 32-bit write clears the upper half (SDM 1 3.4.1.1), narrower ones leave the rest. */
static void gpr_write(struct vcpu *vcpu, ZydisRegister reg, u64 value)
{
	unsigned index, shift;
	u64 mask;
	u8 size;

	if (!gpr_find(reg, &index, &shift, &size))
		return;
	mask = size >= 4 ? ~0ull : BITS(size * 8u - 1, 0) << shift;
	if (size == 4)
		value = (u32)value;
	vcpu->hv->gpr[index] = (vcpu->hv->gpr[index] & ~mask) | (value << shift & mask);
}

/* --- the operands of one MMIO access --- */

struct mmio {
	struct vcpu *vcpu;
	const struct insn *insn;
	u64 gpa;
	u8 size;            /* of the memory operand */
	const ZydisDecodedOperand *memory;
	const ZydisDecodedOperand *other; /* register or immediate; NULL: none */
	bool is_memory_first;
};

static u64 mmio_load(const struct mmio *mmio) { return bus_mmio_read(mmio->vcpu, mmio->gpa, mmio->size); }

static void mmio_store(const struct mmio *mmio, u64 value)
{
	bus_mmio_write(mmio->vcpu, mmio->gpa, mmio->size, value);
}

static u64 sign_extend(u64 value, u8 size)
{
	u64 sign = BIT(size * 8u - 1);

	return ((value & (sign | (sign - 1))) ^ sign) - sign;
}

static u64 other_value(const struct mmio *mmio)
{
	unsigned index, shift;
	u8 size;

	if (!mmio->other)
		return 0;
	if (mmio->other->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
		return mmio->other->imm.value.u;
	if (!gpr_find(mmio->other->reg.value, &index, &shift, &size))
		return 0;
	return mmio->vcpu->hv->gpr[index] >> shift & BITS(size * 8u - 1, 0);
}

/* Memory and one more operand at most, the latter a general register or an immediate. */
static bool mmio_find_operands(struct mmio *mmio)
{
	const struct insn *insn = mmio->insn;

	for (unsigned i = 0; i < insn->decoded.operand_count_visible; i++) {
		const ZydisDecodedOperand *operand = &insn->operand[i];
		unsigned index, shift;
		u8 size;

		if (operand->type == ZYDIS_OPERAND_TYPE_MEMORY && !mmio->memory) {
			mmio->memory = operand;
			mmio->is_memory_first = i == 0;
			mmio->size = (u8)(operand->size / 8);
		} else if (i < 2 && (operand->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ||
				     (operand->type == ZYDIS_OPERAND_TYPE_REGISTER &&
				      gpr_find(operand->reg.value, &index, &shift, &size)))) {
			mmio->other = operand;
		} else {
			return false;
		}
	}
	return mmio->memory && (mmio->size == 1 || mmio->size == 2 || mmio->size == 4 || mmio->size == 8);
}

/* --- what the instructions do --- */

static void do_mov(const struct mmio *mmio)
{
	if (mmio->is_memory_first)
		mmio_store(mmio, other_value(mmio));
	else
		gpr_write(mmio->vcpu, mmio->other->reg.value, mmio_load(mmio));
}

static void do_movzx(const struct mmio *mmio)
{
	gpr_write(mmio->vcpu, mmio->other->reg.value, mmio_load(mmio));
}

static void do_movsx(const struct mmio *mmio)
{
	gpr_write(mmio->vcpu, mmio->other->reg.value, sign_extend(mmio_load(mmio), mmio->size));
}

static void do_alu(const struct mmio *mmio, enum alu_op op)
{
	u64 *rflags = &mmio->vcpu->hv->rflags;
	u64 memory = mmio_load(mmio), other = other_value(mmio);

	if (mmio->is_memory_first)
		mmio_store(mmio, alu(op, memory, other, mmio->size, rflags));
	else
		gpr_write(mmio->vcpu, mmio->other->reg.value, alu(op, other, memory, mmio->size, rflags));
}

static void do_add(const struct mmio *mmio) { do_alu(mmio, ALU_ADD); }
static void do_or(const struct mmio *mmio) { do_alu(mmio, ALU_OR); }
static void do_and(const struct mmio *mmio) { do_alu(mmio, ALU_AND); }
static void do_sub(const struct mmio *mmio) { do_alu(mmio, ALU_SUB); }
static void do_xor(const struct mmio *mmio) { do_alu(mmio, ALU_XOR); }

static void do_cmp(const struct mmio *mmio)
{
	u64 memory = mmio_load(mmio), other = other_value(mmio), *rflags = &mmio->vcpu->hv->rflags;

	if (mmio->is_memory_first)
		alu(ALU_SUB, memory, other, mmio->size, rflags);
	else
		alu(ALU_SUB, other, memory, mmio->size, rflags);
}

static void do_test(const struct mmio *mmio)
{
	alu(ALU_AND, mmio_load(mmio), other_value(mmio), mmio->size, &mmio->vcpu->hv->rflags);
}

/* INC and DEC leave CF alone. */
static void do_step(const struct mmio *mmio, enum alu_op op)
{
	u64 *rflags = &mmio->vcpu->hv->rflags;
	u64 carry = *rflags & BIT(0);

	mmio_store(mmio, alu(op, mmio_load(mmio), 1, mmio->size, rflags));
	*rflags = (*rflags & ~BIT(0)) | carry;
}

static void do_inc(const struct mmio *mmio) { do_step(mmio, ALU_ADD); }
static void do_dec(const struct mmio *mmio) { do_step(mmio, ALU_SUB); }
static void do_not(const struct mmio *mmio) { mmio_store(mmio, ~mmio_load(mmio)); }

static void do_neg(const struct mmio *mmio)
{
	mmio_store(mmio, alu(ALU_SUB, 0, mmio_load(mmio), mmio->size, &mmio->vcpu->hv->rflags));
}

static void do_xchg(const struct mmio *mmio)
{
	u64 other = other_value(mmio), memory = mmio_load(mmio);

	mmio_store(mmio, other);
	gpr_write(mmio->vcpu, mmio->other->reg.value, memory);
}

/* The exit's address already counts in a bit number beyond the operand; CF gets the bit. */
static u64 bit_load(const struct mmio *mmio, u64 *bit)
{
	u64 value = mmio_load(mmio), *rflags = &mmio->vcpu->hv->rflags;

	*bit = BIT(other_value(mmio) % (mmio->size * 8u));
	*rflags = (*rflags & ~BIT(0)) | (value & *bit ? BIT(0) : 0);
	return value;
}

static void do_bt(const struct mmio *mmio)
{
	u64 bit;

	bit_load(mmio, &bit);
}

static void do_bts(const struct mmio *mmio)
{
	u64 bit, value = bit_load(mmio, &bit);

	mmio_store(mmio, value | bit);
}

static void do_btr(const struct mmio *mmio)
{
	u64 bit, value = bit_load(mmio, &bit);

	mmio_store(mmio, value & ~bit);
}

static void do_btc(const struct mmio *mmio)
{
	u64 bit, value = bit_load(mmio, &bit);

	mmio_store(mmio, value ^ bit);
}

static const struct {
	ZydisMnemonic mnemonic;
	void (*act)(const struct mmio *mmio);
} forms[] = {
	{ ZYDIS_MNEMONIC_MOV, do_mov },     { ZYDIS_MNEMONIC_MOVNTI, do_mov },
	{ ZYDIS_MNEMONIC_MOVZX, do_movzx }, { ZYDIS_MNEMONIC_MOVSX, do_movsx },
	{ ZYDIS_MNEMONIC_MOVSXD, do_movsx }, { ZYDIS_MNEMONIC_AND, do_and },
	{ ZYDIS_MNEMONIC_OR, do_or },       { ZYDIS_MNEMONIC_XOR, do_xor },
	{ ZYDIS_MNEMONIC_ADD, do_add },     { ZYDIS_MNEMONIC_SUB, do_sub },
	{ ZYDIS_MNEMONIC_CMP, do_cmp },     { ZYDIS_MNEMONIC_TEST, do_test },
	{ ZYDIS_MNEMONIC_INC, do_inc },     { ZYDIS_MNEMONIC_DEC, do_dec },
	{ ZYDIS_MNEMONIC_NOT, do_not },     { ZYDIS_MNEMONIC_NEG, do_neg },
	{ ZYDIS_MNEMONIC_XCHG, do_xchg },   { ZYDIS_MNEMONIC_BT, do_bt },
	{ ZYDIS_MNEMONIC_BTS, do_bts },     { ZYDIS_MNEMONIC_BTR, do_btr },
	{ ZYDIS_MNEMONIC_BTC, do_btc },
};

/* --- exported --- */

void insn_mmio(struct vcpu *vcpu, u64 gpa, bool is_write)
{
	struct insn insn;
	struct mmio mmio = { .vcpu = vcpu, .insn = &insn, .gpa = gpa };

	(void)is_write;
	if (!insn_get(vcpu, &insn)) {
		insn_kill(vcpu, &insn, "cannot decode an access to device memory");
		return;
	}
	if (insn_string_mmio(vcpu, &insn))
		return;
	for (unsigned i = 0; i < ARRAY_COUNT(forms); i++) {
		if (forms[i].mnemonic != insn.decoded.mnemonic || !mmio_find_operands(&mmio))
			continue;
		forms[i].act(&mmio);
		hv->skip(vcpu->hv, insn.decoded.length);
		return;
	}
	insn_kill(vcpu, &insn, "device memory was accessed by an unknown instruction");
}

void insn_string_io(struct vcpu *vcpu)
{
	struct insn insn;

	if (insn_get(vcpu, &insn))
		insn_string_port(vcpu, &insn);
	else
		insn_kill(vcpu, &insn, "cannot decode a port string instruction");
}

bool insn_cr8_write(struct vcpu *vcpu, u64 *value, u8 *length)
{
	unsigned index, shift;
	struct insn insn;
	u8 size;

	if (!insn_get(vcpu, &insn) || insn.decoded.mnemonic != ZYDIS_MNEMONIC_MOV ||
	    insn.operand[0].reg.value != ZYDIS_REGISTER_CR8 ||
	    !gpr_find(insn.operand[1].reg.value, &index, &shift, &size))
		return false;
	*value = vcpu->hv->gpr[index];
	*length = insn.decoded.length;
	return true;
}

bool insn_is_rdtscp(struct vcpu *vcpu)
{
	struct insn insn;

	return insn_get(vcpu, &insn) && insn.decoded.mnemonic == ZYDIS_MNEMONIC_RDTSCP;
}

u8 insn_length(struct vcpu *vcpu)
{
	struct insn insn;

	return insn_get(vcpu, &insn) ? insn.decoded.length : 0;
}
