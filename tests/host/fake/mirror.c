/* SPDX-License-Identifier: BSD-2-Clause */
/* The network stack before a mirror; mirror.h says what it is like. */
/* SOURCES: tests/host/fake/stack.c */
#include "tests/host/fake/mirror.h"

#include "tests/host/fake/machine.h"
#include "tests/host/fake/memory.h"

#include "kernel/clock.h"
#include "kernel/config.h"
#include "kernel/sched.h"
#include "net/checksum.h"
#include "net/net.h"
#include "net/netif.h"
#include "net/packet.h"
#include "net/services.h"

#define WIRE_MAX 4096
#define LATENCY_NS (100 * NS_PER_US)
#define TURN_NS (20 * NS_PER_US)

static u64 seed = 3;

u32 random_below(u32 limit)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(seed >> 33) % limit;
}

/* --- The wire ----------------------------------------------------------------------------- */

struct wire_frame {
	u64 due_ns;
	u32 bytes;
	u8 data[1514];
};

struct wire wire;

/* Frames on their way, and whose bytes they were made of. */
static struct {
	struct wire_frame frame[WIRE_MAX];
	unsigned first, count;
	void *owner[WIRE_MAX];
	unsigned owners;
} queue;

static void wire_put(const u8 *data, u32 bytes, u64 delay_ns)
{
	struct wire_frame *frame = &queue.frame[(queue.first + queue.count) % WIRE_MAX];

	if (queue.count == WIRE_MAX || bytes > sizeof(frame->data))
		return;
	frame->due_ns = clock_now_ns() + delay_ns;
	frame->bytes = bytes;
	memcpy(frame->data, data, bytes);
	queue.count++;
}

static bool happens(unsigned per_mille) { return random_below(1000) < per_mille; }

/* A frame that means harm: a real one with a few bytes changed, or cut short, with right checksums or not. */
static void put_hostile(const u8 *data, u32 bytes)
{
	u8 copy[1514];

	memcpy(copy, data, bytes);
	for (unsigned i = random_below(6); i > 0; i--)
		copy[random_below(MIN(bytes, 70u))] = (u8)random_below(256);
	if (happens(200))
		bytes = random_below(bytes) + 1;
	wire_put(copy, bytes, LATENCY_NS);
}

static void weather(const u8 *data, u32 bytes)
{
	u8 copy[1514];
	u64 delay = LATENCY_NS + (happens(wire.late) ? random_below(2000000) : 0);

	if (wire.is_cut || happens(wire.loss))
		return;
	if (wire.is_hostile && happens(300))
		put_hostile(data, bytes);
	memcpy(copy, data, bytes);
	if (happens(wire.damage))
		copy[14 + random_below(bytes - 14)] ^= (u8)(1 << random_below(8));
	wire_put(copy, bytes, delay);
	if (happens(wire.twice))
		wire_put(copy, bytes, delay);
}

/* Who has 10.77.0.9? The mirror has. */
static void answer_arp(u8 *frame)
{
	static const u8 mac[6] = { 2, 0, 0, 0, 0, 9 };
	u8 asked[4];

	if (get_be16(frame + 20) != 1 || get_be32(frame + 38) != OTHER_IP)
		return;
	memcpy(asked, frame + 38, 4);
	put_be16(frame + 20, 2);
	memcpy(frame + 32, frame + 22, 10); /* the asker is the target */
	memcpy(frame + 22, mac, 6);
	memcpy(frame + 28, asked, 4);
	memcpy(frame, frame + 6, 6);
	memcpy(frame + 6, mac, 6);
	weather(frame, 60);
}

#define FORGERS 3

/* The headers of what each of the mirror's ports sent last. */
static struct {
	u16 port;
	u8 header[54];
} last_sent[FORGERS];

static void remember(const u8 *frame)
{
	u16 port = get_be16(frame + 34);

	for (unsigned i = 0; i < FORGERS; i++)
		if (last_sent[i].port == port || !last_sent[i].port) {
			last_sent[i].port = port;
			memcpy(last_sent[i].header, frame, sizeof(last_sent[i].header));
			return;
		}
}

void mirror_forge(u16 port, u32 ahead)
{
	u8 frame[60] = { 0 }, *tcp = frame + 34;
	unsigned i = 0;
	u16 sum;

	while (last_sent[i].port != port)
		assert_true(++i < FORGERS);
	memcpy(frame, last_sent[i].header, 54);
	put_be16(frame + ETHERNET_BYTES + IP_TOTAL_LENGTH, 41);
	packet_finish_ip(frame, 20);
	put_be32(tcp + TCP_OFF_SEQUENCE, get_be32(tcp + TCP_OFF_SEQUENCE) + ahead);
	tcp[TCP_OFF_HEADER_LENGTH] = 5 << 4;
	tcp[TCP_OFF_FLAGS] = TCP_FLAG_ACK;
	put_be16(tcp + TCP_OFF_CHECKSUM, 0);
	sum = checksum_finish(checksum_add(packet_pseudo_sum(frame + ETHERNET_BYTES, 21), tcp, 21));
	memcpy(tcp + TCP_OFF_CHECKSUM, &sum, 2);
	wire_put(frame, sizeof(frame), LATENCY_NS);
}

static void mirror(u8 *frame, u32 bytes)
{
	u8 keep[6];

	if (get_be16(frame + 12) == 0x0806) {
		answer_arp(frame);
		return;
	}
	memcpy(keep, frame, 6);
	memcpy(frame, frame + 6, 6);
	memcpy(frame + 6, keep, 6);
	memcpy(keep, frame + 26, 4);
	memcpy(frame + 26, frame + 30, 4);
	memcpy(frame + 30, keep, 4);
	if (get_be16(frame + 34) < 1024)
		remember(frame);
	weather(frame, bytes);
}

/* --- The card ----------------------------------------------------------------------------- */

static int card_start(struct nic *nic) { return nic_pool_create(nic, 768, 2048); }

static bool card_has_room(struct nic *nic, unsigned frames, unsigned pieces, u32 bytes)
{
	(void)nic;
	(void)pieces;
	(void)bytes;
	/* Full now and then. */
	return queue.owners < WIRE_MAX && queue.count + 4 * frames < WIRE_MAX && !happens(20);
}

static void card_send(struct nic *nic, const struct nic_frame *frame)
{
	u8 flat[1514] = { 0 };
	u32 at = frame->header_bytes;

	(void)nic;
	assert_true(frame->header_bytes + frame->payload_bytes <= sizeof(flat));
	assert_int_equal(frame->tcp_offset, 0);
	memcpy(flat, frame->header, frame->header_bytes);
	for (unsigned i = 0; i < frame->piece_count; i++) {
		memcpy(flat + at, frame->piece[i].data, frame->piece[i].bytes);
		at += frame->piece[i].bytes;
	}
	mirror(flat, MAX(at, 60u));
	if (frame->owner)
		queue.owner[queue.owners++] = frame->owner;
}

static void card_kick(struct nic *nic) { (void)nic; }

static void card_reclaim(struct nic *nic)
{
	nic->is_tx_waiting = false;
	while (queue.owners > 0) {
		nic->tx_done++;
		nic->on_sent(nic, queue.owner[--queue.owners]);
	}
}

static unsigned card_receive(struct nic *nic, unsigned budget)
{
	unsigned count = 0;

	/* Late frames let those behind them pass. */
	for (unsigned i = 0; i < queue.count && count < budget; i++) {
		struct wire_frame *frame = &queue.frame[(queue.first + i) % WIRE_MAX];
		struct nic_buffer *buffer;

		if (frame->bytes == 0 || frame->due_ns > clock_now_ns())
			continue;
		buffer = nic_buffer_take(nic);
		assert_non_null(buffer); /* net.c copies before the pool runs dry */
		memcpy(buffer->memory, frame->data, frame->bytes);
		buffer->bytes = (u16)frame->bytes;
		frame->bytes = 0;
		nic->on_received(nic, buffer);
		count++;
	}
	while (queue.count > 0 && queue.frame[queue.first].bytes == 0) {
		queue.first = (queue.first + 1) % WIRE_MAX;
		queue.count--;
	}
	return count;
}

static void card_set_irq(struct nic *nic, bool is_on)
{
	(void)nic;
	(void)is_on;
}

static bool card_is_link_up(struct nic *nic) { return nic != NULL; }

static const struct nic_ops card_ops = {
	.driver = "mirror",
	.start = card_start,
	.has_room = card_has_room,
	.send = card_send,
	.kick = card_kick,
	.reclaim = card_reclaim,
	.receive = card_receive,
	.set_irq = card_set_irq,
	.is_link_up = card_is_link_up,
};

struct nic card = {
	.ops = &card_ops,
	.mac = { 2, 0, 0, 0, 0, 1 },
	.mtu_max = 1500,
	.has_irq = true,
	.irq_kind = "none",
	.rx_ring = 0,
};

/* --- Time --------------------------------------------------------------------------------- */

void turn(void)
{
	fake_tsc += TURN_NS;
	service_wake();
	sched_turn();
}

void run_ms(u64 ms)
{
	for (u64 i = 0; i < ms * NS_PER_MS / TURN_NS; i++)
		turn();
}

void mirror_start(void)
{
	fake_memory_init(96 * MIB);
	clock_init(1000000); /* one tick is one ns */
	fake_tsc = 1;
	config_parse("[host]\naddress = 10.77.0.1/24\n", 30);
	assert_int_equal(nic_register(&card), 0);
	net_init();
	card.rx_ring = 0;
}
