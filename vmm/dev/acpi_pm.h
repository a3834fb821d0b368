/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI fixed hardware. vm->lock is held. */
#pragma once

#include "vmm/device.h"

/* What the FADT says (vmm/acpi_tables.c). */
#define ACPI_PM_EVENT_PORT 0x600
#define ACPI_PM_EVENT_BYTES 4
#define ACPI_PM_CONTROL_PORT 0x604
#define ACPI_PM_CONTROL_BYTES 2
#define ACPI_PM_TIMER_PORT 0x608
#define ACPI_PM_TIMER_BYTES 4
/* SLP_TYP of \_S5, also in vmm/dev/dsdt.asl. */
#define ACPI_PM_S5 5

extern const struct device_type acpi_pm_type;

/* Somebody presses the power button. */
void acpi_pm_press_button(struct device *dev);
