/* SPDX-License-Identifier: BSD-2-Clause */
/* The service behind all moves, and what ties it to VMs, network and clock. CPU 0 only. */
#include "migrate/migrate.h"

#include "arch/cpu.h"
#include "arch/host.h"
#include "kernel/clock.h"
#include "kernel/config.h"
#include "kernel/errno.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "migrate/digest.h"
#include "migrate/peer.h"
#include "migrate/receive.h"
#include "migrate/send.h"
#include "vmm/vm.h"

static struct migration host_migration;
struct migration *migration = &host_migration;

/* --- identities --- */

/* Ticks since power-on, a count and the host's name: unique without a source of randomness. */
void migrate_make_id(u8 id[16])
{
	struct {
		u64 ticks, incarnation, count;
		char host[32];
	} seed = { rdtsc(), durable_incarnation(), ++migration->session_count, { 0 } };
	u64 half[2];

	str_copy(seed.host, sizeof(seed.host), migration->host);
	half[0] = digest_bytes(&seed, sizeof(seed));
	seed.ticks = ~seed.ticks;
	half[1] = digest_bytes(&seed, sizeof(seed));
	memcpy(id, half, 16);
}

struct vm *migrate_vm(const u8 vm_id[16])
{
	list_for_each(vm, &vm_list, struct vm, link)
		if (!memcmp(vm->id, vm_id, sizeof(vm->id)))
			return vm;
	return NULL;
}

/* --- the service --- */

static u64 next_deadline_ns(void)
{
	u64 next = ~0ull;

	list_for_each(send, &migration->sends, struct send, link)
		next = MIN(next, send->is_over ? ~0ull : send_deadline_ns(send));
	list_for_each(receive, &migration->receives, struct receive, link)
		next = MIN(next, receive->deadline_ns);
	list_for_each(arrival, &migration->spent, struct arrival, link)
		next = MIN(next, arrival->spent_at_ns);
	return next;
}

/* Piece by piece, beside the guest that was started. */
static bool free_spent(void)
{
	struct arrival *arrival = list_first(&migration->spent, struct arrival, link);

	if (!arrival || clock_now_ns() < arrival->spent_at_ns)
		return false;
	arrive_free_some(arrival);
	return true;
}

bool migrate_poll(void)
{
	bool has_more = free_spent();

	list_for_each_safe(receive, &migration->receives, struct receive, link)
		has_more |= receive_poll(receive);
	list_for_each_safe(send, &migration->sends, struct send, link)
		has_more |= send_poll(send);
	return has_more;
}

static bool poll_service(struct service *service)
{
	bool has_more = migrate_poll();
	u64 next = next_deadline_ns();

	(void)service;
	if (next == ~0ull)
		timer_disarm(&migration->timer);
	else
		timer_arm(&migration->timer, 0, next);
	return has_more;
}

static void on_timer(struct timer *timer)
{
	(void)timer;
	service_wake();
}

/* --- VMs that others free --- */

static void on_vm_destroy(struct vm *vm)
{
	list_for_each(send, &migration->sends, struct send, link)
		if (send->vm == vm && !send->is_over)
			send_vm_gone(send);
	list_for_each_safe(arrival, &migration->arrivals, struct arrival, link)
		if (arrival->vm == vm)
			receive_vm_gone(arrival);
}

/* --- start --- */

void migrate_setup(struct migration *m, const char *host)
{
	str_copy(m->host, sizeof(m->host), host);
	list_init(&m->sends);
	list_init(&m->receives);
	list_init(&m->arrivals);
	list_init(&m->spent);
	vm_on_destroy = on_vm_destroy;
}

static u16 configured_port(void)
{
	const char *text = config_get("host", NULL, "migration_port");
	u64 port;

	if (!text)
		return WIRE_PORT;
	if (!str_to_u64(text, &port) && port > 0 && port <= 0xffff)
		return (u16)port;
	log_warn("tern.conf: [host] migration_port=%s is no port; using %u", text, WIRE_PORT);
	return WIRE_PORT;
}

void migrate_init(void)
{
	u16 port = configured_port();
	int err;

	migrate_setup(migration, host_name());
	timer_setup(&migration->timer, on_timer);
	migration->service.name = "migrate";
	migration->service.poll = poll_service;
	peer_init();
	service_add(&migration->service);
	err = stream_listen_on(net_migration_network(), port, receive_accept, NULL);
	if (err)
		log_warn("migration: port %u cannot be opened (%s); guests cannot come in", port,
			 errno_name(err));
	else
		log_info("migration: port %u, durable=%s (a crash of this host inside a hand-over "
			 "needs the operator)",
			 port, durable_kind());
	migration->is_listening = !err;
}
