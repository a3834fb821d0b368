/* SPDX-License-Identifier: BSD-2-Clause */
/* What the answer that a network start got says (RFC 2131, 2132): from where, and as what. Not trusted. */
#pragma once

#include "kernel/types.h"

struct dhcp_start {
	u8 server[4];       /* of TFTP */
	char folder[128];   /* of the boot file there: "" or ends in '/' */
	char client[18];    /* this machine's Ethernet address: "52-54-00-12-34-56" */
};

/* False if the packet names no server, which is so if it is no answer to a network start. */
bool dhcp_read(const void *packet, u32 bytes, struct dhcp_start *start);
