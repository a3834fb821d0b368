/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From exit codes (AMD APM 2 appendix C) to struct hv_exit. What the back end can answer by
 * itself is answered here and becomes HV_EXIT_NONE.
 */
#include "arch/svm/svm.h"

#include "arch/cpu.h"
#include "arch/guest_msr.h"

/*
 * Exits that need no more than a name. Lengths are those without prefixes, for CPUs that do
 * not report the next rip; DECODE where forms of different lengths share the code (WBNOINVD) or
 * QEMU reports one for the other (RDTSCP as RDTSC): there vmm decodes. 0: none is needed.
 */
#define DECODE 0xff
static const struct plain_exit {
	u8 reason; /* enum hv_exit_reason */
	u8 insn_len;
} plain_exits[] = {
	[VMEXIT_CR8_WRITE] = { HV_EXIT_CR8_WRITE, DECODE },
	[VMEXIT_INTR] = { HV_EXIT_HOST_INTERRUPT, 0 },
	[VMEXIT_NMI] = { HV_EXIT_HOST_INTERRUPT, 0 },
	[VMEXIT_SMI] = { HV_EXIT_HOST_INTERRUPT, 0 },
	[VMEXIT_INIT] = { HV_EXIT_HOST_INTERRUPT, 0 },
	[VMEXIT_RDTSC] = { HV_EXIT_RDTSC, DECODE },
	[VMEXIT_RDTSCP] = { HV_EXIT_RDTSC, DECODE },
	[VMEXIT_CPUID] = { HV_EXIT_CPUID, 2 },
	[VMEXIT_INVD] = { HV_EXIT_WBINVD, 2 },
	[VMEXIT_WBINVD] = { HV_EXIT_WBINVD, DECODE },
	[VMEXIT_PAUSE] = { HV_EXIT_PAUSE, 2 },
	[VMEXIT_HLT] = { HV_EXIT_HLT, 1 },
	[VMEXIT_VMMCALL] = { HV_EXIT_HYPERCALL, 3 },
	[VMEXIT_MONITOR] = { HV_EXIT_MWAIT, 3 },
	[VMEXIT_MWAIT] = { HV_EXIT_MWAIT, 3 },
	[VMEXIT_SHUTDOWN] = { HV_EXIT_TRIPLE_FAULT, 0 },
	[VMEXIT_INVLPGA] = { HV_EXIT_UNDEFINED, 0 },
	[VMEXIT_VMRUN] = { HV_EXIT_UNDEFINED, 0 },
	[VMEXIT_VMLOAD] = { HV_EXIT_UNDEFINED, 0 },
	[VMEXIT_VMSAVE] = { HV_EXIT_UNDEFINED, 0 },
	[VMEXIT_STGI] = { HV_EXIT_UNDEFINED, 0 },
	[VMEXIT_CLGI] = { HV_EXIT_UNDEFINED, 0 },
	[VMEXIT_SKINIT] = { HV_EXIT_UNDEFINED, 0 },
	[VMEXIT_RDPRU] = { HV_EXIT_UNDEFINED, 0 },
	[VMEXIT_INVLPGB_ILLEGAL] = { HV_EXIT_UNDEFINED, 0 },
	[VMEXIT_MCOMMIT] = { HV_EXIT_UNDEFINED, 0 },
	[VMEXIT_TLBSYNC] = { HV_EXIT_UNDEFINED, 0 },
};

static u8 insn_len(const struct svm_vcpu *vcpu, u8 without_prefixes)
{
	u64 next = vcpu->vmcb->next_rip;

	/* APM 2 15.7.1: zero when the CPU does not know it. */
	if (svm_ops.limits.has_nrip && next)
		return (u8)(next - vcpu->hv.rip);
	return without_prefixes;
}

static void exit_io(struct svm_vcpu *vcpu, struct hv_exit *exit)
{
	u64 info = vcpu->vmcb->exit_info1;

	exit->reason = HV_EXIT_IO;
	/* APM 2 15.10.2: EXITINFO2 is the rip after the instruction. */
	exit->insn_len = (u8)(vcpu->vmcb->exit_info2 - vcpu->hv.rip);
	exit->io.port = (u16)FIELD(info, 31, 16);
	exit->io.size = (u8)FIELD(info, 6, 4);
	exit->io.is_in = info & IOIO_IN;
	exit->io.is_string = info & IOIO_STRING;
	exit->io.is_rep = info & IOIO_REP;
}

static void exit_nested_fault(struct svm_vcpu *vcpu, struct hv_exit *exit)
{
	u64 info = vcpu->vmcb->exit_info1;

	exit->reason = HV_EXIT_NESTED_FAULT;
	exit->nested.gpa = GPA(vcpu->vmcb->exit_info2);
	exit->nested.is_write = info & NPF_WRITE;
	exit->nested.is_fetch = info & NPF_FETCH;
	exit->nested.is_table_walk = info & NPF_TABLE_WALK;
}

static void exit_msr(struct svm_vcpu *vcpu, struct hv_exit *exit)
{
	struct hv_vcpu *hv = &vcpu->hv;
	bool is_write = vcpu->vmcb->exit_info1;

	exit->insn_len = insn_len(vcpu, 2);
	if (!guest_msr_exit(hv, &svm_ops.limits, is_write, exit))
		return;
	if (is_write && !svm_msr_write(vcpu, exit->msr.index, exit->msr.value)) {
		svm_inject_exception(vcpu, EXCEPTION_GP, true, 0);
		return;
	}
	if (!is_write)
		hv_set_edx_eax(hv, svm_msr_read(vcpu, exit->msr.index));
	svm_skip(hv, exit->insn_len);
}

static void exit_unknown(const struct svm_vcpu *vcpu, struct hv_exit *exit)
{
	const struct vmcb *vmcb = vcpu->vmcb;

	exit->reason = HV_EXIT_UNKNOWN;
	exit->unknown.code = vmcb->exit_code;
	exit->unknown.info[0] = vmcb->exit_info1;
	exit->unknown.info[1] = vmcb->exit_info2;
	exit->why = "an exit that was not asked for";
	if ((u32)vmcb->exit_code == VMEXIT_INVALID) {
		exit->reason = HV_EXIT_ENTRY_FAILED;
		exit->why = vcpu->invalid_since_load ? vcpu->invalid_since_load : svm_why_invalid(vcpu);
		if (!exit->why)
			exit->why = "none of the rules of APM 2 15.5.1 that Tern knows is broken";
	} else if ((u32)vmcb->exit_code == VMEXIT_BUSY) {
		exit->reason = HV_EXIT_ENTRY_FAILED;
		exit->why = "the VMCB is in use";
	}
}

static void exit_plain(struct svm_vcpu *vcpu, struct hv_exit *exit)
{
	u64 code = vcpu->vmcb->exit_code;
	struct plain_exit plain = { HV_EXIT_NONE, 0 };

	if (code < ARRAY_COUNT(plain_exits))
		plain = plain_exits[code];
	if (plain.reason == HV_EXIT_NONE) {
		exit_unknown(vcpu, exit);
		return;
	}
	exit->reason = plain.reason;
	if (plain.insn_len)
		exit->insn_len = insn_len(vcpu, plain.insn_len == DECODE ? 0 : plain.insn_len);
	if (plain.reason == HV_EXIT_RDTSC)
		exit->is_rdtscp = code == VMEXIT_RDTSCP;
	else if (plain.reason == HV_EXIT_HOST_INTERRUPT)
		cpu_irq_window();
}

void svm_exit_decode(struct svm_vcpu *vcpu, struct hv_exit *exit)
{
	exit->insn_len = 0;
	exit->why = NULL;
	switch (vcpu->vmcb->exit_code) {
	case VMEXIT_IOIO:
		exit_io(vcpu, exit);
		return;
	case VMEXIT_NPF:
		exit_nested_fault(vcpu, exit);
		return;
	case VMEXIT_MSR:
		exit_msr(vcpu, exit);
		return;
	case VMEXIT_XSETBV:
		guest_xsetbv_exit(&vcpu->hv, exit);
		exit->insn_len = insn_len(vcpu, 3);
		return;
	case VMEXIT_VINTR:
		exit->reason = HV_EXIT_IRQ_WINDOW;
		vcpu->hv.want_irq_window = false;
		return;
	case VMEXIT_IRET:
		svm_exit_iret(vcpu, exit);
		return;
	case VMEXIT_EXCP_DB:
		svm_exit_db(vcpu, exit);
		return;
	case VMEXIT_EXCP_AC:
		/* Given back for the same reason as #DB (CVE-2015-5307). */
		svm_inject_exception(vcpu, EXCEPTION_AC, true, 0);
		exit->reason = HV_EXIT_NONE;
		return;
	case VMEXIT_EXCP_MC:
		/* APM 2 15.12.15: an intercepted #MC is not pending any more; the host's handler must see it. */
		__asm__ volatile("int $18" : : : "memory");
		exit->reason = HV_EXIT_HOST_INTERRUPT;
		return;
	case VMEXIT_RDPMC:
		/* No counter is offered, so none has this number (APM 3 RDPMC). */
		svm_inject_exception(vcpu, EXCEPTION_GP, true, 0);
		exit->reason = HV_EXIT_NONE;
		return;
	default:
		exit_plain(vcpu, exit);
	}
}
