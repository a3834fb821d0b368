/* SPDX-License-Identifier: BSD-2-Clause */
/* The words of a test about moves; move.h says what they mean. */
/* SOURCES: migrate/arrive.c migrate/commit.c migrate/compat.c migrate/copy.c migrate/delta.c migrate/digest.c
   migrate/durable.c migrate/greet.c migrate/handover.c migrate/image.c migrate/migrate.c migrate/pace.c migrate/peer.c
   migrate/receipt.c migrate/receive.c migrate/rounds.c migrate/send.c migrate/stun.c migrate/wire.c
   kernel/errno.c kernel/fmt.c kernel/status.c kernel/str.c net/address.c tests/host/fake/guest.c tests/host/fake/heap_fake.c
   tests/host/fake/shell_fake.c tests/host/fake/stream_fake.c tests/host/fake/two_hosts.c */
#include "tests/host/fake/move.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "migrate/receive.h"
#include "migrate/send.h"
#include "tests/host/fake/two_hosts.h"

const struct send_options move_defaults = { .stun_limit_ns = 20 * NS_PER_MS };

void start_world(void)
{
	srand(1);
	fake_world_init();
	fake_guest_start(HOST1, "web1", RAM);
}

int end_world(void **state)
{
	(void)state;
	fake_world_fini();
	return 0;
}

struct send *move_from(u32 host, const char *name, const struct send_options *options)
{
	struct stream_address address = { 0x0a4d0001 + !host, WIRE_PORT };
	struct wire_reason reason;
	struct send *send;

	fake_enter(host);
	send = send_start(vm_find(name), host ? "host1" : "host2", address, options, &reason);
	if (!send)
		print_message("%s (%s)\n", reason.why, reason.code);
	return send;
}

bool are_sessions_over(void)
{
	for (u32 i = 0; i < 2; i++) {
		struct migration *m = &fake_hosts[i].migration;

		if (!list_is_empty(&m->sends) || !list_is_empty(&m->receives))
			return false;
	}
	return true;
}

bool is_over_on_1(void) { return list_is_empty(&fake_hosts[HOST1].migration.sends); }

const struct receipt *newest_receipt(u32 host)
{
	const struct kept_receipt *kept;

	fake_enter(host);
	kept = receipt_find(NULL);
	return kept ? &kept->receipt : NULL;
}

void assert_runs_on(u32 host)
{
	u32 where = 9;

	assert_int_equal(fake_running_count(&where), 1);
	assert_int_equal(where, host);
	fake_check_guest();
	assert_null(fake_vm_on(!host, "web1"));
	assert_int_equal(fake_vm_on(host, "web1")->vm.state, VM_RUNNING);
	assert_null(fake_vm_on(host, "web1")->vm.migration);
	assert_false(fake_vm_on(host, "web1")->vm.gmem.track.is_on);
}

void assert_failed_with(const char *code)
{
	assert_true(fake_run(are_sessions_over, MANY));
	assert_runs_on(HOST1);
	assert_string_equal(newest_receipt(HOST1)->code, code);
	assert_non_null(strstr(fake_hosts[HOST1].last_error, code));
	assert_int_equal(fake_hosts[HOST1].error_count, 1);
}

bool does_it_run(void) { return fake_running_count(NULL) == 1; }

bool is_it_settled(void)
{
	return does_it_run() && are_sessions_over() && list_is_empty(&fake_hosts[HOST1].migration.arrivals) &&
	       list_is_empty(&fake_hosts[HOST2].migration.arrivals);
}
