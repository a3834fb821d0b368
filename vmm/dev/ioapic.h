/* SPDX-License-Identifier: BSD-2-Clause */
/* The IO-APIC: 24 pins at 0xFEC00000. vm->lock is held. */
#pragma once

#include "vmm/device.h"

#define IOAPIC_BASE 0xfec00000ull
#define IOAPIC_PINS 24

extern const struct device_type ioapic_type;

void ioapic_set_pin(struct device *dev, unsigned pin, bool is_high);
/* A local APIC ended a level-triggered interrupt. */
void ioapic_eoi(struct device *dev, u8 vector);
