/* SPDX-License-Identifier: BSD-2-Clause */
/* Tern's own string functions: bounded copy and strict number parsing. Any CPU, any context. */
#include "kernel/string.h"

#include "kernel/errno.h"

bool str_copy(char *to, size_t size, const char *from)
{
	size_t length;

	if (!size)
		return false;
	length = strnlen(from, size);
	if (length == size) {
		memcpy(to, from, size - 1);
		to[size - 1] = 0;
		return false;
	}
	memcpy(to, from, length + 1);
	return true;
}

bool str_starts(const char *s, const char *prefix)
{
	return strncmp(s, prefix, strlen(prefix)) == 0;
}

bool str_is_name(const char *s)
{
	if (!*s || *s == '-' || *s == '.')
		return false;
	for (; *s; s++) {
		bool is_letter = (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z');
		bool is_digit = *s >= '0' && *s <= '9';

		if (!is_letter && !is_digit && *s != '-' && *s != '_' && *s != '.')
			return false;
	}
	return true;
}

static int digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 16;
}

/* Parses digits from *at on and moves *at behind them. */
static int parse_number(const char **at, u64 *out)
{
	unsigned base = 10;
	const char *s = *at;
	const char *first;
	u64 value = 0;

	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
	}
	for (first = s; digit_value(*s) < (int)base; s++) {
		u64 digit = (u64)digit_value(*s);

		if (__builtin_mul_overflow(value, (u64)base, &value) ||
		    __builtin_add_overflow(value, digit, &value))
			return -ERANGE;
	}
	if (s == first)
		return -EINVAL;
	*at = s;
	*out = value;
	return 0;
}

int str_to_u64(const char *s, u64 *out)
{
	u64 value;
	int err = parse_number(&s, &value);

	if (err)
		return err;
	if (*s)
		return -EINVAL;
	*out = value;
	return 0;
}

int str_to_bytes(const char *s, u64 *out)
{
	static const char suffixes[] = "KMG";
	u64 value;
	int err = parse_number(&s, &value);

	if (err)
		return err;
	for (unsigned i = 0; *s && suffixes[i]; i++) {
		if ((*s & ~0x20) != suffixes[i])
			continue;
		if (value >> (64 - 10 * (i + 1)))
			return -ERANGE;
		value <<= 10 * (i + 1);
		s++;
		break;
	}
	if (*s)
		return -EINVAL;
	*out = value;
	return 0;
}
