/* SPDX-License-Identifier: BSD-2-Clause */
/* The command help: what commands there are, what one noun can do, what the error codes mean. */
#include "kernel/shell_private.h"

#include "kernel/string.h"

SHELL_ERROR(no_help, "E-NO-HELP", "There is no help on this word.");

static void show_command(struct shell *shell, const struct command *command)
{
	shell_print(shell, "  %s\n      %s\n", command->usage, command->help);
	json_open_object(shell, NULL);
	json_string(shell, "noun", command->noun);
	json_string(shell, "verb", command->verb);
	json_string(shell, "usage", command->usage);
	json_string(shell, "help", command->help);
	json_close_object(shell);
}

static const struct error_code *next_error(const struct error_code *after)
{
	const struct error_code *best = NULL;

	for (const struct error_code *const *at = error_codes_start; at < error_codes_end; at++) {
		bool is_later = !after || strcmp((*at)->code, after->code) > 0;

		if (is_later && (!best || strcmp((*at)->code, best->code) < 0))
			best = *at;
	}
	return best;
}

static void show_errors(struct shell *shell)
{
	json_open_array(shell, "errors");
	for (const struct error_code *at = next_error(NULL); at; at = next_error(at)) {
		shell_print(shell, "  %-24s %s\n", at->code, at->meaning);
		json_open_object(shell, NULL);
		json_string(shell, "code", at->code);
		json_string(shell, "meaning", at->meaning);
		json_close_object(shell);
	}
	json_close_array(shell);
}

/* noun and verb may be NULL: all. */
static void show_commands(struct shell *shell, const char *noun, const char *verb)
{
	json_open_array(shell, "commands");
	for (const struct command *at = shell_next_command(NULL); at; at = shell_next_command(at)) {
		bool is_noun = !noun || strcmp(noun, at->noun) == 0;
		bool is_verb = !verb || strcmp(verb, at->verb) == 0;

		if (is_noun && is_verb)
			show_command(shell, at);
	}
	json_close_array(shell);
}

static enum cmd_result run_help(struct shell *shell, const struct cmd_args *args)
{
	const char *noun = args->count > 0 ? args->word[0] : NULL;
	const char *verb = args->count > 1 ? args->word[1] : NULL;

	if (noun && strcmp(noun, "errors") == 0) {
		show_errors(shell);
		return CMD_OK;
	}
	if (noun && !shell_has_noun(noun))
		return shell_fail(shell, &no_help, noun, "no such command; help alone lists them");
	/* "help migrate web1": the verb is a name, so show the noun. */
	if (verb && !shell_find(noun, verb))
		verb = NULL;
	show_commands(shell, noun, verb);
	if (!noun)
		shell_print(shell, "--json anywhere asks for the answer as one line of JSON. Tab completes.\n");
	return CMD_OK;
}

static const char *complete_help(unsigned word, unsigned index)
{
	const struct command *last = NULL;

	if (word)
		return NULL;
	if (!index--)
		return "errors";
	for (const struct command *at = shell_next_command(NULL); at; at = shell_next_command(at)) {
		if ((!last || strcmp(last->noun, at->noun)) && index-- == 0)
			return at->noun;
		last = at;
	}
	return NULL;
}

SHELL_COMMAND(help) = {
	.noun = "help",
	.verb = "",
	.usage = "help [NOUN [VERB]] | help errors",
	.help = "What there is to type; \"?\" at the end of a line asks the same.",
	.max_words = 2,
	.run = run_help,
	.complete = complete_help,
};
