/* SPDX-License-Identifier: BSD-2-Clause */
/* The ports that reset the machine. */
#pragma once

#include "vmm/device.h"

/* What the FADT names as its reset register, and the value. */
#define RESET_CONTROL_PORT 0xcf9
#define RESET_CONTROL_FULL 0x06

extern const struct device_type reset_type;
