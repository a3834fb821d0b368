/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Reads no more of tern.conf than is needed, and judges nothing: the core tells which lines are
 * wrong (kernel/config.c), and the loader which files cannot be had. A name that is too long for
 * a boot file is skipped: the core will miss it by its full name.
 */
#include "boot/conf_files.h"

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static char peek(const struct conf_files *conf)
{
	return conf->at < conf->bytes ? conf->text[conf->at] : '\n';
}

static void skip_space(struct conf_files *conf)
{
	while (is_space(peek(conf)))
		conf->at++;
}

static void skip_line(struct conf_files *conf)
{
	while (peek(conf) != '\n')
		conf->at++;
	conf->at++;
}

/* Passes "KEY =" at the start of a line; false, having passed nothing but space, if it is another. */
static bool take_key(struct conf_files *conf, const char *key)
{
	u64 start = conf->at;

	for (; *key; key++) {
		if (peek(conf) != *key)
			break;
		conf->at++;
	}
	skip_space(conf);
	if (*key == '\0' && peek(conf) == '=') {
		conf->at++;
		return true;
	}
	conf->at = start;
	return false;
}

/* The value up to the line's end or a comment, or up to space if it is a word of a list. */
static bool take_name(struct conf_files *conf, char *name, bool is_word)
{
	bool is_quoted, was_space = true;
	u32 length = 0, end = 0;
	char c;

	skip_space(conf);
	is_quoted = peek(conf) == '"';
	if (is_quoted)
		conf->at++;
	for (; (c = peek(conf)) != '\n'; conf->at++) {
		if (is_quoted ? c == '"' : (c == '#' && was_space) || (is_word && is_space(c)))
			break;
		was_space = is_space(c);
		if (length < BOOT_FILE_NAME_MAX)
			name[length++] = c;
		if (!was_space)
			end = length;
	}
	if (is_quoted && c == '"')
		conf->at++;
	if (end == BOOT_FILE_NAME_MAX)
		end = 0;
	name[end] = '\0';
	return end > 0;
}

bool conf_files_next(struct conf_files *conf, char name[BOOT_FILE_NAME_MAX])
{
	while (conf->at < conf->bytes) {
		bool is_one;

		skip_space(conf);
		if (conf->is_inside && peek(conf) != '\n' && peek(conf) != '#') {
			if (take_name(conf, name, true))
				return true;
			continue;
		}
		if (conf->is_inside) {
			conf->is_inside = false;
			skip_line(conf);
			continue;
		}
		is_one = take_key(conf, "kernel") || take_key(conf, "initrd");
		conf->is_inside = !is_one && take_key(conf, "files");
		if (conf->is_inside)
			continue;
		is_one = is_one && take_name(conf, name, false);
		skip_line(conf);
		if (is_one)
			return true;
	}
	return false;
}
