/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tab: nouns, verbs, the live names that a command offers, option keys.
 *
 * Candidates are visited twice, never stored: first to count those that begin with the
 * word and find what they have in common, then to list them. What is before the cursor counts.
 */
#include "kernel/shell_private.h"

#include "kernel/string.h"

#define WORDS_MAX (SHELL_ARGS_MAX + 2)

struct completion {
	struct shell *shell;
	const char *prefix;
	unsigned count;
	char common[SHELL_LINE_MAX];
	char end;       /* what follows a full word: ' ', or '=' for keys */
	bool is_listing;
};

static void offer(struct completion *completion, const char *candidate, char end)
{
	size_t shared = 0;

	if (!str_starts(candidate, completion->prefix))
		return;
	if (completion->is_listing) {
		output_format(completion->shell, "%s%s  ", candidate, end == '=' ? "=" : "");
		return;
	}
	completion->end = end;
	if (completion->count++ == 0) {
		str_copy(completion->common, sizeof(completion->common), candidate);
		return;
	}
	while (completion->common[shared] && completion->common[shared] == candidate[shared])
		shared++;
	completion->common[shared] = 0;
}

static void offer_nouns(struct completion *completion)
{
	const struct command *last = NULL;

	for (const struct command *at = shell_next_command(NULL); at; at = shell_next_command(at)) {
		if (!last || strcmp(last->noun, at->noun))
			offer(completion, at->noun, ' ');
		last = at;
	}
}

static void offer_verbs(struct completion *completion, const char *noun)
{
	for (const struct command *at = shell_next_command(NULL); at; at = shell_next_command(at)) {
		if (at->verb[0] && strcmp(at->verb, "*") && strcmp(at->noun, noun) == 0)
			offer(completion, at->verb, ' ');
	}
}

static void offer_names(struct completion *completion, const struct command *command, unsigned position)
{
	const char *name;

	if (!command->complete || position >= command->max_words)
		return;
	for (unsigned i = 0; (name = command->complete(position, i)) != NULL; i++)
		offer(completion, name, ' ');
}

static void offer_options(struct completion *completion, const struct command *command, const char **word,
			  unsigned count)
{
	for (const char *const *option = command->options; option && *option; option++) {
		size_t length = strlen(*option);
		bool is_given = false;

		for (unsigned i = 0; i < count; i++) {
			bool is_same = strncmp(word[i], *option, length) == 0;

			is_given |= is_same && (word[i][length] == '=' || !word[i][length]);
		}
		if (!is_given)
			offer(completion, *option, str_starts(*option, "--") ? ' ' : '=');
	}
	if (str_starts(completion->prefix, "--"))
		offer(completion, "--json", ' ');
}

/* word[0..count-1] are complete; candidates for the word behind them. */
static void offer_all(struct completion *completion, const char **word, unsigned count)
{
	const struct command *command;
	unsigned used = 1;
	unsigned position = 0;

	if (!count) {
		offer_nouns(completion);
		return;
	}
	if (count == 1)
		offer_verbs(completion, word[0]);
	command = shell_resolve(word, count, &used);
	/* The word to come may be the name that takes a verb's place. */
	if (!command && count == 1)
		command = shell_find(word[0], "*");
	if (!command)
		return;
	for (unsigned i = used; i < count; i++)
		position += !shell_is_option(word[i]);
	offer_names(completion, command, position);
	offer_options(completion, command, word, count);
}

void shell_complete(struct shell *shell)
{
	static const char nothing[] = "";
	struct editor *editor = &shell->editor;
	struct completion completion = { .shell = shell, .prefix = nothing };
	const char *word[WORDS_MAX];
	unsigned count;
	size_t typed;
	bool is_new;

	/* shell->words is free while the editor has the console. */
	memcpy(shell->words, editor->line, editor->cursor);
	shell->words[editor->cursor] = 0;
	count = shell_split(shell->words, word, WORDS_MAX, &is_new);
	if (!is_new)
		completion.prefix = word[--count];
	typed = strlen(completion.prefix);
	offer_all(&completion, word, count);
	if (!completion.count) {
		output_bytes(shell, "\a", 1);
		return;
	}
	if (strlen(completion.common) > typed)
		editor_insert(shell, completion.common + typed, strlen(completion.common) - typed);
	if (completion.count == 1) {
		editor_insert(shell, &completion.end, 1);
	} else if (strlen(completion.common) == typed) {
		output_text(shell, "\n");
		completion.is_listing = true;
		offer_all(&completion, word, count);
		output_text(shell, "\n");
		editor_show(shell);
	}
}
