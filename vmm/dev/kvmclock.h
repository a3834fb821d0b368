/* SPDX-License-Identifier: BSD-2-Clause */
/* The KVM clock, one for each vCPU. vm->lock is held. */
#pragma once

#include "vmm/device.h"

struct vcpu;

extern const struct device_type kvmclock_type;

/* The vCPU's TSC was set to another value: its page says so at once. */
void kvmclock_update(struct vcpu *vcpu);
