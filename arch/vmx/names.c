/* SPDX-License-Identifier: BSD-2-Clause */
/* Numbers that VT-x gives, in the manual's words: for logs and for the operator. */
#include "arch/vmx/why.h"

#include "kernel/bits.h"

/* SDM 3C 31.4, table 31-1. */
static const char *const instruction_errors[] = {
	[1] = "VMCALL in VMX root operation",
	[2] = "VMCLEAR with an invalid physical address",
	[3] = "VMCLEAR with the VMXON pointer",
	[4] = "VMLAUNCH with a VMCS that is not clear",
	[5] = "VMRESUME with a VMCS that was not launched",
	[6] = "VMRESUME after VMXOFF",
	[7] = "VM entry with invalid control fields",
	[8] = "VM entry with invalid host-state fields",
	[9] = "VMPTRLD with an invalid physical address",
	[10] = "VMPTRLD with the VMXON pointer",
	[11] = "VMPTRLD of a VMCS with another revision identifier",
	[12] = "VMREAD or VMWRITE of a field that this CPU has not",
	[13] = "VMWRITE to a read-only field",
	[15] = "VMXON in VMX root operation",
	[16] = "VM entry with an invalid executive-VMCS pointer",
	[17] = "VM entry with an executive VMCS that was not launched",
	[18] = "VM entry with an executive-VMCS pointer that is not the VMXON pointer",
	[19] = "VMCALL with a VMCS that is not clear",
	[20] = "VMCALL with invalid VM-exit control fields",
	[22] = "VMCALL with an incorrect MSEG revision identifier",
	[23] = "VMXOFF under dual-monitor treatment of SMIs and SMM",
	[24] = "VMCALL with invalid SMM-monitor features",
	[25] = "VM entry with invalid VM-execution control fields in the executive VMCS",
	[26] = "VM entry while events are blocked by MOV SS",
	[28] = "invalid operand to INVEPT or INVVPID",
};

/* SDM 3D appendix C, table C-1. */
static const char *const exit_reasons[] = {
	"exception or NMI", "external interrupt", "triple fault", "INIT signal", "start-up IPI",
	"I/O SMI", "other SMI", "interrupt window", "NMI window", "task switch", "CPUID", "GETSEC", "HLT",
	"INVD", "INVLPG", "RDPMC", "RDTSC", "RSM", "VMCALL", "VMCLEAR", "VMLAUNCH", "VMPTRLD", "VMPTRST",
	"VMREAD", "VMRESUME", "VMWRITE", "VMXOFF", "VMXON", "control-register access", "MOV DR",
	"I/O instruction", "RDMSR", "WRMSR", "entry failure: invalid guest state",
	"entry failure: MSR loading", NULL, "MWAIT", "monitor trap flag", NULL, "MONITOR", "PAUSE",
	"entry failure: machine check", NULL, "TPR below threshold", "APIC access", "virtualized EOI",
	"access to GDTR or IDTR", "access to LDTR or TR", "EPT violation", "EPT misconfiguration", "INVEPT",
	"RDTSCP", "VMX-preemption timer", "INVVPID", "WBINVD or WBNOINVD", "XSETBV", "APIC write",
	"RDRAND", "INVPCID", "VMFUNC", "ENCLS", "RDSEED", "page-modification log full", "XSAVES",
	"XRSTORS", "PCONFIG", "SPP-related event", "UMWAIT", "TPAUSE", "LOADIWKEY", "ENCLV", NULL,
	"ENQCMD PASID translation", "ENQCMDS PASID translation", "bus lock", "instruction timeout",
	"SEAMCALL", "TDCALL", "RDMSRLIST", "WRMSRLIST",
};
_Static_assert(ARRAY_COUNT(exit_reasons) == 80, "SDM 3D table C-1 has 0 to 79");

const char *vmx_instruction_error(u32 number)
{
	const char *words = number < ARRAY_COUNT(instruction_errors) ? instruction_errors[number] : NULL;

	return words ? words : "an error number that the manual does not list";
}

const char *vmx_exit_reason_name(u32 reason)
{
	const char *words = (u16)reason < ARRAY_COUNT(exit_reasons) ? exit_reasons[(u16)reason] : NULL;

	return words ? words : "an exit that the manual does not list";
}
