/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's own page tables, walked by Tern on behalf of an instruction that it carries out. */
#pragma once

#include "kernel/types.h"

struct gmem;
struct hv_mode;

struct walk_access {
	bool is_write;
	bool is_user;      /* CPL 3 */
	bool is_fetch;
	bool is_ac_set;    /* RFLAGS.AC, which lifts SMAP */
};

/* Bits of a page fault's error code, SDM 3A 4.7. */
enum { WALK_PRESENT = 1, WALK_WRITE = 2, WALK_USER = 4, WALK_RESERVED = 8, WALK_FETCH = 16 };

/*
 * Translates a linear address as the CPU would, setting accessed and dirty bits in guest memory.
 * 0; -EFAULT: the access faults, *error_code is the #PF's; -EIO: a table lies outside of RAM.
 */
int walk_translate(struct gmem *gmem, const struct hv_mode *mode, u64 linear, struct walk_access access,
		   gpa_t *gpa, u32 *error_code);
