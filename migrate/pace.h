/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A rate limit (rate=): a bucket of sending credit that fills with time. Its depth lets a short
 * round go at the link's own speed when it was waited for: what the guest writes during the round
 * depends on how long the round takes, so short rounds must be quick to get shorter still. Pure.
 */
#pragma once

#include "kernel/types.h"

#define PACE_DEPTH_BYTES MIB

struct pace {
	u64 bytes_per_sec;   /* 0: no limit */
	u64 paid_until_ns;   /* all bytes so far are paid for at this time */
};

void pace_init(struct pace *pace, u64 bytes_per_sec, u64 now_ns);
void pace_pay(struct pace *pace, u64 bytes, u64 now_ns);
/* When bytes more may be sent without a pause; 0: now, as there is no limit. */
u64 pace_ready_ns(const struct pace *pace, u64 bytes);
