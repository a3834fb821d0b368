/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * struct vcpu_state: each byte belongs to exactly one link or named function of the AMD back
 * end, nothing is lost on the way in and out, and each rule of vcpu_state_check refuses.
 */
/* SOURCES: arch/vcpu_state.c arch/state_link.c arch/svm/state.c arch/svm/events.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "arch/regs.h"
#include "arch/svm/svm.h"
#include "tests/host/fake/round_trip.h"
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/machine.h"
#include "kernel/timer.h"

const struct machine_ops *machine;
static unsigned looks_again; /* calls of timer_interrupt_by */

u64 clock_now_ns(void) { return 0; }
void timer_interrupt_by(u64 deadline_ns) { looks_again += deadline_ns != 0; }

static struct vmcb vmcb;
static u8 xsave[PAGE_BYTES];
static struct svm_vcpu vcpu;

static void vcpu_clear(void)
{
	memset(&vmcb, 0xee, sizeof(vmcb));
	memset(xsave, 0xee, sizeof(xsave));
	memset(&vcpu, 0, sizeof(vcpu));
	vcpu.vmcb = &vmcb;
	vcpu.live.xsave = xsave;
}

static void load(const struct vcpu_state *from) { svm_state_load(&vcpu, from); }
static void save(struct vcpu_state *to) { svm_state_save(&vcpu, to); }

static const struct back_end back_end = { svm_state_cover, vcpu_clear, load, save, .sysenter_cs = ~0ull };

static void amd_quirks_are_put_in_order(void **state)
{
	struct vcpu_state in = busy_state(), out = { 0 };
	const char *why;

	(void)state;
	vcpu_clear();
	svm_state_load(&vcpu, &in);
	vmcb.ss.attributes &= (u16)~0x60;  /* SYSCALL leaves the DPL of SS stale; CPL has a field of its own */
	vmcb.tr.attributes &= (u16)~2;	   /* busy not kept */
	vmcb.fs.attributes &= (u16)~0x801; /* neither accessed nor G */
	vmcb.gdtr.limit |= 0xabcd0000;
	svm_state_save(&vcpu, &out);
	out.tsc_adjust = in.tsc_adjust;
	out.activity = in.activity;
	out.nmi_pending = in.nmi_pending;
	assert_memory_equal(&in, &out, sizeof(out));
	assert_int_equal(vcpu_state_check(&out, &limits, &why), 0);
}

static void svme_is_hidden_and_set(void **state)
{
	struct vcpu_state s = busy_state();
	struct hv_mode mode;

	(void)state;
	vcpu_clear();
	svm_state_load(&vcpu, &s);
	assert_true(vmcb.efer & EFER_SVME);
	assert_int_equal(vmcb.cpl, 3);
	svm_mode(&vcpu.hv, &mode);
	assert_int_equal(mode.efer, s.efer);
	assert_int_equal(mode.code_bits, 64);
	assert_int_equal(mode.cpl, 3);
	assert_int_equal(mode.base[SEG_GS], s.segment[SEG_GS].base);
}

static void software_events_run_again(void **state)
{
	static const struct {
		u64 event;
		bool is_kept;
	} cases[] = {
		{ EVENT_V | EVENT_EXTERNAL << EVENT_TYPE_SHIFT | 0x31, true },
		{ EVENT_V | EVENT_NMI << EVENT_TYPE_SHIFT | 2, true },
		{ EVENT_V | EVENT_EXCEPTION << EVENT_TYPE_SHIFT | 14 | EVENT_EV | 6ull << 32, true },
		{ EVENT_V | EVENT_EXCEPTION << EVENT_TYPE_SHIFT | 3, false },
		{ EVENT_V | EVENT_EXCEPTION << EVENT_TYPE_SHIFT | 4, false },
		{ EVENT_V | EVENT_SOFT_INT << EVENT_TYPE_SHIFT | 0x80, false },
		{ EVENT_EXTERNAL << EVENT_TYPE_SHIFT | 0x31, false },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		vcpu_clear();
		memset(&vmcb, 0, sizeof(vmcb));
		vmcb.exit_int_info = cases[i].event;
		svm_events_collect(&vcpu);
		assert_int_equal(vcpu.hv.is_event_queued, cases[i].is_kept);
		svm_events_prepare(&vcpu);
		assert_int_equal(vmcb.event_inj, cases[i].is_kept ? cases[i].event : 0);
	}
}

/* NMI, then IRET met, then stepped over: the window opens after the IRET and TF is the guest's again. */
static void an_nmi_window_opens_after_iret(void **state)
{
	struct hv_event nmi = { .type = EVENT_NMI, .vector = 2 };
	struct hv_exit exit;
	struct hv_vcpu *hv = &vcpu.hv;

	(void)state;
	vcpu_clear();
	memset(&vmcb, 0, sizeof(vmcb));
	svm_inject(hv, &nmi);
	assert_true(hv->is_nmi_blocked);
	svm_events_prepare(&vcpu);
	assert_true(vmcb.intercepts & INTERCEPT_IRET);
	svm_events_collect(&vcpu);
	assert_true(hv->is_nmi_blocked);

	hv->want_nmi_window = true;
	hv->rip = 0x1000;
	vmcb.exit_code = VMEXIT_IRET;
	svm_events_collect(&vcpu);
	svm_exit_iret(&vcpu, &exit);
	assert_int_equal(exit.reason, HV_EXIT_NONE);
	svm_events_prepare(&vcpu);
	assert_false(vmcb.intercepts & INTERCEPT_IRET);
	assert_true(hv->rflags & BIT(8));
	assert_true(hv->is_nmi_blocked);

	/* A host interrupt before the IRET: nothing has happened yet. */
	vmcb.exit_code = VMEXIT_INTR;
	svm_events_collect(&vcpu);
	assert_false(hv->rflags & BIT(8));
	assert_true(hv->is_nmi_blocked);
	svm_events_prepare(&vcpu);

	hv->rip = 0x2000;
	hv->rflags = RFLAGS_FIXED; /* as IRET popped them */
	vmcb.exit_code = VMEXIT_EXCP_DB;
	vmcb.dr6 = BIT(14);
	svm_events_collect(&vcpu);
	svm_exit_db(&vcpu, &exit);
	assert_int_equal(exit.reason, HV_EXIT_NMI_WINDOW);
	assert_false(hv->is_nmi_blocked);
	assert_false(hv->is_event_queued);
	assert_int_equal(hv->rflags, RFLAGS_FIXED);
	assert_int_equal(vmcb.dr6, 0);
}

/* Leaves the guest at rip; shadow is what the hardware, or an emulator that forgets, reports. */
static void leave_at(u64 rip, u64 exit_code, bool shadow)
{
	vcpu.hv.rip = rip;
	vmcb.exit_code = exit_code;
	vmcb.interrupt_shadow = shadow ? INTERRUPT_SHADOW : 0;
	svm_events_collect(&vcpu);
}

/* STI; HLT: what waits may not be taken between the two, although QEMU's VMRUN forgets the shadow. */
static void a_shadow_lasts_one_instruction(void **state)
{
	struct hv_vcpu *hv = &vcpu.hv;

	(void)state;
	vcpu_clear();
	memset(&vmcb, 0, sizeof(vmcb));
	hv->rip = 0x1000;
	svm_events_prepare(&vcpu);
	leave_at(0x1001, VMEXIT_INTR, true); /* behind STI */
	assert_true(hv->has_shadow);

	hv->want_irq_window = true;
	looks_again = 0;
	svm_events_prepare(&vcpu);
	assert_false(vmcb.int_ctl & INT_CTL_IRQ);
	assert_int_equal(looks_again, 1);
	leave_at(0x1001, VMEXIT_INTR, false); /* another interrupt before HLT; the shadow was forgotten */
	assert_true(hv->has_shadow);

	svm_events_prepare(&vcpu);
	leave_at(0x1001, VMEXIT_INTR, false); /* twice: it may be a jump to itself */
	assert_false(hv->has_shadow);
	svm_events_prepare(&vcpu);
	assert_true(vmcb.int_ctl & INT_CTL_IRQ);
	assert_int_equal(looks_again, 2);

	leave_at(0x1001, VMEXIT_INTR, true); /* nothing ran that could have made one: the host's own */
	assert_false(hv->has_shadow);
	svm_events_prepare(&vcpu);
	leave_at(0x1005, VMEXIT_INTR, true); /* but here something did */
	assert_true(hv->has_shadow);
	svm_events_prepare(&vcpu);
	leave_at(0x1006, VMEXIT_INTR, false);
	assert_false(hv->has_shadow);
}

/* One broken rule each, by a value at an offset. */
struct breakage {
	u32 offset, bytes;
	u64 value;
	const char *why;
};
#define BREAK(member, v, w) { offsetof(struct vcpu_state, member), sizeof(((struct vcpu_state *)0)->member), v, w }

static const struct breakage breakages[] = {
	BREAK(cr0, BIT(31) | BIT(0) | BIT(6), "CR0 has reserved bits"),
	BREAK(cr0, CR0_PG | CR0_PE | CR0_NW, "CR0.NW without CR0.CD"),
	BREAK(cr0, CR0_PG, "CR0.PG without CR0.PE"),
	BREAK(cr4, CR4_PAE | CR4_PCIDE | BIT(22), "CR4 has bits that this host cannot give"),
	BREAK(cr4, CR4_PCIDE, "long mode without CR4.PAE"),
	BREAK(efer, EFER_LME | EFER_LMA | EFER_SVME, "EFER has bits that this host cannot give"),
	BREAK(efer, EFER_LME, "EFER.LMA is not LME and CR0.PG"),
	BREAK(efer, EFER_SCE, "CR4.PCIDE outside long mode"),
	BREAK(cr3, BIT(40), "CR3 is above the physical address width"),
	BREAK(dr6, BIT(32), "DR6 has bits above 31"),
	BREAK(dr7, BIT(63), "DR7 has bits above 31"),
	BREAK(rflags, 0, "RFLAGS bit 1 is clear"),
	BREAK(rflags, RFLAGS_FIXED | BIT(3), "RFLAGS has reserved bits"),
	BREAK(rflags, RFLAGS_FIXED | BIT(17), "RFLAGS.VM in real or long mode"),
	BREAK(rip, BIT(47), "rip is not an address of its mode"),
	BREAK(lstar, BIT(63), "LSTAR is not canonical"),
	BREAK(cstar, BIT(63), "CSTAR is not canonical"),
	BREAK(kernel_gs_base, BIT(63), "KERNEL_GS_BASE is not canonical"),
	BREAK(sysenter_cs, BIT(32), "SYSENTER_CS has bits above 31"),
	BREAK(sysenter_esp, BIT(63), "SYSENTER_ESP is not canonical"),
	BREAK(sysenter_eip, BIT(63), "SYSENTER_EIP is not canonical"),
	BREAK(pat, 0x0203, "PAT has a reserved memory type"),
	BREAK(pat, 8, "PAT has a reserved memory type"),
	BREAK(debugctl, 1, "DEBUGCTL has bits that are not offered"),
	BREAK(tsc_aux, BIT(32), "TSC_AUX has bits above 31"),
	BREAK(spec_ctrl, 8, "SPEC_CTRL has bits that this host cannot give"),
	BREAK(segment[SEG_DS].attributes, 0xcf3 | 0xc000, "a segment has reserved attributes"),
	BREAK(segment[SEG_DS].attributes, 0xc073, "a segment is usable without P, or the reverse"),
	BREAK(segment[SEG_DS].attributes, 0x1c0f3, "a segment is usable without P, or the reverse"),
	BREAK(segment[SEG_DS].reserved[1], 1, "reserved bytes are not zero"),
	BREAK(segment[SEG_DS].base, BIT(32), "a segment's base is not canonical"),
	BREAK(segment[SEG_FS].base, BIT(63), "a segment's base is not canonical"),
	BREAK(segment[SEG_DS].limit, 0x12345678, "a segment's limit does not fit its G"),
	BREAK(segment[SEG_DS].attributes, 0x40f3, "a segment's limit does not fit its G"),
	BREAK(segment[SEG_CS].attributes, SEG_ATTR_UNUSABLE, "CS is not usable"),
	BREAK(segment[SEG_CS].attributes, 0xa0f3, "CS is not a code segment"),
	BREAK(segment[SEG_CS].attributes, 0xe0fb, "CS has both L and D in long mode"),
	BREAK(segment[SEG_SS].attributes, 0xc093, "CS has a lower privilege than SS"),
	BREAK(segment[SEG_SS].attributes, 0xc0f1, "SS is not a writable data segment"),
	BREAK(segment[SEG_DS].attributes, 0xc0f9, "a data segment cannot be read"),
	BREAK(segment[SEG_TR].attributes, SEG_ATTR_UNUSABLE | 11, "TR is not usable"),
	BREAK(segment[SEG_TR].attributes, SEG_ATTR_P | 9, "TR is not a busy TSS"),
	BREAK(segment[SEG_TR].attributes, SEG_ATTR_P | 3, "TR is not a busy TSS"),
	BREAK(segment[SEG_LDTR].attributes, SEG_ATTR_P | 3, "LDTR is not an LDT"),
	BREAK(gdtr.base, BIT(63), "the base of GDTR or IDTR is not canonical"),
	BREAK(idtr.limit, 0x10000, "the limit of GDTR or IDTR is above 16 bits"),
	BREAK(idtr.reserved, 1, "reserved bytes are not zero"),
	BREAK(xcr0, 0xf, "XCR0 has bits that this host cannot give"),
	BREAK(xcr0, 6, "XCR0 lacks x87"),
	BREAK(xcr0, 5, "XCR0 has AVX without SSE"),
	BREAK(xcr0, 0x27, "XCR0 has a part of AVX-512"),
	BREAK(xsave[513], 2, "the XSAVE area has components that this host cannot give"),
	BREAK(xsave[527], 0x80, "the XSAVE header is not in the standard format"),
	BREAK(xsave[575], 1, "the XSAVE header is not in the standard format"),
	BREAK(xsave[26], 1, "MXCSR has reserved bits"),
	BREAK(event.is_valid, 0, "an event that is not valid is not empty"),
	BREAK(event.is_valid, 2, "a flag is neither 0 nor 1"),
	BREAK(event.type, EVENT_SOFT_INT, "an event of a type that cannot wait"),
	BREAK(event.type, EVENT_NMI, "an NMI without vector 2"),
	BREAK(event.vector, 3, "an exception with a wrong vector"),
	BREAK(event.vector, 32, "an exception with a wrong vector"),
	BREAK(event.vector, 6, "an event with a wrong error code"),
	BREAK(event.has_error_code, 0, "an event with a wrong error code"),
	BREAK(event.error_code, 0x10000, "an event with a wrong error code"),
	BREAK(event.insn_len, 1, "an event with an instruction"),
	BREAK(interrupt_shadow, 1, "an event in an interrupt shadow"),
	BREAK(activity, 3, "an unknown activity state"),
	BREAK(nmi_blocked, 2, "a flag is neither 0 nor 1"),
	BREAK(nmi_pending, 0xff, "a flag is neither 0 nor 1"),
	BREAK(reserved, 1, "reserved bytes are not zero"),
};

static void each_rule_refuses(void **state)
{
	struct vcpu_state good = busy_state();
	const char *why;

	(void)state;
	assert_int_equal(vcpu_state_check(&good, &limits, &why), 0);
	for (unsigned i = 0; i < ARRAY_COUNT(breakages); i++) {
		struct vcpu_state bad = good;

		memcpy((u8 *)&bad + breakages[i].offset, &breakages[i].value, breakages[i].bytes);
		if (vcpu_state_check(&bad, &limits, &why) != -EINVAL)
			fail_msg("accepted: %s", breakages[i].why);
		assert_string_equal(why, breakages[i].why);
	}
}

static void other_modes_have_their_rules(void **state)
{
	struct vcpu_state s;
	const char *why;

	(void)state;
	vcpu_state_reset(&s);
	assert_int_equal(vcpu_state_check(&s, &limits, &why), 0);
	s.segment[SEG_CS].attributes = SEG_ATTR_P | SEG_ATTR_S | 3; /* a real-mode far jump leaves data */
	assert_int_equal(vcpu_state_check(&s, &limits, &why), 0);
	s.rip = BIT(32);
	assert_int_equal(vcpu_state_check(&s, &limits, &why), -EINVAL);
	s.rip = 0;
	s.cr0 |= CR0_PE;
	assert_int_equal(vcpu_state_check(&s, &limits, &why), -EINVAL);
	s.rflags |= BIT(17);
	for (unsigned i = 0; i <= SEG_GS; i++)
		s.segment[i].attributes |= SEG_ATTR_DPL;
	assert_int_equal(vcpu_state_check(&s, &limits, &why), 0);
	s.segment[SEG_SS].attributes &= ~SEG_ATTR_DPL;
	assert_int_equal(vcpu_state_check(&s, &limits, &why), -EINVAL);
	assert_string_equal(why, "virtual-8086 mode outside CPL 3");
}

/* SDM 3C 27.3.1.4: an interrupt that was being delivered had found IF set. */
static void an_interrupt_needs_if(void **state)
{
	struct vcpu_state s = busy_state();
	const char *why;

	(void)state;
	s.event = (struct vcpu_event){ .is_valid = 1, .vector = 0x31, .type = EVENT_EXTERNAL };
	assert_int_equal(vcpu_state_check(&s, &limits, &why), 0);
	s.rflags &= ~RFLAGS_IF;
	assert_int_equal(vcpu_state_check(&s, &limits, &why), -EINVAL);
	assert_string_equal(why, "an interrupt while interrupts are off");
}

/* Whatever the peer sends: an answer, and no read outside (the sanitizer's part). */
static void random_states_are_judged(void **state)
{
	struct vcpu_state good = busy_state();
	unsigned refused = 0;
	const char *why;

	(void)state;
	srand(1);
	for (unsigned run = 0; run < 20000; run++) {
		struct vcpu_state s = good;

		for (unsigned i = 0; i < 3; i++)
			((u8 *)&s)[(unsigned)rand() % offsetof(struct vcpu_state, xsave)] ^= (u8)(1u << rand() % 8);
		if (vcpu_state_check(&s, &limits, &why) != 0) {
			assert_non_null(why);
			refused++;
		} else {
			assert_null(why);
		}
	}
	assert_in_range(refused, 1000, 19000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_byte_is_covered_once),
		cmocka_unit_test(load_then_save_is_identity),
		cmocka_unit_test(no_byte_is_dropped),
		cmocka_unit_test(amd_quirks_are_put_in_order),
		cmocka_unit_test(svme_is_hidden_and_set),
		cmocka_unit_test(software_events_run_again),
		cmocka_unit_test(an_nmi_window_opens_after_iret),
		cmocka_unit_test(a_shadow_lasts_one_instruction),
		cmocka_unit_test(each_rule_refuses),
		cmocka_unit_test(other_modes_have_their_rules),
		cmocka_unit_test(an_interrupt_needs_if),
		cmocka_unit_test(random_states_are_judged),
	};

	return cmocka_run_group_tests_name("vcpu_state", tests, NULL, NULL);
}
