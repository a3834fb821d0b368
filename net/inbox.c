/* SPDX-License-Identifier: BSD-2-Clause */
/* A stream's received bytes, in place where they arrived. */
#include "net/inbox.h"

#include "kernel/string.h"

#include "lwip/pbuf.h"

#define SMALL_BYTES 512 /* received pieces up to this are packed together */
#define PACK_BYTES 4000 /* in buffers of this size: a page with its header */

static void append(struct inbox *inbox, struct pbuf *pbuf)
{
	pbuf->next = NULL;
	if (inbox->last)
		inbox->last->next = pbuf;
	else
		inbox->first = pbuf;
	inbox->last = pbuf;
	inbox->pack_room = 0;
}

/* Copies a small piece behind the last one; false: no memory, so it stays where it is. */
static bool pack(struct inbox *inbox, const struct pbuf *piece)
{
	if (inbox->pack_room < piece->len) {
		struct pbuf *room = pbuf_alloc(PBUF_RAW, PACK_BYTES, PBUF_RAM);

		if (!room)
			return false;
		room->len = 0;
		append(inbox, room);
		inbox->pack_room = PACK_BYTES;
	}
	memcpy((u8 *)inbox->last->payload + inbox->last->len, piece->payload, piece->len);
	inbox->last->len = (u16_t)(inbox->last->len + piece->len);
	inbox->pack_room -= piece->len;
	return true;
}

void inbox_take(struct inbox *inbox, struct pbuf *chain)
{
	inbox->bytes += chain->tot_len;
	for (struct pbuf *at = chain, *next; at; at = next) {
		/* A lone small piece is a message that will be consumed at once: not worth a copy. */
		bool is_crumb = inbox->first && at->len <= SMALL_BYTES;

		next = at->next;
		at->next = NULL;
		if (at->len == 0 || (is_crumb && pack(inbox, at)))
			pbuf_free(at);
		else
			append(inbox, at);
	}
}

const void *inbox_peek(const struct inbox *inbox, size_t *bytes)
{
	*bytes = inbox->first ? inbox->first->len : 0;
	return inbox->first ? inbox->first->payload : NULL;
}

static void free_first(struct inbox *inbox)
{
	struct pbuf *first = inbox->first;

	inbox->first = first->next;
	if (!inbox->first) {
		inbox->last = NULL;
		inbox->pack_room = 0;
	}
	first->next = NULL;
	pbuf_free(first);
}

void inbox_consume(struct inbox *inbox, size_t bytes)
{
	inbox->bytes -= bytes;
	while (bytes > 0) {
		struct pbuf *first = inbox->first;
		u16_t part = (u16_t)MIN(bytes, first->len);

		first->payload = (u8 *)first->payload + part;
		first->len = (u16_t)(first->len - part);
		bytes -= part;
		if (first->len == 0)
			free_first(inbox);
	}
}

size_t inbox_discard(struct inbox *inbox)
{
	size_t bytes = inbox->bytes;

	while (inbox->first)
		free_first(inbox);
	inbox->bytes = 0;
	return bytes;
}
