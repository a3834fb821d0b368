/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VT-x's links to struct vcpu_state: each byte belongs to exactly one, nothing is lost on the way in
 * and out, and what the CPU or the guest must not see is put in order. And events: what is
 * injected, given back, blocked and awaited.
 */
/* SOURCES: arch/vcpu_state.c arch/state_link.c arch/vmx/state.c arch/vmx/events.c arch/vmx/controls.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/msr_list.h"
#include "arch/regs.h"
#include "tests/host/fake/round_trip.h"
#include "tests/host/fake/vmx.h"

#define EVENT(type, vector) ((u64)EVENT_VALID | (u64)(type) << EVENT_TYPE_SHIFT | (vector))

u8 *direct_map;
void *page_alloc_zeroed(void) { return NULL; }
void msr_list_each(void (*pass)(void *map, u32 msr, u32 may), void *map) { pass(map, 0, 0); }
u64 vmx_ept_pointer(const struct nested *nested) { return nested->root.value; }

static int setup(void **state)
{
	(void)state;
	vmx_ops.limits = limits;
	vcpu_clear();
	return 0;
}

static void load(const struct vcpu_state *from) { vmx_state_load(&vcpu, from); }
static void save(struct vcpu_state *to) { vmx_state_save(&vcpu, to); }

/* SDM 3C appendix B: the field for SYSENTER_CS has 32 bits. */
static const struct back_end back_end = { vmx_state_cover, vcpu_clear, load, save, .sysenter_cs = BITS(31, 0) };

static void what_is_owned_is_hidden(void **state)
{
	struct vcpu_state s = busy_state();
	struct hv_mode mode;

	(void)state;
	s.cr0 = (s.cr0 & ~CR0_NE) | CR0_CD;
	s.cr4 &= ~CR4_MCE;
	vmx_state_load(&vcpu, &s);
	assert_int_equal(fake_vmcs[GUEST_CR0] & (CR0_NE | CR0_CD | CR0_NW), CR0_NE);
	assert_int_equal(fake_vmcs[GUEST_CR4] & (CR4_VMXE | CR4_MCE), CR4_VMXE | CR4_MCE);
	vmx_mode(&vcpu.hv, &mode);
	assert_int_equal(mode.cr0, s.cr0);
	assert_int_equal(mode.cr4, s.cr4);
	assert_int_equal(mode.cpl, 3);
	assert_int_equal(mode.code_bits, 64);
	assert_int_equal(mode.base[SEG_GS], s.segment[SEG_GS].base);
	assert_true(fake_vmcs[ENTRY_CONTROLS] & ENTRY_GUEST_LMA);
	assert_true(vcpu.want_flush);

	vcpu_state_reset(&s);
	vmx_state_load(&vcpu, &s);
	assert_false(fake_vmcs[ENTRY_CONTROLS] & ENTRY_GUEST_LMA);
	assert_false(fake_vmcs[GUEST_CR0] & (CR0_PE | CR0_PG));
}

/* SDM 3C 28.3.2: an exit leaves undefined bits in unusable segments. */
static void unusable_segments_are_put_in_order(void **state)
{
	struct vcpu_state in = busy_state(), out = { 0 };
	const char *why;

	(void)state;
	vmx_state_load(&vcpu, &in);
	fake_vmcs[vmcs_of_segment(GUEST_ATTRIBUTES, SEG_ES)] = 0x1fcf3;
	fake_vmcs[vmcs_of_segment(GUEST_ATTRIBUTES, SEG_SS)] = 0x10060;
	vmx_state_save(&vcpu, &out);
	out.activity = VCPU_ACTIVE;
	assert_int_equal(out.segment[SEG_ES].attributes, SEG_ATTR_UNUSABLE);
	assert_int_equal(out.segment[SEG_SS].attributes, SEG_ATTR_UNUSABLE | SEG_ATTR_DPL);
	assert_int_equal(vcpu_state_check(&out, &limits, &why), 0);
}

/* A trap that the CPU has noted and not delivered is not lost in a move. */
static void a_pending_trap_moves_as_an_event(void **state)
{
	struct vcpu_state s = busy_state(), out = { 0 };
	const char *why;

	(void)state;
	s.event = (struct vcpu_event){ 0 };
	s.dr6 = 0xffff0ff0;
	vmx_state_load(&vcpu, &s);
	fake_vmcs[GUEST_PENDING_DEBUG] = PENDING_DEBUG_BS | 1;
	vmx_state_save(&vcpu, &out);
	assert_int_equal(out.event.is_valid, 1);
	assert_int_equal(out.event.vector, 1);
	assert_int_equal(out.dr6, 0xffff4ff1);
	assert_int_equal(vcpu_state_check(&out, &limits, &why), 0);

	vcpu.hv.has_shadow = true; /* behind a shadow, TF says it */
	vmx_state_save(&vcpu, &out);
	assert_int_equal(out.event.is_valid, 0);
	assert_int_equal(out.interrupt_shadow, 1);
}

static void software_events_run_again(void **state)
{
	static const struct {
		u64 event;
		bool is_kept;
	} cases[] = {
		{ EVENT(EVENT_EXTERNAL, 0x31), true },
		{ EVENT(EVENT_NMI, 2), true },
		{ EVENT(EVENT_EXCEPTION, 14) | EVENT_HAS_ERROR, true },
		{ EVENT(EVENT_SOFT_INT, 0x80), false },
		{ EVENT(5, 1), false }, /* INT1 */
		{ EVENT(6, 3), false }, /* INT3 */
		{ EVENT(EVENT_EXTERNAL, 0x31) & ~(u64)EVENT_VALID, false },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		vcpu_clear();
		fake_vmcs[IDT_EVENT] = cases[i].event | BIT(12); /* undefined, SDM 3C 25.9.3 */
		fake_vmcs[IDT_EVENT_ERROR] = 6;
		vmx_events_collect(&vcpu);
		assert_int_equal(vcpu.hv.is_event_queued, cases[i].is_kept);
		vmx_events_prepare(&vcpu);
		assert_int_equal(fake_vmcs[ENTRY_EVENT], cases[i].is_kept ? cases[i].event : 0);
		assert_int_equal(fake_vmcs[ENTRY_EVENT_ERROR], cases[i].event & EVENT_HAS_ERROR ? 6 : 0);
	}
}

/* SDM 3C 27.3.1.5: an NMI is injected unblocked, and its interrupted delivery again. */
static void an_nmi_is_not_blocked_by_itself(void **state)
{
	(void)state;
	vmx_inject(&vcpu.hv, &(struct hv_event){ .type = EVENT_NMI, .vector = 2 });
	assert_true(vcpu.hv.is_nmi_blocked);
	vmx_events_prepare(&vcpu);
	assert_int_equal(fake_vmcs[GUEST_INTERRUPTIBILITY], 0);

	fake_vmcs[GUEST_INTERRUPTIBILITY] = BLOCKING_BY_NMI;
	fake_vmcs[IDT_EVENT] = EVENT(EVENT_NMI, 2);
	vmx_events_collect(&vcpu);
	assert_true(vcpu.hv.is_nmi_blocked && vcpu.hv.is_event_queued);
	vmx_events_prepare(&vcpu);
	assert_int_equal(fake_vmcs[GUEST_INTERRUPTIBILITY], 0);

	fake_vmcs[GUEST_INTERRUPTIBILITY] = BLOCKING_BY_NMI;
	fake_vmcs[IDT_EVENT] = 0;
	vmx_events_collect(&vcpu);
	vmx_events_prepare(&vcpu);
	assert_int_equal(fake_vmcs[GUEST_INTERRUPTIBILITY], BLOCKING_BY_NMI);
}

/* SDM 3C 27.3.1.5: which shadow, and whether a single step waits behind it. */
static void a_shadow_is_one_that_the_cpu_accepts(void **state)
{
	struct hv_vcpu *hv = &vcpu.hv;

	(void)state;
	hv->has_shadow = true;
	hv->rflags = RFLAGS_FIXED | RFLAGS_IF;
	vmx_events_prepare(&vcpu);
	assert_int_equal(fake_vmcs[GUEST_INTERRUPTIBILITY], BLOCKING_BY_STI);
	hv->rflags = RFLAGS_FIXED | RFLAGS_TF;
	vmx_events_prepare(&vcpu);
	assert_int_equal(fake_vmcs[GUEST_INTERRUPTIBILITY], BLOCKING_BY_MOV_SS);
	assert_int_equal(fake_vmcs[GUEST_PENDING_DEBUG], PENDING_DEBUG_BS);
	fake_vmcs[GUEST_DEBUGCTL] = DEBUGCTL_BTF;
	vmx_events_prepare(&vcpu);
	assert_int_equal(fake_vmcs[GUEST_PENDING_DEBUG], 0);
	hv->rflags |= RFLAGS_IF;
	vmx_events_prepare(&vcpu);
	assert_int_equal(fake_vmcs[GUEST_INTERRUPTIBILITY], BLOCKING_BY_MOV_SS); /* as it was */
	vmx_inject_exception(&vcpu, 6, false, 0);
	vmx_events_prepare(&vcpu);
	assert_int_equal(fake_vmcs[GUEST_INTERRUPTIBILITY], 0);
}

static void windows_are_asked_for_while_wanted(void **state)
{
	struct hv_vcpu *hv = &vcpu.hv;

	(void)state;
	hv->want_irq_window = hv->want_nmi_window = true;
	vmx_events_prepare(&vcpu);
	assert_int_equal(fake_vmcs[PRIMARY_CONTROLS], PRIMARY_INTERRUPT_WINDOW | PRIMARY_NMI_WINDOW);
	hv->want_irq_window = hv->want_nmi_window = false;
	vmx_events_prepare(&vcpu);
	assert_int_equal(fake_vmcs[PRIMARY_CONTROLS], 0);

	hv->tpr = 5;
	hv->want_cr8_exit = true;
	vmx_events_prepare(&vcpu);
	assert_int_equal(fake_apic_page[VIRTUAL_APIC_TPR], 0x50);
	assert_int_equal(fake_vmcs[TPR_THRESHOLD], 5);
	fake_apic_page[VIRTUAL_APIC_TPR] = 0x30;
	vmx_events_collect(&vcpu);
	assert_int_equal(hv->tpr, 3);
	hv->want_cr8_exit = false;
	vmx_events_prepare(&vcpu);
	assert_int_equal(fake_vmcs[TPR_THRESHOLD], 0);
}

/* SDM 3C 28.1: the exit leaves DR6 and DR7 to us. */
static void a_debug_trap_is_given_back(void **state)
{
	struct hv_exit exit;

	(void)state;
	vcpu.live.dr6 = 0xffff0ff3;
	fake_vmcs[GUEST_DR7] = 0x2400;
	fake_vmcs[GUEST_DEBUGCTL] = DEBUGCTL_BTF;
	fake_vmcs[EXIT_EVENT] = EVENT(EVENT_EXCEPTION, 1);
	fake_vmcs[EXIT_QUALIFICATION] = BIT(14) | BIT(2);
	vmx_exit_exception(&vcpu, &exit);
	assert_int_equal(exit.reason, HV_EXIT_NONE);
	assert_int_equal(vcpu.live.dr6, 0xffff4ff4);
	assert_int_equal(fake_vmcs[GUEST_DR7], 0x400);
	assert_int_equal(fake_vmcs[GUEST_DEBUGCTL], 0);
	assert_int_equal(vcpu.event, EVENT(EVENT_EXCEPTION, 1));
}

/* SDM 3C 28.2.3: IRET unblocked NMIs and faulted; it will run again. */
static void an_iret_that_faults_keeps_nmis_blocked(void **state)
{
	struct hv_exit exit;

	(void)state;
	fake_vmcs[GUEST_CR0] = CR0_PE;
	fake_vmcs[EXIT_EVENT] = EVENT(EVENT_EXCEPTION, 17) | EVENT_NMI_UNBLOCKED | EVENT_HAS_ERROR;
	vmx_exit_exception(&vcpu, &exit);
	assert_true(vcpu.hv.is_nmi_blocked);
	assert_int_equal(vcpu.event, EVENT(EVENT_EXCEPTION, 17) | EVENT_HAS_ERROR);
	vcpu.hv.is_nmi_blocked = false;
	fake_vmcs[IDT_EVENT] = EVENT(EVENT_EXTERNAL, 0x31);
	vmx_exit_exception(&vcpu, &exit);
	assert_false(vcpu.hv.is_nmi_blocked);
}

static void real_mode_has_no_error_codes(void **state)
{
	(void)state;
	fake_vmcs[GUEST_CR0] = 0;
	vmx_inject_exception(&vcpu, 13, true, 0x10);
	assert_int_equal(vcpu.event, EVENT(EVENT_EXCEPTION, 13));
	fake_vmcs[GUEST_CR0] = CR0_PE;
	vmx_inject_exception(&vcpu, 13, true, 0x10);
	assert_int_equal(vcpu.event, EVENT(EVENT_EXCEPTION, 13) | EVENT_HAS_ERROR);
	assert_int_equal(vcpu.event_error, 0x10);
}

static void skip_ends_the_shadow_and_wraps(void **state)
{
	struct hv_vcpu *hv = &vcpu.hv;

	(void)state;
	hv->rip = 0xffffffff;
	hv->has_shadow = true;
	vmx_skip(hv, 2);
	assert_int_equal(hv->rip, 1);
	assert_false(hv->has_shadow);
	fake_vmcs[vmcs_of_segment(GUEST_ATTRIBUTES, SEG_CS)] = 0xa09b;
	fake_vmcs[GUEST_EFER] = EFER_LMA;
	hv->rip = 0xffffffff;
	vmx_skip(hv, 2);
	assert_int_equal(hv->rip, 0x100000001);

	assert_false(hv->is_event_queued);
	fake_vmcs[GUEST_PENDING_DEBUG] = PENDING_DEBUG_BS;
	hv->rflags |= RFLAGS_TF;
	vmx_skip(hv, 2);
	assert_int_equal(vcpu.event, EVENT(EVENT_EXCEPTION, 1));
	assert_int_equal(vcpu.live.dr6, BIT(14));
	assert_int_equal(fake_vmcs[GUEST_PENDING_DEBUG], 0); /* once, not twice */
	hv->is_event_queued = false;
	fake_vmcs[GUEST_DEBUGCTL] = DEBUGCTL_BTF; /* not a branch */
	vmx_skip(hv, 2);
	assert_false(hv->is_event_queued);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(every_byte_is_covered_once, setup),
		cmocka_unit_test_setup(load_then_save_is_identity, setup),
		cmocka_unit_test_setup(no_byte_is_dropped, setup),
		cmocka_unit_test_setup(what_is_owned_is_hidden, setup),
		cmocka_unit_test_setup(unusable_segments_are_put_in_order, setup),
		cmocka_unit_test_setup(a_pending_trap_moves_as_an_event, setup),
		cmocka_unit_test_setup(software_events_run_again, setup),
		cmocka_unit_test_setup(an_nmi_is_not_blocked_by_itself, setup),
		cmocka_unit_test_setup(a_shadow_is_one_that_the_cpu_accepts, setup),
		cmocka_unit_test_setup(windows_are_asked_for_while_wanted, setup),
		cmocka_unit_test_setup(a_debug_trap_is_given_back, setup),
		cmocka_unit_test_setup(an_iret_that_faults_keeps_nmis_blocked, setup),
		cmocka_unit_test_setup(real_mode_has_no_error_codes, setup),
		cmocka_unit_test_setup(skip_ends_the_shadow_and_wraps, setup),
	};

	return cmocka_run_group_tests_name("vmx_state", tests, NULL, NULL);
}
