/* SPDX-License-Identifier: BSD-2-Clause */
/* The MSRs of a vCPU that neither hardware nor another device keeps. */
#pragma once

#include "vmm/device.h"

extern const struct device_type msr_type;
