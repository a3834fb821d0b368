/* SPDX-License-Identifier: BSD-2-Clause */
/* The VT-x back end's files under test, without a CPU: a vCPU, and what the files call. */
#pragma once

#include "arch/vmx/vmx.h"

struct vmx_caps vmx_caps;
struct hv_ops vmx_ops;

static struct vmx_vcpu vcpu;
static u8 fake_xsave[PAGE_BYTES], fake_apic_page[PAGE_BYTES];
static u64 fake_log[PML_ENTRIES];

/* Live registers are in memory: this CPU never has them. */
void live_set_cr2(struct live *live, u64 cr2) { live->cr2 = cr2; }
u64 live_dr6(const struct live *live) { return live->dr6; }
void live_set_dr6(struct live *live, u64 dr6) { live->dr6 = dr6; }

void vmx_take(struct vmx_vcpu *taken) { (void)taken; }

static void vcpu_clear(void)
{
	memset(fake_vmcs, 0, sizeof(fake_vmcs));
	memset(fake_xsave, 0xee, sizeof(fake_xsave));
	memset(fake_apic_page, 0, sizeof(fake_apic_page));
	memset(&vcpu, 0, sizeof(vcpu));
	vcpu.live.xsave = fake_xsave;
	vcpu.virtual_apic = fake_apic_page;
	vcpu.log = fake_log;
	vcpu.cpu = vcpu.vpid_cpu = NO_CPU;
	vcpu.hv.rflags = RFLAGS_FIXED;
	vmx_caps.cr0_fixed0 = CR0_PE | CR0_NE | CR0_PG;
	vmx_caps.cr4_fixed0 = CR4_VMXE;
}
