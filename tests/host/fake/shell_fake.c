/* SPDX-License-Identifier: BSD-2-Clause */
/* kernel/shell.h's printing for tests of those who print: everything goes to one text. */
#include "tests/host/fake/shell_fake.h"

#include <stdio.h>
#include <string.h>

char fake_shell_text[16384], fake_shell_json[16384];

static void append(char *to, const char *format, va_list args)
{
	size_t length = strlen(to);

	vsnprintf(to + length, 16384 - length, format, args);
}

static void add_json(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	append(fake_shell_json, format, args);
	va_end(args);
}

void fake_shell_clear(void) { fake_shell_text[0] = fake_shell_json[0] = '\0'; }

void shell_print(struct shell *shell, const char *format, ...)
{
	va_list args;

	(void)shell;
	va_start(args, format);
	append(fake_shell_text, format, args);
	va_end(args);
}

void json_open_object(struct shell *shell, const char *key)
{
	(void)shell;
	add_json("%s{", key ? key : "");
}
void json_close_object(struct shell *shell) { (void)shell; add_json("} "); }
void json_open_array(struct shell *shell, const char *key) { (void)shell; add_json("%s[", key); }
void json_close_array(struct shell *shell) { (void)shell; add_json("] "); }

void json_string(struct shell *shell, const char *key, const char *value)
{
	(void)shell;
	add_json("%s=%s ", key, value);
}

void json_u64(struct shell *shell, const char *key, u64 value)
{
	(void)shell;
	add_json("%s=%llu ", key, (unsigned long long)value);
}

void json_bool(struct shell *shell, const char *key, bool value)
{
	(void)shell;
	add_json("%s=%d ", key, value);
}
