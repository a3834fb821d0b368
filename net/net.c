/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network service: cards to lwIP and timers, on CPU 0.
 *
 *   card -> on_received -> gro -> lwIP -> stream.c          stream.c -> lwIP -> nic_send -> card
 *
 * A poll takes a batch of frames, merges them, runs lwIP, lets the streams answer, and
 * rings the card's bell once. While frames come the card's interrupt stays masked; when the
 * ring is empty it is unmasked and the ring looked at once more, so no frame is overslept.
 * A card without interrupt is polled by a timer.
 *
 * lwIP's err_t ends here and in stream.c.
 */
#include "net/net.h"

#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/fmt.h"
#include "kernel/log.h"
#include "kernel/sched.h"
#include "kernel/string.h"
#include "kernel/timer.h"
#include "net/gro.h"
#include "net/link.h"
#include "net/netif.h"
#include "net/nic.h"
#include "net/plan.h"
#include "net/services.h"
#include "net/stream.h"
#include "net/watch.h"
#include "net/wire_mss.h"

#include "lwip/etharp.h"
#include "lwip/init.h"
#include "lwip/netif.h"
#include "lwip/priv/tcp_priv.h"
#include "lwip/stats.h"
#include "netif/ethernet.h"

#define POLL_BUDGET 64          /* frames of one batch: near what merges into one packet */
#define POOL_LOW 160            /* free buffers below which frames are copied out of them */
#define TICK_NS (TCP_TMR_INTERVAL * NS_PER_MS)
#define ARP_TICK_NS (250 * NS_PER_MS) /* lwipopts.h counts on it */
#define BUSY_POLL_NS (50 * NS_PER_US) /* a card without interrupt, while frames come */
#define IDLE_POLL_NS NS_PER_MS
#define BUSY_NS (5 * NS_PER_MS)

_Static_assert(sizeof(struct pbuf_custom) <= sizeof(((struct nic_buffer *)0)->stack),
	       "struct pbuf_custom must fit in the holder's words of a buffer");

/* A network: what lwIP knows, on one of a card's VLANs. */
static struct link {
	struct nic *nic;
	const struct net_plan *plan;
	struct netif netif;
	struct gro gro;
} links[NETWORKS_MAX];
static unsigned link_count;
static struct net_plan plans[NETWORKS_MAX];
static int migration_network = NETWORK_ANY;

static struct card {
	struct nic *nic;
	u64 last_frame_ns;
	struct watch watch;
	bool is_tx_armed; /* its interrupt will tell when a full ring has room */
} cards[NIC_COUNT_MAX];
static unsigned card_count;

static struct timer tick_timer, arp_timer, poll_timer;

/* --- Receiving ------------------------------------------------------------------------ */

static void buffer_freed(struct pbuf *pbuf)
{
	nic_buffer_give(container_of((u64 *)pbuf, struct nic_buffer, stack[0]));
}

/* A pbuf around the buffer's bytes, followed by others: total counts them all. */
static struct pbuf *wrap(struct nic_buffer *buffer, u32 total)
{
	struct pbuf_custom *custom = (struct pbuf_custom *)buffer->stack;
	struct pbuf *pbuf;

	custom->custom_free_function = buffer_freed;
	pbuf = pbuf_alloced_custom(PBUF_RAW, buffer->bytes, PBUF_REF, custom, buffer->memory + buffer->start,
				   buffer->bytes);
	pbuf->tot_len = (u16_t)total;
	return pbuf;
}

static struct pbuf *wrap_chain(struct nic_buffer *first, u32 total)
{
	struct pbuf *head = NULL, **tail = &head;

	for (struct nic_buffer *at = first, *next; at; at = next) {
		next = at->next;
		*tail = wrap(at, total);
		total -= at->bytes;
		tail = &(*tail)->next;
	}
	return head;
}

/*
 * When the stack holds most of the buffers (many small segments that nobody consumes),
 * frames move to memory of their size, so that the card always has buffers and
 * acknowledgements always come through. The heap is the limit then, and drops are counted.
 */
static struct pbuf *copy_chain(struct nic *nic, struct nic_buffer *first, u32 total)
{
	struct pbuf *copy = pbuf_alloc(PBUF_RAW, (u16_t)total, PBUF_RAM);
	u32 offset = 0;

	for (struct nic_buffer *at = first, *next; at; at = next) {
		next = at->next;
		if (copy)
			memcpy((u8 *)copy->payload + offset, at->memory + at->start, at->bytes);
		else
			nic->stats.rx_drop_no_buffer++;
		offset += at->bytes;
		nic->stats.rx_copied += copy != NULL;
		nic_buffer_give(at);
	}
	return copy;
}

static void deliver(void *context, struct nic_buffer *first, u32 total)
{
	struct link *link = context;
	bool is_low = link->nic->pool_free_count < POOL_LOW;
	u8 *frame = first->memory + first->start;
	struct packet packet;
	struct pbuf *pbuf;

	if (packet_parse(frame, first->bytes, total, &packet) == PACKET_TCP)
		wire_mss_receive(frame, &packet, link->plan->mtu, TCP_MSS);
	pbuf = is_low ? copy_chain(link->nic, first, total) : wrap_chain(first, total);
	if (pbuf && link->netif.input(pbuf, &link->netif) != ERR_OK)
		pbuf_free(pbuf);
}

/* The network that a frame belongs to, by its tag, which is taken off; NULL: none of ours. */
static struct link *link_of(struct nic *nic, struct nic_buffer *buffer)
{
	u8 *frame = buffer->memory + buffer->start;
	int vlan = packet_vlan(frame, buffer->bytes);

	if (vlan >= 0) {
		packet_cut_tag(frame);
		buffer->start += VLAN_BYTES;
		buffer->bytes -= VLAN_BYTES;
	}
	for (unsigned i = 0; i < link_count; i++)
		if (links[i].nic == nic && links[i].plan->vlan == MAX(vlan, 0))
			return &links[i];
	return NULL;
}

static void frame_received(struct nic *nic, struct nic_buffer *buffer)
{
	struct link *link = link_of(nic, buffer);

	if (link) {
		gro_add(&link->gro, buffer);
	} else {
		nic->stats.rx_drop_vlan++;
		nic_buffer_give(buffer);
	}
}

/* --- Sending -------------------------------------------------------------------------- */

static void frame_sent(struct nic *nic, void *owner)
{
	(void)nic;
	pbuf_free(owner);
}

/*
 * A frame from lwIP's chain: all headers lie in the first pbuf; the rest is payload. For
 * other than TCP the split point is of no meaning.
 */
static int frame_from(struct nic_frame *frame, struct pbuf *chain, u16 mtu)
{
	u32 header_bytes = MIN(chain->len, NIC_HEADER_MAX - VLAN_BYTES);
	struct packet packet;

	*frame = (struct nic_frame){ .header = chain->payload };
	if (packet_parse(chain->payload, header_bytes, chain->tot_len, &packet) == PACKET_TCP) {
		header_bytes = packet.header_bytes;
		frame->segment_bytes = wire_mss_send(chain->payload, &packet, mtu);
	}
	frame->header_bytes = (u16)header_bytes;
	for (struct pbuf *at = chain; at; at = at->next) {
		u32 skip = at == chain ? header_bytes : 0;

		if (at->len == skip)
			continue;
		if (frame->piece_count == NIC_PIECES_MAX)
			return -E2BIG;
		frame->piece[frame->piece_count++] =
			(struct nic_piece){ (u8 *)at->payload + skip, at->len - skip };
		frame->payload_bytes += at->len - skip;
	}
	return 0;
}

static err_t link_output(struct netif *netif, struct pbuf *chain)
{
	struct link *link = netif->state;
	struct nic_frame frame;
	int err;

	if (frame_from(&frame, chain, link->plan->mtu)) {
		link->nic->stats.tx_drop_pieces++;
		return ERR_BUF;
	}
	frame.vlan = link->plan->vlan;
	/* The header is copied at once; only payload must stay until the card has read it. */
	if (frame.piece_count > 0) {
		frame.owner = chain;
		pbuf_ref(chain);
	}
	err = nic_send(link->nic, &frame);
	if (err && frame.owner)
		pbuf_free(chain);
	return err == -ENOBUFS ? ERR_MEM : err ? ERR_BUF : ERR_OK;
}

void net_kick(void)
{
	for (unsigned i = 0; i < card_count; i++)
		cards[i].nic->ops->kick(cards[i].nic);
}

void net_tx_set_mark(struct net_tx_mark *mark)
{
	for (unsigned i = 0; i < card_count; i++)
		mark->queued[i] = cards[i].nic->tx_queued;
}

/* Card by card: what one has sent since says nothing of another one's ring. */
bool net_tx_is_past(const struct net_tx_mark *mark)
{
	for (unsigned i = 0; i < card_count; i++)
		if (cards[i].nic->tx_done < mark->queued[i])
			return false;
	return true;
}

/* --- Time ----------------------------------------------------------------------------- */

/* lwIP has something to time; more calls do no harm. */
void tcp_timer_needed(void)
{
	if (!tick_timer.is_armed)
		timer_arm(&tick_timer, 0, clock_now_ns() + TICK_NS);
}

static void tick(struct timer *timer)
{
	(void)timer;
	tcp_tmr();
	stream_tick();
	net_kick();
	if (tcp_active_pcbs || tcp_tw_pcbs)
		tcp_timer_needed();
}

static void arp_tick(struct timer *timer)
{
	etharp_tmr();
	for (unsigned i = 0; i < card_count; i++)
		watch_card(&cards[i].watch, cards[i].nic);
	if (stream_count() > 0)
		service_wake(); /* a stream may be waiting for a card to let go of its ring */
	net_kick();
	timer_arm(timer, 0, clock_now_ns() + ARP_TICK_NS);
}

static void poll_tick(struct timer *timer)
{
	u64 now = clock_now_ns();
	bool is_busy = false;

	for (unsigned i = 0; i < card_count; i++)
		is_busy |= now - cards[i].last_frame_ns < BUSY_NS;
	service_wake();
	timer_arm(timer, 0, now + (is_busy ? BUSY_POLL_NS : IDLE_POLL_NS));
}

/* --- The service ---------------------------------------------------------------------- */

static unsigned poll_card(struct card *card)
{
	struct nic *nic = card->nic;
	unsigned count;

	nic->stats.polls++;
	nic->ops->reclaim(nic);
	count = nic->ops->receive(nic, POLL_BUDGET);
	if (count > 0) {
		nic->stats.poll_batches++;
		card->last_frame_ns = clock_now_ns();
		for (unsigned i = 0; i < link_count; i++)
			if (links[i].nic == nic)
				gro_flush(&links[i].gro);
	}
	return count;
}

/* Whether a ring has become full since its interrupt was unmasked: nobody would tell when it is not. */
static bool must_arm(void)
{
	for (unsigned i = 0; i < card_count; i++)
		if (cards[i].nic->has_irq && cards[i].nic->is_tx_waiting && !cards[i].is_tx_armed)
			return true;
	return false;
}

static bool poll(struct service *service)
{
	bool is_more = false;

	(void)service;
	for (unsigned i = 0; i < card_count; i++) {
		struct nic *nic = cards[i].nic;

		if (poll_card(&cards[i]) > 0) {
			is_more = true;
		} else if (nic->has_irq) {
			cards[i].is_tx_armed = nic->is_tx_waiting;
			nic->ops->set_irq(nic, true);
			is_more |= poll_card(&cards[i]) > 0;
		}
	}
	is_more |= stream_poll();
	net_kick();
	return is_more | must_arm();
}

static struct service net_service = { .name = "net", .poll = poll };

/* --- Start ---------------------------------------------------------------------------- */

static err_t netif_start(struct netif *netif)
{
	struct link *link = netif->state;

	netif->name[0] = 'n';
	netif->name[1] = 't';
	netif->output = etharp_output;
	netif->linkoutput = link_output;
	/* What lwIP may hand down in one piece; nic_send cuts it (lwipopts.h). */
	netif->mtu = 65535;
	netif->hwaddr_len = ETH_HWADDR_LEN;
	memcpy(netif->hwaddr, link->nic->mac, ETH_HWADDR_LEN);
	netif->flags = NETIF_FLAG_BROADCAST | NETIF_FLAG_ETHARP | NETIF_FLAG_ETHERNET | NETIF_FLAG_LINK_UP;
	return ERR_OK;
}

static void link_start(struct link *link, const struct net_plan *plan)
{
	ip4_addr_t address = { lwip_htonl(plan->ip) }, gateway = { lwip_htonl(plan->gateway) };
	ip4_addr_t mask = { lwip_htonl(plan->prefix_bits ? ~0u << (32 - plan->prefix_bits) : 0) };

	link->nic = plan->nic;
	link->plan = plan;
	link->gro = (struct gro){ .deliver = deliver, .context = link, .stats = &plan->nic->stats };
	netif_add(&link->netif, &address, &mask, &gateway, link, netif_start, ethernet_input);
	netif_set_up(&link->netif);
	/* Where everything else goes. */
	if (!netif_default || (plan->gateway && ip4_addr_isany(netif_ip4_gw(netif_default))))
		netif_set_default(&link->netif);
}

static void report(const struct net_plan *plan)
{
	const struct nic *nic = plan->nic;
	char text[16], vlan[16] = "";

	net_format_ip(plan->ip, text);
	if (plan->vlan)
		fmt_snprintf(vlan, sizeof(vlan), ", VLAN %u", plan->vlan);
	log_info("%s: %s at %s, %s, MTU %u%s, address %s", plan->name, nic->ops->driver, nic->location, nic->irq_kind,
		 plan->mtu, vlan, text);
}

/* Starts a card for its networks, of which the largest MTU and the slowest way of cutting count. */
static int card_start(struct card *card, struct nic *nic, const struct net_plan *plan, unsigned count)
{
	if (nic->mtu_max < NIC_MTU_MIN)
		return -ERANGE;
	card->nic = nic;
	nic->on_received = frame_received;
	nic->on_sent = frame_sent;
	nic->mtu = 0;
	nic->can_cut = nic->has_cutter;
	for (unsigned i = 0; i < count; i++) {
		if (plan[i].nic != nic)
			continue;
		nic->mtu = MAX(nic->mtu, plan[i].mtu);
		nic->can_cut = nic->can_cut && !plan[i].is_cut_by_tern;
	}
	watch_start(&card->watch, nic);
	return nic->ops->start(nic);
}

static void start_cards(const struct net_plan *plan, unsigned count)
{
	struct nic *nic;

	for (unsigned i = 0; (nic = nic_get(i)); i++) {
		int err = card_start(&cards[card_count], nic, plan, count);

		if (err) {
			log_warn("%s: %s at %s does not start: %s", nic->name, nic->ops->driver, nic->location,
				 errno_name(err));
			continue;
		}
		card_count++;
		if (!nic->has_irq && !poll_timer.is_armed)
			timer_arm(&poll_timer, 0, clock_now_ns() + IDLE_POLL_NS);
	}
}

static bool has_started(const struct nic *nic)
{
	for (unsigned i = 0; i < card_count; i++)
		if (cards[i].nic == nic)
			return true;
	return false;
}

/* Networks of the cards that run. */
static void start_links(const struct net_plan *plan, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (!has_started(plan[i].nic))
			continue;
		plans[link_count] = plan[i];
		link_start(&links[link_count], &plans[link_count]);
		report(&plans[link_count]);
		link_count++;
	}
	migration_network = net_plan_migration(plans, link_count);
}

struct netif *net_netif(unsigned index) { return index < link_count ? &links[index].netif : NULL; }
struct nic *net_nic(unsigned index) { return index < link_count ? links[index].nic : NULL; }
const struct net_plan *net_plan_of(unsigned index) { return index < link_count ? &plans[index] : NULL; }
int net_migration_network(void) { return migration_network; }

const char *net_network_name(int network)
{
	static char name[NIC_NAME_MAX + 16];

	if (network < 0 || (unsigned)network >= link_count)
		return NULL;
	fmt_snprintf(name, sizeof(name), plans[network].vlan ? "%s (VLAN %u)" : "%s", plans[network].name,
		     plans[network].vlan);
	return name;
}

err_t net_bind(struct tcp_pcb *pcb, int network, u16 port)
{
	struct netif *netif = net_netif((unsigned)network);

	if (network == NETWORK_ANY)
		return port ? tcp_bind(pcb, IP_ADDR_ANY, port) : ERR_OK;
	if (!netif)
		return ERR_RTE;
	tcp_bind_netif(pcb, netif);
	return tcp_bind(pcb, netif_ip_addr4(netif), port);
}

void net_init(void)
{
	struct net_plan plan[NETWORKS_MAX];
	unsigned count;

	lwip_init();
	timer_setup(&tick_timer, tick);
	timer_setup(&arp_timer, arp_tick);
	timer_setup(&poll_timer, poll_tick);
	count = net_plan_make(plan);
	start_cards(plan, count);
	start_links(plan, count);
	/* Without a card too: whoever connects is told then that there is no way. */
	service_add(&net_service);
	if (link_count == 0) {
		log_warn("net: no network card that Tern knows (e1000, e1000e, igb, virtio-net): guests cannot be moved");
		return;
	}
	timer_arm(&arp_timer, 0, clock_now_ns() + ARP_TICK_NS);
	net_services_start();
}

void net_get_stats(struct net_stats *stats)
{
	*stats = (struct net_stats){ 0 };
	for (unsigned i = 0; i < card_count; i++) {
		const struct nic *nic = cards[i].nic;
		const struct nic_stats *from = &nic->stats;

		stats->rx_frames += from->rx_frames;
		stats->rx_bytes += from->rx_bytes;
		stats->tx_frames += from->tx_frames;
		stats->tx_bytes += from->tx_bytes;
#define ADD_DROP(name, words) stats->drops += from->name;
		NIC_DROPS(ADD_DROP)
#undef ADD_DROP
		stats->pbufs_in_use += nic->pool_count - nic->pool_free_count - nic->rx_ring;
	}
	stats->pbufs_in_use += lwip_stats.memp[MEMP_PBUF]->used;
	for (const struct tcp_pcb *pcb = tcp_active_pcbs; pcb; pcb = pcb->next)
		stats->tcp_pcbs_in_use++;
}
