/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's 8254 timer. */
#pragma once

#include "vmm/device.h"

extern const struct device_type pit_type;
