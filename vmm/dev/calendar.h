/* SPDX-License-Identifier: BSD-2-Clause */
/* The Gregorian calendar, for clocks that count in dates. Years 1970 to 2299. */
#pragma once

#include "kernel/types.h"

struct calendar {
	u16 year;
	u8 month;   /* 1..12 */
	u8 day;     /* 1..31 */
	u8 hour, minute, second;
	u8 weekday; /* 0 is Sunday; not looked at by calendar_to_seconds */
};

/* Since 1970-01-01 00:00. */
void calendar_from_seconds(struct calendar *date, u64 seconds);
/* Years before 1970 give 0; days past the month's end run into the next month. */
u64 calendar_to_seconds(const struct calendar *date);
