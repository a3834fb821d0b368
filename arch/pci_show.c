/* SPDX-License-Identifier: BSD-2-Clause */
/* The command host pci: what is on the buses, who drives it, how it interrupts. */
#include "arch/pci.h"
#include "kernel/shell.h"

static void show_bars(struct shell *shell, const struct pci_device *device)
{
	json_open_array(shell, "bars");
	for (unsigned i = 0; i < PCI_BAR_COUNT; i++) {
		const struct pci_bar *bar = &device->bar[i];

		if (!bar->bytes)
			continue;
		shell_print(shell, "    %s %#llx, %llu bytes%s\n", bar->is_io ? "ports " : "memory",
			    (unsigned long long)bar->address, (unsigned long long)bar->bytes,
			    bar->is_prefetchable ? ", prefetchable" : "");
		json_open_object(shell, NULL);
		json_u64(shell, "bar", i);
		json_bool(shell, "is_io", bar->is_io);
		json_u64(shell, "address", bar->address);
		json_u64(shell, "bytes", bar->bytes);
		json_close_object(shell);
	}
	json_close_array(shell);
}

static void show_device(struct shell *shell, const struct pci_device *device)
{
	const char *driver = device->driver ? device->driver->name : NULL;

	shell_print(shell, "%s  %04x:%04x  class %02x%02x  %-12s %s\n", device->name, device->vendor,
		    device->device, device->class, device->subclass, driver ? driver : "-",
		    driver ? pci_irq_kind(device) : "");
	json_open_object(shell, NULL);
	json_string(shell, "address", device->name);
	json_u64(shell, "vendor", device->vendor);
	json_u64(shell, "device", device->device);
	json_u64(shell, "class", device->class);
	json_u64(shell, "subclass", device->subclass);
	json_string(shell, "driver", driver);
	json_string(shell, "interrupt", driver ? pci_irq_kind(device) : NULL);
	show_bars(shell, device);
	json_close_object(shell);
}

static enum cmd_result run_pci(struct shell *shell, const struct cmd_args *args)
{
	struct pci_device *device;

	(void)args;
	json_open_array(shell, "devices");
	for (unsigned i = 0; (device = pci_get(i)) != NULL; i++)
		show_device(shell, device);
	json_close_array(shell);
	return CMD_OK;
}

SHELL_COMMAND(pci) = {
	.noun = "host",
	.verb = "pci",
	.usage = "host pci",
	.help = "PCI functions, their drivers and resources.",
	.run = run_pci,
};
