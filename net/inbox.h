/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes that have arrived on a stream and are not consumed yet: a list of pbufs, most of
 * them around a card's own buffers. CPU 0's network service only.
 *
 * A sender of tiny segments would hold a whole buffer with each, so small pieces are
 * packed together by copying. From the moment the inbox takes a chain, each pbuf stands for
 * itself (one reference each; tot_len means nothing).
 */
#pragma once

#include "kernel/types.h"

struct pbuf;

struct inbox {
	struct pbuf *first, *last;
	size_t bytes;
	u32 pack_room; /* free bytes at the end of last, if that is a packing buffer */
};

/* Takes over lwIP's chain. */
void inbox_take(struct inbox *inbox, struct pbuf *chain);
/* The oldest bytes, contiguous; NULL if there are none. */
const void *inbox_peek(const struct inbox *inbox, size_t *bytes);
/* Gives back the oldest bytes; there are as many. */
void inbox_consume(struct inbox *inbox, size_t bytes);
/* Gives back all, and returns how many there were. */
size_t inbox_discard(struct inbox *inbox);
