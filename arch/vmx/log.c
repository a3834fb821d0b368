/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The page-modification log, SDM 3C 29.3.6: when the CPU sets a dirty bit in the nested tables, it
 * writes the page's address to the log at the index, and counts the index down. Below 0 it is FFFFH,
 * and the next page exits before it is written to.
 */
#include "arch/vmx/vmx.h"

void vmx_log_start(struct hv_vcpu *hv)
{
	struct vmx_vcpu *vcpu = vmx_vcpu(hv);

	__atomic_store_n(&vcpu->want_log_empty, true, __ATOMIC_RELAXED);
	__atomic_store_n(&vcpu->want_log, true, __ATOMIC_RELEASE);
}

void vmx_log_stop(struct hv_vcpu *hv)
{
	__atomic_store_n(&vmx_vcpu(hv)->want_log, false, __ATOMIC_RELEASE);
}

/* Before each entry. */
void vmx_log_prepare(struct vmx_vcpu *vcpu)
{
	bool is_on = vcpu->secondary & SECONDARY_PML;
	bool want = __atomic_load_n(&vcpu->want_log, __ATOMIC_ACQUIRE);

	if (LIKELY(is_on == want && !vcpu->want_log_empty))
		return;
	if (want && __atomic_exchange_n(&vcpu->want_log_empty, false, __ATOMIC_ACQUIRE))
		vmwrite(GUEST_PML_INDEX, PML_INDEX_EMPTY);
	vmx_set_secondary(vcpu, (vcpu->secondary & ~(u32)SECONDARY_PML) | (want ? (u32)SECONDARY_PML : 0));
}

void vmx_log_drain(struct hv_vcpu *hv, void (*found)(void *context, u64 gfn), void *context)
{
	struct vmx_vcpu *vcpu = vmx_vcpu(hv);
	u64 index;

	vmx_take(vcpu);
	index = vmread(GUEST_PML_INDEX);
	if (LIKELY(index == PML_INDEX_EMPTY))
		return;
	for (u64 at = index < PML_ENTRIES ? index + 1 : 0; at < PML_ENTRIES; at++)
		found(context, vcpu->log[at] >> PAGE_SHIFT);
	vmwrite(GUEST_PML_INDEX, PML_INDEX_EMPTY);
}
