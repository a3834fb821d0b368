/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which VMCS is where. One is current on a CPU, and VMREAD and VMWRITE mean it; others may be
 * active there, but each on one CPU only: before another CPU takes it, VMCLEAR brings it to
 * memory (SDM 3C 25.11.1).
 */
#include "arch/vmx/vmx.h"

#include "arch/cpu.h"
#include "arch/trap.h"

void vmx_take(struct vmx_vcpu *vcpu)
{
	struct vmx_cpu *cpu = vmx_this_cpu();

	if (LIKELY(cpu->current == vcpu))
		return;
	assert_or_panic(vcpu->cpu == NO_CPU || vcpu->cpu == this_cpu());
	assert_or_panic(vmptrld(vcpu->region) == VMX_OK);
	vcpu->cpu = this_cpu();
	cpu->current = vcpu;
}

void vmx_give(struct vmx_vcpu *vcpu)
{
	struct vmx_cpu *cpu = vmx_this_cpu();

	if (vcpu->cpu == NO_CPU)
		return;
	assert_or_panic(vcpu->cpu == this_cpu());
	assert_or_panic(vmclear(vcpu->region) == VMX_OK);
	vcpu->cpu = NO_CPU;
	vcpu->is_launched = false;
	if (cpu->current == vcpu)
		cpu->current = NULL;
}

/*
 * RSP and RIP are entry.S's. Exits set the limits of GDTR and IDTR to FFFFH (SDM 3C 28.5.2); nothing
 * in Tern goes by them.
 */
void vmx_write_host_state(struct vmx_vcpu *vcpu)
{
	const struct percpu *percpu = this_percpu();

	vmwrite(HOST_CR0, read_cr0());
	vmwrite(HOST_CR3, read_cr3());
	vmwrite(HOST_CR4, read_cr4());
	vmwrite(HOST_EFER, rdmsr(MSR_EFER));
	vmwrite(HOST_PAT, rdmsr(MSR_PAT));
	vmwrite(HOST_CS, SELECTOR_CODE);
	vmwrite(HOST_SS, SELECTOR_DATA);
	vmwrite(HOST_DS, SELECTOR_DATA);
	vmwrite(HOST_ES, SELECTOR_DATA);
	vmwrite(HOST_FS, 0);
	vmwrite(HOST_GS, 0);
	vmwrite(HOST_TR, SELECTOR_TSS);
	vmwrite(HOST_FS_BASE, 0);
	vmwrite(HOST_GS_BASE, (u64)percpu);
	vmwrite(HOST_TR_BASE, (u64)percpu->tss);
	vmwrite(HOST_GDTR_BASE, (u64)percpu->gdt);
	vmwrite(HOST_IDTR_BASE, trap_idt_base());
	vmwrite(HOST_SYSENTER_CS, 0);
	vmwrite(HOST_SYSENTER_ESP, 0);
	vmwrite(HOST_SYSENTER_EIP, 0);
	vcpu->host_cpu = this_cpu();
}
