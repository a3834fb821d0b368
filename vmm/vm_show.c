/* SPDX-License-Identifier: BSD-2-Clause */
/* vm show: state, vCPUs, memory, where the time went; and a line of "host cpu". CPU 0; counters are read while they move. */
#include "arch/host.h"
#include "kernel/shell.h"
#include "vmm/console.h"
#include "vmm/vm_commands.h"
#include "vmm/vtime.h"

static const char *const exit_names[] = {
	[HV_EXIT_NONE] = "back_end", [HV_EXIT_HOST_INTERRUPT] = "host_interrupt",
	[HV_EXIT_IRQ_WINDOW] = "irq_window", [HV_EXIT_NMI_WINDOW] = "nmi_window", [HV_EXIT_HLT] = "hlt",
	[HV_EXIT_PAUSE] = "pause", [HV_EXIT_IO] = "port", [HV_EXIT_NESTED_FAULT] = "mmio",
	[HV_EXIT_CPUID] = "cpuid", [HV_EXIT_MSR_READ] = "msr_read", [HV_EXIT_MSR_WRITE] = "msr_write",
	[HV_EXIT_XSETBV] = "xsetbv", [HV_EXIT_HYPERCALL] = "hypercall", [HV_EXIT_RDTSC] = "rdtsc",
	[HV_EXIT_CR8_WRITE] = "cr8_write", [HV_EXIT_WBINVD] = "wbinvd", [HV_EXIT_MWAIT] = "mwait",
	[HV_EXIT_UNDEFINED] = "undefined",
	[HV_EXIT_TRIPLE_FAULT] = "triple_fault", [HV_EXIT_INIT] = "init", [HV_EXIT_LOG_FULL] = "log_full",
	[HV_EXIT_ENTRY_FAILED] = "entry_failed", [HV_EXIT_UNKNOWN] = "unknown",
};
_Static_assert(ARRAY_COUNT(exit_names) == HV_EXIT_UNKNOWN + 1, "a reason without a name");

typedef unsigned long long ull;

static const char *activity_name(u32 activity)
{
	switch (activity) {
	case VCPU_HALTED:
		return "halted";
	case VCPU_WAIT_FOR_SIPI:
		return "not started";
	}
	return "active";
}

static void show_config(struct shell *shell, struct vm *vm)
{
	const struct vm_config *config = &vm->config;

	shell_print(shell, "%s: %s%s%s\n", config->name, vm_state_name(vm->state),
		    vm->why[0] ? ", " : "", vm->why);
	shell_print(shell, "  kernel   %s %s\n", config->kernel, config->initrd);
	shell_print(shell, "  cmdline  %s\n", config->cmdline);
	shell_print(shell, "  console  %s\n", config->console[0] ? config->console : "ring buffer");
	json_string(shell, "name", config->name);
	json_string(shell, "state", vm_state_name(vm->state));
	json_string(shell, "why", vm->why);
	json_string(shell, "kernel", config->kernel);
	json_string(shell, "initrd", config->initrd);
	json_string(shell, "cmdline", config->cmdline);
	json_string(shell, "console", config->console);
	json_string(shell, "console_bound", console_port_name(vm));
	json_u64(shell, "epoch", vm->epoch);
	json_bool(shell, "is_moving", vm->migration != NULL);
}

static void show_time(struct shell *shell, struct vm *vm)
{
	u64 now_ns = vtime_now_ns(vm);

	shell_print(shell, "  time     %llu.%03llu s since power-on, TSC %llu kHz\n", (ull)(now_ns / NS_PER_SEC),
		    (ull)(now_ns / NS_PER_MS % 1000), (ull)vtime_tsc_khz(vm));
	json_u64(shell, "vm_time_ns", now_ns);
	json_u64(shell, "tsc_khz", vtime_tsc_khz(vm));
}

static void show_memory(struct shell *shell, struct vm *vm)
{
	const struct gmem *gmem = &vm->gmem;
	const u64 *leaf_count = gmem->nested.leaf_count;

	shell_print(shell, "  memory   %lluM: pages %llu x 1G, %llu x 2M, %llu x 4K; %llu splits, %llu merges\n",
		    (ull)(gmem->ram_bytes / MIB), (ull)leaf_count[PAGE_1G], (ull)leaf_count[PAGE_2M],
		    (ull)leaf_count[PAGE_4K], (ull)gmem->nested.split_count, (ull)gmem->nested.merge_count);
	shell_print(shell, "           %llu table pages%s%s\n", (ull)gmem->nested.table_pages,
		    gmem->track.is_on ? ", tracked by " : "",
		    gmem->track.is_on ? track_method_name(&gmem->track) : "");
	json_u64(shell, "ram_bytes", gmem->ram_bytes);
	json_u64(shell, "huge_pages", leaf_count[PAGE_1G]);
	json_u64(shell, "large_pages", leaf_count[PAGE_2M]);
	json_u64(shell, "small_pages", leaf_count[PAGE_4K]);
	json_u64(shell, "table_pages", gmem->nested.table_pages);
	json_u64(shell, "split_count", gmem->nested.split_count);
	json_u64(shell, "merge_count", gmem->nested.merge_count);
	json_bool(shell, "is_tracking", gmem->track.is_on);
}

static void show_tracking(struct shell *shell)
{
	shell_print(shell, "dirty tracking: %s (%s)\n", track_chosen_name(), track_chosen_why());
	json_open_object(shell, "dirty_tracking");
	json_string(shell, "method", track_chosen_name());
	json_string(shell, "why", track_chosen_why());
	json_close_object(shell);
}
HOST_FACT(show_tracking);

static void show_unknown(struct shell *shell, struct vm *vm)
{
	static const char *const kinds[] = { [BUS_PORT] = "ports", [BUS_MMIO] = "mmio", [BUS_MSR] = "msrs" };

	json_open_object(shell, "unknown");
	for (unsigned kind = 0; kind < BUS_KIND_COUNT; kind++) {
		u64 count = vm->bus.unknown_count[kind], last = vm->bus.last_unknown[kind];

		if (count)
			shell_print(shell, "  unknown  %s: %llu, last 0x%llx\n", kinds[kind], (ull)count, (ull)last);
		json_open_object(shell, kinds[kind]);
		json_u64(shell, "count", count);
		json_u64(shell, "last", last);
		json_close_object(shell);
	}
	json_close_object(shell);
}

static void show_vcpu(struct shell *shell, const struct vcpu *vcpu)
{
	u64 run_ns = vcpu->runnable.run_ns;

	shell_print(shell, "  vcpu %u   on CPU %u, %s, ran %llu.%03llu s, exits:", vcpu->index, vcpu->runnable.cpu,
		    activity_name(vcpu->activity), (ull)(run_ns / NS_PER_SEC), (ull)(run_ns / NS_PER_MS % 1000));
	json_open_object(shell, NULL);
	json_u64(shell, "index", vcpu->index);
	json_u64(shell, "cpu", vcpu->runnable.cpu);
	json_string(shell, "activity", activity_name(vcpu->activity));
	json_u64(shell, "run_ns", run_ns);
	json_open_object(shell, "exits");
	for (unsigned i = 0; i < ARRAY_COUNT(exit_names); i++) {
		if (vcpu->exit_count[i])
			shell_print(shell, " %s %llu", exit_names[i], (ull)vcpu->exit_count[i]);
		json_u64(shell, exit_names[i], vcpu->exit_count[i]);
	}
	json_close_object(shell);
	json_close_object(shell);
	shell_print(shell, "\n");
}

static enum cmd_result run_show(struct shell *shell, const struct cmd_args *args)
{
	struct vm *vm = vm_named(shell, args->word[0]);

	if (!vm)
		return CMD_FAILED;
	show_config(shell, vm);
	show_time(shell, vm);
	show_memory(shell, vm);
	show_unknown(shell, vm);
	json_open_array(shell, "vcpus");
	for (u32 i = 0; i < vm->config.vcpu_count; i++)
		show_vcpu(shell, vm->vcpu[i]);
	json_close_array(shell);
	return CMD_OK;
}

SHELL_COMMAND(vm_show_command) = {
	.noun = "vm", .verb = "show", .usage = "vm show NAME", .help = "state, vCPUs, memory, where the time went",
	.min_words = 1, .max_words = 1, .run = run_show, .complete = vm_complete,
};
