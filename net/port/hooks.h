/* SPDX-License-Identifier: BSD-2-Clause */
/* Where lwIP asks Tern (lwipopts.h, LWIP_HOOK_FILENAME). */
#pragma once

#include "lwip/ip_addr.h"

/* How many buffers of segments that came out of order one connection may keep now. */
u16_t lwip_port_ooseq_limit(void);

/* First sequence number of a connection, RFC 6528: a keyed hash of who talks to whom, plus a clock. */
u32_t lwip_port_isn(const ip_addr_t *local_ip, u16_t local_port, const ip_addr_t *remote_ip,
		    u16_t remote_port);
