/* SPDX-License-Identifier: BSD-2-Clause */
/* Health on the status page: what the log had to complain of since start, and tern.conf. CPU 0. */
#include "kernel/config.h"
#include "kernel/log.h"
#include "kernel/status.h"

static bool health_line(unsigned index, struct status_line *line)
{
	struct log_trouble trouble;

	log_get_trouble(&trouble);
	if (index == 0) {
		if (!trouble.warnings && !trouble.errors)
			return status_say(line, STATUS_GOOD, "good");
		return status_say(line, trouble.errors ? STATUS_BAD : STATUS_WARN, "%llu error%s, %llu warning%s",
				  (unsigned long long)trouble.errors, trouble.errors == 1 ? "" : "s",
				  (unsigned long long)trouble.warnings, trouble.warnings == 1 ? "" : "s");
	}
	return index == 1 && trouble.worst[0] &&
	       status_say(line, trouble.errors ? STATUS_BAD : STATUS_WARN, "%s", trouble.worst);
}

STATUS_SOURCE(20, health) = { .label = "Health", .line = health_line };

static bool config_wrong_line(unsigned index, struct status_line *line)
{
	unsigned count;
	const char *first = config_first_wrong(&count);

	return index == 0 && first &&
	       status_say(line, STATUS_WARN, "%u wrong line%s ignored; %s", count, count == 1 ? "" : "s", first);
}

STATUS_SOURCE(21, config_status) = { .label = "tern.conf", .line = config_wrong_line };
