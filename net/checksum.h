/* SPDX-License-Identifier: BSD-2-Clause */
/* The Internet checksum, RFC 1071. Pure; any CPU. */
#pragma once

#include "kernel/types.h"

/*
 * Adds bytes to a ones' complement sum; start with 0. Both are in memory order, so that no
 * byte swapping is needed. Each call starts at an even offset of what is summed: give odd
 * lengths only to the last, or use checksum_add_at.
 */
u32 checksum_add(u32 sum, const void *data, size_t bytes);
/* As checksum_add, for data that starts at this offset of what is summed. */
u32 checksum_add_at(u32 sum, const void *data, size_t bytes, size_t offset);

/* 16-bit value to store in the packet as it is (memory order). */
u16 checksum_finish(u32 sum);
