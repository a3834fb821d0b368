/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The choice of a virtualization extension at start. Back ends are in the linker set
 * .hv_ops; at most one of them fits a machine.
 */
#include "arch/hv.h"

#include "arch/harden.h"
#include "arch/smp.h"
#include "kernel/errno.h"
#include "kernel/log.h"

extern struct hv_ops *const hv_ops_start[], *const hv_ops_end[];

struct hv_ops *hv;
const char *hv_missing = "virtualization has not been started";

struct enabling {
	struct hv_ops *ops;
	unsigned failed;
	const char *why;
};

static void enable_here(void *context)
{
	struct enabling *enabling = context;

	harden_cpu_init();
	if (enabling->ops->cpu_enable(&enabling->why) != 0)
		enabling->failed++;
}

static void disable_here(void *context)
{
	struct hv_ops *ops = context;

	ops->cpu_disable();
}

/* The one that this CPU has; of one that is there but cannot be used, its own sentence is told. */
static struct hv_ops *choose(void)
{
	hv_missing = "this CPU has neither AMD-V nor VT-x (CPUID offers neither SVM nor VMX). Inside another "
		     "hypervisor, allow nested virtualization; in QEMU use -cpu EPYC,+svm,+npt";
	for (struct hv_ops *const *entry = hv_ops_start; entry < hv_ops_end; entry++) {
		const char *why = NULL;
		int err = (*entry)->probe(&why);

		if (err == 0)
			return *entry;
		if (err != -ENODEV)
			hv_missing = why;
	}
	return NULL;
}

int hv_init(void)
{
	struct enabling enabling = { 0 };

	enabling.ops = choose();
	if (!enabling.ops)
		return -ENODEV;

	harden_init();
	smp_call_each(enable_here, &enabling);
	if (enabling.failed) {
		hv_missing = enabling.why;
		smp_call_each(disable_here, enabling.ops);
		return -ENODEV;
	}
	hv = enabling.ops;
	hv_missing = NULL;
	log_info("%s: %u-bit guest addresses%s%s", hv->name, hv->limits.physical_bits,
		 hv->limits.has_huge_pages ? ", 1 GiB pages" : "", hv->limits.tsc_ratio_max ? ", TSC scaling" : "");
	return 0;
}
