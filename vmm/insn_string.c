/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * String instructions: MOVS, STOS, LODS with a side in device memory, INS and OUTS.
 *
 * SDM 2B, REP: registers are updated after each element, and the instruction may be left and
 * taken up between any two. So a long one is done in pieces of ELEMENTS_MAX with RIP
 * unmoved in between, and a fault leaves the registers at the element that faulted.
 */
#include "arch/cpu.h"
#include "kernel/errno.h"
#include "vmm/insn_decode.h"
#include "vmm/vm.h"
#include "vmm/walk.h"

#define ELEMENTS_MAX 256
#define RFLAGS_DF BIT(10)

enum {
	OPCODE_INS = 0x6c,
	OPCODE_OUTS = 0x6e,
	OPCODE_MOVS = 0xa4,
	OPCODE_STOS = 0xaa,
	OPCODE_LODS = 0xac,
};

/* A string instruction on its way. */
struct string {
	struct vcpu *vcpu;
	const struct insn *insn;
	u64 address_mask;
	u64 source_base;   /* segment base of rSI's side, with the override */
	u64 step;          /* modulo 2^64: negative with DF */
	u8 size;
	u16 port;
};

static enum segment source_segment(const struct insn *insn)
{
	static const struct {
		u64 attribute;
		enum segment segment;
	} overrides[] = {
		{ ZYDIS_ATTRIB_HAS_SEGMENT_CS, SEG_CS }, { ZYDIS_ATTRIB_HAS_SEGMENT_SS, SEG_SS },
		{ ZYDIS_ATTRIB_HAS_SEGMENT_ES, SEG_ES }, { ZYDIS_ATTRIB_HAS_SEGMENT_FS, SEG_FS },
		{ ZYDIS_ATTRIB_HAS_SEGMENT_GS, SEG_GS },
	};

	for (unsigned i = 0; i < ARRAY_COUNT(overrides); i++) {
		if (insn->decoded.attributes & overrides[i].attribute)
			return overrides[i].segment;
	}
	return SEG_DS;
}

/* In 64-bit mode only FS and GS have a base. */
static u64 segment_base(const struct insn *insn, enum segment segment)
{
	if (insn->mode.code_bits == 64 && segment != SEG_FS && segment != SEG_GS)
		return 0;
	return insn->mode.base[segment];
}

static struct string string_make(struct vcpu *vcpu, const struct insn *insn)
{
	struct string string = {
		.vcpu = vcpu, .insn = insn,
		.address_mask = BITS(insn->decoded.address_width - 1u, 0),
		.source_base = segment_base(insn, source_segment(insn)),
		.size = insn->decoded.opcode & 1 ? (u8)(insn->decoded.operand_width / 8) : 1,
	};

	string.step = vcpu->hv->rflags & RFLAGS_DF ? (u64)0 - string.size : string.size;
	return string;
}

/* --- registers of the address size --- */

static u64 reg_read(const struct string *string, enum gpr reg)
{
	return string->vcpu->hv->gpr[reg] & string->address_mask;
}

static void reg_write(const struct string *string, enum gpr reg, u64 value)
{
	u64 *gpr = &string->vcpu->hv->gpr[reg];
	/* As for every 32-bit result, the upper half is cleared; 16 bits leave the rest. */
	u64 keep = string->address_mask == 0xffff ? ~0xffffull : 0;

	*gpr = (*gpr & keep) | (value & string->address_mask);
}

static void reg_advance(const struct string *string, enum gpr reg)
{
	reg_write(string, reg, reg_read(string, reg) + string->step);
}

/* --- one element in memory: RAM through the door, the rest by the bus --- */

static bool memory_translate(const struct string *string, u64 linear, bool is_write, gpa_t *gpa)
{
	struct vcpu *vcpu = string->vcpu;
	struct walk_access access = {
		.is_write = is_write, .is_user = string->insn->mode.cpl == 3,
		.is_ac_set = vcpu->hv->rflags & RFLAGS_AC,
	};
	u32 error_code = 0;
	int err = walk_translate(&vcpu->vm->gmem, &string->insn->mode, linear, access, gpa, &error_code);

	if (err == -EFAULT)
		vcpu_inject_pf(vcpu, linear, error_code);
	else if (err)
		vm_kill(vcpu->vm, "has page tables outside of RAM, for address", linear);
	return !err;
}

/* False: it faulted. An element may cross a page, then it goes byte by byte. */
static bool memory_access(const struct string *string, u64 linear, bool is_write, u64 *value)
{
	struct vcpu *vcpu = string->vcpu;
	u8 piece = linear % PAGE_BYTES + string->size > PAGE_BYTES ? 1 : string->size;

	if (!is_write)
		*value = 0;
	for (u8 at = 0; at < string->size; at += piece) {
		u64 part = *value >> at * 8;
		gpa_t gpa;

		if (!memory_translate(string, linear + at, is_write, &gpa))
			return false;
		if (is_write) {
			if (gmem_write(&vcpu->vm->gmem, gpa, &part, piece))
				bus_mmio_write(vcpu, gpa.value, piece, part);
		} else {
			part = 0;
			if (gmem_read(&vcpu->vm->gmem, gpa, &part, piece))
				part = bus_mmio_read(vcpu, gpa.value, piece);
			*value |= part << at * 8;
		}
	}
	return true;
}

static u64 source_address(const struct string *string)
{
	u64 linear = string->source_base + reg_read(string, RSI);

	return string->insn->mode.code_bits == 64 ? linear : (u32)linear;
}

static u64 target_address(const struct string *string)
{
	u64 linear = segment_base(string->insn, SEG_ES) + reg_read(string, RDI);

	return string->insn->mode.code_bits == 64 ? linear : (u32)linear;
}

/* --- one element of each instruction; false: it faulted and nothing has changed --- */

static bool step_movs(const struct string *string)
{
	u64 value;

	if (!memory_access(string, source_address(string), false, &value) ||
	    !memory_access(string, target_address(string), true, &value))
		return false;
	reg_advance(string, RSI);
	reg_advance(string, RDI);
	return true;
}

static bool step_stos(const struct string *string)
{
	u64 value = string->vcpu->hv->gpr[RAX];

	if (!memory_access(string, target_address(string), true, &value))
		return false;
	reg_advance(string, RDI);
	return true;
}

static bool step_lods(const struct string *string)
{
	u64 *rax = &string->vcpu->hv->gpr[RAX];
	u64 mask = string->size >= 4 ? ~0ull : BITS(string->size * 8u - 1, 0);
	u64 value;

	if (!memory_access(string, source_address(string), false, &value))
		return false;
	*rax = (*rax & ~mask) | value;
	reg_advance(string, RSI);
	return true;
}

static bool step_outs(const struct string *string)
{
	u64 value;

	if (!memory_access(string, source_address(string), false, &value))
		return false;
	bus_port_write(string->vcpu, string->port, string->size, value);
	reg_advance(string, RSI);
	return true;
}

/*
 * Memory is tried before the port is read, which cannot be undone. It faults after that only if another
 * vCPU takes the page away in between.
 */
static bool step_ins(const struct string *string)
{
	u64 linear = target_address(string), value;
	gpa_t gpa;

	if (!memory_translate(string, linear, true, &gpa) ||
	    !memory_translate(string, linear + string->size - 1u, true, &gpa))
		return false;
	value = bus_port_read(string->vcpu, string->port, string->size);
	if (!memory_access(string, linear, true, &value))
		return false;
	reg_advance(string, RDI);
	return true;
}

/* --- repetition --- */

static void string_run(const struct string *string, bool (*step)(const struct string *string))
{
	bool is_rep = string->insn->decoded.attributes &
		      (ZYDIS_ATTRIB_HAS_REP | ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE);

	for (unsigned n = 0; is_rep && reg_read(string, RCX); n++) {
		if (n == ELEMENTS_MAX || !step(string))
			return;
		reg_write(string, RCX, reg_read(string, RCX) - 1);
	}
	if (!is_rep && !step(string))
		return;
	hv->skip(string->vcpu->hv, string->insn->decoded.length);
}

bool insn_string_mmio(struct vcpu *vcpu, struct insn *insn)
{
	struct string string = string_make(vcpu, insn);

	if (insn->decoded.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT)
		return false;
	switch (insn->decoded.opcode & 0xfe) {
	case OPCODE_MOVS:
		string_run(&string, step_movs);
		return true;
	case OPCODE_STOS:
		string_run(&string, step_stos);
		return true;
	case OPCODE_LODS:
		string_run(&string, step_lods);
		return true;
	}
	return false;
}

void insn_string_port(struct vcpu *vcpu, struct insn *insn)
{
	struct string string = string_make(vcpu, insn);
	u8 opcode = insn->decoded.opcode & 0xfe;

	/* Somebody has rewritten it since the exit: the guest meets what is there now. */
	if (insn->decoded.opcode_map != ZYDIS_OPCODE_MAP_DEFAULT ||
	    (opcode != OPCODE_INS && opcode != OPCODE_OUTS))
		return;
	string.port = (u16)vcpu->hv->gpr[RDX];
	/* SDM 2A: there is no 64-bit form. */
	string.size = MIN(string.size, 4);
	string.step = vcpu->hv->rflags & RFLAGS_DF ? (u64)0 - string.size : string.size;
	string_run(&string, opcode == OPCODE_INS ? step_ins : step_outs);
}
