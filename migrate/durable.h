/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What this host must still know about the ownership of guests after a crash.
 *
 * The interface is that of a small log on disk: durable_log returns when the record would survive.
 * This version has no disk to write to and keeps records in memory only; durable_kind() says "none"
 * and the console repeats it: a crash of this host inside a hand-over then needs the operator. The
 * hand-over does not pretend otherwise: a destination that was started anew is known by its
 * incarnation, and its ABORTED is not believed (handover.h, is_forgetful).
 */
#pragma once

#include "kernel/types.h"
#include "migrate/handover.h"

#define DURABLE_RECORDS_MAX 256

struct durable_record {
	u64 used_at;          /* counts uses; 0: free */
	u8 vm_id[16];
	char name[32];        /* of the guest, for people */
	char peer[32];        /* the other end of the last hand-over */
	struct handover_source source;
	struct handover_destination destination;
	u32 pin_count;        /* sessions and copies that use it */
};

const char *durable_kind(void);
/* Of this start of the host; never 0, and never one that was used before. */
u64 durable_incarnation(void);

/* The guest's record, or NULL. */
struct durable_record *durable_find(const u8 vm_id[16]);
/*
 * The guest's record, made if need be and pinned. It may take the place of the one that was not
 * used for longest; NULL: all are in use.
 */
struct durable_record *durable_get(const u8 vm_id[16], const char *name);
void durable_put(struct durable_record *record);
/* Makes the record's phases and epochs durable. */
void durable_log(struct durable_record *record);
