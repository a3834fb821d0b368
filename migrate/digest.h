/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Digests of guest memory: XXH64 of each page, and one root over all pages.
 *
 *     root = sum over pages of digest_mix(page index, XXH64(page)) mod 2^64
 *
 * A sum can be corrected when one page changes, so both ends keep the root up to date while
 * pages move, and comparing it in the stun costs nothing that grows with the guest.
 */
#pragma once

#include "kernel/types.h"

/* XXH64 with seed 0 of any bytes. */
u64 digest_bytes(const void *bytes, size_t count);
/*
 * The same for one page of 4096 bytes, which may be written by the guest meanwhile: each word is
 * read once.
 */
u64 digest_page(const void *page);
/* Copies the page and returns the digest of what was copied. */
u64 digest_copy_page(void *to, const void *from);
/* True if the page is all zero; leaves at the first word that is not. */
bool digest_is_zero_page(const void *page);
/* digest_page of a page of zeros. */
u64 digest_of_zero_page(void);
/* Ties a page's digest to its place. */
u64 digest_mix(u64 index, u64 digest);

/*
 * What is not a page has an ordinal far from any page index: the offer first, then devices and
 * vCPUs in the order of their records.
 */
#define DIGEST_ORDINAL_OFFER (1ull << 63)
#define DIGEST_ORDINAL_STATE (DIGEST_ORDINAL_OFFER + 1)

/* What is known of each page: 8 bytes a page, in pieces of 512 pages. */
struct digest_map {
	u64 **piece;         /* mixed digests; 0 while not known */
	u64 *known;          /* bitmap: a digest may be 0, and a peer can make one */
	u64 page_count;
	u64 freed_count;     /* pieces */
	u64 root;
	u64 known_count;
};

/* 0 or -ENOMEM. Nothing is known at first. */
int digest_map_init(struct digest_map *map, u64 page_count);
void digest_map_fini(struct digest_map *map);
/* A part of that: at most count pieces. True when all is freed. */
bool digest_map_fini_some(struct digest_map *map, u32 count);
/* Was it ever set? */
bool digest_map_has(const struct digest_map *map, u64 index);
/* The page has a new content. */
void digest_map_set(struct digest_map *map, u64 index, u64 mixed);
