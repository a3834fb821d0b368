/* SPDX-License-Identifier: BSD-2-Clause */
/* How this host does: the sources of the folders, in order, and the command host status. CPU 0 only. */
#include "kernel/status.h"

#include "kernel/fmt.h"
#include "kernel/shell.h"

extern const struct status_source *const status_sources_start[], *const status_sources_end[];

static u64 held_until_ns;

bool status_say(struct status_line *line, enum status_level level, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fmt_vsnprintf(line->text, sizeof(line->text), format, args);
	va_end(args);
	line->level = level;
	return true;
}

const struct status_source *status_source(unsigned index)
{
	return index < (unsigned)(status_sources_end - status_sources_start) ? status_sources_start[index] : NULL;
}

bool status_next(struct status_line *line)
{
	const struct status_source *source;

	for (unsigned i = 0; (source = status_source(i)); i++) {
		if (source->next && source->next(line))
			return true;
	}
	return false;
}

void status_hold(u64 until_ns) { held_until_ns = MAX(held_until_ns, until_ns); }
u64 status_held_until(void) { return held_until_ns; }

/* --- The command ---------------------------------------------------------------------------- */

static const char *level_name(enum status_level level)
{
	static const char *const names[] = { "plain", "good", "warn", "bad" };

	return names[level];
}

static void show_source(struct shell *shell, const struct status_source *source)
{
	struct status_line line;

	for (unsigned i = 0; source->line(i, &line); i++) {
		shell_print(shell, "%-10s %s\n", i == 0 ? source->label : "", line.text);
		json_open_object(shell, NULL);
		json_string(shell, "label", source->label);
		json_string(shell, "level", level_name(line.level));
		json_string(shell, "text", line.text);
		json_close_object(shell);
	}
}

static enum cmd_result run_status(struct shell *shell, const struct cmd_args *args)
{
	const struct status_source *source;
	struct status_line next;

	(void)args;
	json_open_array(shell, "lines");
	for (unsigned i = 0; (source = status_source(i)); i++)
		show_source(shell, source);
	json_close_array(shell);
	if (status_next(&next)) {
		shell_print(shell, "%-10s %s\n", "Next", next.text);
		json_string(shell, "next", next.text);
	}
	return CMD_OK;
}

SHELL_COMMAND(host_status) = {
	.noun = "host", .verb = "status", .usage = "host status",
	.help = "How this host does and what to do next: what its screen shows.", .run = run_status,
};
