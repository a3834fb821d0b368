/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The JSON answer of a command (RFC 8259), gathered while it runs and printed as one line.
 *
 * The buffer holds the members of the outer object, without its braces, since "ok" comes
 * first and is known last. What a handler leaves open is closed. Text that is not UTF-8
 * gets U+FFFD for each wrong byte, so that the answer is always valid.
 */
#include "kernel/shell_private.h"

#include "kernel/fmt.h"
#include "kernel/heap.h"
#include "kernel/string.h"

#define JSON_FIRST_BYTES 1024
#define JSON_BYTES_MAX MIB

void json_reset(struct shell *shell)
{
	heap_free(shell->json.text);
	memset(&shell->json, 0, sizeof(shell->json));
}

static bool make_room(struct json *json, size_t bytes)
{
	size_t size = json->size ? json->size : JSON_FIRST_BYTES;
	char *text;

	if (json->length + bytes <= json->size)
		return true;
	while (size < json->length + bytes)
		size *= 2;
	text = size <= JSON_BYTES_MAX ? heap_alloc(size) : NULL;
	if (!text)
		return false;
	if (json->length)
		memcpy(text, json->text, json->length);
	heap_free(json->text);
	json->text = text;
	json->size = size;
	return true;
}

static void put(struct json *json, const char *bytes, size_t count)
{
	if (json->is_broken)
		return;
	if (!make_room(json, count)) {
		json->is_broken = true;
		return;
	}
	memcpy(json->text + json->length, bytes, count);
	json->length += count;
}

static void put_text(struct json *json, const char *text)
{
	put(json, text, strlen(text));
}

/* Length of the UTF-8 character at s (RFC 3629, section 4), or 0 if there is none. */
static unsigned utf8_length(const char *text)
{
	const u8 *s = (const u8 *)text;
	u8 low = 0x80, high = 0xbf;
	unsigned length;

	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		length = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		length = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		length = 4;
	else
		return 0;
	/* Overlong forms, surrogates and what lies beyond U+10FFFF show in the second byte. */
	if (s[0] == 0xe0)
		low = 0xa0;
	if (s[0] == 0xed)
		high = 0x9f;
	if (s[0] == 0xf0)
		low = 0x90;
	if (s[0] == 0xf4)
		high = 0x8f;
	if (s[1] < low || s[1] > high)
		return 0;
	for (unsigned i = 2; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	}
	return length;
}

static void put_quoted(struct json *json, const char *text)
{
	char escape[8];

	put(json, "\"", 1);
	while (*text) {
		u8 c = (u8)*text;
		unsigned length = c < 0x80 ? 1 : utf8_length(text);

		if (c == '"' || c == '\\') {
			put(json, "\\", 1);
			put(json, text, 1);
		} else if (c < ' ' || c == 0x7f) {
			fmt_snprintf(escape, sizeof(escape), "\\u%04x", c);
			put_text(json, escape);
		} else if (!length) {
			put_text(json, "\\ufffd");
		} else {
			put(json, text, length);
		}
		text += MAX(length, 1u);
	}
	put(json, "\"", 1);
}

/* Comma and key in front of a value. False: the handler is not asked for JSON. */
static bool begin_value(struct shell *shell, const char *key)
{
	struct json *json = &shell->json;

	if (!shell->args.is_json)
		return false;
	if (json->has_items[json->depth])
		put(json, ", ", 2);
	json->has_items[json->depth] = true;
	if (key) {
		put_quoted(json, key);
		put(json, ": ", 2);
	}
	return true;
}

static void open(struct shell *shell, const char *key, char bracket, char close)
{
	struct json *json = &shell->json;

	if (!begin_value(shell, key))
		return;
	put(json, &bracket, 1);
	if (json->depth + 1 == JSON_DEPTH_MAX) {
		json->is_broken = true;
		return;
	}
	json->depth++;
	json->has_items[json->depth] = false;
	json->close[json->depth] = close;
}

static void close(struct shell *shell)
{
	struct json *json = &shell->json;

	if (!shell->args.is_json || !json->depth)
		return;
	put(json, &json->close[json->depth--], 1);
}

void json_open_object(struct shell *shell, const char *key)
{
	open(shell, key, '{', '}');
}

void json_close_object(struct shell *shell)
{
	close(shell);
}

void json_open_array(struct shell *shell, const char *key)
{
	open(shell, key, '[', ']');
}

void json_close_array(struct shell *shell)
{
	close(shell);
}

void json_string(struct shell *shell, const char *key, const char *value)
{
	if (!begin_value(shell, key))
		return;
	if (value)
		put_quoted(&shell->json, value);
	else
		put_text(&shell->json, "null");
}

void json_u64(struct shell *shell, const char *key, u64 value)
{
	char text[24];

	if (!begin_value(shell, key))
		return;
	fmt_snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	put_text(&shell->json, text);
}

void json_bool(struct shell *shell, const char *key, bool value)
{
	if (begin_value(shell, key))
		put_text(&shell->json, value ? "true" : "false");
}

static void print_and_free(struct shell *shell, struct json *json)
{
	if (json->is_broken)
		output_text(shell, "{\"ok\": false, \"error\": {\"code\": \"E-NO-MEMORY\", "
				   "\"what\": \"answer\", \"why\": \"too long for the memory there is\"}}\n");
	else
		output_bytes(shell, json->text, json->length);
	heap_free(json->text);
}

void json_finish(struct shell *shell, enum cmd_result result)
{
	struct json *body = &shell->json;
	struct json answer = { 0 };

	while (body->depth)
		close(shell);
	put_text(&answer, result == CMD_OK ? "{\"ok\": true" : "{\"ok\": false");
	if (result != CMD_OK) {
		put_text(&answer, ", \"error\": {\"code\": ");
		put_quoted(&answer, shell->error->code);
		put_text(&answer, ", \"what\": ");
		put_quoted(&answer, shell->error_what);
		put_text(&answer, ", \"why\": ");
		put_quoted(&answer, shell->error_why);
		put_text(&answer, "}");
	}
	if (body->length) {
		put_text(&answer, ", ");
		put(&answer, body->text, body->length);
	}
	put_text(&answer, "}\r\n");
	answer.is_broken |= body->is_broken;
	print_and_free(shell, &answer);
	json_reset(shell);
}
