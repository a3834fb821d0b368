/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Answer an exit: one handler a reason.
 *
 * Handlers return nothing for the guest's mistakes: they inject what hardware would, or end
 * the VM where hardware has no answer. Each handler that completes an instruction skips it.
 */
#include "vmm/exit.h"
#include "arch/cpu.h"
#include "vmm/bus.h"
#include "vmm/cpuid.h"
#include "vmm/insn.h"
#include "vmm/irq.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

#define KVM_HC_VAPIC_POLL_IRQ 1
#define KVM_ENOSYS 1000
#define KVM_EPERM 1

#define XCR0_X87 BIT(0)
#define XCR0_SSE BIT(1)
#define XCR0_AVX BIT(2)
#define XCR0_AVX512 BITS(7, 5)

static void exit_skip(struct vcpu *vcpu)
{
	u8 length = vcpu->exit.insn_len ? vcpu->exit.insn_len : insn_length(vcpu);

	if (length)
		hv->skip(vcpu->hv, length);
	else
		vm_kill(vcpu->vm, "instruction cannot be read at rip", vcpu->hv->rip);
}

/* RAX as an instruction with an operand of this size leaves it: 32 bits clear the upper half. */
static void write_rax(struct vcpu *vcpu, u8 size, u64 value)
{
	u64 *rax = &vcpu->hv->gpr[RAX];
	u64 mask = BITS(size * 8u - 1, 0);

	*rax = size == 4 ? (u32)value : (*rax & ~mask) | (value & mask);
}

static enum exit_result exit_nothing(struct vcpu *vcpu)
{
	(void)vcpu;
	return EXIT_AGAIN;
}

static enum exit_result exit_hlt(struct vcpu *vcpu)
{
	exit_skip(vcpu);
	vcpu->activity = VCPU_HALTED;
	return EXIT_AGAIN;
}

static enum exit_result exit_pause(struct vcpu *vcpu)
{
	exit_skip(vcpu);
	return EXIT_YIELD;
}

static enum exit_result exit_io(struct vcpu *vcpu)
{
	u16 port = vcpu->exit.io.port;
	u8 size = vcpu->exit.io.size;

	if (vcpu->exit.io.is_string) {
		insn_string_io(vcpu);
		return EXIT_AGAIN;
	}
	if (vcpu->exit.io.is_in)
		write_rax(vcpu, size, bus_port_read(vcpu, port, size));
	else
		bus_port_write(vcpu, port, size, vcpu->hv->gpr[RAX]);
	exit_skip(vcpu);
	return EXIT_AGAIN;
}

static enum exit_result exit_nested_fault(struct vcpu *vcpu)
{
	u64 gpa = vcpu->exit.nested.gpa.value;

	/* RAM is always mapped: if not tracking, it was a change in the making, or a stale translation. */
	if (gmem_is_ram(&vcpu->vm->gmem, GPA(gpa), 1)) {
		if (!track_fault(vcpu->vm, GPA(gpa)))
			hv->flush(vcpu->hv);
		return EXIT_AGAIN;
	}
	if (vcpu->exit.nested.is_fetch)
		vm_kill(vcpu->vm, "runs code outside of RAM, at", gpa);
	else if (vcpu->exit.nested.is_table_walk)
		vm_kill(vcpu->vm, "has page tables outside of RAM, at", gpa);
	else
		insn_mmio(vcpu, gpa, vcpu->exit.nested.is_write);
	return EXIT_AGAIN;
}

static enum exit_result exit_cpuid(struct vcpu *vcpu)
{
	cpuid_exit(vcpu);
	exit_skip(vcpu);
	return EXIT_AGAIN;
}

static enum exit_result exit_msr_read(struct vcpu *vcpu)
{
	u64 value = 0;

	if (bus_msr_read(vcpu, vcpu->exit.msr.index, &value) != BUS_MSR_DONE) {
		vcpu_inject_gp(vcpu, 0);
		return EXIT_AGAIN;
	}
	hv_set_edx_eax(vcpu->hv, value);
	exit_skip(vcpu);
	return EXIT_AGAIN;
}

static enum exit_result exit_msr_write(struct vcpu *vcpu)
{
	if (bus_msr_write(vcpu, vcpu->exit.msr.index, vcpu->exit.msr.value) == BUS_MSR_DONE)
		exit_skip(vcpu);
	else
		vcpu_inject_gp(vcpu, 0);
	return EXIT_AGAIN;
}

/* SDM 2D XSETBV and 1 13.3: which combinations of components are #GP(0). */
static bool is_xcr0_allowed(const struct vcpu *vcpu, u64 value)
{
	if ((value & ~hv->limits.xcr0) || !(value & XCR0_X87))
		return false;
	if ((value & XCR0_AVX) && !(value & XCR0_SSE))
		return false;
	if ((value & XCR0_AVX512) && ((value & XCR0_AVX512) != XCR0_AVX512 || !(value & XCR0_AVX)))
		return false;
	return cpuid_allows_xcr0(&vcpu->vm->cpuid, value);
}

static enum exit_result exit_xsetbv(struct vcpu *vcpu)
{
	u64 value = vcpu->exit.xsetbv.value;

	if (vcpu->exit.xsetbv.index || !is_xcr0_allowed(vcpu, value)) {
		vcpu_inject_gp(vcpu, 0);
		return EXIT_AGAIN;
	}
	hv->set_xcr0(vcpu->hv, value);
	exit_skip(vcpu);
	return EXIT_AGAIN;
}

/* Linux Documentation/virt/kvm/x86/hypercalls.rst: number in RAX, answer in RAX, ring 0 only. */
static enum exit_result exit_hypercall(struct vcpu *vcpu)
{
	u64 *rax = &vcpu->hv->gpr[RAX];
	struct hv_mode mode;

	hv->mode(vcpu->hv, &mode);
	if (mode.cpl)
		*rax = (u64)-KVM_EPERM;
	else
		*rax = *rax == KVM_HC_VAPIC_POLL_IRQ ? 0 : (u64)-KVM_ENOSYS;
	exit_skip(vcpu);
	return EXIT_AGAIN;
}

static enum exit_result exit_rdtsc(struct vcpu *vcpu)
{
	struct hv_exit *exit = &vcpu->exit;

	/* Where the back end cannot tell which: 0F 31 or 0F 01 F9. */
	if (!exit->insn_len) {
		exit->insn_len = insn_length(vcpu);
		exit->is_rdtscp = insn_is_rdtscp(vcpu);
	}
	hv_set_edx_eax(vcpu->hv, vtime_tsc_now(vcpu->vm) + vcpu->tsc_adjust);
	if (exit->is_rdtscp)
		vcpu->hv->gpr[RCX] = hv->tsc_aux(vcpu->hv);
	exit_skip(vcpu);
	return EXIT_AGAIN;
}

/* SDM 3A 11.8.6: bits 63:4 are reserved. */
static enum exit_result exit_cr8_write(struct vcpu *vcpu)
{
	u64 value;
	u8 length;

	if (!insn_cr8_write(vcpu, &value, &length)) {
		vm_kill(vcpu->vm, "MOV to CR8 cannot be read at rip", vcpu->hv->rip);
	} else if (value & ~0xfull) {
		vcpu_inject_gp(vcpu, 0);
	} else {
		irq_set_tpr(vcpu, (u8)value);
		hv->skip(vcpu->hv, length);
	}
	return EXIT_AGAIN;
}

/* Guest memory is write-back and coherent whatever the guest's caches would be told. */
static enum exit_result exit_wbinvd(struct vcpu *vcpu)
{
	exit_skip(vcpu);
	return EXIT_AGAIN;
}

static enum exit_result exit_undefined(struct vcpu *vcpu)
{
	vcpu_inject_ud(vcpu);
	return EXIT_AGAIN;
}

static enum exit_result exit_triple_fault(struct vcpu *vcpu)
{
	vm_kill(vcpu->vm, "triple fault at rip", vcpu->hv->rip);
	return EXIT_AGAIN;
}

static enum exit_result exit_impossible(struct vcpu *vcpu)
{
	const char *why = vcpu->exit.why ? vcpu->exit.why : "exit without a name";

	vm_kill(vcpu->vm, why, vcpu->exit.unknown.code);
	return EXIT_AGAIN;
}

static enum exit_result (*const exit_handlers[])(struct vcpu *vcpu) = {
	[HV_EXIT_NONE] = exit_nothing,
	[HV_EXIT_HOST_INTERRUPT] = exit_nothing,
	[HV_EXIT_IRQ_WINDOW] = exit_nothing,
	[HV_EXIT_NMI_WINDOW] = exit_nothing,
	[HV_EXIT_HLT] = exit_hlt,
	[HV_EXIT_PAUSE] = exit_pause,
	[HV_EXIT_IO] = exit_io,
	[HV_EXIT_NESTED_FAULT] = exit_nested_fault,
	[HV_EXIT_CPUID] = exit_cpuid,
	[HV_EXIT_MSR_READ] = exit_msr_read,
	[HV_EXIT_MSR_WRITE] = exit_msr_write,
	[HV_EXIT_XSETBV] = exit_xsetbv,
	[HV_EXIT_HYPERCALL] = exit_hypercall,
	[HV_EXIT_RDTSC] = exit_rdtsc,
	[HV_EXIT_CR8_WRITE] = exit_cr8_write,
	[HV_EXIT_WBINVD] = exit_wbinvd,
	[HV_EXIT_MWAIT] = exit_undefined,
	[HV_EXIT_UNDEFINED] = exit_undefined,
	[HV_EXIT_TRIPLE_FAULT] = exit_triple_fault,
	[HV_EXIT_INIT] = exit_nothing,
	[HV_EXIT_LOG_FULL] = exit_nothing,
	[HV_EXIT_ENTRY_FAILED] = exit_impossible,
	[HV_EXIT_UNKNOWN] = exit_impossible,
};
_Static_assert(ARRAY_COUNT(exit_handlers) == HV_EXIT_UNKNOWN + 1, "a reason without a handler");

enum exit_result exit_handle(struct vcpu *vcpu)
{
	vcpu->exit_count[vcpu->exit.reason]++;
	return exit_handlers[vcpu->exit.reason](vcpu);
}
