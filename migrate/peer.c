/* SPDX-License-Identifier: BSD-2-Clause */
/* Names for hosts. */
#include "migrate/peer.h"

#include "kernel/config.h"
#include "kernel/errno.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "migrate/migrate.h"
#include "net/net.h"

static int parse_address(const char *text, struct stream_address *address)
{
	const char *colon = strchr(text, ':');
	char ip[16];
	u64 port = WIRE_PORT;

	if (colon && (str_to_u64(colon + 1, &port) || port == 0 || port > 0xffff))
		return -EINVAL;
	if (!colon)
		colon = text + strlen(text);
	if ((size_t)(colon - text) >= sizeof(ip))
		return -EINVAL;
	memcpy(ip, text, (size_t)(colon - text));
	ip[colon - text] = '\0';
	address->port = (u16)port;
	return net_parse_ip(ip, &address->ip);
}

const struct peer *peer_nth(u32 index)
{
	return index < migration->peer_count ? &migration->peer[index] : NULL;
}

const struct peer *peer_find(const char *name)
{
	for (u32 i = 0; i < migration->peer_count; i++)
		if (!strcmp(migration->peer[i].name, name))
			return &migration->peer[i];
	return NULL;
}

int peer_add(const char *name, const char *address)
{
	struct stream_address parsed;
	struct peer *peer;

	if (!str_is_name(name) || strlen(name) >= WIRE_HOST_MAX || parse_address(address, &parsed))
		return -EINVAL;
	if (peer_find(name))
		return -EEXIST;
	if (migration->peer_count == PEERS_MAX)
		return -ENOSPC;
	peer = &migration->peer[migration->peer_count++];
	str_copy(peer->name, sizeof(peer->name), name);
	peer->address = parsed;
	return 0;
}

int peer_remove(const char *name)
{
	const struct peer *found = peer_find(name);
	u32 index;

	if (!found)
		return -ENOENT;
	index = (u32)(found - migration->peer);
	migration->peer_count--;
	memmove(&migration->peer[index], &migration->peer[index + 1],
		(migration->peer_count - index) * sizeof(migration->peer[0]));
	return 0;
}

int peer_resolve(const char *text, struct stream_address *address)
{
	const struct peer *peer = peer_find(text);

	if (peer) {
		*address = peer->address;
		return 0;
	}
	return parse_address(text, address) ? -ENOENT : 0;
}

void peer_init(void)
{
	const char *name;

	for (unsigned i = 0; (name = config_name("peer", i)); i++) {
		const char *address = config_get("peer", name, "address");

		if (!address || peer_add(name, address))
			log_warn("tern.conf: [peer %s] needs address=A.B.C.D, and a name of its own", name);
	}
}
