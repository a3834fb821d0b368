/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Intel 82540EM and 82545EM ("e1000"): two rings in memory, head and tail registers.
 *
 * The card owns descriptors from head up to, not including, tail. Receive descriptors are
 * given back one by one with a fresh buffer; transmit descriptors of a frame are given
 * back together, when its last one is written back as done.
 *
 * TCP is cut and summed by the card: a context descriptor says where the headers are and
 * how large a piece is, and stays in force until the next one.
 *
 * The interrupt is a level-triggered pin (the family has no message interrupts that QEMU
 * offers); masking and reading ICR makes the card drop it.
 */
#include "arch/cpu.h"
#include "arch/pci.h"
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/log.h"
#include "kernel/page.h"
#include "kernel/string.h"
#include "net/checksum.h"
#include "net/e1000_regs.h"
#include "net/nic.h"
#include "net/packet.h"

/* Powers of two. Jumbo buffers are large, so there are fewer. */
#define RX_RING 512u
#define RX_RING_JUMBO 128u
#define TX_RING 512u
#define RX_BUFFERS_PLAIN 1536 /* a ring full, and a receive window of frames held by the stack */
#define RX_BUFFERS_JUMBO 384
#define TX_BYTES_MAX 8192u    /* per descriptor; the family's limit is just below 16 KiB */
#define RESET_NS (10 * NS_PER_MS)

struct e1000 {
	struct nic nic;
	struct pci_device *pci;
	u8 *regs;

	struct e1000_rx *rx;
	struct nic_buffer *rx_buffer[RX_RING];
	u32 rx_next;
	u32 rx_unshown;          /* fresh buffers behind the card's tail */

	struct e1000_tx *tx;
	u8 (*tx_header)[NIC_HEADER_MAX];
	void *tx_owner[TX_RING]; /* at the last descriptor of its frame */
	u16 tx_last[TX_RING];    /* at the first descriptor of a frame: its last one */
	u32 tx_next, tx_clean;   /* next to write, next to take back */
	u32 tx_shown;            /* the card's tail */
	struct e1000_tx context; /* the one in force */
};

static struct e1000 *e1000_of(struct nic *nic) { return container_of(nic, struct e1000, nic); }

static u32 reg_read(const struct e1000 *card, u32 reg) { return mmio_read32(card->regs + reg); }
static void reg_write(struct e1000 *card, u32 reg, u64 value) { mmio_write32(card->regs + reg, (u32)value); }

/* --- Receiving ------------------------------------------------------------------------ */

static void rx_arm(struct e1000 *card, u32 index, struct nic_buffer *buffer)
{
	card->rx_buffer[index] = buffer;
	card->rx[index] = (struct e1000_rx){ .address = buffer->dma };
}

/* Whether the frame in a done descriptor is whole and sound; counts it if not. */
static bool rx_is_good(struct e1000 *card, const struct e1000_rx *done)
{
	struct nic_stats *stats = &card->nic.stats;

	if (done->errors & RX_ERROR_FRAME) {
		stats->rx_drop_damaged++;
		return false;
	}
	/* Buffers hold the longest frame that the card accepts, so a frame in two of them is too long. */
	if (!(done->status & RX_EOP) || done->length < ETHERNET_BYTES ||
	    done->length > card->nic.buffer_bytes) {
		stats->rx_drop_length++;
		return false;
	}
	return true;
}

static void rx_take(struct e1000 *card, u32 index)
{
	struct e1000_rx done = card->rx[index];
	struct nic_buffer *buffer = card->rx_buffer[index];
	struct nic_buffer *fresh;

	if (!rx_is_good(card, &done)) {
		rx_arm(card, index, buffer);
		return;
	}
	fresh = nic_buffer_take(&card->nic);
	if (!fresh) {
		card->nic.stats.rx_drop_no_buffer++;
		rx_arm(card, index, buffer);
		return;
	}
	rx_arm(card, index, fresh);
	buffer->bytes = done.length;
	/* 3.2.3.2: TCPCS without IXSM means that the card has summed; TCPE that it was wrong. */
	buffer->is_sum_good = !(done.status & RX_IXSM) && (done.status & RX_TCPCS) &&
			      !(done.errors & RX_ERROR_TCPE);
	card->nic.stats.rx_frames++;
	card->nic.stats.rx_bytes += done.length;
	card->nic.on_received(&card->nic, buffer);
}

static unsigned e1000_receive(struct nic *nic, unsigned budget)
{
	struct e1000 *card = e1000_of(nic);
	unsigned count = 0;

	while (count < budget) {
		u32 index = card->rx_next;

		if (!(*(volatile u8 *)&card->rx[index].status & RX_DD))
			break;
		/* The rest of the descriptor and the frame were written before DD. */
		barrier();
		rx_take(card, index);
		card->rx_next = (index + 1) & (nic->rx_ring - 1u);
		count++;
	}
	card->rx_unshown += count;
	/* In groups: writing the tail register is dear, in an emulator above all. */
	if (card->rx_unshown >= nic->rx_ring / 2u) {
		card->rx_unshown = 0;
		barrier();
		reg_write(card, E1000_RDT, (card->rx_next - 1) & (nic->rx_ring - 1u));
	}
	return count;
}

/* --- Sending -------------------------------------------------------------------------- */

static u32 tx_free(const struct e1000 *card)
{
	/* One stays empty: head equal to tail means an empty ring. */
	return (card->tx_clean + TX_RING - card->tx_next - 1) % TX_RING;
}

static bool e1000_has_room(struct nic *nic, unsigned frames, unsigned pieces, u32 bytes)
{
	/* A context and a header for each frame; a piece more for each cut at TX_BYTES_MAX. */
	return 2 * frames + pieces + bytes / TX_BYTES_MAX <= tx_free(e1000_of(nic));
}

static void tx_put(struct e1000 *card, u64 word0, u64 word1)
{
	card->tx[card->tx_next] = (struct e1000_tx){ { word0, word1 } };
	card->tx_next = (card->tx_next + 1) % TX_RING;
}

/* Tells the card where the headers are, unless it knows already. */
static void tx_put_context(struct e1000 *card, const struct nic_frame *frame)
{
	u64 tcp = frame->tcp_offset;
	struct e1000_tx context;

	/* IPCSE is the header's last byte; TUCSE 0 means to the end. */
	context.word[0] = ETHERNET_BYTES | (u64)(ETHERNET_BYTES + IP_CHECKSUM) << 8 | (tcp - 1) << 16 |
			  tcp << 32 | (tcp + TCP_OFF_CHECKSUM) << 40;
	context.word[1] = TX_CMD_DEXT | TX_TUCMD_TCP | TX_TUCMD_IP;
	if (frame->segment_bytes)
		context.word[1] |= TX_CMD_TSE | frame->payload_bytes | (u64)frame->header_bytes << 40 |
				   (u64)frame->segment_bytes << 48;
	if (memcmp(&context, &card->context, sizeof(context)) == 0)
		return;
	card->context = context;
	tx_put(card, context.word[0], context.word[1]);
}

/*
 * What the card expects in the headers (3.5): the sum of the pseudo header where the TCP
 * checksum goes; when it cuts, without the length, and with IP length and checksum 0.
 */
static void tx_prepare_header(const struct nic_frame *frame, u8 *header)
{
	u32 tcp_total = frame->header_bytes - frame->tcp_offset + frame->payload_bytes;
	u16 seed;

	if (frame->segment_bytes) {
		put_be16(header + ETHERNET_BYTES + IP_TOTAL_LENGTH, 0);
		put_be16(header + ETHERNET_BYTES + IP_CHECKSUM, 0);
		tcp_total = 0;
	}
	seed = (u16)~checksum_finish(packet_pseudo_sum(header, tcp_total));
	memcpy(header + frame->tcp_offset + TCP_OFF_CHECKSUM, &seed, 2);
}

static void e1000_send(struct nic *nic, const struct nic_frame *frame)
{
	struct e1000 *card = e1000_of(nic);
	u64 command = TX_CMD_DEXT | TX_DTYP_DATA | TX_CMD_IFCS;
	u32 first = card->tx_next, last;
	u8 *header;

	if (frame->tcp_offset) {
		tx_put_context(card, frame);
		command |= TX_POPTS_TXSM | (frame->segment_bytes ? TX_POPTS_IXSM | TX_CMD_TSE : 0);
	}
	header = card->tx_header[card->tx_next];
	memcpy(header, frame->header, frame->header_bytes);
	if (frame->tcp_offset)
		tx_prepare_header(frame, header);
	tx_put(card, nic_dma(header), command | frame->header_bytes);

	for (unsigned i = 0; i < frame->piece_count; i++) {
		u64 dma = nic_dma(frame->piece[i].data);

		for (u32 at = 0; at < frame->piece[i].bytes; at += TX_BYTES_MAX)
			tx_put(card, dma + at, command | MIN(frame->piece[i].bytes - at, TX_BYTES_MAX));
	}
	last = (card->tx_next + TX_RING - 1) % TX_RING;
	card->tx[last].word[1] |= TX_CMD_EOP | TX_CMD_RS;
	card->tx_last[first] = (u16)last;
	card->tx_owner[last] = frame->owner;
}

static void e1000_kick(struct nic *nic)
{
	struct e1000 *card = e1000_of(nic);

	if (card->tx_shown == card->tx_next)
		return;
	card->tx_shown = card->tx_next;
	barrier();
	reg_write(card, E1000_TDT, card->tx_next);
}

static void e1000_reclaim(struct nic *nic)
{
	struct e1000 *card = e1000_of(nic);

	while (card->tx_clean != card->tx_shown) {
		u32 last = card->tx_last[card->tx_clean];
		void *owner = card->tx_owner[last];

		if (!(*(volatile u64 *)&card->tx[last].word[1] & TX_STA_DD))
			break;
		card->tx_clean = (last + 1) % TX_RING;
		nic->is_tx_waiting = false;
		if (owner) {
			nic->tx_done++;
			nic->on_sent(nic, owner);
		}
	}
}

/* --- Life ----------------------------------------------------------------------------- */

static void e1000_set_irq(struct nic *nic, bool is_on)
{
	struct e1000 *card = e1000_of(nic);

	if (!is_on)
		reg_write(card, E1000_IMC, ~0u);
	/* 13.4.17: reading clears all causes, so that only what comes from now on interrupts. */
	reg_read(card, E1000_ICR);
	if (is_on)
		reg_write(card, E1000_IMS,
			  INT_RXT0 | INT_RXDMT0 | INT_RXO | INT_LSC | (nic->is_tx_waiting ? INT_TXDW : 0));
}

static bool e1000_is_link_up(struct nic *nic) { return reg_read(e1000_of(nic), E1000_STATUS) & STATUS_LU; }

static void e1000_update_stats(struct nic *nic)
{
	struct e1000 *card = e1000_of(nic);

	nic->stats.rx_drop_card += reg_read(card, E1000_MPC);
	nic->stats.rx_drop_damaged += reg_read(card, E1000_CRCERRS);
	nic->stats.rx_drop_length += reg_read(card, E1000_RLEC);
}

static int start_rx(struct e1000 *card)
{
	bool is_jumbo = card->nic.mtu > 1500;
	u64 control = RCTL_EN | RCTL_BAM | RCTL_SECRC;
	int err = nic_pool_create(&card->nic, is_jumbo ? RX_BUFFERS_JUMBO : RX_BUFFERS_PLAIN,
				  is_jumbo ? 16384 : 2048);

	if (err)
		return err;
	card->nic.rx_ring = (u16)(is_jumbo ? RX_RING_JUMBO : RX_RING);
	for (u32 i = 0; i < card->nic.rx_ring; i++)
		rx_arm(card, i, nic_buffer_take(&card->nic));
	reg_write(card, E1000_RDBAL, nic_dma(card->rx));
	reg_write(card, E1000_RDBAH, nic_dma(card->rx) >> 32);
	reg_write(card, E1000_RDLEN, card->nic.rx_ring * sizeof(struct e1000_rx));
	reg_write(card, E1000_RDH, 0);
	reg_write(card, E1000_RDT, card->nic.rx_ring - 1);
	/* No delay timers: the poll is what batches. */
	reg_write(card, E1000_RDTR, 0);
	reg_write(card, E1000_RADV, 0);
	reg_write(card, E1000_ITR, 0);
	reg_write(card, E1000_RXCSUM, RXCSUM_IPOFL | RXCSUM_TUOFL);
	/* Written once: QEMU's model takes no frame for a second after each change of this register. */
	if (is_jumbo)
		control |= RCTL_LPE | RCTL_BSEX | RCTL_BSIZE_16384;
	reg_write(card, E1000_RCTL, control);
	return 0;
}

static void start_tx(struct e1000 *card)
{
	reg_write(card, E1000_TDBAL, nic_dma(card->tx));
	reg_write(card, E1000_TDBAH, nic_dma(card->tx) >> 32);
	reg_write(card, E1000_TDLEN, TX_RING * sizeof(struct e1000_tx));
	reg_write(card, E1000_TDH, 0);
	reg_write(card, E1000_TDT, 0);
	reg_write(card, E1000_TIPG, TIPG_COPPER);
	/* 13.4.33: collision threshold 15, distance 64 bytes for full duplex. */
	reg_write(card, E1000_TCTL, TCTL_EN | TCTL_PSP | TCTL_CT(15) | TCTL_COLD(64));
}

static int e1000_start(struct nic *nic)
{
	struct e1000 *card = e1000_of(nic);
	int err = start_rx(card);

	if (err)
		return err;
	start_tx(card);
	return 0;
}

static const struct nic_ops e1000_ops = {
	.driver = "e1000",
	.start = e1000_start,
	.has_room = e1000_has_room,
	.send = e1000_send,
	.kick = e1000_kick,
	.reclaim = e1000_reclaim,
	.receive = e1000_receive,
	.set_irq = e1000_set_irq,
	.is_link_up = e1000_is_link_up,
	.update_stats = e1000_update_stats,
};

static int reset(struct e1000 *card)
{
	u64 until = clock_now_ns() + RESET_NS;

	reg_write(card, E1000_IMC, ~0u);
	reg_write(card, E1000_CTRL, reg_read(card, E1000_CTRL) | CTRL_RST);
	/* 13.4.1: RST clears itself; the EEPROM's address is loaded again. */
	while (reg_read(card, E1000_CTRL) & CTRL_RST)
		if (clock_now_ns() > until)
			return -EIO;
	reg_write(card, E1000_IMC, ~0u);
	reg_read(card, E1000_ICR);
	reg_write(card, E1000_CTRL, (reg_read(card, E1000_CTRL) & ~(CTRL_LRST | CTRL_ILOS | CTRL_PHY_RST)) |
					    CTRL_SLU | CTRL_ASDE);
	for (u32 i = 0; i < 128; i++)
		reg_write(card, E1000_MTA + 4 * i, 0);
	return 0;
}

/* 13.4.4: a word of the EEPROM, or -EIO if it does not answer. */
static int eeprom_read(struct e1000 *card, u32 index, u16 *word)
{
	u64 until = clock_now_ns() + RESET_NS;
	u32 answer;

	reg_write(card, E1000_EERD, EERD_START | index << EERD_ADDRESS_SHIFT);
	do {
		answer = reg_read(card, E1000_EERD);
		if (answer & EERD_DONE) {
			*word = (u16)(answer >> EERD_DATA_SHIFT);
			return 0;
		}
	} while (clock_now_ns() < until);
	return -EIO;
}

/*
 * The card loads its address from the EEPROM when it is reset (5.6.1). Bochs' model does not:
 * the words are read and the address filter is set by hand then.
 */
static int read_mac(struct e1000 *card)
{
	u32 low = reg_read(card, E1000_RAL0), high = reg_read(card, E1000_RAH0);

	if (!(high & RAH_AV)) {
		u16 word[3];

		for (u32 i = 0; i < 3; i++)
			if (eeprom_read(card, i, &word[i]))
				return -EIO;
		low = word[0] | (u32)word[1] << 16;
		high = word[2] | RAH_AV;
		reg_write(card, E1000_RAL0, low);
		reg_write(card, E1000_RAH0, high);
	}
	memcpy(card->nic.mac, &low, 4);
	memcpy(card->nic.mac + 4, &high, 2);
	return 0;
}

static int take_memory(struct e1000 *card)
{
	hpa_t run;

	card->rx = heap_alloc(RX_RING * sizeof(struct e1000_rx));
	card->tx = heap_alloc(TX_RING * sizeof(struct e1000_tx));
	if (!card->rx || !card->tx || page_alloc_run(TX_RING * NIC_HEADER_MAX / PAGE_BYTES, &run))
		return -ENOMEM;
	card->tx_header = phys_to_virt(run);
	return 0;
}

static int e1000_probe(struct pci_device *pci)
{
	struct e1000 *card = heap_alloc(sizeof(*card));
	int err = -ENOMEM;

	if (!card)
		return err;
	card->pci = pci;
	card->nic.ops = &e1000_ops;
	card->nic.mtu_max = NIC_MTU_MAX;
	card->nic.can_cut = true;
	card->nic.can_sum = true;
	card->nic.rx_ring = RX_RING;
	card->nic.tx_ring = TX_RING;
	str_copy(card->nic.location, sizeof(card->nic.location), pci->name);
	pci_enable(pci);
	card->regs = pci_map_bar(pci, 0);
	if (!card->regs)
		goto disable;
	err = take_memory(card);
	if (err)
		goto free_rings;
	err = reset(card);
	if (!err)
		err = read_mac(card);
	if (!err)
		err = nic_register(&card->nic);
	if (err)
		goto free_headers;
	err = pci_irq_request(pci, 0, nic_interrupt, &card->nic);
	card->nic.has_irq = err >= 0;
	card->nic.irq_kind = card->nic.has_irq ? pci_irq_kind(pci) : "polled";
	return 0;

free_headers:
	page_free_run(virt_to_phys(card->tx_header), TX_RING * NIC_HEADER_MAX / PAGE_BYTES);
free_rings:
	heap_free(card->rx);
	heap_free(card->tx);
disable:
	pci_disable(pci);
	heap_free(card);
	log_warn("e1000 %s: not usable: %s", pci->name, errno_name(err));
	return err;
}

static const struct pci_id e1000_ids[] = {
	{ 0x8086, 0x100e }, /* 82540EM */
	{ 0x8086, 0x100f }, /* 82545EM */
	{ 0, 0 },
};

PCI_DRIVER(e1000_driver) = {
	.name = "e1000",
	.ids = e1000_ids,
	.probe = e1000_probe,
};
