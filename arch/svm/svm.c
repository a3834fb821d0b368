/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * AMD-V: find it, enable it on each CPU, make and run vCPUs. AMD APM 2 (2023-06) chapter 15.
 */
#include "arch/svm/svm.h"

#include "arch/cpu.h"
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

#define NESTED_PHYSICAL_BITS_MAX 48 /* four levels */
#define TSC_RATIO_ONE BIT(32)
#define TSC_RATIO_MASK BITS(39, 0) /* APM 2 15.30.5: 8.32 fixed point */

struct svm_features svm_features;
struct svm_cpu svm_cpus[CPU_MAX];
static u64 last_serial;

/* A CPUID bit that a CR4 bit stands for; a guest sets CR4 without asking anybody. */
static const struct {
	u32 leaf;
	u8 reg; /* 1 ebx, 2 ecx, 3 edx */
	u8 bit;
	u64 cr4;
} cr4_features[] = {
	{ 1, 3, 1, BIT(0) | BIT(1) },	     /* VME: VME, PVI */
	{ 1, 3, 4, CR4_TSD },
	{ 1, 3, 2, CR4_DE },
	{ 1, 3, 3, CR4_PSE },
	{ 1, 3, 6, CR4_PAE },
	{ 1, 3, 7, CR4_MCE },
	{ 1, 3, 13, CR4_PGE },
	{ 1, 3, 5, BIT(8) },		     /* MSR: PCE */
	{ 1, 3, 24, CR4_OSFXSR },
	{ 1, 3, 25, CR4_OSXMMEXCPT },
	{ 1, 2, 17, CR4_PCIDE },
	{ 1, 2, 26, CR4_OSXSAVE },
	{ 7, 2, 2, CR4_UMIP },
	{ 7, 1, 0, CR4_FSGSBASE },
	{ 7, 1, 7, CR4_SMEP },
	{ 7, 1, 20, CR4_SMAP },
};

static u64 cr4_offered(void)
{
	u64 offered = 0;

	for (unsigned i = 0; i < ARRAY_COUNT(cr4_features); i++) {
		if (cr4_features[i].leaf > cpuid(0, 0).eax)
			continue;
		struct cpuid_leaf leaf = cpuid(cr4_features[i].leaf, 0);
		const u32 reg[] = { leaf.eax, leaf.ebx, leaf.ecx, leaf.edx };

		if (reg[cr4_features[i].reg] & BIT(cr4_features[i].bit))
			offered |= cr4_features[i].cr4;
	}
	return offered;
}

/* APM 2 3.1.7 */
static u64 efer_offered(void)
{
	struct cpuid_leaf leaf = cpuid(0x80000001, 0);
	u64 offered = EFER_SCE | EFER_LME | EFER_LMA;

	if (leaf.edx & BIT(20))
		offered |= EFER_NXE;
	if (leaf.edx & BIT(25))
		offered |= BIT(14); /* FFXSR */
	if (leaf.ecx & BIT(17))
		offered |= BIT(15); /* TCE */
	return offered;
}

/* SDM 1 11.6.6: bytes 28 to 31 of an FXSAVE image; 0 stands for the first CPUs with SSE. */
static u32 mxcsr_mask(void)
{
	u8 image[512] ALIGNED(16) = { 0 };
	u32 mask;

	__asm__ volatile("fxsave64 (%0)" : : "r"(image) : "memory");
	memcpy(&mask, image + 28, sizeof(mask));
	return mask ? mask : 0xffbf;
}

/* APM 2 3.2.9: CPUID Fn8000_0008_EBX says which bits IA32_SPEC_CTRL has. */
static u64 spec_ctrl_offered(void)
{
	u32 ebx = cpuid(0x80000008, 0).ebx;

	return (ebx & BIT(14) ? BIT(0) : 0) | (ebx & BIT(15) ? BIT(1) : 0) | (ebx & BIT(24) ? BIT(2) : 0);
}

static void features_read(void)
{
	struct cpuid_leaf svm = cpuid(CPUID_SVM, 0);
	struct cpuid_leaf size = cpuid(0x80000008, 0);
	struct hv_limits *limits = &svm_ops.limits;
	u32 guest_bits = FIELD(size.eax, 23, 16) ? (u32)FIELD(size.eax, 23, 16) : (u32)FIELD(size.eax, 7, 0);

	svm_features = (struct svm_features){
		.has_clean_bits = svm.edx & SVM_EDX_CLEAN,
		.has_flush_by_asid = svm.edx & SVM_EDX_FLUSH_ASID,
		.has_pause_filter = svm.edx & SVM_EDX_PAUSE_FILTER,
		.has_pause_threshold = svm.edx & SVM_EDX_PAUSE_THRESHOLD,
		.has_tsc_ratio = svm.edx & SVM_EDX_TSC_RATIO,
		.has_lbr_virtualization = svm.edx & SVM_EDX_LBR,
		.has_virtual_spec_ctrl = svm.edx & SVM_EDX_SPEC_CTRL,
		.has_ibpb = size.ebx & BIT(12),
		.has_tsc_aux = (cpuid(0x80000001, 0).edx & BIT(27)) || (cpuid(7, 0).ecx & BIT(22)),
		.asid_count = svm.ebx,
	};
	*limits = (struct hv_limits){
		.xcr0 = xgetbv(0),
		.cr4 = cr4_offered(),
		.efer = efer_offered(),
		.tsc_ratio_max = svm_features.has_tsc_ratio ? TSC_RATIO_MASK : 0,
		.physical_bits = (u8)MIN(guest_bits, NESTED_PHYSICAL_BITS_MAX),
		.mxcsr_mask = mxcsr_mask(),
		.spec_ctrl = spec_ctrl_offered(),
		.has_nrip = svm.edx & SVM_EDX_NRIP,
		.has_huge_pages = cpuid(0x80000001, 0).edx & BIT(26),
		.has_dirty_bits = true,
	};
}

/* The order of questions is that of APM 2 15.4. */
static int svm_probe(const char **why)
{
	if (cpuid(0x80000000, 0).eax < CPUID_SVM || !(cpuid(0x80000001, 0).ecx & BIT(2))) {
		*why = "this CPU has no AMD-V (CPUID does not offer SVM). Inside another hypervisor, allow nested "
		       "virtualization; in QEMU use -cpu EPYC,+svm,+npt";
		return -ENODEV;
	}
	if (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS) {
		*why = cpuid(CPUID_SVM, 0).edx & SVM_EDX_LOCK ?
			       "AMD-V is disabled by the firmware and locked. Enable SVM Mode in the firmware's CPU "
			       "settings (or unlock it with its key) and power-cycle the machine" :
			       "AMD-V is disabled by the firmware. Enable SVM Mode in the firmware's CPU settings and "
			       "power-cycle the machine";
		return -ENODEV;
	}
	if (!(cpuid(CPUID_SVM, 0).edx & SVM_EDX_NP)) {
		*why = "this CPU's AMD-V has no nested paging, which Tern needs. Use a newer CPU; in QEMU add +npt";
		return -ENODEV;
	}
	if (!(cpuid(1, 0).ecx & BIT(26)) || cpuid(0xd, 0).ebx > XSAVE_BYTES_MAX) {
		*why = "this CPU has no XSAVE, or one with more state than Tern moves. In QEMU add +xsave";
		return -ENODEV;
	}
	features_read();
	if (svm_features.asid_count < 2) {
		*why = "this CPU's AMD-V offers no address space identifier for guests";
		return -ENODEV;
	}
	if (svm_controls_init() != 0) {
		*why = "there is no memory for the permission maps of AMD-V";
		return -ENODEV;
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
	assert_or_panic(!cpu->live);
	wrmsr(MSR_VM_HSAVE_PA, 0);
	wrmsr(MSR_EFER, rdmsr(MSR_EFER) & ~EFER_SVME);
	page_free(cpu->hsave, PAGE_4K);
	page_free(cpu->host_vmcb, PAGE_4K);
	*cpu = (struct svm_cpu){ 0 };
}

static void svm_vcpu_free(struct svm_vcpu *vcpu)
{
	if (vcpu->xsave)
		page_free_va(vcpu->xsave);
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
	vcpu->xsave = page_alloc_zeroed();
	if (!vcpu->vmcb || !vcpu->xsave)
		goto out;

	vcpu->vmcb_pa = virt_to_phys(vcpu->vmcb);
	vcpu->nested = nested;
	vcpu->serial = __atomic_add_fetch(&last_serial, 1, __ATOMIC_RELAXED);
	vcpu->live_cpu = SVM_NO_CPU;
	vcpu->asid_cpu = SVM_NO_CPU;
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
	struct svm_vcpu *vcpu = svm_vcpu(hv);

	svm_live_drop(vcpu);
	svm_vcpu_free(vcpu);
}

static void tsc_ratio_load(const struct svm_vcpu *vcpu, struct svm_cpu *cpu)
{
	if (LIKELY(cpu->tsc_ratio == vcpu->tsc_ratio))
		return;
	wrmsr(MSR_TSC_RATIO, vcpu->tsc_ratio);
	cpu->tsc_ratio = vcpu->tsc_ratio;
}

/* The guest's IA32_SPEC_CTRL is in force around VMRUN only, unless VMRUN itself switches it. */
static void run(struct svm_vcpu *vcpu, const struct svm_cpu *cpu)
{
	struct vmcb *vmcb = vcpu->vmcb;

	if (svm_features.has_virtual_spec_ctrl)
		vmcb->spec_ctrl = (u32)vcpu->spec_ctrl;
	else if (UNLIKELY(vcpu->spec_ctrl))
		wrmsr(MSR_SPEC_CTRL, vcpu->spec_ctrl);

	svm_run(vcpu->hv.gpr, vcpu->vmcb_pa.value, cpu->host_vmcb.value);

	if (UNLIKELY(vcpu->spec_ctrl) && !svm_features.has_virtual_spec_ctrl)
		wrmsr(MSR_SPEC_CTRL, 0);
}

static void svm_enter(struct hv_vcpu *hv, struct hv_exit *exit)
{
	struct svm_vcpu *vcpu = svm_vcpu(hv);
	struct svm_cpu *cpu = svm_this_cpu();
	struct vmcb *vmcb = vcpu->vmcb;

	if (UNLIKELY(cpu->live != vcpu))
		svm_live_acquire(vcpu, cpu);
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
	vcpu->xcr0 = xgetbv(0);
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
	svm_live_release(svm_vcpu(hv));
}

static void svm_save(struct hv_vcpu *hv, struct vcpu_state *state)
{
	svm_live_release(svm_vcpu(hv));
	svm_state_save(svm_vcpu(hv), state);
}

static void svm_load(struct hv_vcpu *hv, const struct vcpu_state *state)
{
	svm_live_drop(svm_vcpu(hv));
	svm_state_load(svm_vcpu(hv), state);
	svm_vcpu(hv)->invalid_since_load = svm_why_invalid(svm_vcpu(hv));
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
