/* SPDX-License-Identifier: BSD-2-Clause */
/* The world around migrate/; two_hosts.h says what it is like. */
#include "tests/host/fake/two_hosts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/hv.h"
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "migrate/receive.h"
#include "migrate/send.h"
#include "tests/host/fake/heap_fake.h"

#define HOST_CHUNKS 64

struct fake_host fake_hosts[2];
struct fake_net fake_net;
u64 fake_now_ns, fake_turn_ns;
struct list vm_list = LIST_HEAD_INIT(vm_list);
void (*vm_on_destroy)(struct vm *vm);
static u32 current_host;
static struct hv_ops the_hv = { .name = "fake" };
struct hv_ops *hv = &the_hv;
const char *hv_missing = "";
u64 tsc_khz = 2000000;

/* --- hosts --- */

/* Moves a ring of list nodes from one head to another. */
static void move_list(struct list *from, struct list *to)
{
	list_init(to);
	if (list_is_empty(from))
		return;
	to->next = from->next;
	to->prev = from->prev;
	to->next->prev = to->prev->next = to;
	list_init(from);
}

u32 fake_current_host(void) { return current_host; }

void fake_enter(u32 host)
{
	if (host == current_host)
		return;
	move_list(&vm_list, &fake_hosts[current_host].vms);
	move_list(&fake_hosts[host].vms, &vm_list);
	current_host = host;
	migration = &fake_hosts[host].migration;
}

static void boot(u32 host)
{
	struct fake_host *h = &fake_hosts[host];

	memset(&h->migration, 0, sizeof(h->migration));
	snprintf(h->name, sizeof(h->name), "host%u", host + 1);
	h->migration.incarnation = fake_now_ns + 1000 + host;
	migrate_setup(&h->migration, h->name);
}

void fake_world_init(void)
{
	memset(fake_hosts, 0, sizeof(fake_hosts));
	memset(&fake_net, 0, sizeof(fake_net));
	the_hv.limits =
		(struct hv_limits){ .xcr0 = 7, .physical_bits = 40, .has_dirty_bits = true };
	fake_now_ns = NS_PER_SEC;
	fake_turn_ns = 50 * NS_PER_US;
	list_init(&vm_list);
	for (u32 i = 0; i < 2; i++) {
		list_init(&fake_hosts[i].vms);
		fake_hosts[i].free_chunks = HOST_CHUNKS;
		fake_hosts[i].cpuid_key = 0x1234;
		boot(i);
	}
	current_host = 0;
	migration = &fake_hosts[0].migration;
	fake_net.piece = 1460;
	fake_net.bytes_per_turn = 64 * KIB;
	fake_oracle_init();
	fake_heap_fail_after(0);
}

void fake_host_crash(u32 host)
{
	fake_enter(host);
	fake_net_break();
	vm_on_destroy = NULL;
	while (!list_is_empty(&vm_list))
		vm_destroy(list_first(&vm_list, struct vm, link));
	/* What its sessions held is gone with its memory; sends and arrivals refer to VMs no more.
	 */
	list_for_each(send, &migration->sends, struct send, link)
		send->vm = NULL,
		send->is_tracking = false, send->is_over = true, send->is_held = false;
	list_for_each_safe(arrival, &migration->arrivals, struct arrival, link) {
		arrival->vm = NULL;
		arrive_destroy(arrival);
	}
	list_for_each(receive, &migration->receives, struct receive, link) {
		receive->arrival = NULL;
		receive->is_over = true;
	}
	migrate_poll();
	fake_now_ns += NS_PER_SEC;
	while (!list_is_empty(&migration->spent))
		migrate_poll();
	boot(host);
}

void fake_world_fini(void)
{
	for (u32 i = 0; i < 2; i++)
		fake_host_crash(i);
	fake_turn();
	assert_int_equal(fake_stream_count(), 0);
	for (u32 i = 0; i < 2; i++)
		assert_int_equal(fake_hosts[i].free_chunks, HOST_CHUNKS);
	assert_int_equal(fake_heap.objects, 0);
	fake_oracle_fini();
}

/* --- clock, log, service, timers --- */

u64 clock_now_ns(void) { return fake_now_ns += 100; }
void service_wake(void) { }
void service_add(struct service *service) { (void)service; }
void timer_setup(struct timer *timer, void (*callback)(struct timer *timer))
{
	timer->callback = callback;
}
void timer_disarm(struct timer *timer) { timer->is_armed = false; }

void timer_arm(struct timer *timer, unsigned cpu, u64 deadline_ns)
{
	(void)cpu;
	timer->is_armed = true;
	timer->deadline_ns = deadline_ns;
}

void log_write(enum log_level level, const char *format, ...)
{
	struct fake_host *h = &fake_hosts[current_host];
	va_list args;

	if (level < LOG_WARN)
		return;
	va_start(args, format);
	vsnprintf(h->last_error, sizeof(h->last_error), format, args);
	va_end(args);
	h->error_count++;
	if (getenv("FAKE_LOG"))
		fprintf(stderr, "%s: %s\n", h->name, h->last_error);
}

const char *config_get(const char *section, const char *name, const char *key)
{
	(void)section, (void)name, (void)key;
	return NULL;
}

const char *config_name(const char *section, unsigned index)
{
	(void)section, (void)index;
	return NULL;
}

const char *host_name(void) { return fake_hosts[current_host].name; }
int stream_listen_on(int network, u16 port, void (*accept)(struct stream *, void *), void *context)
{
	(void)network, (void)port, (void)accept, (void)context;
	return 0;
}

void page_get_stats(struct page_stats *stats)
{
	*stats = (struct page_stats){
		.free_large_pages = fake_hosts[current_host].free_chunks,
		.free_bytes = fake_hosts[current_host].free_chunks * LARGE_PAGE_BYTES,
	};
}

void fake_turn(void)
{
	for (u32 i = 0; i < 2; i++) {
		if (fake_hosts[i].is_off)
			continue;
		fake_enter(i);
		migrate_poll();
	}
	fake_net_turn();
	fake_guests_turn();
	assert_true(fake_running_count(NULL) <= 1); /* I1 */
	fake_now_ns += fake_turn_ns;
}

bool fake_run(bool (*done)(void), u32 max)
{
	for (u32 i = 0; i < max; i++) {
		if (done())
			return true;
		fake_turn();
	}
	return done();
}
