/* SPDX-License-Identifier: BSD-2-Clause */
/* Listening ports. */
#include "net/listener.h"

#include "kernel/errno.h"
#include "net/link.h"
#include "net/port/errors.h"

#define LISTENER_MAX MEMP_NUM_TCP_PCB_LISTEN
#define BACKLOG 8

static struct listener listeners[LISTENER_MAX];

static struct listener *find_free(void)
{
	for (unsigned i = 0; i < LISTENER_MAX; i++)
		if (!listeners[i].pcb)
			return &listeners[i];
	return NULL;
}

int listener_open(int network, u16 port, tcp_accept_fn on_connection,
		  void (*accept)(struct stream *stream, void *context), void *context)
{
	struct listener *listener = find_free();
	struct tcp_pcb *pcb, *listening = NULL;
	err_t err;

	if (!listener)
		return -ENOSPC;
	pcb = tcp_new();
	if (!pcb)
		return -ENOMEM;
	err = net_bind(pcb, network, port);
	if (err == ERR_OK)
		listening = tcp_listen_with_backlog_and_err(pcb, BACKLOG, &err); /* frees pcb if it succeeds */
	if (!listening) {
		tcp_abort(pcb);
		return lwip_port_errno(err);
	}
	*listener = (struct listener){ listening, accept, context };
	tcp_arg(listening, listener);
	tcp_accept(listening, on_connection);
	return 0;
}
