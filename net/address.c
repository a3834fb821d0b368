/* SPDX-License-Identifier: BSD-2-Clause */
/* IPv4 addresses as people write them. Pure; any CPU. */
#include "kernel/errno.h"
#include "kernel/fmt.h"
#include "net/net.h"

/*
 * A decimal number up to max at *text, which moves behind it; -1 if there is none. Leading
 * zeros are refused: some read them as octal.
 */
static int parse_number(const char **text, unsigned max)
{
	const char *at = *text;
	unsigned value = 0;

	if (*at < '0' || *at > '9' || (at[0] == '0' && at[1] >= '0' && at[1] <= '9'))
		return -1;
	for (; *at >= '0' && *at <= '9'; at++) {
		value = value * 10 + (unsigned)(*at - '0');
		if (value > max)
			return -1;
	}
	*text = at;
	return (int)value;
}

static int parse_dotted(const char **text, u32 *ip)
{
	u32 value = 0;

	for (unsigned i = 0; i < 4; i++) {
		int part;

		if (i > 0 && *(*text)++ != '.')
			return -EINVAL;
		part = parse_number(text, 255);
		if (part < 0)
			return -EINVAL;
		value = value << 8 | (u32)part;
	}
	*ip = value;
	return 0;
}

int net_parse_ip(const char *text, u32 *ip)
{
	u32 value;

	if (parse_dotted(&text, &value) || *text != '\0')
		return -EINVAL;
	*ip = value;
	return 0;
}

int net_parse_subnet(const char *text, u32 *ip, unsigned *bits)
{
	u32 value;
	int length;

	if (parse_dotted(&text, &value) || *text++ != '/')
		return -EINVAL;
	length = parse_number(&text, 32);
	if (length < 1 || *text != '\0')
		return -EINVAL;
	*ip = value;
	*bits = (unsigned)length;
	return 0;
}

void net_format_ip(u32 ip, char text[16])
{
	fmt_snprintf(text, 16, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
}
