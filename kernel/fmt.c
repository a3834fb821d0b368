/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * printf's formatting (ISO C 7.21.6.1 without floating point), on the stack only.
 *
 * Text beyond the buffer is counted and not stored, so that the return value is
 * the whole length. An unknown conversion is printed as it stands.
 *
 * Any CPU, any context.
 */
#include "kernel/fmt.h"

#include "kernel/string.h"

#define DIGITS_MAX 24 /* 22 octal digits would be the longest; decimal has 20 */

struct output {
	char *to;
	size_t size;
	size_t length; /* of the whole text, stored or not */
};

/* One conversion: %[flags][width][.precision][length]conversion. */
struct spec {
	bool is_left;
	bool want_zeros;
	bool want_plus;
	bool want_space;
	bool want_prefix;
	int width;
	int precision; /* -1: none given */
	char length;   /* 'H' for hh, 'h', 0, 'l' (also for ll and z: all are 64 bits) */
	char conversion;
};

static void put(struct output *out, char c)
{
	if (out->length + 1 < out->size)
		out->to[out->length] = c;
	out->length++;
}

static void put_repeated(struct output *out, char c, int count)
{
	for (; count > 0; count--)
		put(out, c);
}

static void put_text(struct output *out, const char *text, int length)
{
	for (int i = 0; i < length; i++)
		put(out, text[i]);
}

static const char *parse_flags(struct spec *spec, const char *at)
{
	for (;; at++) {
		switch (*at) {
		case '-':
			spec->is_left = true;
			break;
		case '0':
			spec->want_zeros = true;
			break;
		case '+':
			spec->want_plus = true;
			break;
		case ' ':
			spec->want_space = true;
			break;
		case '#':
			spec->want_prefix = true;
			break;
		default:
			return at;
		}
	}
}

/* Widths are bounded, since nobody formats megabytes of padding on purpose. */
#define NUMBER_MAX 4096

static const char *parse_decimal(const char *at, int *out)
{
	int value = 0;

	for (; *at >= '0' && *at <= '9'; at++)
		value = MIN(value * 10 + (*at - '0'), NUMBER_MAX);
	*out = value;
	return at;
}

static const char *parse_length(struct spec *spec, const char *at)
{
	for (;; at++) {
		switch (*at) {
		case 'h':
			spec->length = spec->length == 'h' ? 'H' : 'h';
			break;
		case 'l':
		case 'z':
		case 'j':
		case 't':
			spec->length = 'l';
			break;
		default:
			return at;
		}
	}
}

static s64 signed_argument(const struct spec *spec, va_list *args)
{
	s64 value = spec->length == 'l' ? va_arg(*args, s64) : va_arg(*args, int);

	if (spec->length == 'H')
		return (s8)value;
	if (spec->length == 'h')
		return (s16)value;
	return value;
}

static u64 unsigned_argument(const struct spec *spec, va_list *args)
{
	u64 value = spec->length == 'l' ? va_arg(*args, u64) : va_arg(*args, unsigned);

	if (spec->length == 'H')
		return (u8)value;
	if (spec->length == 'h')
		return (u16)value;
	return value;
}

/* Writes the digits backwards from the end of the buffer; returns the first one. Zero has no digit here. */
static char *digits_of(u64 value, unsigned base, bool is_upper, char *end)
{
	const char *digits = is_upper ? "0123456789ABCDEF" : "0123456789abcdef";

	for (; value; value /= base)
		*--end = digits[value % base];
	return end;
}

static void format_number(struct output *out, const struct spec *spec, u64 value, unsigned base,
			  const char *sign)
{
	char buffer[DIGITS_MAX];
	char *end = buffer + sizeof(buffer);
	char *first = digits_of(value, base, spec->conversion == 'X', end);
	int digits = (int)(end - first);
	int sign_length = (int)strlen(sign);
	int zeros = MAX((spec->precision < 0 ? 1 : spec->precision) - digits, 0);
	int padding = spec->width - sign_length - zeros - digits;

	/* ISO C: '0' is ignored beside '-' or a precision. */
	if (spec->want_zeros && !spec->is_left && spec->precision < 0 && padding > 0) {
		zeros += padding;
		padding = 0;
	}
	if (!spec->is_left)
		put_repeated(out, ' ', padding);
	put_text(out, sign, sign_length);
	put_repeated(out, '0', zeros);
	put_text(out, first, digits);
	if (spec->is_left)
		put_repeated(out, ' ', padding);
}

static void format_signed(struct output *out, const struct spec *spec, s64 value)
{
	const char *sign = "";

	if (value < 0)
		sign = "-";
	else if (spec->want_plus)
		sign = "+";
	else if (spec->want_space)
		sign = " ";
	format_number(out, spec, value < 0 ? 0 - (u64)value : (u64)value, 10, sign);
}

static void format_hex(struct output *out, const struct spec *spec, u64 value)
{
	const char *prefix = spec->conversion == 'X' ? "0X" : "0x";

	format_number(out, spec, value, 16, spec->want_prefix && value ? prefix : "");
}

static void format_string(struct output *out, const struct spec *spec, const char *text)
{
	size_t max = spec->precision < 0 ? 0x7fffffff : (size_t)spec->precision;
	int length;

	if (!text)
		text = "(null)";
	length = (int)strnlen(text, max);
	if (!spec->is_left)
		put_repeated(out, ' ', spec->width - length);
	put_text(out, text, length);
	if (spec->is_left)
		put_repeated(out, ' ', spec->width - length);
}

static void format_char(struct output *out, struct spec *spec, char c)
{
	if (!spec->is_left)
		put_repeated(out, ' ', spec->width - 1);
	put(out, c);
	if (spec->is_left)
		put_repeated(out, ' ', spec->width - 1);
}

/* False when the conversion is unknown. */
static bool format_one(struct output *out, struct spec *spec, va_list *args)
{
	switch (spec->conversion) {
	case 'd':
	case 'i':
		format_signed(out, spec, signed_argument(spec, args));
		return true;
	case 'u':
		format_number(out, spec, unsigned_argument(spec, args), 10, "");
		return true;
	case 'x':
	case 'X':
		format_hex(out, spec, unsigned_argument(spec, args));
		return true;
	case 'p':
		spec->want_prefix = true;
		format_hex(out, spec, (u64)(uintptr_t)va_arg(*args, void *));
		return true;
	case 's':
		format_string(out, spec, va_arg(*args, const char *));
		return true;
	case 'c':
		format_char(out, spec, (char)va_arg(*args, int));
		return true;
	case '%':
		put(out, '%');
		return true;
	default:
		return false;
	}
}

/* at is behind the '%'; returns where the text goes on. */
static const char *parse_spec(struct spec *spec, const char *at, va_list *args)
{
	*spec = (struct spec){ .precision = -1 };
	at = parse_flags(spec, at);
	if (*at == '*') {
		int width = va_arg(*args, int);

		spec->is_left |= width < 0;
		width = MAX(MIN(width, NUMBER_MAX), -NUMBER_MAX);
		spec->width = width < 0 ? -width : width;
		at++;
	} else {
		at = parse_decimal(at, &spec->width);
	}
	if (*at == '.') {
		at++;
		if (*at == '*') {
			int precision = va_arg(*args, int);

			spec->precision = MAX(MIN(precision, NUMBER_MAX), -1);
			at++;
		} else {
			at = parse_decimal(at, &spec->precision);
		}
	}
	at = parse_length(spec, at);
	spec->conversion = *at;
	return *at ? at + 1 : at;
}

int fmt_vsnprintf(char *to, size_t size, const char *format, va_list args)
{
	struct output out = { .to = to, .size = size };
	va_list copy;

	va_copy(copy, args);
	while (*format) {
		const char *start = format;
		struct spec spec;

		if (*format != '%') {
			put(&out, *format++);
			continue;
		}
		format = parse_spec(&spec, format + 1, &copy);
		if (!format_one(&out, &spec, &copy))
			put_text(&out, start, (int)(format - start));
	}
	va_end(copy);
	if (size)
		to[MIN(out.length, size - 1)] = 0;
	return (int)out.length;
}

int fmt_snprintf(char *to, size_t size, const char *format, ...)
{
	va_list args;
	int length;

	va_start(args, format);
	length = fmt_vsnprintf(to, size, format, args);
	va_end(args);
	return length;
}
