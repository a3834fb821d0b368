/* SPDX-License-Identifier: BSD-2-Clause */
/* Which instruction copies and fills large blocks of memory. */
#pragma once

/* Once, on the boot CPU, early: until then memcpy and memset use their loops. */
void blocks_init(void);
