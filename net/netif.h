/* SPDX-License-Identifier: BSD-2-Clause */
/* lwIP's interfaces by number, for the commands. CPU 0 only. */
#pragma once

struct netif;
struct nic;
struct net_plan;

/* The index-th network that runs, or NULL: lwIP's interface, its card, and what it was planned as. */
struct netif *net_netif(unsigned index);
struct nic *net_nic(unsigned index);
const struct net_plan *net_plan_of(unsigned index);
