/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dirty tracking. All methods end in one bitmap of marks or in the nested tables' dirty bits.
 *
 * The rule that keeps it correct: whoever takes a mark away has the page watched again before it is
 * read. A collection does it in this order: take the mark, watch again, flush every vCPU; the
 * caller then reads the page. A write before the flush may go unseen, and the page read has it; a
 * write after it makes a new mark.
 *
 * A vCPU's log is emptied into the marks by the vCPU itself at each exit, before it counts as
 * outside the guest. So no other CPU ever touches a log, and when all vCPUs are stopped all logs are
 * empty. Marks are set with atomics on any CPU: the page's bit first, then its group's; a collection
 * takes them in the other order. Opening a page for writes and marking it happen as one under
 * gmem->lock, which a collection holds too: between them it would take the mark of a page that
 * is opened afterwards.
 *
 * Pages that are not armed have their dirty bit set, so hardware never logs them.
 */
#include "vmm/track.h"
#include "arch/hv.h"
#include "kernel/bits.h"
#include "kernel/errno.h"
#include "kernel/fmt.h"
#include "kernel/heap.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "vmm/vm.h"

#define CHUNK_PAGES (LARGE_PAGE_BYTES / PAGE_BYTES)

/* What a collection adds to. */
struct collection {
	struct gmem *gmem;
	u64 *map;
	u64 added;
};

struct track_method {
	const char *name;
	enum nested_watch watch;
	const char *(*lacks)(void); /* what this CPU lacks for it, or NULL */
	void (*start)(struct vm *vm);
	void (*stop)(struct vm *vm);
	void (*collect)(struct collection *collection); /* gmem->lock held */
};

static const struct track_method *chosen;
static char chosen_why[128] = "no guests can run here";

/* --- marks --- */

int track_alloc(struct track *track, u64 page_count)
{
	u64 groups = BITMAP_WORDS(page_count);

	track->marks = heap_alloc(groups * sizeof(u64));
	track->mark_groups = heap_alloc(BITMAP_WORDS(groups) * sizeof(u64));
	track->armed = heap_alloc(BITMAP_WORDS(page_count / CHUNK_PAGES) * sizeof(u64));
	return track->marks && track->mark_groups && track->armed ? 0 : -ENOMEM;
}

void track_free(struct track *track)
{
	heap_free(track->marks);
	heap_free(track->mark_groups);
	heap_free(track->armed);
}

static void mark(struct track *track, u64 index)
{
	bitmap_set_atomic(track->marks, index);
	bitmap_set_atomic(track->mark_groups, index / 64);
}

void track_mark(struct track *track, u64 index)
{
	/* Whoever starts tracking after this look must see the write; x86 lets a load overtake it. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&track->is_on, __ATOMIC_RELAXED))
		mark(track, index);
}

static void collection_add(struct collection *collection, u64 index)
{
	collection->gmem->track.cost.dirty_pages++;
	if (bitmap_test(collection->map, index))
		return;
	bitmap_set(collection->map, index);
	collection->added++;
}

/* Calls take for each mark and forgets it. */
static void take_marks(struct collection *collection, void (*take)(struct collection *collection, u64 index))
{
	struct gmem *gmem = collection->gmem;
	struct track *track = &gmem->track;
	u64 group_count = BITMAP_WORDS(gmem->page_count);

	for (u64 i = 0; i < BITMAP_WORDS(group_count); i++) {
		u64 groups;

		/* A locked exchange costs twenty loads, and most words are empty: 64 GiB have 4096 of them. */
		if (!__atomic_load_n(&track->mark_groups[i], __ATOMIC_SEQ_CST))
			continue;
		groups = __atomic_exchange_n(&track->mark_groups[i], 0, __ATOMIC_SEQ_CST);
		for (; groups; groups &= groups - 1) {
			u64 word = i * 64 + (u64)__builtin_ctzll(groups);
			u64 marks = __atomic_exchange_n(&track->marks[word], 0, __ATOMIC_SEQ_CST);

			for (; marks; marks &= marks - 1)
				take(collection, word * 64 + (u64)__builtin_ctzll(marks));
		}
	}
}

static gpa_t page_gpa(const struct gmem *gmem, u64 index)
{
	return GPA(gmem_gfn(gmem, index) * PAGE_BYTES);
}

static void take_and_watch(struct collection *collection, u64 index)
{
	struct gmem *gmem = collection->gmem;

	nested_clean(&gmem->nested, page_gpa(gmem, index), gmem->track.method->watch);
	gmem->track.cost.entries++;
	collection_add(collection, index);
}

static void collect_marks(struct collection *collection) { take_marks(collection, take_and_watch); }

/* --- log --- */

static const char *log_lacks(void)
{
	return hv->limits.has_dirty_log ? NULL : "the CPU keeps no log of dirtied pages";
}

static void log_start(struct vm *vm)
{
	__atomic_store_n(&vm->gmem.track.is_logging, true, __ATOMIC_SEQ_CST);
	for (u32 i = 0; i < vm->config.vcpu_count; i++)
		hv->log_start(vm->vcpu[i]->hv);
	/*
	 * Who runs on without a log would set dirty bits of what is armed next that no log ever tells of
	 * again: from here on every vCPU is outside, or entered with its log.
	 */
	gmem_flush_vcpus(vm);
}

static void log_stop(struct vm *vm)
{
	for (u32 i = 0; i < vm->config.vcpu_count; i++)
		hv->log_stop(vm->vcpu[i]->hv);
}

static void log_found(void *context, u64 gfn)
{
	struct gmem *gmem = context;
	u64 index;

	if (!gmem_index(gmem, gfn, &index))
		return;
	__atomic_fetch_add(&gmem->track.cost.log_entries, 1, __ATOMIC_RELAXED);
	track_mark(&gmem->track, index);
}

void track_left_guest(struct vcpu *vcpu)
{
	struct gmem *gmem = &vcpu->vm->gmem;

	if (LIKELY(!__atomic_load_n(&gmem->track.is_logging, __ATOMIC_RELAXED)))
		return;
	if (vcpu->exit.reason == HV_EXIT_LOG_FULL)
		__atomic_fetch_add(&gmem->track.cost.exits, 1, __ATOMIC_RELAXED);
	hv->log_drain(vcpu->hv, log_found, gmem);
}

/* --- bits --- */

static const char *bits_lack(void)
{
	return hv->limits.has_dirty_bits ? NULL : "the CPU keeps no dirty bits in nested tables";
}

static void found_dirty_bit(void *context, u64 gfn)
{
	struct collection *collection = context;
	u64 index;

	if (gmem_index(collection->gmem, gfn, &index))
		collection_add(collection, index);
}

static void collect_bits(struct collection *collection)
{
	struct gmem *gmem = collection->gmem;
	u64 low_bytes = MIN(gmem->ram_bytes, GMEM_LOW_MAX);
	u64 high_bytes = gmem->ram_bytes - low_bytes;
	u64 *entries = &gmem->track.cost.entries;

	*entries += nested_harvest(&gmem->nested, GPA(0), low_bytes, found_dirty_bit, collection);
	if (high_bytes)
		*entries += nested_harvest(&gmem->nested, GPA(GMEM_HIGH_BASE), high_bytes, found_dirty_bit,
					   collection);
	take_marks(collection, collection_add);
}

/* --- protect --- */

static const char *protect_lacks(void) { return NULL; }

bool track_fault(struct vm *vm, gpa_t gpa)
{
	struct gmem *gmem = &vm->gmem;
	bool is_first;
	u64 index;

	if (!__atomic_load_n(&gmem->track.is_on, __ATOMIC_RELAXED) ||
	    !gmem_index(gmem, gpa.value / PAGE_BYTES, &index))
		return false;
	lock_take(&gmem->lock);
	is_first = nested_open(&gmem->nested, gpa);
	if (is_first) {
		gmem->track.cost.exits++;
		mark(&gmem->track, index);
	}
	lock_give(&gmem->lock);
	return is_first;
}

/* --- the choice --- */

/* The best first. The last works everywhere. */
static const struct track_method methods[] = {
	{ .name = "log", .watch = NESTED_WATCH_DIRTY, .lacks = log_lacks, .start = log_start,
	  .stop = log_stop, .collect = collect_marks },
	{ .name = "bits", .watch = NESTED_WATCH_DIRTY, .lacks = bits_lack, .collect = collect_bits },
	{ .name = "protect", .watch = NESTED_WATCH_PROTECT, .lacks = protect_lacks, .collect = collect_marks },
};

static const struct track_method *method_named(const char *name)
{
	for (unsigned i = 0; i < ARRAY_COUNT(methods); i++) {
		if (!strcmp(methods[i].name, name))
			return &methods[i];
	}
	return NULL;
}

/* The first that the CPU has, and what it lacks for those before. */
static void choose_best(void)
{
	size_t used = 0;

	chosen_why[0] = 0;
	for (chosen = methods; chosen->lacks(); chosen++)
		used += fmt_snprintf(chosen_why + used, sizeof(chosen_why) - used, "%snot %s: %s",
				     used ? "; " : "", chosen->name, chosen->lacks());
	if (!used)
		str_copy(chosen_why, sizeof(chosen_why), "the best there is");
}

int track_use(const char *name)
{
	const struct track_method *wanted = method_named(name);

	if (!wanted)
		return -EINVAL;
	if (wanted->lacks())
		return -EOPNOTSUPP;
	chosen = wanted;
	str_copy(chosen_why, sizeof(chosen_why), "as tern.conf says");
	return 0;
}

void track_init(const char *wanted)
{
	if (!hv)
		return;
	choose_best();
	if (!wanted)
		return;
	switch (track_use(wanted)) {
	case -EINVAL:
		log_warn("tern.conf: dirty_tracking=%s: it is log, bits or protect; %s is used", wanted,
			 chosen->name);
		break;
	case -EOPNOTSUPP:
		log_warn("tern.conf: dirty_tracking=%s: %s; %s is used", wanted, method_named(wanted)->lacks(),
			 chosen->name);
		break;
	}
}

const char *track_method_nth(unsigned index)
{
	return index < ARRAY_COUNT(methods) ? methods[index].name : NULL;
}

const char *track_method_name(const struct track *track)
{
	return track->method ? track->method->name : "none";
}

const char *track_chosen_name(void) { return chosen ? chosen->name : "none"; }
const char *track_chosen_why(void) { return chosen_why; }

/* --- a tracking --- */

int track_start(struct vm *vm)
{
	struct track *track = &vm->gmem.track;

	if (track->is_on)
		return -EBUSY;
	if (!chosen)
		choose_best();
	track->method = chosen;
	track->cost = (struct track_cost){ 0 };
	__atomic_store_n(&track->is_on, true, __ATOMIC_SEQ_CST);
	if (track->method->start)
		track->method->start(vm);
	return 0;
}

int track_arm(struct vm *vm, u64 chunk)
{
	struct gmem *gmem = &vm->gmem;
	int err;

	lock_take(&gmem->lock);
	err = nested_arm(&gmem->nested, page_gpa(gmem, chunk * CHUNK_PAGES), gmem->track.method->watch);
	if (!err)
		bitmap_set(gmem->track.armed, chunk);
	lock_give(&gmem->lock);
	return err;
}

u64 track_collect(struct vm *vm, u64 *map)
{
	struct gmem *gmem = &vm->gmem;
	struct collection collection = { .gmem = gmem, .map = map };

	lock_take(&gmem->lock);
	gmem->track.method->collect(&collection);
	lock_give(&gmem->lock);
	/* Until it drops its translations the guest may write to a collected page without a mark. */
	gmem_flush_vcpus(vm);
	return collection.added;
}

static void disarm_all(struct gmem *gmem)
{
	u64 *armed = gmem->track.armed, chunks = gmem->page_count / CHUNK_PAGES;

	for (u64 chunk = 0; (chunk = bitmap_next(armed, chunks, chunk)) < chunks; chunk++) {
		nested_disarm(&gmem->nested, page_gpa(gmem, chunk * CHUNK_PAGES));
		bitmap_clear(armed, chunk);
	}
}

void track_stop(struct vm *vm)
{
	struct gmem *gmem = &vm->gmem;
	struct track *track = &gmem->track;
	u64 groups = BITMAP_WORDS(gmem->page_count);

	if (!track->is_on)
		return;
	if (track->method->stop)
		track->method->stop(vm);
	__atomic_store_n(&track->is_on, false, __ATOMIC_SEQ_CST);
	lock_take(&gmem->lock);
	disarm_all(gmem);
	lock_give(&gmem->lock);
	/* Every vCPU leaves the guest once more, and enters without a log. */
	gmem_flush_vcpus(vm);
	__atomic_store_n(&track->is_logging, false, __ATOMIC_SEQ_CST);
	memset(track->marks, 0, groups * sizeof(u64));
	memset(track->mark_groups, 0, BITMAP_WORDS(groups) * sizeof(u64));
	lock_take(&gmem->lock);
	nested_reclaim(&gmem->nested);
	lock_give(&gmem->lock);
}
