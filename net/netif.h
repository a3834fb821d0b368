/* SPDX-License-Identifier: BSD-2-Clause */
/* lwIP's interfaces by number, for the commands. CPU 0 only. */
#pragma once

struct netif;
struct nic;

/* The index-th interface that runs, or NULL; and its card. */
struct netif *net_netif(unsigned index);
struct nic *net_nic(unsigned index);
