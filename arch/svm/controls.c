/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest may do by itself, as lists; all else exits.
 */
#include "arch/svm/svm.h"

#include "arch/msr_list.h"
#include "arch/regs.h"
#include "kernel/errno.h"
#include "kernel/string.h"

/* Exceptions that exit: machine checks are the host's, for the other two see events.c. */
#define INTERCEPT_EXCEPTIONS (BIT(1) | BIT(17) | BIT(18))

#define INTERCEPTS \
	(INTERCEPT_INTR | INTERCEPT_NMI | INTERCEPT_SMI | INTERCEPT_INIT | INTERCEPT_RDPMC | \
	 INTERCEPT_CPUID | INTERCEPT_INVD | INTERCEPT_HLT | INTERCEPT_INVLPGA | INTERCEPT_IOIO | \
	 INTERCEPT_MSR | INTERCEPT_SHUTDOWN)

#define INTERCEPTS2 \
	(INTERCEPT2_VMRUN | INTERCEPT2_VMMCALL | INTERCEPT2_VMLOAD | INTERCEPT2_VMSAVE | \
	 INTERCEPT2_STGI | INTERCEPT2_CLGI | INTERCEPT2_SKINIT | INTERCEPT2_WBINVD | \
	 INTERCEPT2_MONITOR | INTERCEPT2_MWAIT | INTERCEPT2_XSETBV | INTERCEPT2_RDPRU)

#define INTERCEPTS3 (INTERCEPT3_INVLPGB_ILLEGAL | INTERCEPT3_MCOMMIT | INTERCEPT3_TLBSYNC)

/* A spin loop of this many PAUSEs, each within the threshold of the one before, exits (APM 2 15.14.4). */
#define PAUSE_FILTER_COUNT 3000
#define PAUSE_FILTER_CYCLES 128

#define PORT_MAP_PAGES 3 /* APM 2 15.10.1 */
#define MSR_MAP_PAGES 2  /* APM 2 15.11 */

static hpa_t port_map, msr_map;

/* Two bits an MSR, the lower one for reads; three ranges of 8192 (APM 2 15.11). */
_Static_assert(MSR_MAY_READ == 1 && MSR_MAY_WRITE == 2, "APM 2 15.11");
static void msr_map_pass(void *context, u32 msr, u32 may)
{
	u8 *map = context;
	u32 range = msr < 0x2000 ? 0 : msr < 0xc0010000 ? 1 : 2;
	u32 bit = range * 0x4000 + (msr & 0x1fff) * 2;

	map[bit / 8] &= (u8)~(may << (bit % 8));
}

int svm_controls_init(void)
{
	int err = page_alloc_run(PORT_MAP_PAGES, &port_map);

	if (err)
		return err;
	err = page_alloc_run(MSR_MAP_PAGES, &msr_map);
	if (err) {
		page_free_run(port_map, PORT_MAP_PAGES);
		return err;
	}
	memset(phys_to_virt(port_map), 0xff, PORT_MAP_PAGES * PAGE_BYTES);
	memset(phys_to_virt(msr_map), 0xff, MSR_MAP_PAGES * PAGE_BYTES);
	msr_list_each(msr_map_pass, phys_to_virt(msr_map));
	return 0;
}

/* CR and DR accesses never exit: with nested paging they are the guest's own affair. */
void svm_controls_setup(struct svm_vcpu *vcpu)
{
	struct vmcb *vmcb = vcpu->vmcb;

	vmcb->intercept_exceptions = INTERCEPT_EXCEPTIONS;
	vmcb->intercepts = INTERCEPTS;
	vmcb->intercepts2 = INTERCEPTS2;
	vmcb->intercepts3 = INTERCEPTS3;
	if (svm_features.has_pause_filter) {
		vmcb->intercepts |= INTERCEPT_PAUSE;
		vmcb->pause_filter_count = PAUSE_FILTER_COUNT;
	}
	if (svm_features.has_pause_threshold)
		vmcb->pause_filter_threshold = PAUSE_FILTER_CYCLES;
	vmcb->iopm_base_pa = port_map.value;
	vmcb->msrpm_base_pa = msr_map.value;
	vmcb->np_control = NP_ENABLE;
	vmcb->n_cr3 = vcpu->nested->root.value;
	vcpu->clean = 0;
}

void svm_trap_tsc(struct svm_vcpu *vcpu, bool trap)
{
	struct vmcb *vmcb = vcpu->vmcb;

	vmcb->intercepts &= ~(u32)INTERCEPT_RDTSC;
	vmcb->intercepts2 &= ~(u32)INTERCEPT2_RDTSCP;
	if (trap) {
		vmcb->intercepts |= INTERCEPT_RDTSC;
		vmcb->intercepts2 |= INTERCEPT2_RDTSCP;
	}
	vcpu->clean &= ~(u32)CLEAN_INTERCEPTS;
}

static bool is_long_mode_on(const struct vmcb *vmcb)
{
	return (vmcb->efer & EFER_LME) && (vmcb->cr0 & CR0_PG);
}

const char *svm_why_invalid(const struct svm_vcpu *vcpu)
{
	const struct vmcb *vmcb = vcpu->vmcb;
	const u64 cs_long = VMCB_ATTR_L | VMCB_ATTR_DB;
	const struct {
		bool is_broken;
		const char *why;
	} rules[] = {
		{ !(vmcb->efer & EFER_SVME), "EFER.SVME is clear" },
		{ !(vmcb->cr0 & CR0_CD) && (vmcb->cr0 & CR0_NW), "CR0.NW is set without CR0.CD" },
		{ vmcb->cr0 >> 32, "CR0 has bits above 31" },
		{ vmcb->cr3 >> 52 && !(vmcb->cr4 & CR4_PCIDE), "CR3 has reserved bits" },
		{ vmcb->cr4 & ~svm_ops.limits.cr4, "CR4 has bits that this CPU has not" },
		{ vmcb->dr6 >> 32, "DR6 has bits above 31" },
		{ vmcb->dr7 >> 32, "DR7 has bits above 31" },
		{ vmcb->efer & ~(svm_ops.limits.efer | EFER_SVME), "EFER has bits that this CPU has not" },
		{ is_long_mode_on(vmcb) && !(vmcb->cr4 & CR4_PAE), "long mode without CR4.PAE" },
		{ is_long_mode_on(vmcb) && !(vmcb->cr0 & CR0_PE), "long mode without CR0.PE" },
		{ is_long_mode_on(vmcb) && (vmcb->cs.attributes & cs_long) == cs_long,
		  "CS has both L and D in long mode" },
		{ !(vmcb->intercepts2 & INTERCEPT2_VMRUN), "VMRUN is not intercepted" },
		{ vmcb->iopm_base_pa == 0 || vmcb->msrpm_base_pa == 0, "a permission map is missing" },
		{ vmcb->asid == 0, "ASID 0" },
		{ !vcpu_pat_is_valid(vmcb->g_pat), "PAT has a reserved memory type" },
		{ (vmcb->event_inj & EVENT_V) && FIELD(vmcb->event_inj, 10, 8) == EVENT_EXCEPTION &&
			  (vmcb->event_inj & EVENT_VECTOR) > 31, "an injected exception has a vector above 31" },
	};

	for (unsigned i = 0; i < ARRAY_COUNT(rules); i++) {
		if (rules[i].is_broken)
			return rules[i].why;
	}
	return NULL;
}
