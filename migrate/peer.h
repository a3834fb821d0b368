/* SPDX-License-Identifier: BSD-2-Clause */
/* The other hosts by name: sections [peer NAME] of tern.conf, and peer add. CPU 0 only. */
#pragma once

#include "kernel/list.h"
#include "migrate/wire.h"
#include "net/stream.h"

#define PEERS_MAX 64

struct peer {
	struct list link;
	char name[WIRE_HOST_MAX];
	struct stream_address address;
};

/* Takes the peers of tern.conf; a wrong one is reported and left out. */
void peer_init(void);
struct peer *peer_find(const char *name);
/* 0, -EINVAL (name or address), -EEXIST, -ENOSPC, -ENOMEM. address is "10.77.0.2" or "10.77.0.2:8376". */
int peer_add(const char *name, const char *address);
int peer_remove(const char *name);
/* A peer's name or an address; -ENOENT. */
int peer_resolve(const char *text, struct stream_address *address);
