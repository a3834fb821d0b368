/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest-physical memory: host memory behind it, and the door.
 *
 * The rule that keeps it correct: the door marks a page dirty after it was written, never
 * before, so whoever takes the mark away and then reads the page reads what the mark stood
 * for. The guest's own writes are for track.c to find.
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

static int gmem_alloc_maps(struct gmem *gmem)
{
	gmem->chunk = heap_alloc(chunk_count(gmem) * sizeof(*gmem->chunk));
	return gmem->chunk ? track_alloc(&gmem->track, gmem->page_count) : -ENOMEM;
}

/* The largest page that fits here; a whole GiB where there is one and the hardware maps it as one. */
static int gmem_back(struct gmem *gmem, u64 chunk, u64 *count)
{
	enum page_size size = PAGE_1G;
	gpa_t gpa = chunk_gpa(gmem, chunk);
	hpa_t hpa;

	*count = GIB / LARGE_PAGE_BYTES;
	if (!hv->limits.has_huge_pages || !IS_ALIGNED(gpa.value, GIB) || *count > chunk_count(gmem) - chunk ||
	    page_alloc(PAGE_1G, &hpa)) {
		size = PAGE_2M;
		*count = 1;
		if (page_alloc(PAGE_2M, &hpa))
			return -ENOMEM;
	}
	for (u64 i = 0; i < *count; i++)
		gmem->chunk[chunk + i] = HPA(hpa.value + i * LARGE_PAGE_BYTES);
	return nested_map(&gmem->nested, gpa, hpa, size, NESTED_WRITE);
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
	for (u64 chunk = 0, count; !err && chunk < chunk_count(gmem); chunk += count)
		err = gmem_back(gmem, chunk, &count);
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
	track_free(&gmem->track);
	*gmem = (struct gmem){ 0 };
}

/* --- the door --- */

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
		track_mark(&gmem->track, index);
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
	track_mark(&gmem->track, index);
	return 0;
}

/* --- flush --- */

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
