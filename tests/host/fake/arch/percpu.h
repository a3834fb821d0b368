/* SPDX-License-Identifier: BSD-2-Clause */
/* arch/percpu.h for host tests: which CPU this is, is a variable. */
#pragma once

#define this_cpu real_this_cpu
#include "../../../../arch/percpu.h"
#undef this_cpu

__attribute__((weak)) unsigned fake_cpu;

static inline unsigned this_cpu(void) { return fake_cpu; }
