/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VT-x's exits to struct hv_exit, by the fields that SDM 3C 28.2 fills; control registers whose bits
 * are not all the guest's; the log of dirtied pages; and what must be invalidated before an entry.
 */
/* SOURCES: arch/vmx/exit.c arch/vmx/cr.c arch/vmx/msr.c arch/vmx/log.c arch/vmx/tlb.c arch/vmx/names.c
 * arch/vmx/controls.c arch/vmx/events.c arch/vmx/state.c arch/guest_msr.c arch/state_link.c
 * arch/vcpu_state.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/cpu.h"
#include "arch/msr_list.h"
#include "tests/host/fake/busy_state.h"
#include "tests/host/fake/panic.h"
#include "tests/host/fake/vmx.h"

#define EXCEPTION_GP_EVENT (EVENT_VALID | EVENT_HAS_ERROR | EVENT_EXCEPTION << EVENT_TYPE_SHIFT | 13)

u8 *direct_map;
static struct nested nested;
static struct hv_exit last;
struct vmx_cpu vmx_cpus[CPU_MAX];

void *page_alloc_zeroed(void) { return NULL; }
void msr_list_each(void (*pass)(void *map, u32 msr, u32 may), void *map) { pass(map, 0, 0); }
u64 vmx_ept_pointer(const struct nested *of) { return of->root.value | 0x5e; }

void vmx_exit_entry_failed(struct vmx_vcpu *failed, u32 reason, struct hv_exit *exit)
{
	(void)failed;
	exit->reason = HV_EXIT_ENTRY_FAILED;
	exit->unknown.code = reason;
}

static int setup(void **state)
{
	struct vcpu_state s = busy_state();

	(void)state;
	s.event = (struct vcpu_event){ 0 };
	vmx_ops.limits = limits;
	vcpu_clear();
	vmx_state_load(&vcpu, &s);
	memset(&last, 0xee, sizeof(last));
	memset(&nested, 0, sizeof(nested));
	nested.root = HPA(0x5000);
	vcpu.nested = &nested;
	return 0;
}

static enum hv_exit_reason decode(u64 reason, u64 qualification)
{
	fake_vmcs[EXIT_REASON] = reason;
	fake_vmcs[EXIT_QUALIFICATION] = qualification;
	fake_vmcs[EXIT_INSN_LEN] = 3;
	vmx_exit_decode(&vcpu, &last);
	return last.reason;
}

static void ports_are_decoded(void **state)
{
	(void)state;
	assert_int_equal(decode(EXIT_IO, 0x03f80000), HV_EXIT_IO);
	assert_true(last.io.port == 0x3f8 && last.io.size == 1 && !last.io.is_in);
	assert_true(!last.io.is_string && !last.io.is_rep && last.insn_len == 3);
	decode(EXIT_IO, 0xcfc00000 | 0x3b);
	assert_true(last.io.port == 0xcfc0 && last.io.size == 4 && last.io.is_in);
	assert_true(last.io.is_string && last.io.is_rep);
	decode(EXIT_IO, 0x00600000 | 0x09);
	assert_true(last.io.size == 2 && last.io.is_in && !last.io.is_string);
}

static void nested_faults_are_decoded(void **state)
{
	(void)state;
	fake_vmcs[GUEST_PHYSICAL_ADDRESS] = 0xfee00080;
	assert_int_equal(decode(EXIT_EPT_VIOLATION, 0x181), HV_EXIT_NESTED_FAULT);
	assert_int_equal(last.nested.gpa.value, 0xfee00080);
	assert_true(!last.nested.is_write && !last.nested.is_fetch && !last.nested.is_table_walk);
	assert_int_equal(last.insn_len, 0);
	decode(EXIT_EPT_VIOLATION, 0x182);
	assert_true(last.nested.is_write && !last.nested.is_table_walk);
	decode(EXIT_EPT_VIOLATION, 0x184);
	assert_true(last.nested.is_fetch);
	decode(EXIT_EPT_VIOLATION, 0x083);
	assert_true(last.nested.is_table_walk);

	/* 28.2.3: an IRET that met it will run again. */
	vcpu.hv.is_nmi_blocked = false;
	decode(EXIT_EPT_VIOLATION, 0x1181);
	assert_true(vcpu.hv.is_nmi_blocked);
	vcpu.hv.is_nmi_blocked = false;
	fake_vmcs[IDT_EVENT] = EVENT_VALID;
	decode(EXIT_EPT_VIOLATION, 0x1181);
	assert_false(vcpu.hv.is_nmi_blocked);
	fake_vmcs[IDT_EVENT] = 0;
	assert_int_equal(decode(EXIT_LOG_FULL, 0x1000), HV_EXIT_LOG_FULL);
	assert_true(vcpu.hv.is_nmi_blocked);
}

static void plain_exits_have_their_names(void **state)
{
	static const struct {
		u32 reason;
		enum hv_exit_reason expected;
		u8 insn_len;
	} cases[] = {
		{ EXIT_TRIPLE_FAULT, HV_EXIT_TRIPLE_FAULT, 0 }, { EXIT_CPUID, HV_EXIT_CPUID, 3 },
		{ EXIT_HLT, HV_EXIT_HLT, 3 }, { EXIT_INVD, HV_EXIT_WBINVD, 3 },
		{ EXIT_WBINVD, HV_EXIT_WBINVD, 3 }, { EXIT_VMCALL, HV_EXIT_HYPERCALL, 3 },
		{ EXIT_MWAIT, HV_EXIT_MWAIT, 3 }, { EXIT_MONITOR, HV_EXIT_MWAIT, 3 },
		{ EXIT_PAUSE, HV_EXIT_PAUSE, 3 }, { EXIT_NMI_WINDOW, HV_EXIT_NMI_WINDOW, 0 },
		{ EXIT_VMXON, HV_EXIT_UNDEFINED, 0 }, { EXIT_VMREAD, HV_EXIT_UNDEFINED, 0 },
		{ EXIT_GETSEC, HV_EXIT_UNDEFINED, 0 }, { EXIT_INVVPID, HV_EXIT_UNDEFINED, 0 },
		{ EXIT_INIT, HV_EXIT_INIT, 0 }, { EXIT_INTERRUPT_WINDOW, HV_EXIT_IRQ_WINDOW, 0 },
		{ EXIT_TPR_BELOW_THRESHOLD, HV_EXIT_IRQ_WINDOW, 0 },
		{ EXIT_TASK_SWITCH, HV_EXIT_UNKNOWN, 0 }, { EXIT_EPT_MISCONFIGURATION, HV_EXIT_UNKNOWN, 0 },
		{ 200, HV_EXIT_UNKNOWN, 0 },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
		assert_int_equal(decode(cases[i].reason, 0), cases[i].expected);
		assert_int_equal(last.insn_len, cases[i].insn_len);
		assert_int_equal(!!last.why, cases[i].expected == HV_EXIT_UNKNOWN);
	}
	assert_int_equal(decode(EXIT_RDTSCP, 0), HV_EXIT_RDTSC);
	assert_true(last.is_rdtscp && last.insn_len == 3);
	decode(EXIT_RDTSC, 0);
	assert_false(last.is_rdtscp);
	assert_int_equal(decode(EXIT_INVALID_STATE | EXIT_REASON_ENTRY_FAILED, 0), HV_EXIT_ENTRY_FAILED);
	fake_irq_window_count = 0;
	assert_int_equal(decode(EXIT_HOST_INTERRUPT, 0), HV_EXIT_HOST_INTERRUPT);
	assert_int_equal(fake_irq_window_count, 1);
}

static void wrmsr_gives(u32 index, u64 value)
{
	vcpu.hv.gpr[RCX] = index;
	vcpu.hv.gpr[RAX] = (u32)value;
	vcpu.hv.gpr[RDX] = value >> 32;
	vcpu.hv.is_event_queued = false;
	vcpu.hv.rip = 0x1000;
	decode(EXIT_WRMSR, 0);
}

static void msrs_of_the_back_end(void **state)
{
	(void)state;
	wrmsr_gives(MSR_PAT, 0x0007040600010406);
	assert_int_equal(last.reason, HV_EXIT_NONE);
	assert_int_equal(fake_vmcs[GUEST_PAT], 0x0007040600010406);
	assert_int_equal(vcpu.hv.rip, 0x1003);
	wrmsr_gives(MSR_PAT, 2);
	assert_int_equal(vcpu.event, EXCEPTION_GP_EVENT);
	assert_int_equal(vcpu.hv.rip, 0x1000);
	wrmsr_gives(MSR_EFER, EFER_SVME);
	assert_int_equal(vcpu.event, EXCEPTION_GP_EVENT);
	assert_true(vcpu.hv.is_event_queued);
	wrmsr_gives(MSR_EFER, EFER_LMA | EFER_NXE); /* LME with paging on */
	assert_true(vcpu.hv.is_event_queued);
	vcpu.want_flush = false;
	wrmsr_gives(MSR_EFER, EFER_LME | EFER_SCE); /* LMA is not written */
	assert_int_equal(fake_vmcs[GUEST_EFER], EFER_LME | EFER_LMA | EFER_SCE);
	assert_true(vcpu.want_flush);
	wrmsr_gives(MSR_DEBUGCTL, 0x4003);
	assert_int_equal(fake_vmcs[GUEST_DEBUGCTL], DEBUGCTL_BTF);
	wrmsr_gives(0x12345, BIT(40) | 7);
	assert_true(last.reason == HV_EXIT_MSR_WRITE && last.msr.index == 0x12345);
	assert_int_equal(last.msr.value, BIT(40) | 7);
	vcpu.hv.gpr[RCX] = MSR_PAT;
	decode(EXIT_RDMSR, 0);
	assert_int_equal(vcpu.hv.gpr[RAX], 0x10406);
	assert_int_equal(vcpu.hv.gpr[RDX], 0x70406);
}

/* MOV to control register cr from RBX (gpr 3). */
static void move_to_cr(unsigned cr, u64 value)
{
	vcpu.hv.is_event_queued = false;
	vcpu.hv.rip = 0x1000;
	vcpu.hv.gpr[RBX] = value;
	assert_int_equal(decode(EXIT_CR_ACCESS, cr | 3 << 8), HV_EXIT_NONE);
	assert_int_equal(vcpu.hv.rip, 0x1000); /* it faults or runs again */
}

static void owned_bits_change_in_the_shadow(void **state)
{
	u64 cr0 = vmx_guest_cr0(), cr4 = vmx_guest_cr4(), real = fake_vmcs[GUEST_CR0];

	(void)state;
	move_to_cr(0, cr0 | CR0_CD);
	assert_false(vcpu.hv.is_event_queued);
	assert_int_equal(vmx_guest_cr0(), cr0 | CR0_CD);
	assert_int_equal(fake_vmcs[GUEST_CR0], real);
	move_to_cr(0, cr0 & ~CR0_NE);
	assert_int_equal(vmx_guest_cr0(), cr0 & ~CR0_NE);
	move_to_cr(4, cr4 | CR4_MCE);
	assert_int_equal(vmx_guest_cr4(), cr4 | CR4_MCE);
	assert_false(vcpu.hv.is_event_queued);
}

static void refused_values_are_gp(void **state)
{
	u64 cr0 = vmx_guest_cr0(), cr4 = vmx_guest_cr4();
	const struct {
		unsigned cr;
		u64 value;
	} refused[] = {
		{ 0, cr0 | BIT(32) }, { 0, cr0 | CR0_NW }, { 0, (cr0 | CR0_CD) & ~CR0_PE },
		{ 0, (cr0 | CR0_CD) & ~CR0_PG }, /* in 64-bit code */
		{ 4, cr4 | CR4_VMXE }, { 4, cr4 | BIT(31) }, { 4, cr4 | BIT(40) },
	};

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(refused); i++) {
		move_to_cr(refused[i].cr, refused[i].value);
		assert_true(vcpu.hv.is_event_queued);
		assert_int_equal(vcpu.event, EXCEPTION_GP_EVENT);
	}
	assert_int_equal(vmx_guest_cr0(), cr0);
	assert_int_equal(vmx_guest_cr4(), cr4);

	/* Into long mode with PAE off. */
	fake_vmcs[GUEST_CR0] &= ~CR0_PG;
	fake_vmcs[GUEST_CR4] &= ~CR4_PAE;
	move_to_cr(0, cr0 | CR0_CD);
	assert_true(vcpu.hv.is_event_queued);
	assert_int_equal(decode(EXIT_CR_ACCESS, 3 | 3 << 8), HV_EXIT_UNKNOWN);
}

static u64 found_map[BITMAP_WORDS(PML_ENTRIES * 2)];
static unsigned found_count;

static void found(void *context, u64 gfn)
{
	(void)context;
	found_count++;
	if (gfn < PML_ENTRIES * 2)
		bitmap_set(found_map, gfn);
}

/* The CPU's part: SDM 3C 29.3.6. */
static bool cpu_logs(u64 gfn)
{
	u64 index = fake_vmcs[GUEST_PML_INDEX];

	if (!(fake_vmcs[SECONDARY_CONTROLS] & SECONDARY_PML))
		return true;
	if (index >= PML_ENTRIES)
		return false;
	fake_log[index] = gfn << PAGE_SHIFT;
	vmwrite(GUEST_PML_INDEX, index - 1);
	return true;
}

static unsigned drain(void)
{
	found_count = 0;
	vmx_log_drain(&vcpu.hv, found, NULL);
	return found_count;
}

static void the_log_is_drained_in_every_state(void **state)
{
	(void)state;
	memset(found_map, 0, sizeof(found_map));
	vmwrite(GUEST_PML_INDEX, PML_INDEX_EMPTY);
	vmx_log_start(&vcpu.hv);
	assert_true(cpu_logs(7)); /* not before the next entry */
	vmx_log_prepare(&vcpu);
	assert_int_equal(drain(), 0);
	for (unsigned count = 0; count <= PML_ENTRIES; count++) {
		for (u64 gfn = 0; gfn < count; gfn++)
			assert_true(cpu_logs(gfn));
		assert_int_equal(cpu_logs(900), count < PML_ENTRIES);
		assert_int_equal(drain(), count < PML_ENTRIES ? count + 1 : count);
		assert_int_equal(fake_vmcs[GUEST_PML_INDEX], PML_INDEX_EMPTY);
	}
	assert_int_equal(bitmap_count(found_map, PML_ENTRIES * 2), PML_ENTRIES + 1);

	assert_true(cpu_logs(1));
	vmx_log_stop(&vcpu.hv);
	vmx_log_start(&vcpu.hv); /* begins empty, even if no entry was between */
	vmx_log_prepare(&vcpu);
	assert_int_equal(drain(), 0);
	vmx_log_stop(&vcpu.hv);
	vmx_log_prepare(&vcpu);
	assert_false(fake_vmcs[SECONDARY_CONTROLS] & SECONDARY_PML);
}

static void expect_invalidations(unsigned ept, unsigned vpid)
{
	memset(fake_invept_count, 0, sizeof(fake_invept_count));
	memset(fake_invvpid_count, 0, sizeof(fake_invvpid_count));
	vmx_tlb_prepare(&vcpu, vmx_this_cpu());
	assert_int_equal(fake_invept_count[INVALIDATE_SINGLE], ept);
	assert_int_equal(fake_invvpid_count[INVALIDATE_SINGLE], vpid);
}

static void nothing_stale_is_entered_with(void **state)
{
	u16 first;

	(void)state;
	vmx_controls = (struct vmx_controls){ .has_vpid = true, .has_invept_single = true,
					      .has_invvpid_single = true };
	fake_cpu = 0;
	vmx_tlb_reset();
	fake_cpu = 1;
	vmx_tlb_reset();
	fake_cpu = 0;
	expect_invalidations(1, 0); /* new here: an own VPID */
	assert_int_equal(fake_invept_pointer, 0x505e);
	first = vcpu.vpid;
	assert_int_not_equal(first, 0);
	assert_int_equal(fake_vmcs[VPID], first);
	expect_invalidations(0, 0);
	nested.generation++;
	expect_invalidations(1, 1);
	expect_invalidations(0, 0);
	vcpu.want_flush = true;
	expect_invalidations(1, 1);
	expect_invalidations(0, 0);
	fake_cpu = 1;
	expect_invalidations(1, 0);
	fake_cpu = 0;
	expect_invalidations(1, 0); /* back: not with the VPID of then */
	assert_int_not_equal(vcpu.vpid, first);

	vmx_cpus[0].vpid_next = 0x10000; /* none left */
	vcpu.vpid_cpu = NO_CPU;
	expect_invalidations(1, 0);
	assert_int_equal(fake_invvpid_count[INVALIDATE_ALL], 1);
	assert_int_equal(vcpu.vpid, 1);

	vmx_controls.has_vpid = false;
	vmx_controls.has_invept_single = false;
	nested.generation++;
	expect_invalidations(0, 0);
	assert_int_equal(fake_invept_count[INVALIDATE_ALL], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(ports_are_decoded, setup),
		cmocka_unit_test_setup(nested_faults_are_decoded, setup),
		cmocka_unit_test_setup(plain_exits_have_their_names, setup),
		cmocka_unit_test_setup(msrs_of_the_back_end, setup),
		cmocka_unit_test_setup(owned_bits_change_in_the_shadow, setup),
		cmocka_unit_test_setup(refused_values_are_gp, setup),
		cmocka_unit_test_setup(the_log_is_drained_in_every_state, setup),
		cmocka_unit_test_setup(nothing_stale_is_entered_with, setup),
	};

	return cmocka_run_group_tests_name("vmx_exit", tests, NULL, NULL);
}
