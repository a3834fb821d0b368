/* SPDX-License-Identifier: BSD-2-Clause */
/* The other hosts by name: sections [peer NAME] of tern.conf, and peer add. CPU 0 only. */
#pragma once

#include "migrate/wire.h"
#include "net/stream.h"

#define PEERS_MAX 64

struct peer {
	char name[WIRE_HOST_MAX];
	struct stream_address address;
};

/* Takes the peers of tern.conf; a wrong one is reported and left out. */
void peer_init(void);
/* The index-th, or NULL at the end. */
const struct peer *peer_nth(u32 index);
const struct peer *peer_find(const char *name);
/* 0, -EINVAL (name or address), -EEXIST, -ENOSPC. address is "10.77.0.2" or "10.77.0.2:8376". */
int peer_add(const char *name, const char *address);
int peer_remove(const char *name);
/* A peer's name or an address; -ENOENT. */
int peer_resolve(const char *text, struct stream_address *address);
