/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cached translations of guests. Linear and combined ones carry a VPID, guest-physical and combined
 * ones the EPT pointer (SDM 3C 29.4.1). Each CPU hands out VPIDs upwards; when they run out, all are
 * invalidated and a new generation starts. Without VPIDs every entry and exit drops the former.
 *
 * A vCPU must enter with nothing stale cached when (29.4.3.2, 29.4.3.3):
 *   - its nested tables changed: nested->generation tells, nobody needs to remember it;
 *   - somebody asked (hv_ops.flush), the back end itself after changing EFER or the whole state;
 *   - it comes to another CPU, where an older self, or a dead guest whose table had the same
 *     place, may have left translations.
 */
#include "arch/vmx/vmx.h"

#define VPID_COUNT 0x10000u

/* Guest-physical and combined mappings of these tables on this CPU. */
static void drop_nested(const struct vmx_vcpu *vcpu)
{
	if (vmx_controls.has_invept_single)
		invept(INVALIDATE_SINGLE, vmx_ept_pointer(vcpu->nested));
	else
		invept(INVALIDATE_ALL, 0);
}

static void drop_linear(const struct vmx_vcpu *vcpu)
{
	if (!vmx_controls.has_vpid)
		return;
	if (vmx_controls.has_invvpid_single)
		invvpid(INVALIDATE_SINGLE, vcpu->vpid);
	else
		invvpid(INVALIDATE_ALL, 0);
}

static void vpid_new(struct vmx_vcpu *vcpu, struct vmx_cpu *cpu)
{
	if (cpu->vpid_next >= VPID_COUNT) {
		cpu->vpid_generation++;
		cpu->vpid_next = 1; /* 0 is the host's */
		invvpid(INVALIDATE_ALL, 0);
	}
	vcpu->vpid = (u16)cpu->vpid_next++;
	vcpu->vpid_generation = cpu->vpid_generation;
	vmwrite(VPID, vcpu->vpid);
	assert_or_panic(vcpu->vpid > 0);
}

void vmx_tlb_reset(void)
{
	struct vmx_cpu *cpu = vmx_this_cpu();

	invept(INVALIDATE_ALL, 0);
	if (vmx_controls.has_vpid)
		invvpid(INVALIDATE_ALL, 0);
	cpu->vpid_generation++;
	cpu->vpid_next = 1;
}

static bool is_current(const struct vmx_vcpu *vcpu, const struct vmx_cpu *cpu, u64 generation)
{
	return !__atomic_load_n(&vcpu->want_flush, __ATOMIC_SEQ_CST) && vcpu->nested_generation == generation &&
	       vcpu->vpid_cpu == this_cpu() && vcpu->vpid_generation == cpu->vpid_generation;
}

void vmx_tlb_prepare(struct vmx_vcpu *vcpu, struct vmx_cpu *cpu)
{
	u64 generation = __atomic_load_n(&vcpu->nested->generation, __ATOMIC_SEQ_CST);
	bool is_new;

	if (LIKELY(is_current(vcpu, cpu, generation)))
		return;
	/* The wish first: what is asked for from here on is for the entry after this one. */
	__atomic_store_n(&vcpu->want_flush, false, __ATOMIC_SEQ_CST);
	vcpu->nested_generation = generation;
	is_new = vcpu->vpid_cpu != this_cpu() || vcpu->vpid_generation != cpu->vpid_generation;
	vcpu->vpid_cpu = this_cpu();
	if (is_new && vmx_controls.has_vpid)
		vpid_new(vcpu, cpu);
	else
		drop_linear(vcpu);
	drop_nested(vcpu);
	vcpu->vpid_generation = cpu->vpid_generation;
}
