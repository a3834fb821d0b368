/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AMD-V: find it, enable it on each CPU, make and run vCPUs. AMD APM 2 (2023-06) chapter 15.
 */
#include "arch/svm/svm.h"

#include "arch/cpu.h"
#include "arch/limits.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/panic.h"
#include "kernel/string.h"

#define CPUID_SVM 0x8000000a /* APM 3 E.4.9 */
#define SVM_EDX_NP BIT(0)
#define SVM_EDX_LBR BIT(1)
#define SVM_EDX_LOCK BIT(2)
#define SVM_EDX_NRIP BIT(3)
#define SVM_EDX_TSC_RATIO BIT(4)
#define SVM_EDX_CLEAN BIT(5)
#define SVM_EDX_FLUSH_ASID BIT(6)
#define SVM_EDX_PAUSE_FILTER BIT(10)
#define SVM_EDX_PAUSE_THRESHOLD BIT(12)
#define SVM_EDX_SPEC_CTRL BIT(20)

#define TSC_RATIO_ONE BIT(32)
#define TSC_RATIO_MASK BITS(39, 0) /* APM 2 15.30.5: 8.32 fixed point */

struct svm_features svm_features;
struct svm_cpu svm_cpus[CPU_MAX];

static void features_read(void)
{
	struct cpuid_leaf svm = cpuid(CPUID_SVM, 0);
	struct hv_limits *limits = &svm_ops.limits;
	u32 guest_bits = (u32)FIELD(cpuid(0x80000008, 0).eax, 23, 16);

	svm_features = (struct svm_features){
		.has_clean_bits = svm.edx & SVM_EDX_CLEAN,
		.has_flush_by_asid = svm.edx & SVM_EDX_FLUSH_ASID,
		.has_pause_filter = svm.edx & SVM_EDX_PAUSE_FILTER,
		.has_pause_threshold = svm.edx & SVM_EDX_PAUSE_THRESHOLD,
		.has_tsc_ratio = svm.edx & SVM_EDX_TSC_RATIO,
		.has_lbr_virtualization = svm.edx & SVM_EDX_LBR,
		.has_virtual_spec_ctrl = svm.edx & SVM_EDX_SPEC_CTRL,
		.asid_count = svm.ebx,
	};
	limits_read(limits);
	if (guest_bits)
		limits->physical_bits = (u8)MIN(guest_bits, limits->physical_bits);
	limits->tsc_ratio_max = svm_features.has_tsc_ratio ? TSC_RATIO_MASK : 0;
	limits->has_nrip = svm.edx & SVM_EDX_NRIP;
	limits->has_dirty_bits = true;
	live_setup(limits->xcr0, false);
}

/* The order of questions is that of APM 2 15.4. */
static int svm_probe(const char **why)
{
	if (cpuid(0x80000000, 0).eax < CPUID_SVM || !(cpuid(0x80000001, 0).ecx & BIT(2)))
		return -ENODEV;
	if (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS) {
		*why = cpuid(CPUID_SVM, 0).edx & SVM_EDX_LOCK ?
			       "AMD-V is disabled by the firmware and locked. Enable SVM Mode in the firmware's CPU "
			       "settings (or unlock it with its key) and power-cycle the machine" :
			       "AMD-V is disabled by the firmware. Enable SVM Mode in the firmware's CPU settings and "
			       "power-cycle the machine";
		return -EOPNOTSUPP;
	}
	if (!(cpuid(CPUID_SVM, 0).edx & SVM_EDX_NP)) {
		*why = "this CPU's AMD-V has no nested paging, which Tern needs. Use a newer CPU; in QEMU add +npt";
		return -EOPNOTSUPP;
	}
	if (!cpu_has_xsave_that_fits(why))
		return -EOPNOTSUPP;
	features_read();
	if (svm_features.asid_count < 2) {
		*why = "this CPU's AMD-V offers no address space identifier for guests";
		return -EOPNOTSUPP;
	}
	if (svm_controls_init() != 0) {
		*why = "there is no memory for the permission maps of AMD-V";
		return -EOPNOTSUPP;
	}
	return 0;
}

static int svm_cpu_enable(const char **why)
{
	struct svm_cpu *cpu = svm_this_cpu();

	if (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS) {
		*why = "AMD-V is disabled by the firmware on this CPU, though not on the first";
		return -ENODEV;
	}
	void *hsave = page_alloc_zeroed();
	void *host = page_alloc_zeroed();

	if (!hsave || !host) {
		if (hsave)
			page_free_va(hsave);
		if (host)
			page_free_va(host);
		*why = "there is no memory for AMD-V's state of this CPU";
		return -ENOMEM;
	}
	cpu->hsave = virt_to_phys(hsave);
	cpu->host_vmcb = virt_to_phys(host);
	cpu->tsc_ratio = TSC_RATIO_ONE;
	cpu->asid_next = svm_features.asid_count; /* the first entry flushes all and starts generation 1 */

	wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
	wrmsr(MSR_VM_HSAVE_PA, cpu->hsave.value);
	if (svm_features.has_tsc_ratio)
		wrmsr(MSR_TSC_RATIO, TSC_RATIO_ONE);
	/* Tern's own FS, GS, TR, LDTR and system-call MSRs stay as they are from here on. */
	__asm__ volatile("vmsave %0" : : "a"(cpu->host_vmcb.value) : "memory");
	return 0;
}

static void svm_cpu_disable(void)
{
	struct svm_cpu *cpu = svm_this_cpu();

	if (!cpu->hsave.value)
		return;
	assert_or_panic(live_is_nothing());
	wrmsr(MSR_VM_HSAVE_PA, 0);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SVME);
	page_free(cpu->hsave, PAGE_4K);
	page_free(cpu->host_vmcb, PAGE_4K);
	*cpu = (struct svm_cpu){ 0 };
}

static void svm_vcpu_free(struct svm_vcpu *vcpu)
{
	live_fini(&vcpu->live);
	if (vcpu->vmcb)
		page_free_va(vcpu->vmcb);
	heap_free(vcpu);
}

static int svm_vcpu_init(struct hv_vcpu **out, const struct nested *nested)
{
	struct vcpu_state *reset = heap_alloc(sizeof(*reset));
	struct svm_vcpu *vcpu = heap_alloc(sizeof(*vcpu));
	int err = -ENOMEM;

	if (!reset || !vcpu)
		goto out;
	vcpu->vmcb = page_alloc_zeroed();
	if (live_init(&vcpu->live) || !vcpu->vmcb)
		goto out;

	vcpu->vmcb_pa = virt_to_phys(vcpu->vmcb);
	vcpu->nested = nested;
	vcpu->asid_cpu = NO_CPU;
	vcpu->tsc_ratio = TSC_RATIO_ONE;
	svm_controls_setup(vcpu);
	vcpu_state_reset(reset);
	svm_state_load(vcpu, reset);
	*out = &vcpu->hv;
	vcpu = NULL;
	err = 0;
out:
	if (vcpu)
		svm_vcpu_free(vcpu);
	heap_free(reset);
	return err;
}

static void svm_vcpu_fini(struct hv_vcpu *hv)
{
	svm_vcpu_free(svm_vcpu(hv));
}

static void tsc_ratio_load(const struct svm_vcpu *vcpu, struct svm_cpu *cpu)
{
	if (LIKELY(cpu->tsc_ratio == vcpu->tsc_ratio))
		return;
	wrmsr(MSR_TSC_RATIO, vcpu->tsc_ratio);
	cpu->tsc_ratio = vcpu->tsc_ratio;
}

static void run(struct svm_vcpu *vcpu, const struct svm_cpu *cpu)
{
	const bool is_virtual = svm_features.has_virtual_spec_ctrl;

	if (is_virtual)
		vcpu->vmcb->spec_ctrl = (u32)vcpu->spec_ctrl;
	svm_run(vcpu->hv.gpr, vcpu->vmcb_pa.value, cpu->host_vmcb.value, is_virtual ? 0 : vcpu->spec_ctrl);
}

static void svm_enter(struct hv_vcpu *hv, struct hv_exit *exit)
{
	struct svm_vcpu *vcpu = svm_vcpu(hv);
	struct svm_cpu *cpu = svm_this_cpu();
	struct vmcb *vmcb = vcpu->vmcb;

	if (UNLIKELY(!live_is_here(&vcpu->live)))
		live_acquire(&vcpu->live);
	tsc_ratio_load(vcpu, cpu);
	svm_tlb_prepare(vcpu, cpu);
	svm_events_prepare(vcpu);
	vmcb->rax = hv->gpr[RAX];
	vmcb->rsp = hv->gpr[RSP];
	vmcb->rip = hv->rip;
	vmcb->rflags = hv->rflags;
	vmcb->clean = svm_features.has_clean_bits ? vcpu->clean : 0;
	vcpu->clean = CLEAN_ALL;

	run(vcpu, cpu);

	hv->exit_count++;
	/* QEMU 7.2 does not intercept XSETBV, so what the guest has set is read back. */
	vcpu->live.xcr0 = xgetbv(0);
	/* QEMU's emulation leaves Tern's own registers in the VMCB when an entry fails. */
	if (LIKELY((u32)vmcb->exit_code < VMEXIT_BUSY)) {
		hv->gpr[RAX] = vmcb->rax;
		hv->gpr[RSP] = vmcb->rsp;
		hv->rip = vmcb->rip;
		hv->rflags = vmcb->rflags;
		svm_events_collect(vcpu);
	}
	svm_exit_decode(vcpu, exit);
}

static void svm_park(struct hv_vcpu *hv)
{
	live_release(&svm_vcpu(hv)->live);
}

static void svm_save(struct hv_vcpu *hv, struct vcpu_state *state)
{
	live_release(&svm_vcpu(hv)->live);
	svm_state_save(svm_vcpu(hv), state);
}

static void svm_load(struct hv_vcpu *hv, const struct vcpu_state *state)
{
	live_drop(&svm_vcpu(hv)->live);
	svm_state_load(svm_vcpu(hv), state);
	svm_vcpu(hv)->invalid_since_load = svm_why_invalid(svm_vcpu(hv));
}

static void svm_set_xcr0(struct hv_vcpu *hv, u64 xcr0) { live_set_xcr0(&svm_vcpu(hv)->live, xcr0); }

static u64 svm_tsc_aux(const struct hv_vcpu *hv)
{
	return live_tsc_aux(&container_of(hv, struct svm_vcpu, hv)->live);
}

static void svm_set_tsc(struct hv_vcpu *hv, u64 offset, u64 ratio, bool trap)
{
	struct svm_vcpu *vcpu = svm_vcpu(hv);

	assert_or_panic(ratio == TSC_RATIO_ONE || (ratio && ratio <= svm_ops.limits.tsc_ratio_max));
	vcpu->tsc_ratio = ratio;
	vcpu->vmcb->tsc_offset = offset;
	svm_trap_tsc(vcpu, trap);
}

static void svm_flush(struct hv_vcpu *hv)
{
	__atomic_store_n(&svm_vcpu(hv)->want_flush, true, __ATOMIC_SEQ_CST);
}

struct hv_ops svm_ops = {
	.name = "AMD-V",
	.probe = svm_probe,
	.cpu_enable = svm_cpu_enable,
	.cpu_disable = svm_cpu_disable,
	.vcpu_init = svm_vcpu_init,
	.vcpu_fini = svm_vcpu_fini,
	.enter = svm_enter,
	.inject = svm_inject,
	.skip = svm_skip,
	.mode = svm_mode,
	.set_xcr0 = svm_set_xcr0,
	.park = svm_park,
	.save = svm_save,
	.load = svm_load,
	.tsc_aux = svm_tsc_aux,
	.set_tsc = svm_set_tsc,
	.flush = svm_flush,
	.nested = &svm_nested_format,
};

LINKER_SET(".hv_ops") static struct hv_ops *const svm_entry = &svm_ops;
