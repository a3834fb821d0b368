/* SPDX-License-Identifier: BSD-2-Clause */
/* Receipts: sums, what is kept, what a peer may send, and every key that the console promises. */
/* SOURCES: migrate/receipt.c migrate/wire.c kernel/fmt.c kernel/str.c tests/host/fake/heap_fake.c
   tests/host/fake/shell_fake.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "migrate/migrate.h"
#include "migrate/receipt.h"
#include "net/stream.h"
#include "tests/host/fake/shell_fake.h"

static struct migration host;
struct migration *migration = &host;

/* wire.c's stream is not used here. */
const void *stream_peek(struct stream *s, size_t *bytes) { (void)s; *bytes = 0; return NULL; }
void stream_consume(struct stream *s, size_t bytes) { (void)s, (void)bytes; }
bool stream_read(struct stream *s, void *to, size_t bytes)
{
	(void)s, (void)to, (void)bytes;
	return false;
}
int stream_send(struct stream *s, const void *data, size_t bytes)
{
	(void)s, (void)data, (void)bytes;
	return 0;
}
size_t stream_unacked(const struct stream *s) { (void)s; return 0; }

static struct receipt example(void)
{
	struct receipt receipt = {
		.vm = "web1",
		.from = "host1",
		.to = "host2",
		.result = RECEIPT_MOVED,
		.total_us = 900000,
		.bytes_sent = 1,
		.pages_sent = 2,
		.zero_pages = 3,
		.guest_ram_bytes = 4,
		.throughput_bps = 5,
		.throttled_us = 6,
		.stun_limit_us = 7,
		.predicted_stun_us = 8,
		.pages_verified = 9,
		.tracking = "protect",
		.entries_scanned = 10,
		.log_entries = 11,
		.tracking_exits = 12,
		.digest_match = 1,
	};

	for (u32 i = 0; i < PART_COUNT; i++)
		receipt.part_us[i] = 100 + i;
	receipt_sum_stun(&receipt);
	return receipt;
}

static int setup(void **state)
{
	(void)state;
	memset(&host, 0, sizeof(host));
	fake_shell_clear();
	return 0;
}

static void parts_sum_to_the_stun(void **state)
{
	(void)state;
	assert_int_equal(example().stun_us, 9 * 100 + 36);
}

static void more_rounds_than_fit_are_added_up(void **state)
{
	struct receipt receipt = { .vm = "x" };
	struct receipt_round round = { 10, 1, 40960, 2, 50 };
	u64 pages = 0, us = 0;

	(void)state;
	for (u32 i = 0; i < 3 * RECEIPT_ROUNDS_MAX; i++)
		receipt_add_round(&receipt, &round);
	assert_int_equal(receipt.round_count, RECEIPT_ROUNDS_MAX);
	for (u32 i = 0; i < receipt.round_count; i++) {
		pages += receipt.round[i].pages;
		us += receipt.round[i].us;
	}
	assert_int_equal(pages, 3 * RECEIPT_ROUNDS_MAX * 10);
	assert_int_equal(us, 3 * RECEIPT_ROUNDS_MAX * 50);
}

static void the_newest_are_kept(void **state)
{
	struct receipt receipt = example();

	(void)state;
	assert_null(receipt_find(NULL));
	for (u32 i = 1; i <= RECEIPTS_KEPT + 5; i++) {
		receipt.session[0] = (u8)i;
		receipt.session[3] = 0xab;
		receipt_keep(&receipt, false);
	}
	assert_non_null(receipt_nth(RECEIPTS_KEPT - 1));
	assert_null(receipt_nth(RECEIPTS_KEPT));
	assert_int_equal(receipt_nth(0)->receipt.session[0], 6);
	assert_null(receipt_find("050000ab"));
	assert_int_equal(receipt_find("060000ab")->receipt.session[0], 6);
	assert_null(receipt_find("06"));
	assert_int_equal(receipt_find(NULL)->receipt.session[0], RECEIPTS_KEPT + 5);
	assert_ptr_equal(receipt_of_session(receipt.session), receipt_find(NULL));
	receipt.session[0] = 1;
	assert_null(receipt_of_session(receipt.session));
}

static void a_lying_receipt_is_refused(void **state)
{
	struct receipt good = example(), bad;

	(void)state;
	assert_true(receipt_check(&good));
	bad = good;
	memset(bad.vm, 'x', sizeof(bad.vm));
	assert_false(receipt_check(&bad));
	bad = good;
	bad.why[0] = 7;
	assert_false(receipt_check(&bad));
	bad = good;
	bad.round_count = RECEIPT_ROUNDS_MAX + 1;
	assert_false(receipt_check(&bad));
	bad = good;
	bad.result = RECEIPT_RESULT_COUNT;
	assert_false(receipt_check(&bad));
}

static void every_promised_key_is_there(void **state)
{
	static const char *const keys[] = {
		"id=00000000",
		"vm=web1",
		"from=host1",
		"to=host2",
		"result=ok",
		"error=",
		"rounds[",
		"total_us=900000",
		"stun_us=936",
		"stun_parts[",
		"bytes_sent=1",
		"pages_sent=2",
		"zero_pages=3",
		"guest_ram_bytes=4",
		"throughput_bps=5",
		"throttled_us=6",
		"stun_limit_us=7",
		"predicted_stun_us=8",
		"pages_verified=9",
		"digest_match=1",
		"tracking=protect",
		"entries_scanned=10",
		"log_entries=11",
		"tracking_exits=12",
		"name=stop us=100",
		"name=harvest us=101",
		"name=send_tail us=102",
		"name=remote_apply us=103",
		"name=verify us=104",
		"name=ready us=105",
		"name=commit us=106",
		"name=resume us=107",
		"name=announce us=108",
		"pages=10 zero_pages=1 bytes=40960 dirty_pages=2 us=50",
	};
	struct receipt receipt = example();
	struct receipt_round round = { 10, 1, 40960, 2, 50 };

	(void)state;
	receipt_add_round(&receipt, &round);
	receipt_keep(&receipt, true);
	receipt_show(NULL, receipt_find(NULL));
	for (u32 i = 0; i < ARRAY_COUNT(keys); i++) {
		if (!strstr(fake_shell_json, keys[i]))
			print_message("no %s in %s\n", keys[i], fake_shell_json);
		assert_non_null(strstr(fake_shell_json, keys[i]));
	}
	assert_non_null(strstr(fake_shell_text, "web1 from host1 to host2: ok"));
	assert_non_null(strstr(fake_shell_text, "stun 936 us"));
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		T(parts_sum_to_the_stun),
		T(more_rounds_than_fit_are_added_up),
		T(the_newest_are_kept),
		T(a_lying_receipt_is_refused),
		T(every_promised_key_is_there),
	};

	return cmocka_run_group_tests_name("receipt", tests, NULL, NULL);
}
