/* SPDX-License-Identifier: BSD-2-Clause */
/* The PCI bus, and the reset register among its ports. */
#pragma once

#include "vmm/device.h"

/* What the FADT names as its reset register, and the value. */
#define PCI_RESET_PORT 0xcf9
#define PCI_RESET_FULL 0x06

extern const struct device_type pci_type;
