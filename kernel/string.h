/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The freestanding part of string.h (kernel/string.c) and Tern's own additions (kernel/str.c).
 * Same contracts as ISO C 7.24, so the host tests link libc's string.c part and list only kernel/str.c.
 */
#pragma once

#include "kernel/types.h"

void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int byte, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *s);
size_t strnlen(const char *s, size_t max);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t max);
char *strchr(const char *s, int c);
char *strstr(const char *s, const char *what);

/* Once at start, from arch/: what memcpy and memset use for large blocks; NULL for the built-in loops. */
void string_use_blocks(void (*copy)(void *to, const void *from, size_t bytes),
		       void (*fill)(void *to, int byte, size_t bytes));

/* Copies at most size-1 characters and always ends with NUL; returns false if from did not fit. */
bool str_copy(char *to, size_t size, const char *from);
/* True if s starts with prefix. */
bool str_starts(const char *s, const char *prefix);
/*
 * What VMs, peers and keys may be called, since one types it in commands and files: letters, digits,
 * '-', '_' and '.', none of "-." first.
 */
bool str_is_name(const char *s);
/* Parses all of s as decimal or 0x hexadecimal; 0 or -EINVAL, -ERANGE. */
int str_to_u64(const char *s, u64 *out);
/* As str_to_u64 with an optional suffix K, M, G (powers of 1024): "256M". */
int str_to_bytes(const char *s, u64 *out);
