/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pages that the guest writes again and again differ little from what was sent a moment ago: of
 * those only the lines that differ are sent. Kept are the last contents of a few hundred pages,
 * as the destination has them. Pure; it knows no stream.
 */
#pragma once

#include "kernel/types.h"

#define DELTA_PAGES 256       /* contents that are kept: 1 MiB */
#define DELTA_LINE_BYTES 64   /* so a page has as many lines as a word has bits */
#define DELTA_LINES_MAX 48    /* more than these: the page is sent whole */

struct delta {
	u64 *index;           /* which page a slot has; ~0: none */
	u8 *content;
};

/* 0 or -ENOMEM. */
int delta_init(struct delta *delta);
void delta_fini(struct delta *delta);
/* The destination has got other contents than were told here. */
void delta_forget(struct delta *delta);
/* Of this page, too: it went another way. */
void delta_drop(struct delta *delta, u64 index);
/*
 * The page is sent with this content now. Returns its lines that differ from what the destination
 * has, a bit for each; all of them when that is not known.
 */
u64 delta_lines(struct delta *delta, u64 index, const void *content);
/* Gathers the lines, one behind the other; returns how many bytes. */
size_t delta_gather(void *to, const void *content, u64 lines);
/* Puts them back in their places. */
void delta_scatter(void *content, const void *from, u64 lines);
