/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest may do by itself, as lists; all else exits.
 */
#include "arch/vmx/vmx.h"

#include "arch/msr_list.h"
#include "arch/regs.h"
#include "kernel/errno.h"
#include "kernel/string.h"

/* Exceptions that exit: machine checks are the host's, for the other two see events.c. */
#define EXCEPTIONS (BIT(1) | BIT(17) | BIT(18))

/* A spin loop: PAUSEs less than GAP ticks apart, for WINDOW ticks (SDM 3C 25.6.13); CPL 0 only. */
#define PAUSE_GAP_TICKS 128
#define PAUSE_WINDOW_TICKS 4096

struct vmx_controls vmx_controls;

enum word { PIN, PRIMARY, SECONDARY, EXIT, ENTRY, WORD_COUNT };
enum need {
	NEEDED,     /* set */
	IF_OFFERED, /* set where the CPU can */
	SETTABLE,   /* clear at first; set when it is wanted */
	NOT,        /* clear: the guest does it by itself */
};

static const struct control {
	u8 word;
	u8 need; /* enum need */
	u32 bit;
	const char *name;
} control_list[] = {
	{ PIN, NEEDED, PIN_INTERRUPT_EXITING, "exits for the host's interrupts" },
	{ PIN, NEEDED, PIN_NMI_EXITING, "exits for NMIs" },
	{ PIN, NEEDED, PIN_VIRTUAL_NMIS, "virtual NMIs" },
	{ PRIMARY, SETTABLE, PRIMARY_INTERRUPT_WINDOW, "interrupt-window exiting" },
	{ PRIMARY, SETTABLE, PRIMARY_NMI_WINDOW, "NMI-window exiting" },
	{ PRIMARY, SETTABLE, PRIMARY_RDTSC, "RDTSC exiting" },
	{ PRIMARY, NEEDED, PRIMARY_TSC_OFFSETTING, "TSC offsetting" },
	{ PRIMARY, NEEDED, PRIMARY_HLT, "HLT exiting" },
	{ PRIMARY, NEEDED, PRIMARY_MWAIT, "MWAIT exiting" },
	{ PRIMARY, NEEDED, PRIMARY_MONITOR, "MONITOR exiting" },
	{ PRIMARY, NEEDED, PRIMARY_RDPMC, "RDPMC exiting" },
	{ PRIMARY, NEEDED, PRIMARY_TPR_SHADOW, "a TPR shadow" },
	{ PRIMARY, NEEDED, PRIMARY_IO, "unconditional I/O exiting" },
	{ PRIMARY, NEEDED, PRIMARY_MSR_BITMAPS, "MSR bitmaps" },
	{ PRIMARY, NEEDED, PRIMARY_SECONDARY, "secondary controls" },
	/* With nested paging, address translation is the guest's own affair. */
	{ PRIMARY, NOT, PRIMARY_CR3_LOAD, "a CR3 that the guest loads by itself" },
	{ PRIMARY, NOT, PRIMARY_CR3_STORE, "a CR3 that the guest reads by itself" },
	{ PRIMARY, NOT, PRIMARY_INVLPG, "INVLPG without exits" },
	{ PRIMARY, NOT, PRIMARY_CR8_LOAD, "CR8 writes without exits" },
	{ PRIMARY, NOT, PRIMARY_CR8_STORE, "CR8 reads without exits" },
	{ PRIMARY, NOT, PRIMARY_MOV_DR, "debug registers that the guest loads by itself" },
	{ SECONDARY, NEEDED, SECONDARY_EPT, "nested paging (EPT)" },
	{ SECONDARY, NEEDED, SECONDARY_UNRESTRICTED, "unrestricted guests (real mode)" },
	{ SECONDARY, NEEDED, SECONDARY_WBINVD, "WBINVD exiting" },
	/* Cached translations survive entries and exits. */
	{ SECONDARY, IF_OFFERED, SECONDARY_VPID, "VPID" },
	/* A vCPU that spins for another's lock gives its CPU away. */
	{ SECONDARY, IF_OFFERED, SECONDARY_PAUSE_LOOP, "PAUSE-loop exiting" },
	/* Both are #UD without; where CPUID has them, see is_feature_lost. */
	{ SECONDARY, IF_OFFERED, SECONDARY_RDTSCP, "RDTSCP" },
	{ SECONDARY, IF_OFFERED, SECONDARY_INVPCID, "INVPCID" },
	/* A guest that comes from a host with another TSC rate keeps its own. */
	{ SECONDARY, IF_OFFERED, SECONDARY_TSC_SCALING, "TSC scaling" },
	{ EXIT, NEEDED, EXIT_HOST_64, "a 64-bit host" },
	{ EXIT, NEEDED, EXIT_SAVE_DEBUG, "saving of debug controls" },
	{ EXIT, NEEDED, EXIT_SAVE_PAT, "saving of PAT" },
	{ EXIT, NEEDED, EXIT_LOAD_PAT, "loading of PAT" },
	{ EXIT, NEEDED, EXIT_SAVE_EFER, "saving of EFER" },
	{ EXIT, NEEDED, EXIT_LOAD_EFER, "loading of EFER" },
	{ ENTRY, SETTABLE, ENTRY_GUEST_LMA, "64-bit guests" },
	{ ENTRY, NEEDED, ENTRY_LOAD_DEBUG, "loading of debug controls" },
	{ ENTRY, NEEDED, ENTRY_LOAD_PAT, "loading of PAT" },
	{ ENTRY, NEEDED, ENTRY_LOAD_EFER, "loading of EFER" },
};

/* SDM 3D A.3: a bit may be 1 if it is in 63:32, and must be if it is in 31:0. */
static u32 may_be_set(u64 cap) { return (u32)(cap >> 32); }
static u32 must_be_set(u64 cap) { return (u32)cap; }

static const char *choose(const u64 cap[WORD_COUNT], u32 value[WORD_COUNT])
{
	for (unsigned i = 0; i < WORD_COUNT; i++)
		value[i] = must_be_set(cap[i]);
	for (unsigned i = 0; i < ARRAY_COUNT(control_list); i++) {
		const struct control *control = &control_list[i];
		bool can_be_set = may_be_set(cap[control->word]) & control->bit;
		bool can_be_clear = !(must_be_set(cap[control->word]) & control->bit);

		if (control->need == NOT ? !can_be_clear : control->need != IF_OFFERED && !can_be_set)
			return control->name;
		if (control->need == SETTABLE && !can_be_clear)
			return control->name;
		if (control->need <= IF_OFFERED && can_be_set)
			value[control->word] |= control->bit;
	}
	return NULL;
}

/* What EPT itself must be able to do, SDM 3D A.10. */
static const char *ept_missing(u64 caps)
{
	if (!(caps & EPT_CAP_WALK_4) || !(caps & EPT_CAP_WB))
		return "EPT of four levels in write-back memory";
	if (!(caps & EPT_CAP_2M))
		return "EPT with 2 MiB pages";
	if (!(caps & EPT_CAP_INVEPT) || !(caps & EPT_CAP_INVEPT_ALL))
		return "INVEPT";
	return NULL;
}

/* A CPUID feature that guests would see and meet #UD. */
static const char *feature_lost(const struct vmx_caps *caps, u32 secondary)
{
	if (caps->has_rdtscp && !(secondary & SECONDARY_RDTSCP))
		return "RDTSCP for guests";
	if (caps->has_invpcid && !(secondary & SECONDARY_INVPCID))
		return "INVPCID for guests";
	return NULL;
}

const char *vmx_controls_compute(const struct vmx_caps *caps, struct vmx_controls *controls)
{
	const u64 cap[WORD_COUNT] = { caps->pin, caps->primary, caps->secondary, caps->exit, caps->entry };
	const u64 vpid_needs = VPID_CAP_INVVPID | VPID_CAP_ALL;
	u32 value[WORD_COUNT];
	const char *missing = choose(cap, value);

	if (!missing)
		missing = ept_missing(caps->ept_vpid);
	if (!missing)
		missing = feature_lost(caps, value[SECONDARY]);
	if (missing)
		return missing;
	if ((caps->ept_vpid & vpid_needs) != vpid_needs)
		value[SECONDARY] &= ~(u32)SECONDARY_VPID;
	*controls = (struct vmx_controls){
		.pin = value[PIN],
		.primary = value[PRIMARY],
		.secondary = value[SECONDARY],
		.exit = value[EXIT],
		.entry = value[ENTRY],
		.has_vpid = value[SECONDARY] & SECONDARY_VPID,
		.has_pause_loop = value[SECONDARY] & SECONDARY_PAUSE_LOOP,
		.has_tsc_scaling = value[SECONDARY] & SECONDARY_TSC_SCALING,
		.has_dirty_bits = caps->ept_vpid & EPT_CAP_AD,
		/* SDM 3C 29.3.6: the log is written when a dirty bit is set. On only while it is wanted. */
		.has_log = (may_be_set(caps->secondary) & SECONDARY_PML) && (caps->ept_vpid & EPT_CAP_AD),
		.has_invept_single = caps->ept_vpid & EPT_CAP_INVEPT_SINGLE,
		.has_invvpid_single = caps->ept_vpid & VPID_CAP_SINGLE,
	};
	return NULL;
}

/*
 * VMX operation wants NE set (SDM 3C 24.8). CD and NW would be loaded for good and for the host, too,
 * since entry and exit leave them alone (27.3.2.1): the guest only believes that it has changed them.
 */
u64 vmx_cr0_owned(void) { return CR0_NE | CR0_CD | CR0_NW; }

/*
 * VMXE must be set and is hidden, like all that is not offered. MCE stays on, as a machine check that
 * comes while the guest has it off would stop the whole machine (SDM 3B 16.3.2.1).
 */
u64 vmx_cr4_owned(void) { return ~vmx_ops.limits.cr4 | CR4_VMXE | CR4_MCE; }

static hpa_t msr_map;

/* A bit an MSR: reads of 0 to 1FFFH and of C0000000H to C0001FFFH, then writes of both (SDM 3C 25.6.9). */
static void msr_map_pass(void *context, u32 msr, u32 may)
{
	u8 *map = (u8 *)context + (msr < 0x2000 ? 0 : 1024);
	u32 bit = msr & 0x1fff;

	if (may & MSR_MAY_READ)
		map[bit / 8] &= (u8)~(1u << bit % 8);
	if (may & MSR_MAY_WRITE)
		map[2048 + bit / 8] &= (u8)~(1u << bit % 8);
}

int vmx_controls_init(void)
{
	u8 *map = page_alloc_zeroed();

	if (!map)
		return -ENOMEM;
	memset(map, 0xff, PAGE_BYTES);
	msr_list_each(msr_map_pass, map);
	msr_map = virt_to_phys(map);
	return 0;
}

void vmx_set_primary(struct vmx_vcpu *vcpu, u32 primary)
{
	if (vcpu->primary == primary)
		return;
	vcpu->primary = primary;
	vmwrite(PRIMARY_CONTROLS, primary);
}

void vmx_set_secondary(struct vmx_vcpu *vcpu, u32 secondary)
{
	if (vcpu->secondary == secondary)
		return;
	vcpu->secondary = secondary;
	vmwrite(SECONDARY_CONTROLS, secondary);
}

/* The VMCS is new: what is not written here or by vmx_state_load has no known value (SDM 3C 25.11.3). */
void vmx_controls_setup(struct vmx_vcpu *vcpu)
{
	vmwrite(PIN_CONTROLS, vmx_controls.pin);
	vmx_set_primary(vcpu, vmx_controls.primary);
	vmx_set_secondary(vcpu, vmx_controls.secondary);
	vmwrite(EXIT_CONTROLS, vmx_controls.exit);
	vmwrite(ENTRY_CONTROLS, vmx_controls.entry);
	vmwrite(EXCEPTION_BITMAP, EXCEPTIONS);
	vmwrite(PF_ERROR_MASK, 0);
	vmwrite(PF_ERROR_MATCH, 0);
	vmwrite(CR3_TARGET_COUNT, 0);
	vmwrite(EXIT_MSR_STORE_COUNT, 0);
	vmwrite(EXIT_MSR_LOAD_COUNT, 0);
	vmwrite(ENTRY_MSR_LOAD_COUNT, 0);
	vmwrite(ENTRY_EVENT, 0);
	vmwrite(ENTRY_INSN_LEN, 0);
	vmwrite(MSR_BITMAP, msr_map.value);
	vmwrite(TSC_OFFSET, 0);
	vmwrite(VIRTUAL_APIC, virt_to_phys(vcpu->virtual_apic).value);
	vmwrite(TPR_THRESHOLD, 0);
	vmwrite(EPT_POINTER, vmx_ept_pointer(vcpu->nested));
	vmwrite(VMCS_LINK, VMCS_NO_LINK);
	vmwrite(GUEST_ACTIVITY, 0);
	vmwrite(CR0_MASK, vmx_cr0_owned());
	vmwrite(CR4_MASK, vmx_cr4_owned());
	if (vmx_controls.has_pause_loop) {
		vmwrite(PAUSE_GAP, PAUSE_GAP_TICKS);
		vmwrite(PAUSE_WINDOW, PAUSE_WINDOW_TICKS);
	}
	if (vmx_controls.has_tsc_scaling)
		vmwrite(TSC_MULTIPLIER, BIT(48));
	if (vcpu->log) {
		vmwrite(PML_ADDRESS, virt_to_phys(vcpu->log).value);
		vmwrite(GUEST_PML_INDEX, PML_INDEX_EMPTY);
	}
}
