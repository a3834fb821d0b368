/* SPDX-License-Identifier: BSD-2-Clause */
/* The host's battery clock. */
#pragma once

#include "kernel/types.h"

/* ns since 1970 (the clock is taken to run in UTC); 0 if there is no clock. CPU 0; takes up to 1 ms. */
u64 rtc_now_ns(void);
