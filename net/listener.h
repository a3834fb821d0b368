/* SPDX-License-Identifier: BSD-2-Clause */
/* Ports on which Tern waits for streams: stream.c's other half. CPU 0's network service only. */
#pragma once

#include "kernel/types.h"

#include "lwip/tcp.h"

struct stream;

struct listener {
	struct tcp_pcb *pcb; /* NULL: free */
	void (*accept)(struct stream *stream, void *context);
	void *context;
};

/*
 * Listens, to one network or with NETWORK_ANY to all, with accept and context for the owner;
 * lwIP calls on_connection with the listener as its argument. Never closed. 0 or negative errno.
 */
int listener_open(int network, u16 port, tcp_accept_fn on_connection,
		  void (*accept)(struct stream *stream, void *context), void *context);
