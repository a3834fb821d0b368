/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * void harden_clear_bhb(void), for entry.S only: fills the branch history buffer with
 * taken branches of Tern's own, more than the 194 that CPUs which need it remember (Intel,
 * "Branch History Injection", software sequence). Destroys RAX, RCX and flags.
 *
 * The inner loops are reached by CALL and left by RET, as those count for the history too; the
 * RETs are predicted by the CALLs just made.
 */
#define OUTER 5
#define INNER 5

	.text
	.globl harden_clear_bhb
	.type harden_clear_bhb, @function
harden_clear_bhb:
	mov	$OUTER, %ecx
	call	1f
	lfence
	ret
	.balign	64
1:	call	2f
	ret
	.balign	64
2:	mov	$INNER, %eax
3:	jmp	4f
	nop
4:	dec	%eax
	jnz	3b
	dec	%ecx
	jnz	1b
	ret
	.size harden_clear_bhb, . - harden_clear_bhb

	.section .note.GNU-stack, "", @progbits
