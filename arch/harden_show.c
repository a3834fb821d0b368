/* SPDX-License-Identifier: BSD-2-Clause */
/* Hardening in words, for `host cpu`. */
#include "arch/harden.h"

#include "arch/cpu.h"
#include "arch/hv.h"
#include "kernel/shell.h"

static const char *const step_names[HARDEN_STEP_COUNT] = {
	[HARDEN_IBPB_SWITCH] = "IBPB before another vCPU",
	[HARDEN_L1D_FLUSH] = "L1D flush before entry",
	[HARDEN_VERW] = "VERW before entry",
	[HARDEN_RSB_FILL] = "RSB fill after exit",
	[HARDEN_RSB_ONE] = "RSB: one call after exit",
	[HARDEN_IBPB_EXIT] = "IBPB after exit",
	[HARDEN_IBRS_EXIT] = "IBRS after exit",
	[HARDEN_SPEC_CTRL] = "SPEC_CTRL switch",
	[HARDEN_BHB_CLEAR] = "BHB clear after exit",
	[HARDEN_AUTO_IBRS] = "AutoIBRS",
	[HARDEN_SPEC_REDUCE] = "BP_SPEC_REDUCE",
};

static void show_step(struct shell *shell, const char *name, bool is_on, const char *why)
{
	shell_print(shell, "%-3s %-25s %s\n", is_on ? "on" : "off", name, why);
	json_open_object(shell, NULL);
	json_string(shell, "step", name);
	json_bool(shell, "on", is_on);
	json_string(shell, "why", why);
	json_close_object(shell);
}

/* Tern's own mode bits (arch/percpu.c): a guest's memory is neither run nor touched by mistake. */
static void show_mode_bits(struct shell *shell)
{
	static const struct {
		u64 cr4;
		const char *name, *why;
	} bits[] = {
		{ CR4_SMEP, "SMEP", "Tern does not execute pages that are not its own" },
		{ CR4_SMAP, "SMAP", "Tern does not touch user pages by mistake" },
		{ CR4_UMIP, "UMIP", "descriptor tables cannot be read from user mode" },
	};
	u64 cr4 = read_cr4();

	for (unsigned i = 0; i < ARRAY_COUNT(bits); i++)
		show_step(shell, bits[i].name, cr4 & bits[i].cr4,
			  cr4 & bits[i].cr4 ? bits[i].why : "this CPU has not got it");
}

void harden_show(struct shell *shell)
{
	const struct harden_plan *plan = harden_get();

	shell_print(shell, "hardening\n");
	json_open_array(shell, "hardening");
	for (unsigned step = 0; hv && step < HARDEN_STEP_COUNT; step++)
		show_step(shell, step_names[step], plan->steps & 1u << step, plan->why[step]);
	show_mode_bits(shell);
	json_close_array(shell);
	json_u64(shell, "host_spec_ctrl", plan->spec_ctrl);
	if (plan->exposed)
		shell_print(shell, "exposed: %s\n", plan->exposed);
	if (plan->threads)
		shell_print(shell, "hyper-threads: %s\n", plan->threads);
	if (plan->pages)
		shell_print(shell, "large pages: %s\n", plan->pages);
	json_string(shell, "exposed", plan->exposed ? plan->exposed : "");
	json_string(shell, "threads_warning", plan->threads ? plan->threads : "");
	json_string(shell, "pages_warning", plan->pages ? plan->pages : "");
}
