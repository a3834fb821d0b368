/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The heap: slabs for small objects, page runs for large ones.
 *
 * A slab is one page: a header, then objects of one size. Since the header comes
 * first, no small object is page aligned, and all large ones are: that tells
 * heap_free which kind it has. How long a large object is stands in a record of its
 * own (itself a small object), found by address in a small hash table.
 *
 *   slab  | header 64 bytes | object | object | ... | rest |
 *
 * An empty slab goes back to the page allocator at once, so that page counts are
 * equal before and after a balanced piece of work.
 *
 * heap_lock guards the slabs, the records and the counts; page_lock is taken under it.
 */
#include "kernel/heap.h"

#include "kernel/bits.h"
#include "kernel/list.h"
#include "kernel/lock.h"
#include "kernel/page.h"
#include "kernel/panic.h"
#include "kernel/string.h"

#define SLAB_MAGIC 0x42414c53u /* "SLAB" */
#define HEADER_BYTES 64
#define OBJECTS_MAX ((PAGE_BYTES - HEADER_BYTES) / 32)
#define LARGE_MAX (2 * MIB)
#define HASH_BUCKETS 64

struct slab {
	struct list link; /* on its class's list while it has a free object */
	u32 magic;
	u16 class;
	u16 free;
	u64 taken[BITMAP_WORDS(OBJECTS_MAX)];
};
_Static_assert(sizeof(struct slab) <= HEADER_BYTES, "the header of a slab is too long");

struct large {
	struct large *next;
	void *object;
	u32 pages;
};

/* Powers of two while they fit well; then 1/4, 1/3, 1/2 of what a page has. Multiples of 16. */
static const u16 class_bytes[] = { 32, 64, 128, 256, 512, 1008, 1344, 2016 };
#define CLASS_COUNT ARRAY_COUNT(class_bytes)

static struct lock heap_lock;
static struct list partial[CLASS_COUNT];
static struct large *large_table[HASH_BUCKETS];
static struct heap_stats stats;

static unsigned slab_capacity(unsigned class)
{
	return (unsigned)(PAGE_BYTES - HEADER_BYTES) / class_bytes[class];
}

/* CLASS_COUNT when the object is for the page allocator. */
static unsigned class_for(size_t bytes)
{
	unsigned class = 0;

	while (class < CLASS_COUNT && class_bytes[class] < bytes)
		class++;
	return class;
}

static struct slab *slab_create(unsigned class)
{
	struct slab *slab;
	hpa_t hpa;

	if (page_alloc(PAGE_4K, &hpa))
		return NULL;
	slab = phys_to_virt(hpa);
	memset(slab, 0, HEADER_BYTES);
	slab->magic = SLAB_MAGIC;
	slab->class = (u16)class;
	slab->free = (u16)slab_capacity(class);
	list_add_head(&partial[class], &slab->link);
	return slab;
}

static void *small_alloc(unsigned class)
{
	struct slab *slab;
	unsigned index;

	if (!partial[class].next)
		list_init(&partial[class]);
	slab = list_first(&partial[class], struct slab, link);
	if (!slab)
		slab = slab_create(class);
	if (!slab)
		return NULL;
	index = slab->taken[0] != ~0ull ? (unsigned)__builtin_ctzll(~slab->taken[0])
					: 64 + (unsigned)__builtin_ctzll(~slab->taken[1]);
	bitmap_set(slab->taken, index);
	if (--slab->free == 0)
		list_remove(&slab->link);
	return (u8 *)slab + HEADER_BYTES + index * class_bytes[class];
}

/* Returns the bytes that came back. */
static u32 small_free(void *object)
{
	struct slab *slab = (struct slab *)ALIGN_DOWN((uintptr_t)object, PAGE_BYTES);
	u32 offset = (u32)((u8 *)object - (u8 *)slab) - HEADER_BYTES;
	u32 bytes, index;

	if (slab->magic != SLAB_MAGIC || slab->class >= CLASS_COUNT)
		panic("heap: %p was not given out", object);
	bytes = class_bytes[slab->class];
	index = offset / bytes;
	if (offset % bytes || index >= slab_capacity(slab->class) || !bitmap_test(slab->taken, index))
		panic("heap: %p (object %u of %u bytes) was not given out", object, index, bytes);
	bitmap_clear(slab->taken, index);
	if (slab->free++ == 0)
		list_add_head(&partial[slab->class], &slab->link);
	if (slab->free == slab_capacity(slab->class)) {
		list_remove(&slab->link);
		slab->magic = 0;
		page_free_va(slab);
	}
	return bytes;
}

static struct large **bucket_for(const void *object)
{
	return &large_table[(uintptr_t)object / PAGE_BYTES % HASH_BUCKETS];
}

static void *large_alloc(u32 pages)
{
	struct large *record = small_alloc(class_for(sizeof(*record)));
	struct large **bucket;
	hpa_t hpa;

	if (!record)
		return NULL;
	if (page_alloc_run(pages, &hpa)) {
		small_free(record);
		return NULL;
	}
	record->object = phys_to_virt(hpa);
	record->pages = pages;
	bucket = bucket_for(record->object);
	record->next = *bucket;
	*bucket = record;
	return record->object;
}

static u32 large_free(void *object)
{
	struct large **at = bucket_for(object);
	struct large *record;
	u32 pages;

	while (*at && (*at)->object != object)
		at = &(*at)->next;
	record = *at;
	if (!record)
		panic("heap: %p was not given out", object);
	*at = record->next;
	pages = record->pages;
	small_free(record);
	page_free_run(virt_to_phys(object), pages);
	return pages * (u32)PAGE_BYTES;
}

void *heap_alloc(size_t bytes)
{
	unsigned class = class_for(bytes);
	size_t rounded;
	void *object;

	if (!bytes || bytes > LARGE_MAX)
		return NULL;
	rounded = class < CLASS_COUNT ? class_bytes[class] : ALIGN_UP(bytes, PAGE_BYTES);
	lock_take(&heap_lock);
	object = class < CLASS_COUNT ? small_alloc(class) : large_alloc((u32)(rounded / PAGE_BYTES));
	if (object) {
		stats.objects++;
		stats.bytes += rounded;
	}
	lock_give(&heap_lock);
	return object ? memset(object, 0, rounded) : NULL;
}

void heap_free(void *object)
{
	u32 bytes;

	if (!object)
		return;
	lock_take(&heap_lock);
	bytes = IS_ALIGNED((uintptr_t)object, PAGE_BYTES) ? large_free(object) : small_free(object);
	stats.objects--;
	stats.bytes -= bytes;
	lock_give(&heap_lock);
}

void heap_get_stats(struct heap_stats *out)
{
	lock_take(&heap_lock);
	*out = stats;
	lock_give(&heap_lock);
}
