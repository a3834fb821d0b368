/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest's state with a value of its own in each member, and a host that can run it. */
#pragma once

#include "arch/hv.h"
#include "arch/regs.h"

static const struct hv_limits limits = {
	.xcr0 = BITS(2, 0) | BITS(7, 5),
	.cr4 = BITS(11, 0) | CR4_FSGSBASE | CR4_PCIDE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP,
	.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE,
	.physical_bits = 40,
	.mxcsr_mask = 0xffff,
	.spec_ctrl = 7,
};

/* A guest in 64-bit user mode, every member with a value of its own. */
static struct vcpu_state busy_state(void)
{
	struct vcpu_state s = { 0 };

	for (unsigned i = 0; i < GPR_COUNT; i++)
		s.gpr[i] = 0x1111111111111111ull * i + 1;
	s.rip = 0x400123;
	s.rflags = RFLAGS_FIXED | RFLAGS_IF | RFLAGS_AC;
	s.cr0 = CR0_PG | CR0_PE | CR0_WP | CR0_NE | CR0_ET | CR0_AM;
	s.cr2 = 0xdeadbee0;
	s.cr3 = 0x12345001;
	s.cr4 = CR4_PAE | CR4_PGE | CR4_OSFXSR | CR4_OSXSAVE | CR4_PCIDE;
	s.efer = EFER_LME | EFER_LMA | EFER_NXE | EFER_SCE;
	s.xcr0 = 7;
	for (unsigned i = 0; i < 4; i++)
		s.dr[i] = 0x7000 + i;
	s.dr6 = 0xffff4ff1;
	s.dr7 = 0x55;
	for (unsigned i = 0; i < SEG_COUNT; i++)
		s.segment[i] = (struct vcpu_segment){ .base = i * 0x1000, .limit = ~0u, .attributes = 0xc0f3,
						      .selector = (u16)(8 * i + 3) };
	s.segment[SEG_CS].attributes = 0xa0fb;
	s.segment[SEG_GS].base = 0xffff888000001000;
	s.segment[SEG_ES].attributes = SEG_ATTR_UNUSABLE;
	s.segment[SEG_LDTR] = (struct vcpu_segment){ .limit = 0x7f, .attributes = SEG_ATTR_P | 2, .selector = 0x50 };
	s.segment[SEG_TR] = (struct vcpu_segment){ .base = 0xfffffe0000003000, .limit = 0x206f,
						   .attributes = SEG_ATTR_P | 11, .selector = 0x40 };
	s.gdtr = (struct vcpu_table){ 0xfffffe0000001000, 0x7f, 0 };
	s.idtr = (struct vcpu_table){ 0xfffffe0000000000, 0xfff, 0 };
	s.star = 0x23001000000000;
	s.lstar = 0xffffffff81000000;
	s.cstar = 0xffffffff81000100;
	s.sfmask = 0x47700;
	s.kernel_gs_base = 0x7f0012340000;
	s.sysenter_cs = 0x10;
	s.sysenter_esp = 0xfffffe0000002000;
	s.sysenter_eip = 0xffffffff81000200;
	s.pat = 0x0407050600070106;
	s.debugctl = 2;
	s.tsc_aux = 0x1003;
	s.tsc_adjust = 0x77;
	s.spec_ctrl = 5;
	s.event = (struct vcpu_event){ .is_valid = 1, .vector = 14, .type = EVENT_EXCEPTION, .has_error_code = 1,
				       .error_code = 7 };
	s.activity = VCPU_ACTIVE;
	s.nmi_pending = 1;
	s.nmi_blocked = 1;
	s.xsave[0] = 0x7f;
	s.xsave[2] = 0x03;
	s.xsave[24] = 0x80;
	s.xsave[25] = 0x1f;
	for (unsigned i = 32; i < 416; i++)
		s.xsave[i] = (u8)(i * 7);
	s.xsave[512] = 7;
	for (unsigned i = 576; i < XSAVE_BYTES_MAX; i++)
		s.xsave[i] = (u8)(i * 13);
	return s;
}
