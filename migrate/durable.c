/* SPDX-License-Identifier: BSD-2-Clause */
/* Ownership records in memory: the stand-in for a log on disk. CPU 0 only. */
#include "migrate/durable.h"

#include "arch/cpu.h"
#include "kernel/heap.h"
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
	list_for_each(record, &migration->records, struct durable_record, link)
		if (!memcmp(record->vm_id, vm_id, sizeof(record->vm_id)))
			return record;
	return NULL;
}

/* The least recently used record that nothing refers to; what it said concerns a guest that has gone on long ago. */
static struct durable_record *oldest_unused(void)
{
	list_for_each(record, &migration->records, struct durable_record, link)
		if (!record->pin_count && record->source.phase != SOURCE_GIVEN)
			return record;
	return NULL;
}

static struct durable_record *make_record(void)
{
	struct durable_record *record;

	if (migration->record_count < DURABLE_RECORDS_MAX) {
		record = heap_alloc(sizeof(*record));
		if (record)
			migration->record_count++;
		return record;
	}
	record = oldest_unused();
	if (record) {
		list_remove(&record->link);
		memset(record, 0, sizeof(*record));
	}
	return record;
}

struct durable_record *durable_get(const u8 vm_id[16], const char *name)
{
	struct durable_record *record = durable_find(vm_id);

	if (record) {
		list_remove(&record->link);
	} else {
		record = make_record();
		if (!record)
			return NULL;
		memcpy(record->vm_id, vm_id, sizeof(record->vm_id));
	}
	list_add_tail(&migration->records, &record->link);
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
