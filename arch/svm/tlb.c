/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cached translations of guests. Each CPU hands out ASIDs upwards; one that was not used since
 * the CPU's last full flush is as good as a flush (APM 2 15.16.1). When they run out, all
 * is flushed and a new generation of ASIDs starts.
 *
 * A vCPU must enter with nothing stale cached when (APM 2 15.16, 15.25.9):
 *   - its nested tables changed: nested->generation tells, nobody needs to remember it;
 *   - somebody asked (hv_ops.flush), the back end itself after changing EFER or the whole state;
 *   - it comes to another CPU, where an older self may have left translations.
 */
#include "arch/svm/svm.h"

#include "kernel/panic.h"

static void asid_new(struct svm_vcpu *vcpu, struct svm_cpu *cpu)
{
	if (cpu->asid_next >= svm_features.asid_count) {
		cpu->asid_generation++;
		cpu->asid_next = 1; /* 0 is the host's */
		cpu->want_flush_all = true;
	}
	vcpu->vmcb->asid = cpu->asid_next++;
	vcpu->asid_generation = cpu->asid_generation;
	vcpu->asid_cpu = this_cpu();
	vcpu->clean &= ~(u32)CLEAN_ASID;
}

static bool is_current(const struct svm_vcpu *vcpu, const struct svm_cpu *cpu, u64 generation)
{
	return !__atomic_load_n(&vcpu->want_flush, __ATOMIC_SEQ_CST) && vcpu->nested_generation == generation &&
	       vcpu->asid_cpu == this_cpu() && vcpu->asid_generation == cpu->asid_generation;
}

void svm_tlb_prepare(struct svm_vcpu *vcpu, struct svm_cpu *cpu)
{
	u64 generation = __atomic_load_n(&vcpu->nested->generation, __ATOMIC_SEQ_CST);
	bool want_flush, is_new = false;

	vcpu->vmcb->tlb_control = TLB_KEEP;
	if (LIKELY(is_current(vcpu, cpu, generation)))
		return;
	want_flush = __atomic_exchange_n(&vcpu->want_flush, false, __ATOMIC_SEQ_CST);
	want_flush |= generation != vcpu->nested_generation;
	vcpu->nested_generation = generation;
	if (vcpu->asid_cpu != this_cpu()) {
		vcpu->clean = 0; /* APM 2 15.15.2: what was cached belongs to another CPU */
		is_new = true;
	}
	is_new |= vcpu->asid_generation != cpu->asid_generation;
	is_new |= want_flush && !svm_features.has_flush_by_asid;
	if (is_new)
		asid_new(vcpu, cpu);
	else if (want_flush)
		vcpu->vmcb->tlb_control = TLB_FLUSH_ASID;
	if (cpu->want_flush_all) {
		vcpu->vmcb->tlb_control = TLB_FLUSH_ALL;
		cpu->want_flush_all = false;
	}

	assert_or_panic(vcpu->vmcb->asid > 0 && vcpu->vmcb->asid < svm_features.asid_count);
	assert_or_panic(!want_flush || is_new || vcpu->vmcb->tlb_control != TLB_KEEP);
}
