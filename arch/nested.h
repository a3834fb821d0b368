/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Second-level (nested) tables: walk, map, split, merge and dirty-track. The entry
 * format comes from the back end; everything else is shared. Four levels.
 *
 * Nothing here flushes a TLB. Whoever clears a dirty bit or takes a mapping away must
 * see to it that every vCPU flushes before its next entry (hv_ops.flush), and that no
 * vCPU is inside the guest with the old translation when the result is relied upon:
 * after harvest, a vCPU that kept a cached "dirty" translation would write unseen.
 *
 * Callers hold gmem->lock. Hardware sets accessed/dirty bits concurrently, so clearing
 * is atomic.
 */
#pragma once

#include "kernel/page.h"

/* Bits of one vendor's entry. Format-specific ones may be 0 when hardware has them always. */
struct nested_format {
	u64 present;       /* all bits that a present, readable, executable entry of any level needs */
	u64 write;
	u64 accessed;
	u64 dirty;         /* in leaves */
	u64 large;         /* leaf at 2 MiB or 1 GiB */
	u64 memory_wb;     /* memory type bits of a write-back leaf */
	u64 address_mask;
};

struct nested {
	const struct nested_format *format;
	hpa_t root;
	u64 table_pages;  /* tables in use, root included: a leak counter */
	u64 leaf_count[PAGE_1G + 1]; /* by enum page_size */
	u64 split_count;
	u64 merge_count;
	u64 mapped_end;   /* nothing is mapped at or above */
	u64 generation;   /* grows when cached translations may have become stale; back ends compare it at entry */
	u64 retired;      /* physical address of the first table that waits for nested_reclaim; 0: none */
};

#define NESTED_WRITE 1u /* nested_map flag: writable */

/* 0 or -ENOMEM. */
int nested_init(struct nested *nested, const struct nested_format *format);
void nested_fini(struct nested *nested); /* frees tables, not what they map */

/* Maps one page of the size; both addresses aligned to it. -ENOMEM, -EEXIST. */
int nested_map(struct nested *nested, gpa_t gpa, hpa_t hpa, enum page_size size, unsigned flags);
void nested_unmap(struct nested *nested, gpa_t gpa, enum page_size size);
/* Follows gpa; false if not mapped. *size and *writable may be NULL. */
bool nested_walk(const struct nested *nested, gpa_t gpa, hpa_t *hpa, enum page_size *size, bool *writable);

/* How the first write to a page is seen. */
enum nested_watch {
	NESTED_WATCH_DIRTY,    /* hardware sets the dirty bit, which was clear */
	NESTED_WATCH_PROTECT,  /* nested fault: the page is not writable until nested_open */
};

/*
 * Dirty tracking of the 2 MiB region at gpa (a multiple of 2 MiB): arm splits it in 4 KiB
 * pages that are clean: dirty and accessed bits clear, and not writable where that is how they
 * are watched. They are tracked from the caller's next TLB flush on. disarm merges the region
 * back in place. Arming what is armed does nothing and succeeds. -ENOENT: not mapped. -ENOMEM
 * leaves all as it was. A region that was mapped by 4 KiB pages is armed in place, and stays
 * small. A page of 1 GiB is split in pages of 2 MiB when the first of them is armed, and is
 * whole again when the last is disarmed.
 */
int nested_arm(struct nested *nested, gpa_t gpa, enum nested_watch watch);
void nested_disarm(struct nested *nested, gpa_t gpa);
bool nested_is_armed(const struct nested *nested, gpa_t gpa);

/*
 * One page of an armed region. clean watches for its next write again, after the caller's
 * next flush; the page is read after that. open lets a protected page be written from now on;
 * false if it was not protected. Pages elsewhere are left alone.
 */
void nested_clean(struct nested *nested, gpa_t gpa, enum nested_watch watch);
bool nested_open(struct nested *nested, gpa_t gpa);

/*
 * Frees the tables that disarm and unmap took out of use. Until every vCPU has flushed, a
 * walker may still read them (AMD APM 2 5.5.2, Intel SDM 3A 4.10.3 on cached upper levels), so
 * call it when that is done; nested_fini does it too. A guest access through such a table
 * can meet a nested fault for an address that is mapped: it is enough to enter again.
 */
void nested_reclaim(struct nested *nested);

/*
 * Collects the dirty bits of armed regions in [gpa, gpa + bytes) and clears them: calls
 * found(context, gfn) for each dirtied 4 KiB page. Subtrees whose entry has a clear
 * accessed bit are skipped and the bit is cleared on the way, so the cost follows what
 * the guest touched since the last two harvests, not its size. Returns the count of entries looked at.
 *
 * The caller flushes every vCPU after a harvest and before both the reading of the pages
 * found and the next harvest: until its flush, a vCPU writes through translations that
 * are cached as dirty, which sets no bit anywhere.
 */
u64 nested_harvest(struct nested *nested, gpa_t gpa, u64 bytes,
		   void (*found)(void *context, u64 gfn), void *context);
