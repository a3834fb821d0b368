/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VT-x: make and run vCPUs. SDM 3C (2023-12) chapters 24 to 32.
 */
#include "arch/vmx/vmx.h"

#include "arch/cpu.h"
#include "kernel/errno.h"
#include "kernel/heap.h"

#define TSC_RATIO_ONE BIT(32)

static void vcpu_free(struct vmx_vcpu *vcpu)
{
	live_fini(&vcpu->live);
	if (vcpu->region.value)
		page_free(vcpu->region, PAGE_4K);
	if (vcpu->virtual_apic)
		page_free_va(vcpu->virtual_apic);
	if (vcpu->log)
		page_free_va(vcpu->log);
	heap_free(vcpu);
}

static struct vmx_vcpu *vcpu_alloc(void)
{
	struct vmx_vcpu *vcpu = heap_alloc(sizeof(*vcpu));
	u32 *region;

	if (!vcpu)
		return NULL;
	vcpu->cpu = vcpu->host_cpu = vcpu->vpid_cpu = NO_CPU;
	region = page_alloc_zeroed();
	if (region)
		vcpu->region = virt_to_phys(region);
	vcpu->virtual_apic = page_alloc_zeroed();
	if (vmx_controls.has_log)
		vcpu->log = page_alloc_zeroed();
	if (live_init(&vcpu->live) || !region || !vcpu->virtual_apic || (vmx_controls.has_log && !vcpu->log)) {
		vcpu_free(vcpu);
		return NULL;
	}
	*region = (u32)(vmx_caps.basic & VMX_BASIC_REVISION);
	return vcpu;
}

static int vmx_vcpu_init(struct hv_vcpu **out, const struct nested *nested)
{
	struct vcpu_state *reset = heap_alloc(sizeof(*reset));
	struct vmx_vcpu *vcpu = reset ? vcpu_alloc() : NULL;

	if (!vcpu) {
		heap_free(reset);
		return -ENOMEM;
	}
	vcpu->nested = nested;
	/* SDM 3C 25.11.3: VMCLEAR makes of the page a VMCS. */
	assert_or_panic(vmclear(vcpu->region) == VMX_OK);
	vmx_take(vcpu);
	vmx_controls_setup(vcpu);
	vmwrite(GUEST_INTERRUPTIBILITY, 0);
	vmwrite(GUEST_RIP, 0);
	vmwrite(GUEST_RSP, 0);
	vmwrite(GUEST_RFLAGS, 0);
	vcpu_state_reset(reset);
	vmx_state_load(vcpu, reset);
	vmx_give(vcpu);
	heap_free(reset);
	*out = &vcpu->hv;
	return 0;
}

static void vmx_vcpu_fini(struct hv_vcpu *hv)
{
	struct vmx_vcpu *vcpu = vmx_vcpu(hv);

	vmx_give(vcpu);
	vcpu_free(vcpu);
}

static void write_if_changed(enum vmcs_field field, u64 *is, u64 wanted)
{
	if (*is == wanted)
		return;
	*is = wanted;
	vmwrite(field, wanted);
}

static void collect(struct vmx_vcpu *vcpu)
{
	struct hv_vcpu *hv = &vcpu->hv;

	vcpu->is_launched = true;
	hv->rip = vcpu->rip = vmread(GUEST_RIP);
	hv->gpr[RSP] = vcpu->rsp = vmread(GUEST_RSP);
	hv->rflags = vcpu->rflags = vmread(GUEST_RFLAGS);
	vmx_events_collect(vcpu);
}

static void vmx_enter(struct hv_vcpu *hv, struct hv_exit *exit)
{
	struct vmx_vcpu *vcpu = vmx_vcpu(hv);
	enum vmx_result result;

	vmx_take(vcpu);
	if (UNLIKELY(!live_is_here(&vcpu->live)))
		live_acquire(&vcpu->live);
	if (UNLIKELY(vcpu->host_cpu != this_cpu()))
		vmx_write_host_state(vcpu);
	vmx_tlb_prepare(vcpu, vmx_this_cpu());
	vmx_log_prepare(vcpu);
	vmx_events_prepare(vcpu);
	write_if_changed(GUEST_RIP, &vcpu->rip, hv->rip);
	write_if_changed(GUEST_RSP, &vcpu->rsp, hv->gpr[RSP]);
	write_if_changed(GUEST_RFLAGS, &vcpu->rflags, hv->rflags);

	result = (enum vmx_result)vmx_run(hv->gpr, &vcpu->host_rsp, vcpu->is_launched, vcpu->spec_ctrl);

	hv->exit_count++;
	if (UNLIKELY(result != VMX_OK)) {
		vmx_exit_not_entered(vcpu, result, exit);
		return;
	}
	/* SDM 3C 27.8: an entry that fails leaves the guest's state as it was, and the VMCS not launched. */
	if (LIKELY(!(vmread(EXIT_REASON) & EXIT_REASON_ENTRY_FAILED)))
		collect(vcpu);
	vmx_exit_decode(vcpu, exit);
}

static void vmx_park(struct hv_vcpu *hv)
{
	live_release(&vmx_vcpu(hv)->live);
	vmx_give(vmx_vcpu(hv));
}

/* Parked, its VMCS is nobody's, and stays so. */
static void vmx_save(struct hv_vcpu *hv, struct vcpu_state *state)
{
	struct vmx_vcpu *vcpu = vmx_vcpu(hv);
	bool is_parked = vcpu->cpu == NO_CPU;

	live_release(&vcpu->live);
	vmx_take(vcpu);
	vmx_state_save(vcpu, state);
	if (is_parked)
		vmx_give(vcpu);
}

static void vmx_load(struct hv_vcpu *hv, const struct vcpu_state *state)
{
	struct vmx_vcpu *vcpu = vmx_vcpu(hv);
	bool is_parked = vcpu->cpu == NO_CPU;

	live_drop(&vcpu->live);
	vmx_take(vcpu);
	vmx_state_load(vcpu, state);
	if ((state->cr0 & CR0_PG) && (state->cr4 & CR4_PAE) && !(state->efer & EFER_LMA))
		vmx_load_pdptes(vcpu, state->cr3);
	if (is_parked)
		vmx_give(vcpu);
}

static void vmx_set_xcr0(struct hv_vcpu *hv, u64 xcr0) { live_set_xcr0(&vmx_vcpu(hv)->live, xcr0); }

static u64 vmx_tsc_aux(const struct hv_vcpu *hv)
{
	return live_tsc_aux(&container_of(hv, struct vmx_vcpu, hv)->live);
}

/* SDM 3C 26.3: host TSC x multiplier / 2^48 + offset. */
static void vmx_set_tsc(struct hv_vcpu *hv, u64 offset, u64 ratio, bool trap)
{
	struct vmx_vcpu *vcpu = vmx_vcpu(hv);
	bool is_parked = vcpu->cpu == NO_CPU;

	assert_or_panic(ratio == TSC_RATIO_ONE || (ratio && ratio <= vmx_ops.limits.tsc_ratio_max));
	vmx_take(vcpu);
	vmwrite(TSC_OFFSET, offset);
	if (vmx_controls.has_tsc_scaling)
		vmwrite(TSC_MULTIPLIER, ratio << 16);
	vmx_set_primary(vcpu, (vcpu->primary & ~(u32)PRIMARY_RDTSC) | (trap ? (u32)PRIMARY_RDTSC : 0));
	if (is_parked)
		vmx_give(vcpu);
}

static void vmx_flush(struct hv_vcpu *hv)
{
	__atomic_store_n(&vmx_vcpu(hv)->want_flush, true, __ATOMIC_SEQ_CST);
}

struct hv_ops vmx_ops = {
	.name = "VT-x",
	.probe = vmx_probe,
	.cpu_enable = vmx_cpu_enable,
	.cpu_disable = vmx_cpu_disable,
	.vcpu_init = vmx_vcpu_init,
	.vcpu_fini = vmx_vcpu_fini,
	.enter = vmx_enter,
	.inject = vmx_inject,
	.skip = vmx_skip,
	.mode = vmx_mode,
	.set_xcr0 = vmx_set_xcr0,
	.park = vmx_park,
	.save = vmx_save,
	.load = vmx_load,
	.tsc_aux = vmx_tsc_aux,
	.set_tsc = vmx_set_tsc,
	.flush = vmx_flush,
	.log_start = vmx_log_start,
	.log_stop = vmx_log_stop,
	.log_drain = vmx_log_drain,
	.nested = &vmx_nested_format,
};

LINKER_SET(".hv_ops") static struct hv_ops *const vmx_entry = &vmx_ops;
