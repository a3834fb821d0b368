/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a line to a command and its arguments.
 *
 *   line    = word *(space word)
 *   word    = --flag | --flag=value | key=value | text
 *   "..."   keeps spaces; inside, \" and \\ stand for " and \
 *
 * A word that begins with a quote is text whatever is in it. The first word is the noun.
 * The second one is the verb if the noun has such a verb; else it belongs to the noun's
 * command with verb "*" ("migrate web1 to host2") or without one.
 */
#include "kernel/shell_private.h"

#include "kernel/string.h"

SHELL_ERROR(no_such_command, "E-NO-SUCH-COMMAND", "There is no such command; help lists them.");
SHELL_ERROR(bad_syntax, "E-BAD-SYNTAX", "The line cannot be split: an open quote, or too many words.");
SHELL_ERROR(bad_usage, "E-USAGE", "Words are missing or too many.");
SHELL_ERROR(bad_number, "E-BAD-NUMBER", "Not a number, or one out of its range.");
SHELL_ERROR(not_confirmed, "E-NOT-CONFIRMED", "The command ends running guests; --yes confirms it.");
SHELL_ERROR(bad_option, "E-BAD-OPTION", "The command has no such option, or it is given twice.");

/* ---- the table of commands ---- */

const struct command *shell_find(const char *noun, const char *verb)
{
	for (const struct command *const *at = commands_start; at < commands_end; at++) {
		if (strcmp((*at)->noun, noun) == 0 && strcmp((*at)->verb, verb) == 0)
			return *at;
	}
	return NULL;
}

const struct command *shell_resolve(const char *const *word, unsigned count, unsigned *used)
{
	bool has_verb = count > 1 && strcmp(word[1], "*") != 0;
	const struct command *command = has_verb ? shell_find(word[0], word[1]) : NULL;

	*used = command ? 2 : 1;
	if (!command && count > 1)
		command = shell_find(word[0], "*");
	if (!command && count)
		command = shell_find(word[0], "");
	return command;
}

bool shell_has_noun(const char *noun)
{
	for (const struct command *const *at = commands_start; at < commands_end; at++) {
		if (strcmp((*at)->noun, noun) == 0)
			return true;
	}
	return false;
}

static int compare(const struct command *a, const struct command *b)
{
	int order = strcmp(a->noun, b->noun);

	return order ? order : strcmp(a->verb, b->verb);
}

const struct command *shell_next_command(const struct command *after)
{
	const struct command *best = NULL;

	for (const struct command *const *at = commands_start; at < commands_end; at++) {
		bool is_later = !after || compare(*at, after) > 0;

		if (is_later && (!best || compare(*at, best) < 0))
			best = *at;
	}
	return best;
}

/* ---- words ---- */

static bool is_key_character(char c)
{
	bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

	return is_letter || (c >= '0' && c <= '9') || c == '_' || c == '-';
}

bool shell_is_option(const char *word)
{
	const char *at = word;

	if (str_starts(word, "--"))
		return true;
	while (is_key_character(*at))
		at++;
	return at > word && *at == '=';
}

struct splitter {
	char *at;          /* what is still to be read */
	char *word;        /* the last word, ended with NUL */
	bool was_quoted;   /* it began with a quote */
	bool is_open;      /* a quote was not closed */
	bool is_at_end;    /* the line ended directly behind the word */
};

/* Cuts the next word out, in place: it gets shorter by its quotes, never longer. */
static bool next_word(struct splitter *splitter)
{
	char *from = splitter->at;
	bool is_inside = false;
	char *to;

	while (*from == ' ' || *from == '\t')
		from++;
	if (!*from)
		return false;
	splitter->word = to = from;
	splitter->was_quoted = *from == '"';
	for (; *from && (is_inside || (*from != ' ' && *from != '\t')); from++) {
		if (*from == '"') {
			is_inside = !is_inside;
			continue;
		}
		if (is_inside && *from == '\\' && (from[1] == '"' || from[1] == '\\'))
			from++;
		*to++ = *from;
	}
	splitter->is_open = is_inside;
	splitter->is_at_end = !*from;
	splitter->at = *from ? from + 1 : from;
	*to = 0;
	return true;
}

unsigned shell_split(char *line, const char **word, unsigned max, bool *is_new)
{
	struct splitter splitter = { .at = line };
	unsigned count = 0;

	*is_new = true;
	while (count < max && next_word(&splitter)) {
		word[count++] = splitter.word;
		*is_new = !splitter.is_at_end;
	}
	return count;
}

/* ---- arguments ---- */

static bool add_option(struct shell *shell, char *word)
{
	struct cmd_args *args = &shell->args;
	char *equals = strchr(word, '=');
	const char *value = "";

	if (equals) {
		*equals = 0;
		value = equals + 1;
	}
	if (strcmp(word, "--json") == 0) {
		args->is_json = true;
		return true;
	}
	if (args_option(args, word)) {
		shell_fail(shell, &bad_option, word, "given twice");
		return false;
	}
	if (args->option_count == SHELL_ARGS_MAX) {
		shell_fail(shell, &bad_syntax, word, "more than %u options", SHELL_ARGS_MAX);
		return false;
	}
	args->key[args->option_count] = word;
	args->value[args->option_count++] = value;
	return true;
}

static bool split_args(struct shell *shell)
{
	struct splitter splitter = { .at = shell->words };
	struct cmd_args *args = &shell->args;
	bool is_good = true;

	/* After a mistake it goes on, since --json may come at the end. */
	while (next_word(&splitter)) {
		if (!splitter.was_quoted && shell_is_option(splitter.word)) {
			is_good = add_option(shell, splitter.word) && is_good;
		} else if (args->count == SHELL_ARGS_MAX) {
			shell_fail(shell, &bad_syntax, splitter.word, "more than %u words", SHELL_ARGS_MAX);
			is_good = false;
		} else {
			args->word[args->count++] = splitter.word;
		}
		if (splitter.is_open) {
			shell_fail(shell, &bad_syntax, splitter.word, "the quote is not closed");
			is_good = false;
		}
	}
	return is_good;
}

static void drop_words(struct cmd_args *args, unsigned count)
{
	args->count -= count;
	for (unsigned i = 0; i < args->count; i++)
		args->word[i] = args->word[i + count];
}

static const struct command *find_command(struct shell *shell)
{
	struct cmd_args *args = &shell->args;
	const char *noun = args->count ? args->word[0] : "";
	unsigned used;
	const struct command *command = shell_resolve(args->word, args->count, &used);

	if (command)
		drop_words(args, used);
	else if (!shell_has_noun(noun))
		shell_fail(shell, &no_such_command, noun, "no such command; try help");
	else if (args->count > 1)
		shell_fail(shell, &no_such_command, args->word[1], "%s has no such verb; try help %s", noun,
			   noun);
	else
		shell_fail(shell, &bad_usage, noun, "a verb is missing; try help %s", noun);
	return command;
}

static bool is_allowed(const struct command *command, const char *key)
{
	for (const char *const *option = command->options; option && *option; option++) {
		if (strcmp(*option, key) == 0)
			return true;
	}
	return false;
}

static bool check_args(struct shell *shell, const struct command *command)
{
	const struct cmd_args *args = &shell->args;

	if (args->count < command->min_words || args->count > command->max_words) {
		shell_fail(shell, &bad_usage, command->noun, "%s; usage: %s",
			   args->count < command->min_words ? "words are missing" : "too many words",
			   command->usage);
		return false;
	}
	for (unsigned i = 0; i < args->option_count; i++) {
		if (!is_allowed(command, args->key[i])) {
			shell_fail(shell, &bad_option, args->key[i], "no such option; usage: %s",
				   command->usage);
			return false;
		}
	}
	return true;
}

bool shell_parse(struct shell *shell, const struct command **command)
{
	memset(&shell->args, 0, sizeof(shell->args));
	if (!split_args(shell))
		return false;
	/* "?" as the last word asks for help: "?", "vm ?". */
	if (shell->args.count && strcmp(shell->args.word[shell->args.count - 1], "?") == 0) {
		shell->args.count--;
		*command = shell_find("help", "");
	} else {
		*command = find_command(shell);
	}
	return *command && check_args(shell, *command);
}

const char *args_option(const struct cmd_args *args, const char *key)
{
	for (unsigned i = 0; i < args->option_count; i++) {
		if (strcmp(args->key[i], key) == 0)
			return args->value[i];
	}
	return NULL;
}

bool args_flag(const struct cmd_args *args, const char *flag)
{
	return args_option(args, flag) != NULL;
}

bool shell_take_u64(struct shell *shell, const char *name, const char *text, u64 min, u64 max, u64 *value)
{
	u64 number;

	if (!text)
		return true;
	if (str_to_u64(text, &number) || number < min || number > max) {
		shell_fail(shell, &bad_number, name, "not a number from %llu to %llu: %s", (unsigned long long)min,
			   (unsigned long long)max, text);
		return false;
	}
	*value = number;
	return true;
}

bool shell_is_confirmed(struct shell *shell, const struct cmd_args *args, const char *what, const char *why)
{
	if (args_flag(args, "--yes"))
		return true;
	shell_fail(shell, &not_confirmed, what, "%s; --yes confirms it", why);
	return false;
}
