/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * printf for a freestanding program: %d %i %u %x %X %c %s %p %% with h hh l ll z,
 * width, precision, '*', '-', '0', '+', '#'. No floating point. Never allocates.
 */
#pragma once

#include "kernel/types.h"

/* Returns the length that the whole text has, as C99 does; writes at most size bytes, NUL included. */
int fmt_vsnprintf(char *to, size_t size, const char *format, va_list args);
int fmt_snprintf(char *to, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);
