/* SPDX-License-Identifier: BSD-2-Clause */
/* What the machine itself has to say on the status page. CPU 0. */
#include "arch/hv.h"
#include "kernel/machine.h"
#include "kernel/page.h"
#include "kernel/status.h"

static bool machine_line(unsigned index, struct status_line *line)
{
	struct page_stats pages;

	if (index == 1 && hv)
		return status_say(line, STATUS_GOOD, "%s: guests can run", hv->name);
	if (index == 1)
		return status_say(line, STATUS_BAD, "no guests can run: %s", hv_missing);
	if (index > 1)
		return false;
	page_get_stats(&pages);
	return status_say(line, STATUS_PLAIN, "%u CPU%s, %llu MiB of memory, %llu MiB free", cpu_count,
			  cpu_count == 1 ? "" : "s", pages.total_bytes / MIB, pages.free_bytes / MIB);
}

STATUS_SOURCE(10, machine_status) = { .label = "Machine", .line = machine_line };
