/* SPDX-License-Identifier: BSD-2-Clause */
/* The guests on the status page, and how to have one. CPU 0. */
#include "arch/hv.h"
#include "kernel/bootfile.h"
#include "kernel/status.h"
#include "kernel/string.h"
#include "vmm/vm.h"
#include "vmm/vm_commands.h"

static struct vm *nth_vm(unsigned index)
{
	list_for_each(vm, &vm_list, struct vm, link)
		if (index-- == 0)
			return vm;
	return NULL;
}

static bool guests_line(unsigned index, struct status_line *line)
{
	const struct vm *vm = nth_vm(index);
	enum status_level level;

	if (!vm)
		return index == 0 && status_say(line, STATUS_PLAIN, "none");
	level = vm->state == VM_RUNNING ? STATUS_GOOD : vm->state == VM_STOPPED ? STATUS_WARN : STATUS_PLAIN;
	return status_say(line, level, "%s: %s%s%s, %lluM, %u vCPU%s", vm->config.name, vm_state_name(vm->state),
			  vm->why[0] ? ", " : "", vm->why, (unsigned long long)(vm->config.ram_bytes / MIB),
			  vm->config.vcpu_count, vm->config.vcpu_count == 1 ? "" : "s");
}

/* A file of the boot volume that looks like a guest's kernel; what a user puts there is his own choice. */
static const char *kernel_file(void)
{
	const char *name;

	for (unsigned i = 0; (name = boot_file_name(i)); i++) {
		if (strstr(name, "vmlinu") || strstr(name, "bzImage") || strstr(name, ".elf"))
			return name;
	}
	return NULL;
}

static bool guests_next(struct status_line *line)
{
	const char *kernel = kernel_file();

	if (!hv)
		return false;
	list_for_each(vm, &vm_list, struct vm, link) {
		if (vm->state == VM_CREATED || vm->state == VM_STOPPED)
			return status_say(line, STATUS_PLAIN, "vm start %s", vm->config.name);
		if (vm->state == VM_PAUSED)
			return status_say(line, STATUS_PLAIN, "vm resume %s", vm->config.name);
	}
	if (nth_vm(0))
		return false;
	if (!kernel)
		return status_say(line, STATUS_PLAIN, "put a guest's kernel beside tern.conf on the boot volume and start "
				  "again; then: vm create NAME kernel=FILE mem=256M");
	return status_say(line, STATUS_PLAIN, "vm create web1 kernel=%s mem=256M", kernel);
}

STATUS_SOURCE(40, guests_status) = { .label = "Guests", .line = guests_line, .next = guests_next };
