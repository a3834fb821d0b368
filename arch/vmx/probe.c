/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VT-x: find it, see that it can do what Tern needs, and enter VMX operation on each CPU. SDM 3C
 * chapter 24.
 */
#include "arch/vmx/vmx.h"

#include "arch/cpu.h"
#include "arch/limits.h"
#include "kernel/errno.h"
#include "kernel/fmt.h"

#define TSC_RATIO_MAX BITS(47, 0) /* 32.32; the CPU's multiplier is 16.48 (SDM 3C 25.6.5) */

struct vmx_caps vmx_caps;
struct vmx_cpu vmx_cpus[CPU_MAX];

#define WHY_LOCKED \
	"VT-x is disabled by the firmware. Enable Intel Virtualization Technology (VT-x, VMX) in the firmware's " \
	"CPU settings and power-cycle the machine"

/* SDM 3C 24.7: what firmware left open is ours to choose, for good. */
static bool feature_control_allow(void)
{
	u64 value = rdmsr(MSR_FEATURE_CONTROL);

	if (!(value & FEATURE_CONTROL_LOCK)) {
		wrmsr(MSR_FEATURE_CONTROL, value | FEATURE_CONTROL_LOCK | FEATURE_CONTROL_VMX);
		value = rdmsr(MSR_FEATURE_CONTROL);
	}
	return value & FEATURE_CONTROL_VMX;
}

/* SDM 3D A.2: the TRUE_ MSRs also tell of controls that older software believes to be 1 always. */
static void caps_read(void)
{
	u64 basic = rdmsr(MSR_VMX_BASIC);
	u32 first = basic & VMX_BASIC_TRUE_CONTROLS ? MSR_VMX_TRUE_PIN : MSR_VMX_PIN;

	vmx_caps = (struct vmx_caps){
		.basic = basic,
		.pin = rdmsr(first),
		.primary = rdmsr(first + (MSR_VMX_PRIMARY - MSR_VMX_PIN)),
		.exit = rdmsr(first + (MSR_VMX_EXIT - MSR_VMX_PIN)),
		.entry = rdmsr(first + (MSR_VMX_ENTRY - MSR_VMX_PIN)),
		.misc = rdmsr(MSR_VMX_MISC),
		.cr0_fixed0 = rdmsr(MSR_VMX_CR0_FIXED0),
		.cr0_fixed1 = rdmsr(MSR_VMX_CR0_FIXED1),
		.cr4_fixed0 = rdmsr(MSR_VMX_CR4_FIXED0),
		.cr4_fixed1 = rdmsr(MSR_VMX_CR4_FIXED1),
		.has_rdtscp = cpuid(0x80000001, 0).edx & BIT(27),
		.has_invpcid = cpuid(0, 0).eax >= 7 && (cpuid(7, 0).ebx & BIT(10)),
	};
	if (vmx_caps.primary >> 32 & PRIMARY_SECONDARY)
		vmx_caps.secondary = rdmsr(MSR_VMX_SECONDARY);
	if (vmx_caps.secondary >> 32 & (SECONDARY_EPT | SECONDARY_VPID))
		vmx_caps.ept_vpid = rdmsr(MSR_VMX_EPT_VPID);
}

static void limits_fill(struct hv_limits *limits)
{
	limits_read(limits);
	limits->cr4 &= vmx_caps.cr4_fixed1;
	limits->tsc_ratio_max = vmx_controls.has_tsc_scaling ? TSC_RATIO_MAX : 0;
	limits->has_nrip = true;
	limits->has_huge_pages = vmx_caps.ept_vpid & EPT_CAP_1G;
	limits->has_dirty_bits = vmx_controls.has_dirty_bits;
	limits->has_dirty_log = vmx_controls.has_log;
	live_setup(limits->xcr0, true);
}

int vmx_probe(const char **why)
{
	static char text[160];
	const char *missing;

	if (!(cpuid(1, 0).ecx & BIT(5)))
		return -ENODEV;
	if (!feature_control_allow()) {
		*why = WHY_LOCKED;
		return -EOPNOTSUPP;
	}
	caps_read();
	missing = vmx_controls_compute(&vmx_caps, &vmx_controls);
	if (missing) {
		fmt_snprintf(text, sizeof(text), "this CPU's VT-x lacks what Tern needs: %s. Use a newer CPU; inside "
			     "another hypervisor, let it offer this to its guests", missing);
		*why = text;
		return -EOPNOTSUPP;
	}
	if (VMX_BASIC_MEMORY_TYPE(vmx_caps.basic) != MEMORY_TYPE_WB || (vmx_caps.basic & VMX_BASIC_32_BIT)) {
		*why = "this CPU's VT-x wants its structures in uncached memory or below 4 GiB. Use a newer CPU";
		return -EOPNOTSUPP;
	}
	if (!cpu_has_xsave_that_fits(why))
		return -EOPNOTSUPP;
	limits_fill(&vmx_ops.limits);
	if (vmx_controls_init() != 0) {
		*why = "there is no memory for the permission map of VT-x";
		return -EOPNOTSUPP;
	}
	return 0;
}

/* SDM 3C 24.8: VMXON is #GP where CR0 or CR4 have other bits than these. */
static bool are_fixed_bits_kept(u64 value, u64 fixed0, u64 fixed1)
{
	return (value & fixed0) == fixed0 && !(value & ~fixed1);
}

int vmx_cpu_enable(const char **why)
{
	struct vmx_cpu *cpu = vmx_this_cpu();
	u32 *region;

	if (!(cpuid(1, 0).ecx & BIT(5)) || !feature_control_allow()) {
		*why = "VT-x is disabled by the firmware on this CPU, though not on the first";
		return -ENODEV;
	}
	write_cr4(read_cr4() | CR4_VMXE);
	if (!are_fixed_bits_kept(read_cr0(), vmx_caps.cr0_fixed0, vmx_caps.cr0_fixed1) ||
	    !are_fixed_bits_kept(read_cr4(), vmx_caps.cr4_fixed0, vmx_caps.cr4_fixed1)) {
		*why = "VT-x asks for bits in CR0 or CR4 that Tern does not set";
		return -EOPNOTSUPP;
	}
	region = page_alloc_zeroed();
	if (!region) {
		*why = "there is no memory for VT-x's state of this CPU";
		return -ENOMEM;
	}
	/* SDM 3C 25.11.5: the revision identifier, with bit 31 clear. */
	*region = (u32)(rdmsr(MSR_VMX_BASIC) & VMX_BASIC_REVISION);
	if (vmxon(virt_to_phys(region)) != VMX_OK) {
		page_free_va(region);
		*why = "VMXON failed: another hypervisor or the firmware may be using VT-x. Power-cycle the machine";
		return -EIO;
	}
	cpu->vmxon = virt_to_phys(region);
	vmx_tlb_reset();
	return 0;
}

void vmx_cpu_disable(void)
{
	struct vmx_cpu *cpu = vmx_this_cpu();

	if (cpu->vmxon.value) {
		assert_or_panic(live_is_nothing() && !cpu->current);
		vmxoff();
		page_free(cpu->vmxon, PAGE_4K);
		*cpu = (struct vmx_cpu){ 0 };
	}
	write_cr4(read_cr4() & ~CR4_VMXE);
}
