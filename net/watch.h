/* SPDX-License-Identifier: BSD-2-Clause */
/* Is the cable in, and does a card send what it has? CPU 0's network service only. */
#pragma once

#include "kernel/types.h"

struct nic;

struct watch {
	u64 tx_out, tx_moved_ns; /* when the card was last seen to send, or to have nothing to */
	bool is_up;
};

/* The card was started now. */
void watch_start(struct watch *watch, const struct nic *nic);
/*
 * Now and then: tells lwIP when the link went up or down, and resets a card that has frames
 * and has sent none for a while.
 */
void watch_card(struct watch *watch, struct nic *nic);
