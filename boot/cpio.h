/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading an archive in the "newc" format of cpio, in place. The archive is not trusted. */
#pragma once

#include "kernel/types.h"

struct cpio {
	const char *bytes;
	u64 size;
	u64 at; /* where the next header begins: 0 at first */
};

struct cpio_member {
	const char *name; /* inside the archive, NUL-ended */
	const char *data;
	u64 bytes;
	u32 mode;         /* as st_mode */
};

enum cpio_result { CPIO_MEMBER, CPIO_END, CPIO_BROKEN };

/* The next member. CPIO_BROKEN: from here on the archive makes no sense; do not call again. */
enum cpio_result cpio_next(struct cpio *cpio, struct cpio_member *member);
bool cpio_is_regular_file(const struct cpio_member *member);
