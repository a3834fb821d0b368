/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The battery clock, an MC146818 (its data sheet: registers 0 to 9, A, B). Read twice until both
 * readings agree, so that an update in between is not seen half. CPU 0 only.
 */
#include "arch/rtc.h"
#include "arch/cpu.h"

#define RTC_INDEX 0x70
#define RTC_DATA 0x71
#define RTC_TRIES 100000

#define RTC_A_UPDATING BIT(7)
#define RTC_B_BINARY BIT(2)
#define RTC_B_24H BIT(1)
#define RTC_HOUR_PM 0x80

struct rtc_reading {
	u8 second, minute, hour, day, month, year;
};

static u8 rtc_read(u8 index)
{
	out8(RTC_INDEX, index);
	return in8(RTC_DATA);
}

static struct rtc_reading rtc_read_all(void)
{
	return (struct rtc_reading){ rtc_read(0), rtc_read(2), rtc_read(4), rtc_read(7), rtc_read(8), rtc_read(9) };
}

static bool rtc_is_same(const struct rtc_reading *a, const struct rtc_reading *b)
{
	return a->second == b->second && a->minute == b->minute && a->hour == b->hour && a->day == b->day &&
	       a->month == b->month && a->year == b->year;
}

static unsigned from_bcd(u8 value, bool is_binary) { return is_binary ? value : (value >> 4) * 10u + (value & 15); }

/* Days from 1970-01-01 to a date, years 2000 to 2099. */
static u64 days_since_1970(unsigned year, unsigned month, unsigned day)
{
	static const u16 before_month[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
	u64 days = (year - 1970) * 365ull + (year - 1969) / 4 + before_month[month - 1] + day - 1;

	return days + (month > 2 && year % 4 == 0);
}

static u64 rtc_to_ns(const struct rtc_reading *r, u8 mode)
{
	bool is_binary = mode & RTC_B_BINARY;
	unsigned month = from_bcd(r->month, is_binary), day = from_bcd(r->day, is_binary);
	unsigned hour = from_bcd(r->hour & (u8)~RTC_HOUR_PM, is_binary);
	u64 days;

	if (month < 1 || month > 12 || day < 1 || day > 31)
		return 0;
	if (!(mode & RTC_B_24H))
		hour = hour % 12 + (r->hour & RTC_HOUR_PM ? 12 : 0);
	days = days_since_1970(2000 + from_bcd(r->year, is_binary) % 100, month, day);
	return (((days * 24 + hour) * 60 + from_bcd(r->minute, is_binary)) * 60 + from_bcd(r->second, is_binary)) *
	       NS_PER_SEC;
}

u64 rtc_now_ns(void)
{
	for (unsigned try = 0; try < RTC_TRIES; try++) {
		struct rtc_reading first, second;

		if (rtc_read(10) & RTC_A_UPDATING)
			continue;
		first = rtc_read_all();
		second = rtc_read_all();
		if (rtc_is_same(&first, &second))
			return rtc_to_ns(&first, rtc_read(11));
	}
	return 0;
}
