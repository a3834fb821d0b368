/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest-physical memory: host memory behind it, the door, and what is dirty.
 *
 * The rule that keeps it correct: a page is marked dirty after it was written, never
 * before, so whoever takes the mark away and then reads the page reads what the mark stood
 * for. For the guest's own writes hardware marks (nested tables), for Tern's the door does.
 *
 * The door's marks are a bitmap with a second level (a bit per word), so that collecting
 * costs what was written and not what there is.
 */
#include "vmm/gmem.h"
#include "arch/hv.h"
#include "kernel/bits.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/machine.h"
#include "kernel/string.h"
#include "vmm/vm.h"

#define CHUNK_PAGES (LARGE_PAGE_BYTES / PAGE_BYTES)
#define LOW_PAGES_MAX (GMEM_LOW_MAX / PAGE_BYTES)
#define HIGH_BASE_GFN (GMEM_HIGH_BASE / PAGE_BYTES)

/* --- layout --- */

bool gmem_index(const struct gmem *gmem, u64 gfn, u64 *index)
{
	if (gfn >= HIGH_BASE_GFN)
		gfn -= HIGH_BASE_GFN - LOW_PAGES_MAX;
	else if (gfn >= LOW_PAGES_MAX)
		return false;
	*index = gfn;
	return gfn < gmem->page_count;
}

u64 gmem_gfn(const struct gmem *gmem, u64 index)
{
	(void)gmem;
	return index < LOW_PAGES_MAX ? index : index + (HIGH_BASE_GFN - LOW_PAGES_MAX);
}

void *gmem_page(const struct gmem *gmem, u64 index)
{
	u8 *chunk = phys_to_virt(gmem->chunk[index / CHUNK_PAGES]);

	return chunk + index % CHUNK_PAGES * PAGE_BYTES;
}

bool gmem_is_ram(const struct gmem *gmem, gpa_t gpa, u64 bytes)
{
	u64 low_bytes = MIN(gmem->ram_bytes, GMEM_LOW_MAX);
	u64 high_bytes = gmem->ram_bytes - low_bytes;

	if (gpa.value < low_bytes)
		return bytes <= low_bytes - gpa.value;
	if (gpa.value < GMEM_HIGH_BASE || gpa.value - GMEM_HIGH_BASE >= high_bytes)
		return false;
	return bytes <= high_bytes - (gpa.value - GMEM_HIGH_BASE);
}

/* --- life --- */

static u64 chunk_count(const struct gmem *gmem) { return gmem->page_count / CHUNK_PAGES; }

static gpa_t chunk_gpa(const struct gmem *gmem, u64 chunk)
{
	return GPA(gmem_gfn(gmem, chunk * CHUNK_PAGES) * PAGE_BYTES);
}

static void *bitmap_alloc(u64 bits) { return heap_alloc(BITMAP_WORDS(bits) * sizeof(u64)); }

static int gmem_alloc_maps(struct gmem *gmem)
{
	gmem->chunk = heap_alloc(chunk_count(gmem) * sizeof(*gmem->chunk));
	gmem->dirty = bitmap_alloc(gmem->page_count);
	gmem->dirty_group = bitmap_alloc(BITMAP_WORDS(gmem->page_count));
	gmem->armed = bitmap_alloc(chunk_count(gmem));
	return gmem->chunk && gmem->dirty && gmem->dirty_group && gmem->armed ? 0 : -ENOMEM;
}

static int gmem_back_chunk(struct gmem *gmem, u64 chunk)
{
	hpa_t hpa;
	int err = page_alloc(PAGE_2M, &hpa);

	if (err)
		return err;
	gmem->chunk[chunk] = hpa;
	return nested_map(&gmem->nested, chunk_gpa(gmem, chunk), hpa, PAGE_2M, NESTED_WRITE);
}

int gmem_init(struct gmem *gmem, u64 ram_bytes)
{
	int err;

	if (ram_bytes < GMEM_RAM_MIN || ram_bytes > GMEM_RAM_MAX ||
	    !IS_ALIGNED(ram_bytes, LARGE_PAGE_BYTES))
		return -EINVAL;
	*gmem = (struct gmem){ .ram_bytes = ram_bytes, .page_count = ram_bytes / PAGE_BYTES };
	err = nested_init(&gmem->nested, hv->nested);
	if (err)
		return err;
	err = gmem_alloc_maps(gmem);
	for (u64 chunk = 0; !err && chunk < chunk_count(gmem); chunk++)
		err = gmem_back_chunk(gmem, chunk);
	if (err)
		gmem_fini(gmem);
	return err;
}

bool gmem_scrub(struct gmem *gmem, u64 chunks)
{
	u64 end = chunk_count(gmem);

	for (; chunks && gmem->scrubbed_chunks < end; chunks--)
		memset(phys_to_virt(gmem->chunk[gmem->scrubbed_chunks++]), 0, LARGE_PAGE_BYTES);
	return gmem->scrubbed_chunks == end;
}

void gmem_fini(struct gmem *gmem)
{
	nested_fini(&gmem->nested);
	/* No RAM lies at host address 0 (page.c keeps the first MiB), so 0 means: never taken. */
	for (u64 chunk = 0; gmem->chunk && chunk < chunk_count(gmem); chunk++) {
		if (gmem->chunk[chunk].value)
			page_free(gmem->chunk[chunk], PAGE_2M);
	}
	heap_free(gmem->chunk);
	heap_free(gmem->dirty);
	heap_free(gmem->dirty_group);
	heap_free(gmem->armed);
	*gmem = (struct gmem){ 0 };
}

/* --- the door --- */

static void gmem_mark(struct gmem *gmem, u64 index)
{
	/* The write must be seen by whoever starts tracking after this look; x86 lets a load overtake it. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!__atomic_load_n(&gmem->is_tracking, __ATOMIC_RELAXED))
		return;
	/* The page first, then its group: gmem_take_marks looks in the other order. */
	bitmap_set_atomic(gmem->dirty, index);
	bitmap_set_atomic(gmem->dirty_group, index / 64);
}

/* The piece of [gpa, gpa + bytes) within one page; the range is known to be RAM. */
static void *gmem_piece(const struct gmem *gmem, gpa_t gpa, size_t bytes, u64 *index, size_t *piece)
{
	u64 offset = gpa.value % PAGE_BYTES;

	gmem_index(gmem, gpa.value / PAGE_BYTES, index);
	*piece = MIN(bytes, PAGE_BYTES - offset);
	return (u8 *)gmem_page(gmem, *index) + offset;
}

int gmem_read(struct gmem *gmem, gpa_t gpa, void *to, size_t bytes)
{
	u8 *out = to;

	if (!gmem_is_ram(gmem, gpa, bytes))
		return -EFAULT;
	while (bytes) {
		u64 index = 0;
		size_t piece;
		const void *page = gmem_piece(gmem, gpa, bytes, &index, &piece);

		memcpy(out, page, piece);
		out += piece;
		bytes -= piece;
		gpa = gpa_add(gpa, piece);
	}
	return 0;
}

int gmem_write(struct gmem *gmem, gpa_t gpa, const void *from, size_t bytes)
{
	const u8 *in = from;

	if (!gmem_is_ram(gmem, gpa, bytes))
		return -EFAULT;
	while (bytes) {
		u64 index = 0;
		size_t piece;
		void *page = gmem_piece(gmem, gpa, bytes, &index, &piece);

		memcpy(page, in, piece);
		gmem_mark(gmem, index);
		in += piece;
		bytes -= piece;
		gpa = gpa_add(gpa, piece);
	}
	return 0;
}

int gmem_or32(struct gmem *gmem, gpa_t gpa, u32 bits)
{
	u64 index = 0;
	size_t piece;
	u32 *word;

	if (!gmem_is_ram(gmem, gpa, sizeof(*word)) || !IS_ALIGNED(gpa.value, sizeof(*word)))
		return -EFAULT;
	word = gmem_piece(gmem, gpa, sizeof(*word), &index, &piece);
	__atomic_fetch_or(word, bits, __ATOMIC_SEQ_CST);
	gmem_mark(gmem, index);
	return 0;
}

/* --- dirty tracking --- */

/* What a harvest adds to. */
struct collection {
	const struct gmem *gmem;
	u64 *map;
	u64 added;
};

static void collection_add(struct collection *collection, u64 index)
{
	if (bitmap_test(collection->map, index))
		return;
	bitmap_set(collection->map, index);
	collection->added++;
}

static void collection_found(void *context, u64 gfn)
{
	struct collection *collection = context;
	u64 index;

	if (gmem_index(collection->gmem, gfn, &index))
		collection_add(collection, index);
}

/* Moves the door's marks into the collection. */
static void gmem_take_marks(struct gmem *gmem, struct collection *collection)
{
	u64 group_count = BITMAP_WORDS(gmem->page_count);

	for (u64 i = 0; i < BITMAP_WORDS(group_count); i++) {
		u64 groups = __atomic_exchange_n(&gmem->dirty_group[i], 0, __ATOMIC_SEQ_CST);

		for (; groups; groups &= groups - 1) {
			u64 word = i * 64 + (u64)__builtin_ctzll(groups);
			u64 marks = __atomic_exchange_n(&gmem->dirty[word], 0, __ATOMIC_SEQ_CST);

			for (; marks; marks &= marks - 1)
				collection_add(collection, word * 64 + (u64)__builtin_ctzll(marks));
		}
	}
}

int gmem_track_start(struct vm *vm)
{
	struct gmem *gmem = &vm->gmem;

	if (!hv->limits.has_dirty_bits)
		return -EOPNOTSUPP;
	if (gmem->is_tracking)
		return -EBUSY;
	gmem->entries_scanned = 0;
	__atomic_store_n(&gmem->is_tracking, true, __ATOMIC_SEQ_CST);
	return 0;
}

int gmem_arm(struct vm *vm, u64 chunk)
{
	struct gmem *gmem = &vm->gmem;
	int err;

	lock_take(&gmem->lock);
	err = nested_arm(&gmem->nested, chunk_gpa(gmem, chunk));
	if (!err)
		bitmap_set(gmem->armed, chunk);
	lock_give(&gmem->lock);
	return err;
}

u64 gmem_collect(struct vm *vm, u64 *map)
{
	struct gmem *gmem = &vm->gmem;
	struct collection collection = { .gmem = gmem, .map = map };
	u64 low_bytes = MIN(gmem->ram_bytes, GMEM_LOW_MAX);

	lock_take(&gmem->lock);
	gmem->entries_scanned += nested_harvest(&gmem->nested, GPA(0), low_bytes,
						collection_found, &collection);
	if (gmem->ram_bytes > low_bytes)
		gmem->entries_scanned += nested_harvest(&gmem->nested, GPA(GMEM_HIGH_BASE),
							gmem->ram_bytes - low_bytes, collection_found,
							&collection);
	lock_give(&gmem->lock);
	gmem_take_marks(gmem, &collection);
	/* Until it drops its translations the guest may write to a collected page without a mark. */
	gmem_flush_vcpus(vm);
	return collection.added;
}

void gmem_track_stop(struct vm *vm)
{
	struct gmem *gmem = &vm->gmem;

	if (!gmem->is_tracking)
		return;
	__atomic_store_n(&gmem->is_tracking, false, __ATOMIC_SEQ_CST);
	lock_take(&gmem->lock);
	for (u64 chunk = bitmap_next(gmem->armed, chunk_count(gmem), 0); chunk < chunk_count(gmem);
	     chunk = bitmap_next(gmem->armed, chunk_count(gmem), chunk + 1)) {
		nested_disarm(&gmem->nested, chunk_gpa(gmem, chunk));
		bitmap_clear(gmem->armed, chunk);
	}
	lock_give(&gmem->lock);
	memset(gmem->dirty, 0, BITMAP_WORDS(gmem->page_count) * sizeof(u64));
	memset(gmem->dirty_group, 0, BITMAP_WORDS(BITMAP_WORDS(gmem->page_count)) * sizeof(u64));
	gmem_flush_vcpus(vm);
	lock_take(&gmem->lock);
	nested_reclaim(&gmem->nested);
	lock_give(&gmem->lock);
}

/*
 * A vCPU makes entry_count odd, then looks at want_flush, then enters; here the order is the
 * other way round. So either it sees want_flush, or it is seen inside and waited for. On
 * this CPU nothing can be inside.
 */
void gmem_flush_vcpus(struct vm *vm)
{
	u64 inside[VM_VCPUS_MAX];

	for (u32 i = 0; i < vm->config.vcpu_count; i++) {
		struct vcpu *vcpu = vm->vcpu[i];

		__atomic_store_n(&vcpu->want_flush, true, __ATOMIC_SEQ_CST);
		inside[i] = __atomic_load_n(&vcpu->entry_count, __ATOMIC_SEQ_CST);
		if (inside[i] & 1)
			machine->kick(vcpu->runnable.cpu);
	}
	for (u32 i = 0; i < vm->config.vcpu_count; i++) {
		const u64 *now = &vm->vcpu[i]->entry_count;

		while ((inside[i] & 1) && __atomic_load_n(now, __ATOMIC_ACQUIRE) == inside[i])
			__builtin_ia32_pause();
	}
}
