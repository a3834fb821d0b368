/* SPDX-License-Identifier: BSD-2-Clause */
/* The small services that every Tern offers on its network: echo (TCP 7) and discard (TCP 9). */
#pragma once

/* Once, after lwIP was started. */
void net_services_start(void);
