/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From exit reasons (SDM 3D appendix C) to struct hv_exit. What the back end can answer by
 * itself is answered here and becomes HV_EXIT_NONE.
 */
#include "arch/vmx/vmx.h"

#include "arch/cpu.h"
#include "arch/guest_msr.h"
#include "arch/vmx/why.h"

/* Exits that need no more than a name, and whether the CPU tells the length of an instruction. */
static const struct plain_exit {
	u8 reason; /* enum hv_exit_reason */
	bool has_insn;
} plain_exits[EXIT_REASON_COUNT] = {
	[EXIT_TRIPLE_FAULT] = { HV_EXIT_TRIPLE_FAULT, false },
	[EXIT_INIT] = { HV_EXIT_INIT, false },
	[EXIT_SIPI] = { HV_EXIT_INIT, false },
	[EXIT_NMI_WINDOW] = { HV_EXIT_NMI_WINDOW, false },
	[EXIT_CPUID] = { HV_EXIT_CPUID, true },
	[EXIT_HLT] = { HV_EXIT_HLT, true },
	[EXIT_INVD] = { HV_EXIT_WBINVD, true },
	[EXIT_WBINVD] = { HV_EXIT_WBINVD, true },
	[EXIT_VMCALL] = { HV_EXIT_HYPERCALL, true },
	[EXIT_MWAIT] = { HV_EXIT_MWAIT, true },
	[EXIT_MONITOR] = { HV_EXIT_MWAIT, true },
	[EXIT_PAUSE] = { HV_EXIT_PAUSE, true },
	[EXIT_LOG_FULL] = { HV_EXIT_LOG_FULL, false },
	[EXIT_GETSEC] = { HV_EXIT_UNDEFINED, false },
	[EXIT_VMCLEAR] = { HV_EXIT_UNDEFINED, false },
	[EXIT_VMLAUNCH] = { HV_EXIT_UNDEFINED, false },
	[EXIT_VMPTRLD] = { HV_EXIT_UNDEFINED, false },
	[EXIT_VMPTRST] = { HV_EXIT_UNDEFINED, false },
	[EXIT_VMREAD] = { HV_EXIT_UNDEFINED, false },
	[EXIT_VMRESUME] = { HV_EXIT_UNDEFINED, false },
	[EXIT_VMWRITE] = { HV_EXIT_UNDEFINED, false },
	[EXIT_VMXOFF] = { HV_EXIT_UNDEFINED, false },
	[EXIT_VMXON] = { HV_EXIT_UNDEFINED, false },
	[EXIT_INVEPT] = { HV_EXIT_UNDEFINED, false },
	[EXIT_INVVPID] = { HV_EXIT_UNDEFINED, false },
	[EXIT_VMFUNC] = { HV_EXIT_UNDEFINED, false },
};

static u8 insn_len(void) { return (u8)vmread(EXIT_INSN_LEN); }

static void exit_io(struct hv_exit *exit)
{
	u64 info = vmread(EXIT_QUALIFICATION);

	exit->reason = HV_EXIT_IO;
	exit->insn_len = insn_len();
	exit->io.port = (u16)FIELD(info, 31, 16);
	exit->io.size = (u8)(FIELD(info, 2, 0) + 1);
	exit->io.is_in = info & QUALIFICATION_IO_IN;
	exit->io.is_string = info & QUALIFICATION_IO_STRING;
	exit->io.is_rep = info & QUALIFICATION_IO_REP;
}

/* SDM 3C 28.2.3: as for exceptions, an IRET that met it has unblocked NMIs and will run again. */
static void keep_nmi_blocked(struct vmx_vcpu *vcpu, u64 qualification)
{
	if (UNLIKELY(qualification & QUALIFICATION_NMI_UNBLOCKED) && !(vmread(IDT_EVENT) & EVENT_VALID))
		vcpu->hv.is_nmi_blocked = true;
}

static void exit_nested_fault(struct vmx_vcpu *vcpu, struct hv_exit *exit)
{
	u64 info = vmread(EXIT_QUALIFICATION);
	bool is_linear = info & QUALIFICATION_EPT_LINEAR;

	keep_nmi_blocked(vcpu, info);
	exit->reason = HV_EXIT_NESTED_FAULT;
	exit->nested.gpa = GPA(vmread(GUEST_PHYSICAL_ADDRESS));
	exit->nested.is_write = info & QUALIFICATION_EPT_WRITE;
	exit->nested.is_fetch = info & QUALIFICATION_EPT_FETCH;
	exit->nested.is_table_walk = is_linear && !(info & QUALIFICATION_EPT_TRANSLATED);
}

static void exit_msr(struct vmx_vcpu *vcpu, struct hv_exit *exit, bool is_write)
{
	struct hv_vcpu *hv = &vcpu->hv;

	exit->insn_len = insn_len();
	if (!guest_msr_exit(hv, &vmx_ops.limits, is_write, exit))
		return;
	if (is_write && !vmx_msr_write(vcpu, exit->msr.index, exit->msr.value)) {
		vmx_inject_exception(vcpu, EXCEPTION_GP, true, 0);
		return;
	}
	if (!is_write)
		hv_set_edx_eax(hv, vmx_msr_read(vcpu, exit->msr.index));
	vmx_skip(hv, exit->insn_len);
}

static void exit_unknown(u64 reason, struct hv_exit *exit)
{
	exit->reason = HV_EXIT_UNKNOWN;
	exit->unknown.code = reason;
	exit->unknown.info[0] = vmread(EXIT_QUALIFICATION);
	exit->unknown.info[1] = vmread(GUEST_PHYSICAL_ADDRESS);
	exit->why = vmx_exit_reason_name((u32)reason);
	if (reason == EXIT_TASK_SWITCH)
		exit->why = "the guest switches tasks by hardware, which this CPU leaves to software and Tern does "
			    "not do";
}

static void exit_plain(u64 reason, struct hv_exit *exit)
{
	struct plain_exit plain = { HV_EXIT_NONE, false };

	if (reason < ARRAY_COUNT(plain_exits))
		plain = plain_exits[reason];
	if (plain.reason == HV_EXIT_NONE) {
		exit_unknown(reason, exit);
		return;
	}
	exit->reason = plain.reason;
	if (plain.has_insn)
		exit->insn_len = insn_len();
}

void vmx_exit_decode(struct vmx_vcpu *vcpu, struct hv_exit *exit)
{
	u64 full = vmread(EXIT_REASON);
	u64 reason = full & EXIT_REASON_BASIC;

	exit->insn_len = 0;
	exit->why = NULL;
	if (UNLIKELY(full & EXIT_REASON_ENTRY_FAILED)) {
		vmx_exit_entry_failed(vcpu, (u32)reason, exit);
		return;
	}
	switch (reason) {
	case EXIT_HOST_INTERRUPT:
		exit->reason = HV_EXIT_HOST_INTERRUPT;
		cpu_irq_window();
		return;
	case EXIT_EXCEPTION_OR_NMI:
		vmx_exit_exception(vcpu, exit);
		return;
	case EXIT_IO:
		exit_io(exit);
		return;
	case EXIT_EPT_VIOLATION:
		exit_nested_fault(vcpu, exit);
		return;
	case EXIT_LOG_FULL:
		keep_nmi_blocked(vcpu, vmread(EXIT_QUALIFICATION));
		exit_plain(reason, exit);
		return;
	case EXIT_RDMSR:
	case EXIT_WRMSR:
		exit_msr(vcpu, exit, reason == EXIT_WRMSR);
		return;
	case EXIT_XSETBV:
		guest_xsetbv_exit(&vcpu->hv, exit);
		exit->insn_len = insn_len();
		return;
	case EXIT_CR_ACCESS:
		vmx_exit_cr(vcpu, exit);
		return;
	case EXIT_RDTSC:
	case EXIT_RDTSCP:
		exit->reason = HV_EXIT_RDTSC;
		exit->insn_len = insn_len();
		exit->is_rdtscp = reason == EXIT_RDTSCP;
		return;
	case EXIT_INTERRUPT_WINDOW:
	case EXIT_TPR_BELOW_THRESHOLD:
		exit->reason = HV_EXIT_IRQ_WINDOW;
		vcpu->hv.want_irq_window = false;
		return;
	case EXIT_RDPMC:
		/* No counter is offered, so none has this number (SDM 2B RDPMC). */
		vmx_inject_exception(vcpu, EXCEPTION_GP, true, 0);
		exit->reason = HV_EXIT_NONE;
		return;
	default:
		exit_plain(reason, exit);
	}
}
