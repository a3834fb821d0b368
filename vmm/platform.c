/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's machine: a PC without a keyboard or firmware, and with an empty PCI bus.
 *
 * vm.c has attached time (vmm/vtime.h) before. The interrupt controllers come first here, since
 * devices tell them their lines when they start.
 */
#include "vmm/platform.h"
#include "vmm/dev/acpi_pm.h"
#include "vmm/dev/ioapic.h"
#include "vmm/dev/kvmclock.h"
#include "vmm/dev/lapic.h"
#include "vmm/dev/pci.h"
#include "vmm/dev/pic.h"
#include "vmm/dev/pit.h"
#include "vmm/dev/reset.h"
#include "vmm/dev/rtc.h"
#include "vmm/dev/uart.h"
#include "vmm/vm.h"

static const struct device_type *const types[] = {
	&kvmclock_type,
	&lapic_type,
	&ioapic_type,
	&pic_type,
	&pit_type,
	&rtc_type,
	&acpi_pm_type,
	&pci_type,
	&reset_type,
	&uart_type,
};

int platform_attach(struct vm *vm)
{
	int err = 0;

	for (unsigned i = 0; i < ARRAY_COUNT(types) && !err; i++)
		err = vm_attach(vm, types[i]);
	return err;
}

void platform_power_button(struct vm *vm)
{
	acpi_pm_press_button(vm_device(vm, &acpi_pm_type, 0));
}
