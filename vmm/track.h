/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which pages of a VM were written: three methods behind one interface.
 *
 *   log      hardware writes down each page that it makes dirty; the log is emptied at each exit
 *   bits     hardware sets a dirty bit; a collection looks at the tables of what was touched
 *   protect  pages cannot be written; the first write of each is a nested fault, which opens it
 *
 * The first that this host's CPU has is used, or what "[host] dirty_tracking" in tern.conf
 * asks for. All find the same pages. What Tern itself writes through the door (gmem.c) is marked
 * by track_mark, whatever the method.
 *
 * track_start: nothing is armed yet, marks are taken from here on. track_arm prepares a chunk of
 * 2 MiB: call it just before its pages are first read to be sent, then gmem_flush_vcpus once for a
 * batch, before the reading. track_collect moves what was written since the last collection into
 * a map; what it reports is to be read after it returned. track_stop makes the pages large again.
 */
#pragma once

#include "kernel/types.h"

struct track_method;
struct vcpu;
struct vm;

/* What a tracking cost so far; zero again at track_start. */
struct track_cost {
	u64 entries;      /* of nested tables, looked at by collections */
	u64 log_entries;
	u64 exits;        /* that the guest would not have had: faults, or full logs */
	u64 dirty_pages;  /* reported */
};

/*
 * A part of struct gmem. gmem->lock guards armed and, unless a log is kept, cost; the rest is
 * read and written by atomics.
 */
struct track {
	const struct track_method *method; /* of the last tracking */
	u64 *marks;             /* bitmap by page index: written, and not collected yet */
	u64 *mark_groups;       /* bitmap by word of marks: the word may have a bit set */
	u64 *armed;             /* bitmap of 2 MiB chunks whose pages are tracked one by one */
	bool is_on;
	bool is_logging;        /* vCPUs empty their logs when they leave the guest */
	struct track_cost cost;
};

/* Once, after hv_init: chooses the method of this host; wanted is its name, or NULL for the best. */
void track_init(const char *wanted);
/* The host's method, and why it is that one: what the CPU lacks for a better one. */
const char *track_chosen_name(void);
const char *track_chosen_why(void);
/* From the next track_start on. -EINVAL: no such method, -EOPNOTSUPP: the CPU lacks it; nothing changes. */
int track_use(const char *name);
/* The index-th name, whether the CPU has it or not; NULL at the end. */
const char *track_method_nth(unsigned index);
/* Of the tracking under way, or of the last one. */
const char *track_method_name(const struct track *track);

/* For gmem.c. 0 or -ENOMEM, and then track_fini is due all the same. */
int track_alloc(struct track *track, u64 page_count);
void track_free(struct track *track);
/* The page was written by Tern; call it after the write. Any CPU. */
void track_mark(struct track *track, u64 index);

/* CPU 0 from here on. -EBUSY: it is on. */
int track_start(struct vm *vm);
/* -ENOMEM: nothing was changed. */
int track_arm(struct vm *vm, u64 chunk);
/*
 * ORs into map, a bitmap by page index, and returns how many bits are new in it. When it returns no
 * vCPU runs on old translations, so the pages in map, read from here on, hold all that is marked;
 * what is written later is for the next collection. One with all vCPUs stopped is final.
 */
u64 track_collect(struct vm *vm, u64 *map);
void track_stop(struct vm *vm);

/* The vCPU has just left the guest; on its CPU, before anybody may see that it has. */
void track_left_guest(struct vcpu *vcpu);
/*
 * A nested fault in RAM: true if it was the first write to a watched page, which may be written from
 * now on. gmem->lock not held.
 */
bool track_fault(struct vm *vm, gpa_t gpa);
