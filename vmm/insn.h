/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Carry out for the guest the instruction at which it left: MMIO, INS and OUTS. On the
 * vCPU's CPU with vm->lock held. The guest gets what hardware would give (a fault, a
 * retry); an instruction that is not known here ends the VM with its bytes.
 */
#pragma once

#include "kernel/types.h"

struct vcpu;

/* The instruction that touched gpa, which is not RAM. */
void insn_mmio(struct vcpu *vcpu, u64 gpa, bool is_write);
/* INS or OUTS, with or without REP, bounded; the guest comes back for the rest. */
void insn_string_io(struct vcpu *vcpu);
/* MOV to CR8: the value that it would write and its length; false if it is something else. */
bool insn_cr8_write(struct vcpu *vcpu, u64 *value, u8 *length);
/* RDTSCP, and not RDTSC, is at the guest's RIP. */
bool insn_is_rdtscp(struct vcpu *vcpu);
/* Length of the instruction at the guest's RIP; 0 if it cannot be read or decoded. */
u8 insn_length(struct vcpu *vcpu);
