/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between net.c and stream.c: what the files that know lwIP tell each other.
 * CPU 0's network service only.
 */
#pragma once

#include "net/nic.h"

#include "lwip/err.h"

struct tcp_pcb;

/* The poll's second half: streams get their events, send, acknowledge. True: more to do. */
bool stream_poll(void);
/* Every few ms (TCP_TMR_INTERVAL): time-outs. */
void stream_tick(void);
/* Shows the cards what was queued. */
void net_kick(void);
/* The frames given to each card so far: until they are out, it may still read their payload. */
struct net_tx_mark {
	u64 queued[NIC_COUNT_MAX];
};
void net_tx_set_mark(struct net_tx_mark *mark);
/* Whether all that the mark stands for is out. */
bool net_tx_is_past(const struct net_tx_mark *mark);
/*
 * Binds to a port (0: any), and to one network, by its address and its card alone, or with
 * NETWORK_ANY to all. ERR_RTE if there is no such network.
 */
err_t net_bind(struct tcp_pcb *pcb, int network, u16 port);
