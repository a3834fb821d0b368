/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Gregorian calendar in closed form: years are taken to begin in March, so that the leap
 * day is the last of its year, and eras are the 400 years after which all repeats.
 */
#include "vmm/dev/calendar.h"

#define SECONDS_PER_DAY 86400u
#define DAYS_PER_ERA 146097u
#define DAYS_BEFORE_1970 719468u /* since 0000-03-01 */

static u32 days_since_epoch(u32 year, u32 month, u32 day)
{
	u32 from_march = (month + 9) % 12; /* March is 0 */
	u32 march_year = year - (month <= 2);
	u32 year_of_era = march_year % 400;
	u32 day_of_year = (153 * from_march + 2) / 5 + day - 1;

	return march_year / 400 * DAYS_PER_ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 +
	       day_of_year - DAYS_BEFORE_1970;
}

u64 calendar_to_seconds(const struct calendar *date)
{
	if (date->year < 1970)
		return 0;
	return (u64)days_since_epoch(date->year, date->month, date->day) * SECONDS_PER_DAY +
	       date->hour * 3600u + date->minute * 60u + date->second;
}

void calendar_from_seconds(struct calendar *date, u64 seconds)
{
	u32 days = (u32)(seconds / SECONDS_PER_DAY), rest = (u32)(seconds % SECONDS_PER_DAY);
	u32 since_march_0 = days + DAYS_BEFORE_1970;
	u32 day_of_era = since_march_0 % DAYS_PER_ERA;
	u32 year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
	u32 day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
	u32 from_march = (5 * day_of_year + 2) / 153;
	u32 month = (from_march + 2) % 12 + 1;

	*date = (struct calendar){
		.year = (u16)(since_march_0 / DAYS_PER_ERA * 400 + year_of_era + (month <= 2)),
		.month = (u8)month,
		.day = (u8)(day_of_year - (153 * from_march + 2) / 5 + 1),
		.hour = (u8)(rest / 3600),
		.minute = (u8)(rest / 60 % 60),
		.second = (u8)(rest % 60),
		.weekday = (u8)((days + 4) % 7), /* 1970-01-01 was a Thursday */
	};
}
