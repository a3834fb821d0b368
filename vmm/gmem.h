/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest-physical memory, the one door through which Tern itself writes it, and which
 * pages are dirty.
 *
 * RAM layout: [0, min(ram, 3 GiB)) and, for the rest, from 4 GiB on. Backed by 2 MiB host
 * pages, all of them taken at creation. gfn = gpa / 4096. Pages of RAM are also numbered
 * without the hole: "page index" 0..page_count-1 (gmem_index, gmem_gfn).
 *
 * gmem->lock guards the nested tables and tracking; gmem_read/gmem_write need no lock.
 */
#pragma once

#include "arch/nested.h"
#include "kernel/lock.h"

struct vm;

#define GMEM_LOW_MAX (3 * GIB)
#define GMEM_HIGH_BASE (4 * GIB)
#define GMEM_RAM_MIN (16 * MIB)
#define GMEM_RAM_MAX (64 * GIB)

struct gmem {
	struct lock lock;
	struct nested nested;
	u64 ram_bytes;          /* a multiple of 2 MiB */
	u64 page_count;
	hpa_t *chunk;           /* host address of each 2 MiB of RAM, by page index / 512 */
	u64 *dirty;             /* bitmap by page index: written through the door since last collected */
	u64 *dirty_group;       /* bitmap by word of dirty: the word may have a bit set */
	u64 *armed;             /* bitmap of 2 MiB chunks whose pages are tracked one by one */
	u64 scrubbed_chunks;    /* the first ones, zeroed by gmem_scrub */
	bool is_tracking;
	u64 entries_scanned;    /* cost of harvests, for the receipt */
};

/* Takes all memory and maps it with 2 MiB pages; what is in it is somebody else's. 0, -ENOMEM, -EINVAL. */
int gmem_init(struct gmem *gmem, u64 ram_bytes);
/* Zeroes up to so many more chunks of 2 MiB; true when all of RAM is done. Before a guest first runs. */
bool gmem_scrub(struct gmem *gmem, u64 chunks);
void gmem_fini(struct gmem *gmem);

/* Page index of a gfn; false if the gfn is not RAM. */
bool gmem_index(const struct gmem *gmem, u64 gfn, u64 *index);
u64 gmem_gfn(const struct gmem *gmem, u64 index);
/* The page, for reading, or for the incoming side of a move, which writes before the guest runs. */
void *gmem_page(const struct gmem *gmem, u64 index);

/*
 * Copies; may cross pages. -EFAULT if a byte is not RAM (nothing is done then). gmem_write
 * marks pages dirty.
 */
int gmem_read(struct gmem *gmem, gpa_t gpa, void *to, size_t bytes);
int gmem_write(struct gmem *gmem, gpa_t gpa, const void *from, size_t bytes);

/* Sets bits in an aligned word, atomically to the guest: for its page tables. -EFAULT if it is not RAM. */
int gmem_or32(struct gmem *gmem, gpa_t gpa, u32 bits);

/* True if [gpa, gpa+bytes) is all RAM. */
bool gmem_is_ram(const struct gmem *gmem, gpa_t gpa, u64 bytes);

/*
 * Dirty tracking, CPU 0 only. gmem_track_start: nothing is armed yet, door writes are marked
 * from here on. gmem_arm prepares the 2 MiB chunk (call just before its pages are read to be
 * sent; then gmem_flush_vcpus once per batch, before the reading). gmem_collect moves what was
 * written since the last collection into map (OR), a bitmap by page index, and returns how many
 * bits it set anew. When it returns no vCPU runs on old translations, so the pages in map, read from
 * here on, hold all that is marked; what is written later is for the next collection. One with
 * all vCPUs stopped is final. gmem_track_stop merges to 2 MiB pages again.
 */
int gmem_track_start(struct vm *vm);
int gmem_arm(struct vm *vm, u64 chunk);
u64 gmem_collect(struct vm *vm, u64 *map);
void gmem_track_stop(struct vm *vm);
/* Every vCPU drops its translations before it next runs guest code; waits until none runs on old ones. */
void gmem_flush_vcpus(struct vm *vm);
