/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Words that every file uses.
 *
 * gpa_t and hpa_t are structures with one member, so that a guest-physical and
 * a host-physical address cannot be mixed. Plain u64 is a number.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint8_t u8;
typedef uint16_t u16;
typedef uint32_t u32;
typedef uint64_t u64;
typedef int8_t s8;
typedef int16_t s16;
typedef int32_t s32;
typedef int64_t s64;

typedef struct { u64 value; } gpa_t; /* guest-physical address */
typedef struct { u64 value; } hpa_t; /* host-physical address */

#define GPA(x) ((gpa_t){ (u64)(x) })
#define HPA(x) ((hpa_t){ (u64)(x) })

static inline gpa_t gpa_add(gpa_t gpa, u64 bytes) { return GPA(gpa.value + bytes); }
static inline hpa_t hpa_add(hpa_t hpa, u64 bytes) { return HPA(hpa.value + bytes); }

#define KIB 1024ull
#define MIB (1024ull * KIB)
#define GIB (1024ull * MIB)

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_SEC 1000000000ull

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member) \
	((type *)((char *)(ptr) - offsetof(type, member)))
#define ALIGN_DOWN(x, a) ((x) & ~((typeof(x))(a) - 1))
#define ALIGN_UP(x, a) ALIGN_DOWN((x) + (typeof(x))(a) - 1, a)
#define IS_ALIGNED(x, a) (((x) & ((typeof(x))(a) - 1)) == 0)
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#define PACKED __attribute__((packed))
#define ALIGNED(n) __attribute__((aligned(n)))
#define NORETURN __attribute__((noreturn))
#define PRINTF_LIKE(fmt_arg, first_arg) __attribute__((format(printf, fmt_arg, first_arg)))
#define LINKER_SET(section_name) \
	__attribute__((used, section(section_name), aligned(8)))
#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

/* The compiler may not move memory accesses across this line. */
#define barrier() __asm__ volatile("" ::: "memory")
