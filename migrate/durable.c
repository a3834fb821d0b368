/* SPDX-License-Identifier: BSD-2-Clause */
/* Ownership records in memory: the stand-in for a log on disk. CPU 0 only. */
#include "migrate/durable.h"

#include "arch/cpu.h"
#include "kernel/string.h"
#include "migrate/migrate.h"

const char *durable_kind(void) { return "none"; }

/* Ticks since power-on, taken once: two starts never agree. */
u64 durable_incarnation(void)
{
	if (!migration->incarnation)
		migration->incarnation = rdtsc() | 1;
	return migration->incarnation;
}

struct durable_record *durable_find(const u8 vm_id[16])
{
	for (u32 i = 0; i < DURABLE_RECORDS_MAX; i++) {
		struct durable_record *record = &migration->record[i];

		if (record->used_at && !memcmp(record->vm_id, vm_id, sizeof(record->vm_id)))
			return record;
	}
	return NULL;
}

/*
 * A free one, or the one used least recently of those that nothing refers to: its guest has gone on
 * long ago.
 */
static struct durable_record *choose(void)
{
	struct durable_record *oldest = NULL;

	for (u32 i = 0; i < DURABLE_RECORDS_MAX; i++) {
		struct durable_record *record = &migration->record[i];

		if (record->pin_count || record->source.phase == SOURCE_GIVEN)
			continue;
		if (!oldest || record->used_at < oldest->used_at)
			oldest = record;
	}
	return oldest;
}

struct durable_record *durable_get(const u8 vm_id[16], const char *name)
{
	struct durable_record *record = durable_find(vm_id);

	if (!record) {
		record = choose();
		if (!record)
			return NULL;
		*record = (struct durable_record){ .pin_count = 0 };
		memcpy(record->vm_id, vm_id, sizeof(record->vm_id));
	}
	record->used_at = ++migration->record_use_count;
	if (name[0])
		str_copy(record->name, sizeof(record->name), name);
	record->pin_count++;
	return record;
}

void durable_put(struct durable_record *record)
{
	if (record)
		record->pin_count--;
}

void durable_log(struct durable_record *record)
{
	(void)record; /* memory is all there is, and it is up to date */
}
