/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console's output: a queue of pages that grows, so that nobody waits for a slow port.
 *
 * Answers and echo are queued whatever their length (up to OUTPUT_MAX, then bytes are
 * dropped and counted, and a line says so). The log is not queued here but read from its
 * ring when the queue is short.
 *
 * At most one line on the screen is open: the prompt or a progress line. Other text goes
 * above it: hide, text, restore.
 */
#include "kernel/shell_private.h"

#include "kernel/clock.h"
#include "kernel/fmt.h"
#include "kernel/heap.h"
#include "kernel/string.h"

#define OUTPUT_MAX (4 * MIB)

_Static_assert(sizeof(struct output_chunk) == 4096, "a chunk is a page");

static bool grow(struct output *output)
{
	struct output_chunk *chunk;

	if (output->queued >= OUTPUT_MAX)
		return false;
	chunk = heap_alloc(sizeof(*chunk));
	if (!chunk)
		return false;
	if (output->last)
		output->last->next = chunk;
	else
		output->first = chunk;
	output->last = chunk;
	return true;
}

static void queue(struct output *output, const char *bytes, size_t count)
{
	while (count) {
		struct output_chunk *last = output->last;
		size_t room = last ? sizeof(last->bytes) - last->end : 0;
		size_t step = MIN(room, count);

		if (!room) {
			if (grow(output))
				continue;
			output->dropped += count;
			return;
		}
		memcpy(last->bytes + last->end, bytes, step);
		last->end += (u32)step;
		output->queued += step;
		bytes += step;
		count -= step;
	}
}

void output_bytes(struct shell *shell, const void *bytes, size_t count)
{
	queue(&shell->output, bytes, count);
}

void output_text(struct shell *shell, const char *text)
{
	while (*text) {
		const char *end = strchr(text, '\n');
		size_t length = end ? (size_t)(end - text) : strlen(text);

		queue(&shell->output, text, length);
		if (!end)
			return;
		queue(&shell->output, "\r\n", 2);
		text = end + 1;
	}
}

static void output_args(struct shell *shell, const char *format, va_list args)
{
	char text[512];
	char *longer = text;
	va_list copy;
	int length;

	va_copy(copy, args);
	length = fmt_vsnprintf(text, sizeof(text), format, copy);
	va_end(copy);
	if ((size_t)length >= sizeof(text)) {
		longer = heap_alloc((size_t)length + 1);
		if (longer)
			fmt_vsnprintf(longer, (size_t)length + 1, format, args);
	}
	output_text(shell, longer ? longer : text);
	if (longer != text)
		heap_free(longer);
}

void output_format(struct shell *shell, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	output_args(shell, format, args);
	va_end(args);
}

static void drop_first(struct output *output)
{
	struct output_chunk *first = output->first;

	output->first = first->next;
	if (!output->first)
		output->last = NULL;
	heap_free(first);
}

void output_drain(struct shell *shell)
{
	struct output *output = &shell->output;

	while (output->first) {
		struct output_chunk *first = output->first;
		size_t count = first->end - first->start;
		size_t done = shell->write(first->bytes + first->start, count);

		first->start += (u32)done;
		output->queued -= done;
		if (done < count)
			return;
		drop_first(output);
	}
	if (output->dropped) {
		u64 dropped = output->dropped;

		output->dropped = 0;
		output_format(shell, "\n[%llu bytes of output were dropped]\n", (unsigned long long)dropped);
	}
}

void shell_print(struct shell *shell, const char *format, ...)
{
	va_list args;

	if (shell->args.is_json)
		return;
	output_end_progress(shell);
	va_start(args, format);
	output_args(shell, format, args);
	va_end(args);
}

/* A slow port gets fewer redraws rather than old ones. */
#define PROGRESS_QUEUE_MAX 1024
#define PROGRESS_INTERVAL_NS (200 * NS_PER_MS)

static void draw_progress(struct shell *shell)
{
	output_format(shell, "\r%s\x1b[K", shell->progress);
}

void shell_progress(struct shell *shell, const char *format, ...)
{
	va_list args;

	u64 now_ns = clock_now_ns();

	if (shell->args.is_json || shell->raw || shell->output.queued > PROGRESS_QUEUE_MAX)
		return;
	/* Ticks come with every turn of the loop, thousands a second when a move keeps it busy. */
	if (shell->progress[0] && now_ns - shell->progress_ns < PROGRESS_INTERVAL_NS)
		return;
	shell->progress_ns = now_ns;
	va_start(args, format);
	fmt_vsnprintf(shell->progress, sizeof(shell->progress), format, args);
	va_end(args);
	draw_progress(shell);
}

void output_end_progress(struct shell *shell)
{
	if (!shell->progress[0])
		return;
	shell->progress[0] = 0;
	output_text(shell, "\n");
}

void output_hide_line(struct shell *shell)
{
	if (shell->is_prompt_shown || shell->progress[0])
		output_text(shell, "\r\x1b[K");
}

void output_restore_line(struct shell *shell)
{
	if (shell->progress[0])
		draw_progress(shell);
	else if (shell->is_prompt_shown)
		editor_show(shell);
}

void shell_write(struct shell *shell, const void *bytes, size_t count)
{
	output_bytes(shell, bytes, count);
}
