/* SPDX-License-Identifier: BSD-2-Clause */
/* Answers exits, once for both vendors. */
#pragma once

#include "vmm/vcpu.h"

enum exit_result {
	EXIT_AGAIN, /* enter again */
	EXIT_YIELD, /* the guest has nothing urgent to do: let others have the CPU first */
};

/* Acts on vcpu->exit. On the vCPU's CPU with vm->lock held. */
enum exit_result exit_handle(struct vcpu *vcpu);
