/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The e1000 family's rings without a card: what is written in descriptors, what is read from
 * them in both formats, and that nothing is lost when a card is reset.
 */
/* SOURCES: net/e1000_ring.c net/e1000_card.c net/igb.c net/nic.c net/gso.c net/packet.c net/checksum.c kernel/heap.c
   kernel/page.c kernel/page_map.c kernel/clock.c kernel/log.c kernel/fmt.c kernel/str.c kernel/errno.c */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "tests/host/fake/machine.h"
#include "tests/host/fake/memory.h"
#include "tests/host/fake/panic.h"
#include "arch/pci.h"
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/layout.h"
#include "kernel/sched.h"
#include "net/checksum.h"
#include "net/e1000_card.h"
#include "net/packet.h"

/* The cards' drivers are linked in, but there is no PCI. */
void pci_enable(const struct pci_device *device) { (void)device; }
void pci_disable(const struct pci_device *device) { (void)device; }
void *pci_map_bar(const struct pci_device *device, unsigned bar) { return device && bar ? NULL : NULL; }
const char *pci_irq_kind(const struct pci_device *device) { return device ? "none" : NULL; }
int pci_irq_request(struct pci_device *device, unsigned cpu, void (*handler)(void *context), void *context)
{
	(void)device, (void)cpu, (void)handler, (void)context;
	return -ENODEV;
}
void service_wake(void) { }

static u8 regs[128 * KIB] __attribute__((aligned(16)));
static struct e1000_model model;
static struct e1000 *card;
static unsigned reset_count;

static struct nic_buffer *received[16];
static unsigned received_count;
static void *freed[16];
static unsigned freed_count;

static void on_received(struct nic *nic, struct nic_buffer *buffer)
{
	assert_ptr_equal(nic, &card->nic);
	received[received_count++] = buffer;
}

static void on_sent(struct nic *nic, void *owner)
{
	assert_ptr_equal(nic, &card->nic);
	freed[freed_count++] = owner;
}

static int reset(struct e1000 *of)
{
	reset_count += of == card;
	memset(regs, 0, sizeof(regs));
	return 0;
}

static int open_queues(struct e1000 *of) { return of == card ? 0 : -EIO; }

static u32 reg(u32 offset) { return reg_read(card, offset); }

static void start(u16 mtu, const struct e1000_rx_format *rx, u32 rx_queue, u32 tx_queue,
		  u64 (*begin_frame)(struct e1000 *of, const struct nic_frame *frame))
{
	memset(regs, 0xee, sizeof(regs));
	model = (struct e1000_model){
		.ops = { .driver = "test", E1000_OPS },
		.rx = rx,
		.rx_queue = rx_queue,
		.tx_queue = tx_queue,
		.rx_control_jumbo = RCTL_LPE,
		.tx_control = TCTL_EN,
		.reset = reset,
		.open_queues = open_queues,
		.begin_frame = begin_frame,
	};
	card = heap_alloc(sizeof(*card));
	card->regs = regs;
	card->model = &model;
	card->nic = (struct nic){ .ops = &model.ops, .mtu = mtu, .on_received = on_received, .on_sent = on_sent };
	received_count = freed_count = reset_count = 0;
	assert_int_equal(e1000_ring_create(card), 0);
	assert_int_equal(e1000_start(&card->nic), 0);
}

static void start_e1000(u16 mtu) { start(mtu, &e1000_rx_legacy, E1000_RX_QUEUE, E1000_TX_QUEUE, e1000_begin_frame); }
static void start_igb(u16 mtu) { start(mtu, &e1000_rx_extended, IGB_RX_QUEUE, IGB_TX_QUEUE, igb_begin_frame); }

/* --- Receiving --------------------------------------------------------------------------------- */

/* What a card writes back. */
static u64 legacy(u16 length, u8 status, u8 errors) { return length | (u64)status << 32 | (u64)errors << 40; }
static u64 extended(u16 length, u8 status, u8 errors) { return status | (u64)errors << 24 | (u64)length << 32; }

static void arrive(u64 word)
{
	card->rx[card->rx_next].word[1] = word;
	received_count = 0;
	assert_int_equal(card->nic.ops->receive(&card->nic, 10), 1);
}

static void check_receiving(u64 (*done)(u16 length, u8 status, u8 errors))
{
	struct nic_stats *stats = &card->nic.stats;
	u32 free = card->nic.pool_free_count;

	assert_int_equal(card->nic.ops->receive(&card->nic, 10), 0);
	arrive(done(60, RX_DD | RX_EOP | RX_TCPCS, 0));
	assert_int_equal(received_count, 1);
	assert_int_equal(received[0]->bytes, 60);
	assert_true(received[0]->is_sum_good);
	nic_buffer_give(received[0]);
	arrive(done(60, RX_DD | RX_EOP, 0));
	assert_false(received[0]->is_sum_good);
	nic_buffer_give(received[0]);
	arrive(done(60, RX_DD | RX_EOP | RX_TCPCS | RX_IXSM, 0));
	assert_false(received[0]->is_sum_good);
	nic_buffer_give(received[0]);
	arrive(done(60, RX_DD | RX_EOP | RX_TCPCS, RX_ERROR_TCPE));
	assert_false(received[0]->is_sum_good);
	nic_buffer_give(received[0]);
	assert_int_equal(stats->rx_frames, 4);
	assert_int_equal(stats->rx_bytes, 240);

	arrive(done(60, RX_DD | RX_EOP, RX_ERROR_CE));
	arrive(done(60, RX_DD | RX_EOP, RX_ERROR_RXE));
	assert_int_equal(stats->rx_drop_damaged, 2);
	arrive(done(60, RX_DD, 0));
	arrive(done(13, RX_DD | RX_EOP, 0));
	arrive(done(2049, RX_DD | RX_EOP, 0));
	assert_int_equal(stats->rx_drop_length, 3);
	assert_int_equal(received_count, 0);
	assert_int_equal(card->nic.pool_free_count, free);
}

static void frames_are_read_in_both_formats(void **state)
{
	(void)state;
	start_e1000(1500);
	check_receiving(legacy);
	start_igb(1500);
	check_receiving(extended);
}

static void the_card_always_has_buffers(void **state)
{
	u32 room, i = 0;

	(void)state;
	start_igb(1500);
	room = card->nic.pool_free_count;
	assert_int_equal(reg(IGB_RX_QUEUE + QUEUE_BYTES), 512 * 16);
	assert_int_equal(reg(IGB_RX_QUEUE + QUEUE_TAIL), 511);
	for (; i < room; i++) {
		arrive(extended(60, RX_DD | RX_EOP, 0));
		assert_int_equal(received_count, 1);
		assert_int_equal(card->rx[i % 512].word[0], card->rx_buffer[i % 512]->dma);
		assert_int_equal(card->rx[i % 512].word[1], 0);
	}
	/* Tails are shown by half rings: the last one given back is behind the next one to come. */
	assert_int_equal(reg(IGB_RX_QUEUE + QUEUE_TAIL), (room / 256 * 256 - 1) % 512);
	arrive(extended(60, RX_DD | RX_EOP, 0));
	assert_int_equal(received_count, 0);
	assert_int_equal(card->nic.stats.rx_drop_no_buffer, 1);
}

/* --- Sending ------------------------------------------------------------------------------------ */

static u8 *payload; /* in the direct map */

static struct nic_frame tcp_frame(u8 *header, u16 vlan_bytes, u32 bytes, u16 segment_bytes)
{
	struct nic_frame frame = {
		.header = header,
		.header_bytes = (u16)(54 + vlan_bytes),
		.ip_offset = (u16)(14 + vlan_bytes),
		.tcp_offset = (u16)(34 + vlan_bytes),
		.segment_bytes = segment_bytes,
		.piece_count = 1,
		.piece = { { payload, bytes } },
		.payload_bytes = bytes,
		.owner = payload,
	};

	memset(header, 0, NIC_HEADER_MAX);
	header[frame.ip_offset] = 0x45;
	put_be16(header + frame.ip_offset + IP_TOTAL_LENGTH, (u16)(40 + bytes));
	put_be32(header + frame.ip_offset + IP_SOURCE, 0x0a4d0001);
	put_be32(header + frame.ip_offset + IP_TARGET, 0x0a4d0002);
	return frame;
}

static void send(const struct nic_frame *frame)
{
	assert_true(card->nic.ops->has_room(&card->nic, 1, frame->piece_count, frame->payload_bytes));
	card->nic.tx_queued++;
	card->nic.ops->send(&card->nic, frame);
	card->nic.ops->kick(&card->nic);
}

#define ALL_DATA (TX_CMD_DEXT | TX_CMD_IFCS)

/* 20,000 bytes to be cut at 1,460: a context, the header, three pieces. */
static void check_cutting(u16 vlan_bytes)
{
	u8 header[NIC_HEADER_MAX];
	struct nic_frame frame = tcp_frame(header, vlan_bytes, 20000, 1460);
	const u8 *sent;
	u16 seed;

	payload = heap_alloc(20000);
	frame = tcp_frame(header, vlan_bytes, 20000, 1460);
	send(&frame);
	assert_int_equal(card->tx_next, 5);
	assert_int_equal(reg(card->model->tx_queue + QUEUE_TAIL), 5);
	sent = direct_map + card->tx[1].word[0];
	/* 3.5: lengths and the IP checksum are 0, the seed is without the length. */
	assert_int_equal(get_be16(sent + frame.ip_offset + IP_TOTAL_LENGTH), 0);
	seed = (u16)~checksum_finish(packet_pseudo_sum(header + frame.ip_offset, 0));
	assert_memory_equal(sent + frame.tcp_offset + TCP_OFF_CHECKSUM, &seed, 2);
	assert_int_equal(card->tx[2].word[0], nic_dma(payload));
	assert_int_equal(card->tx[3].word[0], nic_dma(payload) + 8192);
	for (unsigned i = 1; i < 5; i++) {
		assert_int_equal(card->tx[i].word[1] & ALL_DATA, ALL_DATA);
		assert_int_equal(!!(card->tx[i].word[1] & TX_CMD_EOP), i == 4);
		assert_true(card->tx[i].word[1] & TX_POPTS_TXSM && card->tx[i].word[1] & TX_POPTS_IXSM);
	}
	assert_int_equal(card->tx[1].word[1] & 0xffff, 54 + vlan_bytes);
	assert_int_equal(card->tx[2].word[1] & 0xffff, 8192);
	assert_int_equal(card->tx[4].word[1] & 0xffff, 20000 - 2 * 8192);
	/* The owner has its bytes back when the last descriptor is done, not before. */
	card->tx[3].word[1] |= TX_STA_DD;
	card->nic.ops->reclaim(&card->nic);
	assert_int_equal(freed_count, 0);
	card->tx[4].word[1] |= TX_STA_DD;
	card->nic.ops->reclaim(&card->nic);
	assert_int_equal(freed_count, 1);
	assert_int_equal(card->tx_clean, 5);
}

static void the_older_cards_are_told_where_headers_are(void **state)
{
	(void)state;
	start_e1000(1500);
	check_cutting(0);
	/* 3.3.6: IP at 14..33, its sum at 24; TCP at 34, its sum at 50. */
	assert_int_equal(card->tx[0].word[0], 14 | 24 << 8 | 33 << 16 | 34ull << 32 | 50ull << 40);
	assert_int_equal(card->tx[0].word[1], TX_CMD_DEXT | TX_TUCMD_TCP | TX_TUCMD_IP | TX_CMD_TSE | 20000 |
						      54ull << 40 | 1460ull << 48);
	assert_true(card->tx[1].word[1] & TX_CMD_TSE);
	start_e1000(1500);
	check_cutting(VLAN_BYTES);
	assert_int_equal(card->tx[0].word[0], 18 | 28 << 8 | 37 << 16 | 38ull << 32 | 54ull << 40);
	assert_int_equal(card->tx[0].word[1] >> 40, 58 | 1460 << 8);
}

static void the_82576_is_told_where_headers_are(void **state)
{
	(void)state;
	start_igb(1500);
	check_cutting(0);
	/* 82576 7.2.2.2: MACLEN 14, IPLEN 20, L4LEN 20. */
	assert_int_equal(card->tx[0].word[0], 14 << 9 | 20);
	assert_int_equal(card->tx[0].word[1], TX_CMD_DEXT | 2 << 20 | 1 << 10 | 1 << 11 | 20ull << 40 | 1460ull << 48);
	/* DTYP 3, TSE in bit 31; what is cut is counted without headers. */
	assert_int_equal(card->tx[1].word[1] >> 20 & 15, 3);
	assert_true(card->tx[1].word[1] & BIT(31));
	assert_int_equal(card->tx[1].word[1] >> 46, 20000);
	start_igb(1500);
	check_cutting(VLAN_BYTES);
	assert_int_equal(card->tx[0].word[0], 18 << 9 | 20);
}

static void one_frame_is_only_summed(void **state)
{
	u8 header[NIC_HEADER_MAX];
	struct nic_frame frame;

	(void)state;
	start_igb(1500);
	payload = heap_alloc(1460);
	frame = tcp_frame(header, 0, 1000, 0);
	send(&frame);
	assert_int_equal(card->tx_next, 3);
	assert_false(card->tx[1].word[1] & BIT(31));
	assert_int_equal(card->tx[1].word[1] >> 46, 1054);
	/* The context stays in force for the next frame. */
	send(&frame);
	assert_int_equal(card->tx_next, 5);
	/* Without TCP nothing is asked of the card. */
	frame.tcp_offset = 0;
	send(&frame);
	assert_int_equal(card->tx_next, 7);
	assert_int_equal(card->tx[5].word[1] & (TX_POPTS_TXSM | TX_POPTS_IXSM), 0);
}

static void a_full_ring_is_no_room(void **state)
{
	u8 header[NIC_HEADER_MAX];
	unsigned count = 0;

	(void)state;
	start_e1000(1500);
	payload = heap_alloc(1460);
	while (card->nic.ops->has_room(&card->nic, 1, 1, 1000) && count < 1000) {
		struct nic_frame frame = tcp_frame(header, 0, 1000, 0);

		frame.owner = NULL;
		send(&frame);
		count++;
	}
	assert_in_range(count, 250, 255);
	for (unsigned i = 0; i < E1000_TX_RING; i++)
		card->tx[i].word[1] |= TX_STA_DD;
	card->nic.ops->reclaim(&card->nic);
	assert_true(card->nic.ops->has_room(&card->nic, 1, 1, 1000));
}

static void a_reset_gives_everything_back(void **state)
{
	u8 header[NIC_HEADER_MAX];
	u32 free;

	(void)state;
	start_igb(9000);
	assert_true(reg(E1000_RCTL) & RCTL_LPE);
	free = card->nic.pool_free_count;
	payload = heap_alloc(20000);
	for (unsigned i = 0; i < 3; i++) {
		struct nic_frame frame = tcp_frame(header, 0, 1000, 0);

		send(&frame);
	}
	card->tx[card->tx_last[0]].word[1] |= TX_STA_DD;
	arrive(extended(60, RX_DD | RX_EOP, 0));
	nic_buffer_give(received[0]);
	assert_int_equal(card->nic.ops->restart(&card->nic), 0);
	assert_int_equal(reset_count, 1);
	assert_int_equal(freed_count, 3);
	assert_int_equal(card->nic.tx_done, card->nic.tx_queued);
	assert_int_equal(card->nic.stats.tx_drop_card, 2); /* the first one had gone out */
	assert_int_equal(card->nic.pool_free_count, free);
	/* The card is told of its rings, from their beginning. */
	assert_int_equal(reg(IGB_TX_QUEUE + QUEUE_BASE_LOW), nic_dma(card->tx));
	assert_int_equal(reg(IGB_TX_QUEUE + QUEUE_TAIL), 0);
	assert_int_equal(reg(IGB_RX_QUEUE + QUEUE_BASE_LOW), nic_dma(card->rx));
	assert_int_equal(reg(IGB_RX_QUEUE + QUEUE_TAIL), 127);
	assert_true(reg(E1000_RCTL) & RCTL_EN && reg(E1000_TCTL) & TCTL_EN);
	arrive(extended(60, RX_DD | RX_EOP, 0));
	assert_int_equal(received_count, 1);
}

static int start_memory(void **state)
{
	(void)state;
	fake_memory_init(512 * MIB);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_read_in_both_formats),
		cmocka_unit_test(the_card_always_has_buffers),
		cmocka_unit_test(the_older_cards_are_told_where_headers_are),
		cmocka_unit_test(the_82576_is_told_where_headers_are),
		cmocka_unit_test(one_frame_is_only_summed),
		cmocka_unit_test(a_full_ring_is_no_room),
		cmocka_unit_test(a_reset_gives_everything_back),
	};

	return cmocka_run_group_tests(tests, start_memory, NULL);
}
