/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between net.c and stream.c: what the files that know lwIP tell each other.
 * CPU 0's network service only.
 */
#pragma once

#include "kernel/types.h"

#include "lwip/err.h"

struct tcp_pcb;

/* The poll's second half: streams get their events, send, acknowledge. True: more to do. */
bool stream_poll(void);
/* Every few ms (TCP_TMR_INTERVAL): time-outs. */
void stream_tick(void);
/* Shows the cards what was queued. */
void net_kick(void);
/* Frames given to cards whose payload they may still read, ever; and how many of them are out. */
u64 net_tx_queued(void);
u64 net_tx_done(void);
/*
 * Binds to a port (0: any), and to one network, by its address and its card alone, or with
 * NETWORK_ANY to all. ERR_RTE if there is no such network.
 */
err_t net_bind(struct tcp_pcb *pcb, int network, u16 port);
