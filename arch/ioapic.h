/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's IO-APICs: only the ISA lines of the serial ports use them; PCI devices use MSI. */
#pragma once

#include "arch/trap.h"

/* Maps the MADT's IO-APICs and masks every line, the 8259 pair's too. After acpi_init. */
void ioapic_init(void);
/* Sends ISA line irq (after the MADT's overrides) to the calling CPU. 0 or negative errno. */
int ioapic_route_isa(u8 irq, irq_handler handler, void *context);
