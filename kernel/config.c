/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * tern.conf: a list of (section, name, key, value), in file order.
 *
 * The text is copied once and cut in place: all strings point into the copy, which stays.
 * A wrong line is reported and skipped; what follows a wrong section line is skipped too,
 * since it would end up in the section before.
 */
#include "kernel/config.h"

#include "kernel/fmt.h"
#include "kernel/heap.h"
#include "kernel/log.h"
#include "kernel/string.h"

#define CONFIG_BYTES_MAX (64 * KIB)
#define ENTRIES_MAX 512

struct entry {
	const char *section;
	const char *name; /* NULL in [host] */
	const char *key;  /* NULL: the section's own line */
	const char *value;
	unsigned line;
};

struct parser {
	unsigned line;
	unsigned wrong;
	const char *section; /* NULL before the first one */
	const char *name;
	bool is_skipping;    /* the section line was wrong, and was reported */
};

static struct entry *entries;
static unsigned entry_count;
static char *config_text;
static unsigned wrong_count;
static char first_wrong[160];

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void report(struct parser *parser, const char *what, const char *detail)
{
	log_warn("tern.conf line %u: %s%s", parser->line, what, detail);
	if (parser->wrong++ == 0)
		fmt_snprintf(first_wrong, sizeof(first_wrong), "line %u: %s%s", parser->line, what, detail);
}

static bool add(struct parser *parser, const char *key, const char *value)
{
	if (entry_count == ENTRIES_MAX) {
		report(parser, "too many lines, ignored: ", key ? key : parser->section);
		return false;
	}
	entries[entry_count++] = (struct entry){ parser->section, parser->name, key, value, parser->line };
	return true;
}

/* Cuts space from both ends. */
static char *trim(char *text)
{
	char *end;

	while (is_space(*text))
		text++;
	end = text + strlen(text);
	while (end > text && is_space(end[-1]))
		*--end = 0;
	return text;
}

/* '#' starts a comment at the start of a line or after space, not inside quotes. */
static void cut_comment(char *line)
{
	bool is_quoted = false;

	for (char *at = line; *at; at++) {
		if (*at == '"')
			is_quoted = !is_quoted;
		if (*at == '#' && !is_quoted && (at == line || is_space(at[-1]))) {
			*at = 0;
			return;
		}
	}
}

static bool has_control_character(const char *text)
{
	for (; *text; text++) {
		if (((u8)*text < ' ' && !is_space(*text)) || *text == 0x7f)
			return true;
	}
	return false;
}

static bool has_section(const char *section, const char *name)
{
	for (unsigned i = 0; i < entry_count; i++) {
		const struct entry *entry = &entries[i];

		if (entry->key || !entry->name || strcmp(entry->section, section))
			continue;
		if (strcmp(entry->name, name) == 0)
			return true;
	}
	return false;
}

static void parse_section(struct parser *parser, char *line)
{
	char *end = line + strlen(line) - 1;
	char *kind, *name;

	parser->is_skipping = true;
	if (*end != ']') {
		report(parser, "a section line ends with ]: ", line);
		return;
	}
	*end = 0;
	kind = trim(line + 1);
	name = kind;
	while (*name && !is_space(*name))
		name++;
	if (*name) {
		*name++ = 0;
		name = trim(name);
	}
	if (strcmp(kind, "host") == 0 && !*name) {
		name = NULL;
	} else if (strcmp(kind, "nic") && strcmp(kind, "peer") && strcmp(kind, "vm")) {
		report(parser, "a section is [host], [nic NAME], [peer NAME] or [vm NAME], not: ", kind);
		return;
	} else if (!str_is_name(name)) {
		report(parser, "a name is letters, digits, '-', '_', '.', none of '-.' first; this is none: ", name);
		return;
	} else if (has_section(kind, name)) {
		report(parser, "there is already a section for ", name);
		return;
	}
	parser->section = kind;
	parser->name = name;
	parser->is_skipping = !add(parser, NULL, NULL);
}

static void parse_value(struct parser *parser, char *line)
{
	char *equals = strchr(line, '=');
	char *key, *value;
	size_t length;

	if (!equals) {
		report(parser, "expected \"key = value\": ", line);
		return;
	}
	*equals = 0;
	key = trim(line);
	value = trim(equals + 1);
	length = strlen(value);
	if (!str_is_name(key)) {
		report(parser, "not a key: ", key);
		return;
	}
	if (value[0] == '"') {
		if (length < 2 || value[length - 1] != '"') {
			report(parser, "a quote is not closed: ", key);
			return;
		}
		value[length - 1] = 0;
		value++;
	}
	if (config_get(parser->section, parser->name, key)) {
		report(parser, "set twice; the first one counts: ", key);
		return;
	}
	add(parser, key, value);
}

static void parse_line(struct parser *parser, char *line)
{
	cut_comment(line);
	line = trim(line);
	if (!*line)
		return;
	if (has_control_character(line)) {
		report(parser, "has characters that are no text", "");
		return;
	}
	if (*line == '[') {
		parse_section(parser, line);
	} else if (parser->section && !parser->is_skipping) {
		parse_value(parser, line);
	} else if (!parser->is_skipping) {
		report(parser, "comes before any section: ", line);
	}
}

/* Lines end with LF; a NUL byte inside the file must not hide what follows it. */
static void cut_lines(struct parser *parser, char *text, size_t bytes)
{
	/* Some editors put a byte order mark in front. */
	size_t start = bytes >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;

	for (size_t at = 0; at <= bytes; at++) {
		if (at < bytes && text[at] == 0)
			text[at] = 0x7f;
		if (at < bytes && text[at] != '\n')
			continue;
		text[at] = 0;
		parser->line++;
		parse_line(parser, text + start);
		start = at + 1;
	}
}

unsigned config_parse(const char *text, size_t bytes)
{
	struct parser parser = { 0 };

	heap_free(entries);
	heap_free(config_text);
	entry_count = 0;
	entries = heap_alloc(ENTRIES_MAX * sizeof(*entries));
	config_text = heap_alloc(MIN(bytes, CONFIG_BYTES_MAX) + 1);
	if (!entries || !config_text) {
		log_error("tern.conf: no memory to read it");
		return 1;
	}
	if (bytes > CONFIG_BYTES_MAX) {
		report(&parser, "the file is longer than 64 KiB; the rest is ignored", "");
		bytes = CONFIG_BYTES_MAX;
	}
	memcpy(config_text, text, bytes);
	cut_lines(&parser, config_text, bytes);
	wrong_count = parser.wrong;
	return parser.wrong;
}

const char *config_first_wrong(unsigned *count)
{
	*count = wrong_count;
	return wrong_count ? first_wrong : NULL;
}

static bool is_in(const struct entry *entry, const char *section, const char *name)
{
	if (strcmp(entry->section, section))
		return false;
	return name ? entry->name && strcmp(entry->name, name) == 0 : !entry->name;
}

const char *config_get(const char *section, const char *name, const char *key)
{
	for (unsigned i = 0; i < entry_count; i++) {
		if (entries[i].key && is_in(&entries[i], section, name) && strcmp(entries[i].key, key) == 0)
			return entries[i].value;
	}
	return NULL;
}

unsigned config_line(const char *section, const char *name, const char *key)
{
	for (unsigned i = 0; i < entry_count; i++) {
		const struct entry *entry = &entries[i];

		if (is_in(entry, section, name) && (key ? entry->key && strcmp(entry->key, key) == 0 : !entry->key))
			return entry->line;
	}
	return 0;
}

const char *config_name(const char *section, unsigned index)
{
	for (unsigned i = 0; i < entry_count; i++) {
		const struct entry *entry = &entries[i];

		if (!entry->key && entry->name && strcmp(entry->section, section) == 0 && index-- == 0)
			return entry->name;
	}
	return NULL;
}

bool config_entry(const char *section, const char *name, unsigned index, const char **key, const char **value)
{
	for (unsigned i = 0; i < entry_count; i++) {
		const struct entry *entry = &entries[i];

		if (entry->key && is_in(entry, section, name) && index-- == 0) {
			*key = entry->key;
			*value = entry->value;
			return true;
		}
	}
	return false;
}
