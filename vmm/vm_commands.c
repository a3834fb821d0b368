/* SPDX-License-Identifier: BSD-2-Clause */
/* vm list, create, start, stop, pause, resume, destroy, console. CPU 0. */
#include "kernel/bootfile.h"
#include "kernel/errno.h"
#include "kernel/shell.h"
#include "kernel/string.h"
#include "vmm/console.h"
#include "vmm/vm_commands.h"
#include "vmm/vm_options.h"

SHELL_ERROR(no_such_vm, "E-NO-SUCH-VM", "No VM on this host has the name; vm list shows them.");
SHELL_ERROR(vm_exists, "E-VM-EXISTS", "A VM of the name exists on this host.");
SHELL_ERROR(bad_value, "E-BAD-VALUE", "A value has the wrong form or is out of its range.");
SHELL_ERROR(no_file, "E-NO-FILE", "The boot volume has no file of the name.");
SHELL_ERROR(bad_image, "E-BAD-IMAGE", "The file is not a kernel that Tern can start, or does not fit.");
SHELL_ERROR(no_hv, "E-NO-HV", "The machine has no hardware virtualization, or its firmware turned it off.");
SHELL_ERROR(vm_state, "E-VM-STATE", "The VM is not in a state in which this can be done.");
SHELL_ERROR(vm_moving, "E-MOVING", "The VM is being moved; migrate cancel stops that.");
SHELL_ERROR(no_answer, "E-TIMEOUT", "A vCPU did not leave the guest in time.");

static const char *const yes_option[] = { "--yes", NULL };

const char *vm_state_name(enum vm_state state)
{
	static const char *const names[] = {
		[VM_CREATED] = "created", [VM_RUNNING] = "running", [VM_PAUSED] = "paused",
		[VM_INCOMING] = "incoming", [VM_STUNNED] = "stunned", [VM_STOPPED] = "stopped",
	};

	return names[state];
}

const char *vm_complete(unsigned word, unsigned index)
{
	if (word)
		return NULL;
	list_for_each(vm, &vm_list, struct vm, link) {
		if (!index--)
			return vm->config.name;
	}
	return NULL;
}

struct vm *vm_named(struct shell *shell, const char *name)
{
	struct vm *vm = vm_find(name);

	if (!vm)
		shell_fail(shell, &no_such_vm, name, "no VM of this name is here");
	return vm;
}

static enum cmd_result fail_errno(struct shell *shell, const char *what, int err, const char *why)
{
	static const struct {
		int err;
		const struct error_code *code;
	} codes[] = {
		{ -EEXIST, &vm_exists }, { -ENOENT, &no_file },       { -ENOMEM, &shell_no_memory },
		{ -ENOSPC, &shell_no_memory }, { -ENODEV, &no_hv },         { -EOPNOTSUPP, &bad_image },
		{ -E2BIG, &bad_value },  { -ETIMEDOUT, &no_answer },
	};

	for (unsigned i = 0; i < ARRAY_COUNT(codes); i++) {
		if (codes[i].err == err)
			return shell_fail(shell, codes[i].code, what, "%s", why);
	}
	return shell_fail(shell, &bad_value, what, "%s", why);
}

/* A VM that a move has in its hands takes no orders from here. */
static bool refuse_moving(struct shell *shell, const struct vm *vm)
{
	if (!vm->migration && vm->state != VM_INCOMING && vm->state != VM_STUNNED)
		return false;
	shell_fail(shell, &vm_moving, vm->config.name, "it is being moved");
	return true;
}

static enum cmd_result fail_state(struct shell *shell, const struct vm *vm, const char *wanted)
{
	return shell_fail(shell, &vm_state, vm->config.name, "it is %s, not %s",
			  vm_state_name(vm->state), wanted);
}

/* --- the commands --- */

static enum cmd_result run_list(struct shell *shell, const struct cmd_args *args)
{
	(void)args;
	json_open_array(shell, "vms");
	if (!list_is_empty(&vm_list))
		shell_print(shell, "%-20s %-9s %5s %9s\n", "NAME", "STATE", "VCPUS", "MEMORY");
	list_for_each(vm, &vm_list, struct vm, link) {
		const struct vm_config *config = &vm->config;

		shell_print(shell, "%-20s %-9s %5u %7lluM%s\n", config->name, vm_state_name(vm->state),
			    config->vcpu_count, (unsigned long long)(config->ram_bytes / MIB),
			    vm->migration ? "  moving" : "");
		json_open_object(shell, NULL);
		json_string(shell, "name", config->name);
		json_string(shell, "state", vm_state_name(vm->state));
		json_u64(shell, "vcpus", config->vcpu_count);
		json_u64(shell, "ram_bytes", config->ram_bytes);
		json_bool(shell, "is_moving", vm->migration != NULL);
		json_close_object(shell);
	}
	json_close_array(shell);
	return CMD_OK;
}

static const char *option_value(const void *args, const char *key) { return args_option(args, key); }

/* Which of the VM's files is not there. */
static const char *missing_file(const struct vm_config *config)
{
	u64 bytes;

	return boot_file_find(config->kernel, &bytes) ? config->initrd : config->kernel;
}

static enum cmd_result run_create(struct shell *shell, const struct cmd_args *args)
{
	const char *key = "", *why = "";
	struct vm_config config;
	struct vm *vm;
	int err = vm_options_parse(&config, args->word[0], option_value, args, &key, &why);

	if (err)
		return shell_fail(shell, &bad_value, key, "%s", why);
	err = vm_create(&vm, &config, &why);
	if (err)
		return fail_errno(shell, err == -ENOENT ? missing_file(&config) : args->word[0], err, why);
	json_string(shell, "name", vm->config.name);
	json_string(shell, "state", vm_state_name(vm->state));
	return CMD_OK;
}

static enum cmd_result start_now(struct shell *shell, struct vm *vm)
{
	const char *why = "";
	int err = vm_start(vm, &why);

	return err ? fail_errno(shell, vm->config.name, err, why) : CMD_OK;
}

/* Until the VM's memory is cleared; it may be gone before that. */
static enum cmd_result start_tick(struct shell *shell, void *context)
{
	list_for_each(vm, &vm_list, struct vm, link) {
		if (vm != context)
			continue;
		return vm_is_prepared(vm) ? start_now(shell, vm) : CMD_RUNNING;
	}
	return shell_fail(shell, &no_such_vm, "vm start", "the VM was destroyed meanwhile");
}

static enum cmd_result run_start(struct shell *shell, const struct cmd_args *args)
{
	struct vm *vm = vm_named(shell, args->word[0]);

	if (!vm || refuse_moving(shell, vm))
		return CMD_FAILED;
	if (vm->state != VM_CREATED && vm->state != VM_STOPPED)
		return fail_state(shell, vm, "created or stopped");
	if (vm_is_prepared(vm))
		return start_now(shell, vm);
	return shell_wait(shell, start_tick, NULL, vm);
}

static enum cmd_result run_stop(struct shell *shell, const struct cmd_args *args)
{
	struct vm *vm = vm_named(shell, args->word[0]);

	if (!vm)
		return CMD_FAILED;
	if (vm_power_button(vm))
		return fail_state(shell, vm, "running");
	shell_print(shell, "pressed the power button\n");
	return CMD_OK;
}

static enum cmd_result run_pause(struct shell *shell, const struct cmd_args *args)
{
	struct vm *vm = vm_named(shell, args->word[0]);

	if (!vm || refuse_moving(shell, vm))
		return CMD_FAILED;
	if (vm->state != VM_RUNNING)
		return fail_state(shell, vm, "running");
	if (vm_pause(vm))
		return fail_errno(shell, vm->config.name, -ETIMEDOUT, "a vCPU does not leave the guest");
	return CMD_OK;
}

static enum cmd_result run_resume(struct shell *shell, const struct cmd_args *args)
{
	struct vm *vm = vm_named(shell, args->word[0]);

	if (!vm || refuse_moving(shell, vm))
		return CMD_FAILED;
	return vm_resume(vm) ? fail_state(shell, vm, "paused") : CMD_OK;
}

static enum cmd_result run_destroy(struct shell *shell, const struct cmd_args *args)
{
	struct vm *vm = vm_named(shell, args->word[0]);
	bool is_alive;

	if (!vm || refuse_moving(shell, vm))
		return CMD_FAILED;
	is_alive = vm->state == VM_RUNNING || vm->state == VM_PAUSED;
	if (is_alive && !shell_is_confirmed(shell, args, vm->config.name, "its plug would be pulled"))
		return CMD_FAILED;
	vm_destroy(vm);
	return CMD_OK;
}

static enum cmd_result run_console(struct shell *shell, const struct cmd_args *args)
{
	struct vm *vm = vm_named(shell, args->word[0]);

	return vm ? console_attach(vm, shell) : CMD_FAILED;
}

SHELL_COMMAND(vm_list_command) = {
	.noun = "vm", .verb = "list", .usage = "vm list", .help = "the VMs of this host", .run = run_list,
};
SHELL_COMMAND(vm_create_command) = {
	.noun = "vm", .verb = "create",
	.usage = "vm create NAME kernel=F [initrd=F] [cmdline=\"...\"] [mem=256M] [vcpus=1] [console=com2]",
	.help = "make a VM; its files are on the boot volume", .min_words = 1, .max_words = 1,
	.options = vm_option_keys, .run = run_create,
};
SHELL_COMMAND(vm_start_command) = {
	.noun = "vm", .verb = "start", .usage = "vm start NAME", .help = "power on",
	.min_words = 1, .max_words = 1, .run = run_start, .complete = vm_complete,
};
SHELL_COMMAND(vm_stop_command) = {
	.noun = "vm", .verb = "stop", .usage = "vm stop NAME",
	.help = "press the power button; the guest decides",
	.min_words = 1, .max_words = 1, .run = run_stop, .complete = vm_complete,
};
SHELL_COMMAND(vm_pause_command) = {
	.noun = "vm", .verb = "pause", .usage = "vm pause NAME", .help = "stop the guest and its time",
	.min_words = 1, .max_words = 1, .run = run_pause, .complete = vm_complete,
};
SHELL_COMMAND(vm_resume_command) = {
	.noun = "vm", .verb = "resume", .usage = "vm resume NAME", .help = "go on after pause",
	.min_words = 1, .max_words = 1, .run = run_resume, .complete = vm_complete,
};
SHELL_COMMAND(vm_destroy_command) = {
	.noun = "vm", .verb = "destroy", .usage = "vm destroy NAME [--yes]",
	.help = "pull the plug and forget the VM; --yes if it runs",
	.min_words = 1, .max_words = 1, .options = yes_option, .run = run_destroy, .complete = vm_complete,
};
SHELL_COMMAND(vm_console_command) = {
	.noun = "vm", .verb = "console", .usage = "vm console NAME",
	.help = "the guest's first serial port; Ctrl-] leaves",
	.min_words = 1, .max_words = 1, .run = run_console, .complete = vm_complete,
};
