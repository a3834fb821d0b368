/* SPDX-License-Identifier: BSD-2-Clause */
/* stun= and rate= as numbers. */
#include "migrate/limits.h"

#include "kernel/string.h"
#include "migrate/send.h"

#define STUN_MIN_NS (100 * NS_PER_US)
#define STUN_MAX_NS (60 * NS_PER_SEC)
#define RATE_MIN (1000000ull) /* bits per second */

/* A number and a unit, as a multiple of the unit's scale. */
static bool parse_scaled(const char *text, const char *const *unit, const u64 *scale, u64 *value)
{
	u64 number = 0;
	const char *at = text;

	for (; *at >= '0' && *at <= '9'; at++) {
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (u64)(*at - '0'), &number))
			return false;
	}
	for (unsigned i = 0; at != text && unit[i]; i++) {
		if (!strcmp(at, unit[i]))
			return !__builtin_mul_overflow(number, scale[i], value);
	}
	return false;
}

/* "5ms", "500us", "1s"; a plain number is ms. */
static bool parse_stun(const char *text, u64 *ns)
{
	static const char *const units[] = { "us", "ms", "s", "", NULL };
	static const u64 scale[] = { NS_PER_US, NS_PER_MS, NS_PER_SEC, NS_PER_MS };

	return parse_scaled(text, units, scale, ns) && *ns >= STUN_MIN_NS && *ns <= STUN_MAX_NS;
}

/* "1G", "250M": bits per second, as networks are sold; kept as bytes per second. */
static bool parse_rate(const char *text, u64 *bytes)
{
	static const char *const units[] = { "G", "M", "k", "K", "", NULL };
	static const u64 scale[] = { 1000000000, 1000000, 1000, 1000, 1 };

	if (!parse_scaled(text, units, scale, bytes) || *bytes < RATE_MIN)
		return false;
	*bytes /= 8;
	return true;
}

const char *limits_parse(struct send_options *options, const char *stun, const char *rate)
{
	struct send_options wanted = *options;

	if (stun && !parse_stun(stun, &wanted.stun_limit_ns))
		return stun;
	if (rate && !parse_rate(rate, &wanted.rate_bytes))
		return rate;
	*options = wanted;
	return NULL;
}
