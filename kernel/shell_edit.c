/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Line editing: the line being typed, its cursor, the history.
 *
 * The screen always shows prompt and line with the cursor in place; each key prints only
 * what it changes, and moves back with backspaces, so that pasted text is echoed exactly
 * and any terminal will do. Keys are those of readline.
 */
#include "kernel/shell_private.h"

#include "kernel/string.h"

#define KEY(c) ((c) - '@') /* control and a letter */
#define ESCAPE 27
#define DELETE 127

static void put_back(struct shell *shell, unsigned count)
{
	for (; count; count--)
		output_bytes(shell, "\b", 1);
}

static void bell(struct shell *shell)
{
	output_bytes(shell, "\a", 1);
}

void editor_reset(struct editor *editor)
{
	editor->length = 0;
	editor->cursor = 0;
	editor->line[0] = 0;
	editor->browsed = 0;
}

void editor_show(struct shell *shell)
{
	struct editor *editor = &shell->editor;

	output_format(shell, "tern:%s> ", shell->host_name);
	output_bytes(shell, editor->line, editor->length);
	put_back(shell, editor->length - editor->cursor);
}

/* Prints the line from the cursor on, and returns to the cursor; erased: characters to blank at the end. */
static void show_tail(struct shell *shell, unsigned erased)
{
	struct editor *editor = &shell->editor;
	unsigned tail = editor->length - editor->cursor;

	output_bytes(shell, editor->line + editor->cursor, tail);
	for (unsigned i = 0; i < erased; i++)
		output_bytes(shell, " ", 1);
	put_back(shell, tail + erased);
}

void editor_insert(struct shell *shell, const char *text, size_t length)
{
	struct editor *editor = &shell->editor;
	char *at = editor->line + editor->cursor;

	if (length >= sizeof(editor->line) - editor->length) {
		bell(shell);
		return;
	}
	memmove(at + length, at, editor->length - editor->cursor + 1);
	memcpy(at, text, length);
	editor->length += (unsigned)length;
	editor->cursor += (unsigned)length;
	output_bytes(shell, text, length);
	if (editor->cursor < editor->length)
		show_tail(shell, 0);
}

/* Takes count characters before the cursor out. */
static void erase_before(struct shell *shell, unsigned count)
{
	struct editor *editor = &shell->editor;
	char *at = editor->line + editor->cursor;

	if (!count)
		return;
	memmove(at - count, at, editor->length - editor->cursor + 1);
	editor->length -= count;
	editor->cursor -= count;
	put_back(shell, count);
	show_tail(shell, count);
}

static void move_left(struct shell *shell, unsigned count)
{
	shell->editor.cursor -= count;
	put_back(shell, count);
}

static void move_right(struct shell *shell, unsigned count)
{
	struct editor *editor = &shell->editor;

	output_bytes(shell, editor->line + editor->cursor, count);
	editor->cursor += count;
}

static void move_end(struct shell *shell)
{
	move_right(shell, shell->editor.length - shell->editor.cursor);
}

static void erase_at(struct shell *shell)
{
	if (shell->editor.cursor == shell->editor.length)
		return;
	move_right(shell, 1);
	erase_before(shell, 1);
}

static void erase_to_end(struct shell *shell)
{
	unsigned tail = shell->editor.length - shell->editor.cursor;

	move_end(shell);
	erase_before(shell, tail);
}

/* The word before the cursor and the spaces behind it. */
static void erase_word(struct shell *shell)
{
	struct editor *editor = &shell->editor;
	unsigned start = editor->cursor;

	while (start && editor->line[start - 1] == ' ')
		start--;
	while (start && editor->line[start - 1] != ' ')
		start--;
	erase_before(shell, editor->cursor - start);
}

static void remember(struct editor *editor)
{
	const char *newest = editor->history[(editor->history_count - 1) % SHELL_HISTORY];

	if (!editor->length || (editor->history_count && strcmp(newest, editor->line) == 0))
		return;
	str_copy(editor->history[editor->history_count % SHELL_HISTORY], SHELL_LINE_MAX, editor->line);
	editor->history_count++;
}

/* Shows the browsed-th line back, or the draft for 0. */
static void browse(struct shell *shell, unsigned browsed)
{
	struct editor *editor = &shell->editor;
	const char *text = editor->draft;

	if (browsed > MIN(editor->history_count, (unsigned)SHELL_HISTORY)) {
		bell(shell);
		return;
	}
	if (!editor->browsed)
		str_copy(editor->draft, sizeof(editor->draft), editor->line);
	if (browsed)
		text = editor->history[(editor->history_count - browsed) % SHELL_HISTORY];
	move_end(shell);
	erase_before(shell, editor->length);
	editor->browsed = browsed;
	editor_insert(shell, text, strlen(text));
}

static void browse_newer(struct shell *shell)
{
	if (shell->editor.browsed)
		browse(shell, shell->editor.browsed - 1);
	else
		bell(shell);
}

/* The last byte of an escape sequence: ESC [ A, ESC O H, ESC [ 3 ~ */
static void sequence_end(struct shell *shell, u8 byte)
{
	struct editor *editor = &shell->editor;

	if (byte == '~') {
		static const u8 as_letter[] = { [1] = 'H', [3] = '~', [4] = 'F', [7] = 'H', [8] = 'F' };

		byte = editor->parameter < sizeof(as_letter) ? as_letter[editor->parameter] : 0;
	}
	switch (byte) {
	case 'A':
		browse(shell, editor->browsed + 1);
		break;
	case 'B':
		browse_newer(shell);
		break;
	case 'C':
		move_right(shell, editor->cursor < editor->length);
		break;
	case 'D':
		move_left(shell, editor->cursor > 0);
		break;
	case 'H':
		move_left(shell, editor->cursor);
		break;
	case 'F':
		move_end(shell);
		break;
	case '~':
		erase_at(shell);
		break;
	default:
		break;
	}
}

/* True while the byte belongs to an escape sequence. */
static bool sequence_byte(struct shell *shell, u8 byte)
{
	struct editor *editor = &shell->editor;

	if (byte == ESCAPE) {
		editor->escape = ESCAPE;
		return true;
	}
	if (!editor->escape)
		return false;
	if (editor->escape == ESCAPE) {
		editor->parameter = 0;
		editor->escape = byte == '[' || byte == 'O' ? byte : 0;
		return true;
	}
	/* Only the first number counts: ESC [ 3 ; 5 ~ is control and delete. */
	if (byte == ';') {
		editor->escape = ';';
		return true;
	}
	if (byte >= '0' && byte <= '9') {
		if (editor->escape != ';')
			editor->parameter = (u8)(editor->parameter * 10 + byte - '0');
		return true;
	}
	editor->escape = 0;
	sequence_end(shell, byte);
	return true;
}

static void control_byte(struct shell *shell, u8 byte)
{
	struct editor *editor = &shell->editor;

	switch (byte) {
	case KEY('A'):
		move_left(shell, editor->cursor);
		break;
	case KEY('B'):
		move_left(shell, editor->cursor > 0);
		break;
	case KEY('C'):
		move_end(shell);
		output_text(shell, "^C\n");
		editor_reset(editor);
		editor_show(shell);
		break;
	case KEY('D'):
		erase_at(shell);
		break;
	case KEY('E'):
		move_end(shell);
		break;
	case KEY('F'):
		move_right(shell, editor->cursor < editor->length);
		break;
	case KEY('H'):
	case DELETE:
		erase_before(shell, editor->cursor > 0);
		break;
	case KEY('I'):
		shell_complete(shell);
		break;
	case KEY('K'):
		erase_to_end(shell);
		break;
	case KEY('L'):
		output_text(shell, "\x1b[H\x1b[2J");
		editor_show(shell);
		break;
	case KEY('N'):
		browse_newer(shell);
		break;
	case KEY('P'):
		browse(shell, editor->browsed + 1);
		break;
	case KEY('U'):
		erase_before(shell, editor->cursor);
		break;
	case KEY('W'):
		erase_word(shell);
		break;
	default:
		break;
	}
}

bool editor_byte(struct shell *shell, u8 byte)
{
	struct editor *editor = &shell->editor;
	bool was_cr = editor->was_cr;
	char c = (char)byte;

	editor->was_cr = byte == '\r';
	if (byte == '\r' || byte == '\n') {
		editor->escape = 0;
		/* CR, LF and CR LF each end one line. */
		if (byte == '\n' && was_cr)
			return false;
		move_end(shell);
		output_text(shell, "\n");
		remember(editor);
		return true;
	}
	if (sequence_byte(shell, byte))
		return false;
	if (byte < ' ' || byte == DELETE)
		control_byte(shell, byte);
	else
		editor_insert(shell, &c, 1);
	return false;
}
