/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers that VMRUN does not switch and Tern itself does not use: they stay live in the
 * CPU across exits, and go to memory when another vCPU needs the CPU or this one parks.
 */
#include "arch/svm/svm.h"

#include "arch/cpu.h"
#include "kernel/panic.h"

/*
 * With all components that the host can give, so that one which the guest has since disabled
 * in XCR0 keeps its contents (SDM 1 13.3).
 */
static void xsave_to(u8 *area)
{
	__asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
}

static void xrstor_from(const u8 *area)
{
	__asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(~0u), "d"(~0u) : "memory");
}

static void live_store(struct svm_vcpu *vcpu)
{
	xsetbv(0, svm_ops.limits.xcr0);
	xsave_to(vcpu->xsave);
	vcpu->dr[0] = read_dr0();
	vcpu->dr[1] = read_dr1();
	vcpu->dr[2] = read_dr2();
	vcpu->dr[3] = read_dr3();
	if (svm_features.has_tsc_aux)
		vcpu->tsc_aux = rdmsr(MSR_TSC_AUX);
	vcpu->live_cpu = SVM_NO_CPU;
}

static void live_fetch(struct svm_vcpu *vcpu)
{
	xsetbv(0, svm_ops.limits.xcr0);
	xrstor_from(vcpu->xsave);
	xsetbv(0, vcpu->xcr0);
	write_dr0(vcpu->dr[0]);
	write_dr1(vcpu->dr[1]);
	write_dr2(vcpu->dr[2]);
	write_dr3(vcpu->dr[3]);
	if (svm_features.has_tsc_aux)
		wrmsr(MSR_TSC_AUX, vcpu->tsc_aux);
	vcpu->live_cpu = this_cpu();
}

void svm_live_acquire(struct svm_vcpu *vcpu, struct svm_cpu *cpu)
{
	assert_or_panic(vcpu->live_cpu == SVM_NO_CPU);
	if (cpu->live)
		live_store(cpu->live);
	live_fetch(vcpu);
	cpu->live = vcpu;
	/* APM 2 3.2.9: another guest's branch history must not steer this one. */
	if (svm_features.has_ibpb && cpu->last_serial != vcpu->serial)
		wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
	cpu->last_serial = vcpu->serial;
}

void svm_live_release(struct svm_vcpu *vcpu)
{
	if (vcpu->live_cpu == SVM_NO_CPU)
		return;
	assert_or_panic(vcpu->live_cpu == this_cpu());
	live_store(vcpu);
	svm_this_cpu()->live = NULL;
}

void svm_live_drop(struct svm_vcpu *vcpu)
{
	if (vcpu->live_cpu == SVM_NO_CPU)
		return;
	assert_or_panic(vcpu->live_cpu == this_cpu());
	vcpu->live_cpu = SVM_NO_CPU;
	svm_this_cpu()->live = NULL;
}

u64 svm_tsc_aux(const struct hv_vcpu *hv)
{
	const struct svm_vcpu *vcpu = container_of(hv, struct svm_vcpu, hv);

	return vcpu->live_cpu == SVM_NO_CPU || !svm_features.has_tsc_aux ? vcpu->tsc_aux : rdmsr(MSR_TSC_AUX);
}

void svm_set_xcr0(struct hv_vcpu *hv, u64 xcr0)
{
	struct svm_vcpu *vcpu = svm_vcpu(hv);

	vcpu->xcr0 = xcr0;
	if (vcpu->live_cpu == this_cpu())
		xsetbv(0, xcr0);
}
