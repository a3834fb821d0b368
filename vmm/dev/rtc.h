/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's real-time clock. */
#pragma once

#include "vmm/device.h"

extern const struct device_type rtc_type;
