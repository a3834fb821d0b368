/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * int vmx_run(u64 *gpr, u64 *host_rsp, bool is_launched, u64 guest_spec_ctrl)
 *
 * Interrupts are off: with external-interrupt exiting, one that is pending ends the guest's run at
 * once whatever the flags say (SDM 3C 26.2), so none is lost. VM entry and exit switch RSP, RIP,
 * RFLAGS and the segments; an exit comes back at .Lexit with the stack as it was.
 */

#include "arch/guest_gpr.h"
#include "arch/harden_steps.h"

#define HOST_RSP 0x6c14
#define HOST_RIP 0x6c16

/* enum vmx_result */
#define VMX_FAIL_INVALID 1
#define VMX_FAIL_VALID 2

	.text
	.globl vmx_run
	.type vmx_run, @function
vmx_run:
	push %rbp
	mov %rsp, %rbp
	push %rbx
	push %r12
	push %r13
	push %r14
	push %r15
	push %rcx			/* guest_spec_ctrl */
	push %rdi			/* gpr */

	mov %rcx, %r8
	mov %rdx, %r9
	HARDEN_ENTRY_MSRS %r8
	cmp %rsp, (%rsi)
	je 1f
	mov %rsp, (%rsi)
	mov $HOST_RSP, %eax
	vmwrite %rsp, %rax
	mov $HOST_RIP, %eax
	lea .Lexit(%rip), %r10
	vmwrite %r10, %rax
1:
	test %r9b, %r9b			/* the flag lasts until the branch: MOV leaves it */
	mov RAX_AT(%rdi), %rax
	guest_gpr_load
	jz 2f
	HARDEN_BEFORE_ENTRY
	vmresume
	jmp 3f
2:	HARDEN_BEFORE_ENTRY
	vmlaunch
3:	/* Still here: it failed (SDM 3C 31.2), by CF or by ZF; gpr has all registers as they are. */
	mov $VMX_FAIL_VALID, %eax
	jnc 4f
	mov $VMX_FAIL_INVALID, %eax
4:	mov %eax, %ebx
	jmp 5f

.Lexit:
	HARDEN_AFTER_EXIT
	push %rdi
	mov 8(%rsp), %rdi
	mov %rax, RAX_AT(%rdi)
	guest_gpr_save
	xor %ebx, %ebx			/* VMX_OK */

5:	mov 8(%rsp), %r8
	HARDEN_EXIT_MSRS %r8
	add $16, %rsp
	mov %ebx, %eax

	guest_gpr_clear
	pop %r15
	pop %r14
	pop %r13
	pop %r12
	pop %rbx
	pop %rbp
	ret
	.size vmx_run, . - vmx_run

	.section .note.GNU-stack, "", @progbits
