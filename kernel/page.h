/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Give and take host pages of 4 KiB, 2 MiB and 1 GiB.
 *
 * All usable memory is cut in chunks of 2 MiB; a chunk is free, given whole, or
 * cut in 512 small pages with a bitmap. Metadata is about 80 bytes a chunk, so it
 * never matters beside the memory itself. Any CPU; page_lock is taken inside.
 */
#pragma once

#include "kernel/types.h"

struct boot_info;

#define PAGE_BYTES 4096ull
#define PAGE_SHIFT 12
#define LARGE_PAGE_BYTES (2 * MIB)
#define LARGE_PAGE_SHIFT 21
#define HUGE_PAGE_BYTES GIB
#define HUGE_PAGE_SHIFT 30

enum page_size { PAGE_4K, PAGE_2M, PAGE_1G };

static inline u64 page_size_bytes(enum page_size size) { return PAGE_BYTES << (9 * (unsigned)size); }

/* All physical memory is mapped here, writable and not executable (kernel/layout.h). */
extern u8 *direct_map;

static inline void *phys_to_virt(hpa_t hpa) { return direct_map + hpa.value; }
static inline hpa_t virt_to_phys(const void *va) { return HPA((const u8 *)va - direct_map); }

/* Takes the memory map. Once, on the boot CPU, before any other page_ call. Negative errno if memory cannot even hold the metadata. */
int page_init(const struct boot_info *info);
/*
 * Gives memory that page_init was told of and did not give out (BOOT_MEM_LOADER, once nothing of
 * the loader's is in use any more). Once for each range; bytes that are unknown are left alone.
 */
void page_add_range(u64 base, u64 bytes);

/* One naturally aligned page of the size, contents unknown. 0 or -ENOMEM. */
int page_alloc(enum page_size size, hpa_t *out);
/* count (1..512) contiguous 4 KiB pages within one 2 MiB chunk. 0 or -ENOMEM. */
int page_alloc_run(unsigned count, hpa_t *out);
/* As page_alloc(PAGE_4K), zeroed, as a pointer; NULL when there is none. */
void *page_alloc_zeroed(void);

void page_free(hpa_t hpa, enum page_size size);
void page_free_run(hpa_t hpa, unsigned count);
void page_free_va(void *va);

struct page_stats {
	u64 total_bytes;
	u64 free_bytes;
	u64 free_large_pages; /* whole free 2 MiB chunks */
	u64 low_water_bytes;  /* least free_bytes since start */
	u64 metadata_bytes;
};
void page_get_stats(struct page_stats *stats);
