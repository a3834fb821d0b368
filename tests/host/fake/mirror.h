/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The whole network stack on a card whose wire is a mirror: what is sent to 10.77.0.9 comes back as
 * from 10.77.0.9, with the IP addresses swapped. (Swapping does not change a sum, so checksums
 * stay right.) So one stack is both ends of a connection.
 */
#pragma once

#include "kernel/types.h"
#include "net/nic.h"

#define OTHER_IP 0x0a4d0009
#define NOBODY_IP 0x0a4d0063

/* The weather; all zero is a clear day. */
extern struct wire {
	unsigned loss, twice, late, damage; /* in 1/1000 */
	bool is_cut, is_hostile;
} wire;

extern struct nic card;

/* Memory, clock, this host as 10.77.0.1, and the services. Once. */
void mirror_start(void);
/* One turn of the services; 20 us go by. */
void turn(void);
void run_ms(u64 ms);

/* A byte arrives from this port of the mirror, for whom it talked to last, so far after the start of what it sent then. */
void mirror_forge(u16 port, u32 ahead);

u32 random_below(u32 limit);
