/* SPDX-License-Identifier: BSD-2-Clause */
/* The bucket, kept as the time at which it is empty. */
#include "migrate/pace.h"

/* Bulk may be ahead by so much, so that it need not stop at every record. */
#define GRAIN_NS (5 * NS_PER_MS)

static u64 cost_ns(const struct pace *pace, u64 bytes)
{
	return bytes * (NS_PER_SEC / KIB) / MAX(pace->bytes_per_sec / KIB, 1u);
}

void pace_init(struct pace *pace, u64 bytes_per_sec, u64 now_ns)
{
	*pace = (struct pace){ .bytes_per_sec = bytes_per_sec, .paid_until_ns = now_ns };
}

void pace_pay(struct pace *pace, u64 bytes, u64 now_ns)
{
	u64 full_ns;

	if (!pace->bytes_per_sec)
		return;
	full_ns = cost_ns(pace, PACE_DEPTH_BYTES);
	if (pace->paid_until_ns + full_ns < now_ns)
		pace->paid_until_ns = now_ns - full_ns;
	pace->paid_until_ns += cost_ns(pace, bytes);
}

u64 pace_ready_ns(const struct pace *pace, u64 bytes)
{
	u64 ready_ns;

	if (!pace->bytes_per_sec)
		return 0;
	ready_ns = pace->paid_until_ns + cost_ns(pace, MIN(bytes, PACE_DEPTH_BYTES));
	return ready_ns > GRAIN_NS ? ready_ns - GRAIN_NS : 0;
}
