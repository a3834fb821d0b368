/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest-physical memory, and the one door through which Tern itself writes it. Which pages
 * are dirty is in vmm/track.h.
 *
 * RAM layout: [0, min(ram, 3 GiB)) and, for the rest, from 4 GiB on. Backed by host pages of
 * 1 GiB and 2 MiB, all of them taken at creation. gfn = gpa / 4096. Pages of RAM are also numbered
 * without the hole: "page index" 0..page_count-1 (gmem_index, gmem_gfn).
 *
 * gmem->lock guards the nested tables and tracking; gmem_read/gmem_write need no lock.
 */
#pragma once

#include "arch/nested.h"
#include "kernel/lock.h"
#include "vmm/track.h"

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
	u64 scrubbed_chunks;    /* the first ones, zeroed by gmem_scrub */
	struct track track;
};

/* Takes all memory and maps it with the largest pages there are; what is in it is somebody else's. 0, -ENOMEM, -EINVAL. */
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

/* Every vCPU drops its translations before it next runs guest code; waits until none runs on old ones. */
void gmem_flush_vcpus(struct vm *vm);
