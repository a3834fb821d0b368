/* SPDX-License-Identifier: BSD-2-Clause */
/* The old ports that reset the machine; PCI's is in vmm/dev/pci.c. */
#pragma once

#include "vmm/device.h"

extern const struct device_type reset_type;
