/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory and string functions against the host's own, at every alignment; strict number parsing. */
/* SOURCES: kernel/str.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "kernel/errno.h"
#include "kernel/string.h"

/* Tern's, under other names, beside the C library's. */
#define memcpy tern_memcpy
#define memmove tern_memmove
#define memset tern_memset
#define memcmp tern_memcmp
#define strlen tern_strlen
#define strnlen tern_strnlen
#define strcmp tern_strcmp
#define strncmp tern_strncmp
#define strchr tern_strchr
#define strstr tern_strstr
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
#include "kernel/string.c"
#undef memcpy
#undef memmove
#undef memset
#undef memcmp
#undef strlen
#undef strnlen
#undef strcmp
#undef strncmp
#undef strchr
#undef strstr

#define AREA 400

static u8 source[AREA], got[AREA], wanted[AREA];

static int sign(int x)
{
	return (x > 0) - (x < 0);
}

static void fill_random(u8 *at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		at[i] = (u8)rand();
}

/* Bytes before and behind the target must stay as they are: the whole area is compared. */
static void copies_at_every_alignment(void **state)
{
	(void)state;
	for (size_t bytes = 0; bytes < 150; bytes++) {
		for (size_t from = 0; from < 9; from++) {
			size_t to = (bytes + 3 * from) % 17;

			fill_random(source, AREA);
			fill_random(got, AREA);
			memcpy(wanted, got, AREA);
			assert_ptr_equal(tern_memcpy(got + to, source + from, bytes), got + to);
			memcpy(wanted + to, source + from, bytes);
			assert_memory_equal(got, wanted, AREA);
			assert_ptr_equal(tern_memset(got + to, (int)bytes - 70, bytes), got + to);
			memset(wanted + to, (int)bytes - 70, bytes);
			assert_memory_equal(got, wanted, AREA);
		}
	}
}

static void moves_when_overlapping(void **state)
{
	(void)state;
	for (int distance = -90; distance <= 90; distance++) {
		for (size_t bytes = 0; bytes < 200; bytes += 7) {
			fill_random(got, AREA);
			memcpy(wanted, got, AREA);
			assert_ptr_equal(tern_memmove(got + 100 + distance, got + 100, bytes), got + 100 + distance);
			memmove(wanted + 100 + distance, wanted + 100, bytes);
			assert_memory_equal(got, wanted, AREA);
		}
	}
}

static void compares_and_finds(void **state)
{
	(void)state;
	for (int round = 0; round < 20000; round++) {
		size_t bytes = (size_t)rand() % 150;
		char a[160], b[160];

		/* Few letters, so that equal beginnings are common. */
		for (size_t i = 0; i < sizeof(a); i++) {
			a[i] = "ab\xff"[rand() % 3 == 0 ? rand() % 3 : 0];
			b[i] = rand() % 64 ? a[i] : 'c';
		}
		a[sizeof(a) - 1 - (size_t)rand() % 100] = 0;
		b[sizeof(b) - 1 - (size_t)rand() % 100] = 0;
		a[sizeof(a) - 1] = b[sizeof(b) - 1] = 0;
		assert_int_equal(sign(tern_memcmp(a, b, bytes)), sign(memcmp(a, b, bytes)));
		assert_int_equal(sign(tern_strcmp(a, b)), sign(strcmp(a, b)));
		assert_int_equal(sign(tern_strncmp(a, b, bytes)), sign(strncmp(a, b, bytes)));
		assert_ptr_equal(tern_strchr(a, 'b'), strchr(a, 'b'));
		assert_ptr_equal(tern_strchr(a, 0), strchr(a, 0));
		assert_int_equal(tern_strlen(a), strlen(a));
		assert_int_equal(tern_strnlen(a, bytes), strnlen(a, bytes));
		b[rand() % 4] = 0;
		assert_ptr_equal(tern_strstr(a, b), strstr(a, b));
	}
}

static unsigned block_copies, block_fills;

static void copy_block_fake(void *to, const void *from, size_t bytes)
{
	block_copies++;
	memcpy(to, from, bytes);
}

static void fill_block_fake(void *to, int byte, size_t bytes)
{
	block_fills++;
	memset(to, byte, bytes);
}

static void large_blocks_use_what_arch_gave(void **state)
{
	static u8 from[4096], to[4096];

	(void)state;
	fill_random(from, sizeof(from));
	string_use_blocks(copy_block_fake, fill_block_fake);
	tern_memcpy(to, from, sizeof(to));
	assert_memory_equal(to, from, sizeof(to));
	tern_memcpy(to, from, 64);
	assert_int_equal(block_copies, 1);
	tern_memset(to, 0, sizeof(to));
	tern_memset(to, 0, 64);
	assert_int_equal(block_fills, 1);
	string_use_blocks(NULL, NULL);
	tern_memcpy(to, from, sizeof(to));
	assert_memory_equal(to, from, sizeof(to));
	assert_int_equal(block_copies, 1);
}

static void str_copy_always_ends(void **state)
{
	char to[4];

	(void)state;
	assert_true(str_copy(to, sizeof(to), "abc"));
	assert_string_equal(to, "abc");
	assert_false(str_copy(to, sizeof(to), "abcd"));
	assert_string_equal(to, "abc");
	assert_true(str_copy(to, sizeof(to), ""));
	assert_string_equal(to, "");
	assert_false(str_copy(to, 1, "a"));
	assert_string_equal(to, "");
	to[0] = 'x';
	assert_false(str_copy(to, 0, "a"));
	assert_int_equal(to[0], 'x');
}

static void names(void **state)
{
	static const char *const good[] = { "a", "web1", "Db-2_x.old", "9" };
	static const char *const bad[] = { "", "-", "-a", ".a", "a b", "a=b", "a\"", "a/b", "\xc3\xa4", "a\n" };

	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(good); i++)
		assert_true(str_is_name(good[i]));
	for (unsigned i = 0; i < ARRAY_COUNT(bad); i++)
		assert_false(str_is_name(bad[i]));
}

static void prefixes(void **state)
{
	(void)state;
	assert_true(str_starts("console=com1", "console="));
	assert_true(str_starts("a", ""));
	assert_false(str_starts("con", "console"));
	assert_false(str_starts("", "c"));
}

static void numbers(void **state)
{
	static const struct {
		const char *text;
		int err;
		u64 value;
	} cases[] = {
		{ "0", 0, 0 },
		{ "007", 0, 7 },
		{ "18446744073709551615", 0, ~0ull },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "99999999999999999999999", -ERANGE, 0 },
		{ "0x0", 0, 0 },
		{ "0xFfff000012345678", 0, 0xffff000012345678ull },
		{ "0x10000000000000000", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "0x", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "12a", -EINVAL, 0 },
		{ "a", -EINVAL, 0 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		u64 value = 0;

		assert_int_equal(str_to_u64(cases[i].text, &value), cases[i].err);
		assert_int_equal(value, cases[i].value);
		assert_int_equal(str_to_bytes(cases[i].text, &value), cases[i].err);
	}
}

static void byte_suffixes(void **state)
{
	u64 value = 1;

	(void)state;
	assert_int_equal(str_to_bytes("256M", &value), 0);
	assert_int_equal(value, 256 * MIB);
	assert_int_equal(str_to_bytes("4g", &value), 0);
	assert_int_equal(value, 4 * GIB);
	assert_int_equal(str_to_bytes("0x10k", &value), 0);
	assert_int_equal(value, 16 * KIB);
	assert_int_equal(str_to_bytes("18014398509481983K", &value), 0);
	assert_int_equal(value, ~0ull << 10);
	assert_int_equal(str_to_bytes("18014398509481984K", &value), -ERANGE);
	assert_int_equal(str_to_bytes("17179869184G", &value), -ERANGE);
	assert_int_equal(str_to_bytes("1MB", &value), -EINVAL);
	assert_int_equal(str_to_bytes("1T", &value), -EINVAL);
	assert_int_equal(str_to_bytes("M", &value), -EINVAL);
	assert_int_equal(str_to_bytes("1KK", &value), -EINVAL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(copies_at_every_alignment),
		cmocka_unit_test(moves_when_overlapping),
		cmocka_unit_test(compares_and_finds),
		cmocka_unit_test(large_blocks_use_what_arch_gave),
		cmocka_unit_test(str_copy_always_ends),
		cmocka_unit_test(names),
		cmocka_unit_test(prefixes),
		cmocka_unit_test(numbers),
		cmocka_unit_test(byte_suffixes),
	};

	srand(1);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
