/* SPDX-License-Identifier: BSD-2-Clause */
/* lwIP's view of the compiler and of Tern. Included by every lwIP file. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BYTE_ORDER LITTLE_ENDIAN
#define LWIP_NO_INTTYPES_H 1
#define LWIP_NO_UNISTD_H 1
#define LWIP_NO_LIMITS_H 1
/* The same as the host's, for the host tests; lwIP would make it an int. */
typedef long ssize_t;
#define SSIZE_MAX __LONG_MAX__
#define LWIP_NO_CTYPE_H 1
#define X8_F "02x"
#define U16_F "u"
#define S16_F "d"
#define X16_F "x"
#define U32_F "u"
#define S32_F "d"
#define X32_F "x"
#define SZT_F "zu"

#define lwip_htons(x) __builtin_bswap16(x)
#define lwip_htonl(x) __builtin_bswap32(x)

/* Broken invariants only: what the network can cause, lwIP counts and drops. */
__attribute__((noreturn)) void lwip_port_panic(const char *what, const char *file, int line);
#define LWIP_PLATFORM_ASSERT(what) lwip_port_panic(what, __FILE__, __LINE__)
#define LWIP_PLATFORM_DIAG(text) ((void)0)

uint32_t lwip_port_random(void);
