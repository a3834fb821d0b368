/* SPDX-License-Identifier: BSD-2-Clause */
/* The KVM clock, one for each vCPU. vm->lock is held. */
#pragma once

#include "vmm/device.h"

extern const struct device_type kvmclock_type;
