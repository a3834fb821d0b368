/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A card that has frames and sends none (no cable, or a fault) holds streams' memory: a reset
 * lets go of it, and TCP sends again.
 */
#include "net/watch.h"

#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/log.h"
#include "kernel/sched.h"
#include "net/netif.h"
#include "net/nic.h"

#include "lwip/netif.h"

#define STUCK_NS (2 * NS_PER_SEC)

void watch_start(struct watch *watch, const struct nic *nic)
{
	*watch = (struct watch){ .is_up = true, .tx_moved_ns = clock_now_ns(), .tx_out = nic->tx_out };
}

static void watch_link(struct watch *watch, struct nic *nic)
{
	bool is_up = nic->ops->is_link_up(nic);
	struct netif *netif;

	if (is_up == watch->is_up)
		return;
	watch->is_up = is_up;
	log_info("%s: link %s", nic->name, is_up ? "up" : "down");
	for (unsigned i = 0; (netif = net_netif(i)); i++) {
		if (net_nic(i) != nic)
			continue;
		/* lwIP tells the neighbours our address when a link comes up. */
		if (is_up)
			netif_set_link_up(netif);
		else
			netif_set_link_down(netif);
	}
}

/*
 * Without a cable a card rightly keeps its frames; then only those that hold memory count. With one,
 * all do: of a host that only answers, none may have an owner.
 */
static bool is_waited_for(const struct watch *watch, const struct nic *nic)
{
	return nic->tx_done != nic->tx_queued || (watch->is_up && nic->tx_out != nic->tx_given);
}

static void watch_sending(struct watch *watch, struct nic *nic)
{
	u64 now = clock_now_ns();
	int err;

	nic->ops->reclaim(nic);
	if (!is_waited_for(watch, nic) || nic->tx_out != watch->tx_out || !nic->ops->restart) {
		watch->tx_out = nic->tx_out;
		watch->tx_moved_ns = now;
	}
	if (now - watch->tx_moved_ns < STUCK_NS)
		return;
	watch->tx_moved_ns = now;
	err = nic->ops->restart(nic);
	service_wake(); /* the reset has masked the card's interrupts */
	if (err)
		log_error("%s: sends nothing, and cannot be reset: %s", nic->name, errno_name(err));
	else
		log_warn("%s: has sent nothing for %u s%s: reset", nic->name, (unsigned)(STUCK_NS / NS_PER_SEC),
			 watch->is_up ? "" : ", its link is down");
}

void watch_card(struct watch *watch, struct nic *nic)
{
	watch_link(watch, nic);
	watch_sending(watch, nic);
}
