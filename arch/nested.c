/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Second-level tables: four levels of 512 entries. Level 0 is the table of 4 KiB pages, so
 * an entry of level n spans 4 KiB << 9n, and a leaf there is a page of size n.
 *
 * Bits that both vendors leave to software (SDM 3C 29.3.2, APM 2 5.4.1) carry what
 * tracking must remember:
 *
 *   RECENT  in a table entry: the accessed bit was set at the last harvest. Between that
 *           harvest and the flush after it, a vCPU may have used the upper levels from its
 *           cache and set a dirty bit below without setting this accessed bit again, so the
 *           next harvest must look once more.
 *   SPLIT   in an entry of level 1 or 2: this table replaced one large page.
 *   ARMED   in an entry of level 1: the pages of this table are watched.
 *   CLOSED  in a leaf of such a table: writable in truth; the first write shall fault.
 */
#include "arch/nested.h"

#include "kernel/bits.h"
#include "kernel/errno.h"
#include "kernel/panic.h"
#include "kernel/string.h"

#define ENTRIES 512
#define LEVEL_TOP 3
#define RECENT BIT(11)
#define SPLIT BIT(52)
#define ARMED BIT(53)
#define CLOSED BIT(54)

static u64 level_bytes(unsigned level) { return PAGE_BYTES << (9 * level); }
static unsigned level_index(u64 gpa, unsigned level) { return gpa >> (12 + 9 * level) & (ENTRIES - 1); }

static bool is_present(const struct nested *nested, u64 entry)
{
	return (entry & nested->format->present) != 0;
}

static bool is_leaf(const struct nested *nested, u64 entry, unsigned level)
{
	return level == 0 || (entry & nested->format->large);
}

static u64 *table_of(const struct nested *nested, u64 entry)
{
	return phys_to_virt(HPA(entry & nested->format->address_mask));
}

/* Hardware sets bits in entries at any moment: each is read and replaced as a whole. */
static u64 entry_read(const u64 *entry) { return __atomic_load_n(entry, __ATOMIC_RELAXED); }
static void entry_write(u64 *entry, u64 value) { __atomic_store_n(entry, value, __ATOMIC_RELEASE); }

static u64 table_entry(const struct nested *nested, const u64 *table)
{
	const struct nested_format *format = nested->format;

	/* Accessed from the start, so the first harvest looks inside. */
	return virt_to_phys(table).value | format->present | format->write | format->accessed | RECENT;
}

/* To be called after the change that a vCPU must not miss. */
static void made_stale(struct nested *nested)
{
	__atomic_fetch_add(&nested->generation, 1, __ATOMIC_SEQ_CST);
}

static u64 *table_new(struct nested *nested)
{
	u64 *table = page_alloc_zeroed();

	if (table)
		nested->table_pages++;
	return table;
}

/* The link takes the place of the first entry and looks not present to a late walker. */
static void table_retire(struct nested *nested, u64 *table)
{
	entry_write(&table[0], nested->retired);
	nested->retired = virt_to_phys(table).value;
}

int nested_init(struct nested *nested, const struct nested_format *format)
{
	memset(nested, 0, sizeof(*nested));
	nested->format = format;

	u64 *root = table_new(nested);

	if (!root)
		return -ENOMEM;
	nested->root = virt_to_phys(root);
	return 0;
}

static void table_free(struct nested *nested, u64 *table, unsigned level)
{
	for (unsigned i = 0; level > 0 && i < ENTRIES; i++) {
		if (is_present(nested, table[i]) && !is_leaf(nested, table[i], level))
			table_free(nested, table_of(nested, table[i]), level - 1);
	}
	page_free_va(table);
	nested->table_pages--;
}

void nested_fini(struct nested *nested)
{
	nested_reclaim(nested);
	table_free(nested, phys_to_virt(nested->root), LEVEL_TOP);
	assert_or_panic(nested->table_pages == 0);
}

void nested_reclaim(struct nested *nested)
{
	while (nested->retired) {
		u64 *table = phys_to_virt(HPA(nested->retired));

		nested->retired = table[0];
		page_free_va(table);
		nested->table_pages--;
	}
}

/*
 * The entry for gpa at level, or the leaf or empty entry above it where the tables end
 * earlier; *found says which level it is.
 */
static u64 *entry_find(const struct nested *nested, u64 gpa, unsigned level, unsigned *found)
{
	u64 *table = phys_to_virt(nested->root);

	for (unsigned at = LEVEL_TOP;; at--) {
		u64 *entry = &table[level_index(gpa, at)];
		u64 value = entry_read(entry);

		*found = at;
		if (at == level || !is_present(nested, value) || is_leaf(nested, value, at))
			return entry;
		table = table_of(nested, value);
	}
}

bool nested_walk(const struct nested *nested, gpa_t gpa, hpa_t *hpa, enum page_size *size, bool *writable)
{
	unsigned level;

	if (gpa.value >= nested->mapped_end)
		return false;

	u64 entry = entry_read(entry_find(nested, gpa.value, 0, &level));

	if (!is_present(nested, entry))
		return false;
	u64 offset = gpa.value & (level_bytes(level) - 1);

	*hpa = HPA((entry & nested->format->address_mask & ~(level_bytes(level) - 1)) + offset);
	if (size)
		*size = (enum page_size)level;
	if (writable)
		*writable = entry & (nested->format->write | CLOSED);
	return true;
}

/* Makes the tables down to level; NULL with *err set: no memory, or a leaf is in the way. */
static u64 *entry_make(struct nested *nested, u64 gpa, unsigned level, int *err)
{
	for (;;) {
		unsigned found;
		u64 *entry = entry_find(nested, gpa, level, &found);

		if (found == level)
			return entry;
		if (is_present(nested, *entry)) {
			*err = -EEXIST;
			return NULL;
		}

		u64 *table = table_new(nested);

		if (!table) {
			*err = -ENOMEM;
			return NULL;
		}
		entry_write(entry, table_entry(nested, table));
	}
}

int nested_map(struct nested *nested, gpa_t gpa, hpa_t hpa, enum page_size size, unsigned flags)
{
	const struct nested_format *format = nested->format;
	u64 bytes = level_bytes(size);
	int err = 0;

	assert_or_panic(IS_ALIGNED(gpa.value, bytes) && IS_ALIGNED(hpa.value, bytes));
	assert_or_panic(gpa.value + bytes <= level_bytes(LEVEL_TOP + 1));

	u64 *entry = entry_make(nested, gpa.value, size, &err);

	if (!entry)
		return err;
	if (is_present(nested, *entry))
		return -EEXIST;

	/* Untracked, so hardware is spared the setting of bits that nobody reads. */
	u64 value = hpa.value | format->present | format->memory_wb | format->accessed | format->dirty;

	if (flags & NESTED_WRITE)
		value |= format->write;
	if (size != PAGE_4K)
		value |= format->large;
	nested->leaf_count[size]++;
	entry_write(entry, value);
	nested->mapped_end = MAX(nested->mapped_end, gpa.value + bytes);
	return 0;
}

void nested_unmap(struct nested *nested, gpa_t gpa, enum page_size size)
{
	unsigned level;
	u64 *entry = entry_find(nested, gpa.value, size, &level);
	u64 old = entry_read(entry);

	if (!is_present(nested, old))
		return;
	assert_or_panic(level == size);
	if (is_leaf(nested, old, level)) {
		nested->leaf_count[size]--;
		entry_write(entry, 0);
	} else {
		/* What was mapped as one page and armed since. */
		assert_or_panic(level == 1 && (old & SPLIT));
		nested->leaf_count[PAGE_4K] -= ENTRIES;
		entry_write(entry, 0);
		table_retire(nested, table_of(nested, old));
	}
	made_stale(nested);
}

/* Hardware sets accessed and dirty bits meanwhile; the others change under the caller's lock only. */
static void leaf_change(u64 *leaf, u64 set, u64 clear)
{
	__atomic_fetch_or(leaf, set, __ATOMIC_RELAXED);
	__atomic_fetch_and(leaf, ~clear, __ATOMIC_SEQ_CST);
}

/* Its next write will be seen. */
static void leaf_watch(const struct nested *nested, u64 *leaf, enum nested_watch watch)
{
	const struct nested_format *format = nested->format;
	bool closes = watch == NESTED_WATCH_PROTECT && (entry_read(leaf) & format->write);

	leaf_change(leaf, closes ? CLOSED : 0, format->accessed | format->dirty | (closes ? format->write : 0));
}

/* As it was before anybody watched: dirty, so that no log ever tells of it. */
static void leaf_unwatch(const struct nested *nested, u64 *leaf)
{
	const struct nested_format *format = nested->format;
	u64 write = entry_read(leaf) & CLOSED ? format->write : 0;

	leaf_change(leaf, format->accessed | format->dirty | write, CLOSED);
}

/* Cuts a large page of the level in 512 of the next size, which take over its rights. */
static int entry_split(struct nested *nested, u64 *entry, unsigned level, enum nested_watch watch)
{
	u64 *table = table_new(nested);

	if (!table)
		return -ENOMEM;

	u64 part = entry_read(entry);

	if (level == 1) {
		part &= ~nested->format->large;
		leaf_watch(nested, &part, watch);
	}
	for (unsigned i = 0; i < ENTRIES; i++)
		table[i] = part + i * level_bytes(level - 1);
	nested->leaf_count[level]--;
	nested->leaf_count[level - 1] += ENTRIES;
	nested->split_count++;
	entry_write(entry, table_entry(nested, table) | SPLIT);
	made_stale(nested);
	return 0;
}

/* A table that replaced a large page becomes that page again. */
static void entry_merge(struct nested *nested, u64 *entry, unsigned level)
{
	u64 *table = table_of(nested, *entry);
	u64 whole = entry_read(&table[0]) | nested->format->large;

	leaf_unwatch(nested, &whole);
	entry_write(entry, whole);
	table_retire(nested, table);
	nested->leaf_count[level]++;
	nested->leaf_count[level - 1] -= ENTRIES;
	nested->merge_count++;
	made_stale(nested);
}

/* Was one page of 1 GiB, and all its parts are whole again? The last is looked at first: it merges last. */
static bool is_whole(const struct nested *nested, u64 entry)
{
	const u64 *table = table_of(nested, entry);

	if (!(entry & SPLIT))
		return false;
	for (unsigned i = ENTRIES; i-- > 0;) {
		if (!(table[i] & nested->format->large))
			return false;
	}
	return true;
}

/* Merges the GiB around gpa if it was one page and nothing in it is armed any more. */
static void merge_above(struct nested *nested, u64 gpa)
{
	unsigned level;
	u64 *entry = entry_find(nested, gpa, 2, &level);

	if (level == 2 && is_present(nested, *entry) && !is_leaf(nested, *entry, 2) && is_whole(nested, *entry))
		entry_merge(nested, entry, 2);
}

static int arm_region(struct nested *nested, u64 *entry, enum nested_watch watch)
{
	u64 *table;

	if (*entry & nested->format->large) {
		if (entry_split(nested, entry, 1, watch))
			return -ENOMEM;
	} else {
		table = table_of(nested, *entry);
		for (unsigned i = 0; i < ENTRIES; i++)
			if (is_present(nested, table[i]))
				leaf_watch(nested, &table[i], watch);
	}
	return 0;
}

int nested_arm(struct nested *nested, gpa_t gpa, enum nested_watch watch)
{
	unsigned level;
	u64 *entry = entry_find(nested, gpa.value, 1, &level);

	assert_or_panic(IS_ALIGNED(gpa.value, LARGE_PAGE_BYTES));
	if (level > 1 && is_present(nested, *entry)) {
		if (entry_split(nested, entry, level, watch))
			return -ENOMEM;
		entry = entry_find(nested, gpa.value, 1, &level);
	}
	if (!is_present(nested, *entry))
		return -ENOENT;
	if (*entry & ARMED)
		return 0;
	if (arm_region(nested, entry, watch)) {
		merge_above(nested, gpa.value);
		return -ENOMEM;
	}
	__atomic_fetch_or(entry, ARMED | RECENT, __ATOMIC_RELAXED);
	made_stale(nested);
	return 0;
}

void nested_disarm(struct nested *nested, gpa_t gpa)
{
	unsigned level;
	u64 *entry = entry_find(nested, gpa.value, 1, &level);

	if (level != 1 || !nested_is_armed(nested, gpa))
		return;
	if (*entry & SPLIT) {
		entry_merge(nested, entry, 1);
	} else {
		u64 *table = table_of(nested, *entry);

		for (unsigned i = 0; i < ENTRIES; i++)
			if (is_present(nested, table[i]))
				leaf_unwatch(nested, &table[i]);
		__atomic_fetch_and(entry, ~ARMED, __ATOMIC_RELAXED);
	}
	merge_above(nested, gpa.value);
	made_stale(nested);
}

bool nested_is_armed(const struct nested *nested, gpa_t gpa)
{
	unsigned level;
	u64 entry = entry_read(entry_find(nested, gpa.value, 1, &level));

	return level == 1 && is_present(nested, entry) && !(entry & nested->format->large) && (entry & ARMED);
}

/* The leaf of 4 KiB for gpa in an armed region; NULL elsewhere. */
static u64 *armed_leaf(const struct nested *nested, u64 gpa)
{
	unsigned level;
	u64 *leaf;

	if (gpa >= nested->mapped_end || !nested_is_armed(nested, GPA(gpa)))
		return NULL;
	leaf = entry_find(nested, gpa, 0, &level);
	return is_present(nested, *leaf) ? leaf : NULL;
}

void nested_clean(struct nested *nested, gpa_t gpa, enum nested_watch watch)
{
	u64 *leaf = armed_leaf(nested, gpa.value);

	if (leaf)
		leaf_watch(nested, leaf, watch);
}

bool nested_open(struct nested *nested, gpa_t gpa)
{
	u64 *leaf = armed_leaf(nested, gpa.value);

	if (!leaf || !(entry_read(leaf) & CLOSED))
		return false;
	leaf_change(leaf, nested->format->write, CLOSED);
	return true;
}

struct harvest {
	struct nested *nested;
	u64 start, end;     /* of the guest-physical range */
	u64 entry_count;
	void (*found)(void *context, u64 gfn);
	void *context;
};

/*
 * May the subtree hold a dirty bit? Only a harvest of all that is mapped below the entry
 * may clear what it goes by.
 */
static bool is_touched(const struct harvest *harvest, u64 *entry, u64 value, u64 base, u64 bytes)
{
	u64 accessed = harvest->nested->format->accessed;
	bool is_covered = harvest->start <= base &&
			  MIN(base + bytes, harvest->nested->mapped_end) <= harvest->end;

	if (!(value & (accessed | RECENT)))
		return false;
	if (!is_covered)
		return true;
	/* The bits first, then the subtree: what is written below meanwhile sets them again. */
	if (value & accessed) {
		__atomic_fetch_or(entry, RECENT, __ATOMIC_RELAXED);
		__atomic_fetch_and(entry, ~accessed, __ATOMIC_SEQ_CST);
	} else {
		__atomic_fetch_and(entry, ~RECENT, __ATOMIC_SEQ_CST);
	}
	return true;
}

/* One table of 4 KiB pages; [first, last) are the entries in range. */
static void harvest_leaves(struct harvest *harvest, u64 *table, u64 base, unsigned first, unsigned last)
{
	u64 dirty = harvest->nested->format->dirty;

	harvest->entry_count += last - first;
	for (unsigned i = first; i < last; i++) {
		/* Most are clean: a whole cache line is judged at once. */
		if (IS_ALIGNED(i, 8u) && i + 8 <= last) {
			const volatile u64 *e = &table[i];

			if (!((e[0] | e[1] | e[2] | e[3] | e[4] | e[5] | e[6] | e[7]) & dirty)) {
				i += 7;
				continue;
			}
		}
		if (!(entry_read(&table[i]) & dirty))
			continue;
		__atomic_fetch_and(&table[i], ~dirty, __ATOMIC_SEQ_CST);
		harvest->found(harvest->context, (base >> PAGE_SHIFT) + i);
	}
}

/* base is the address of the table's first entry. */
static void harvest_table(struct harvest *harvest, u64 *table, u64 base, unsigned level)
{
	const struct nested *nested = harvest->nested;
	u64 step = level_bytes(level);
	unsigned first = harvest->start > base ? (unsigned)((harvest->start - base) / step) : 0;
	u64 count = (harvest->end - base + step - 1) / step;
	unsigned last = (unsigned)MIN(count, (u64)ENTRIES);

	if (level == 0) {
		harvest_leaves(harvest, table, base, first, last);
		return;
	}
	for (unsigned i = first; i < last; i++) {
		u64 value = entry_read(&table[i]);

		harvest->entry_count++;
		if (!is_present(nested, value) || is_leaf(nested, value, level))
			continue;
		if (level == 1 && !(value & ARMED))
			continue;
		if (is_touched(harvest, &table[i], value, base + i * step, step))
			harvest_table(harvest, table_of(nested, value), base + i * step, level - 1);
	}
}

u64 nested_harvest(struct nested *nested, gpa_t gpa, u64 bytes, void (*found)(void *context, u64 gfn),
		   void *context)
{
	struct harvest harvest = {
		.nested = nested,
		.start = gpa.value,
		.end = MIN(gpa.value + bytes, nested->mapped_end),
		.found = found,
		.context = context,
	};

	if (harvest.start >= harvest.end)
		return 0;
	harvest_table(&harvest, phys_to_virt(nested->root), 0, LEVEL_TOP);
	made_stale(nested);
	return harvest.entry_count;
}
