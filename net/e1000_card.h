/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the 8254x family and its successors share: e1000_ring.c moves frames through two
 * rings, e1000_card.c starts, stops and watches a card. A model (e1000.c, e1000e.c, igb.c)
 * says what is different about it.
 */
#pragma once

#include "arch/cpu.h"
#include "net/e1000_regs.h"
#include "net/nic.h"

struct pci_device;
struct e1000;

/* Powers of two. Jumbo buffers are large, so there are fewer. */
#define E1000_RX_RING 512u
#define E1000_RX_RING_JUMBO 128u
#define E1000_TX_RING 512u

/* Where the second word of a done receive descriptor has its fields (e1000_regs.h). */
struct e1000_rx_format {
	u8 length, status, errors; /* bit numbers */
};
extern const struct e1000_rx_format e1000_rx_legacy, e1000_rx_extended;

struct e1000_model {
	struct nic_ops ops;
	const struct e1000_rx_format *rx;
	/* Offset of queue 0's registers. */
	u32 rx_queue, tx_queue;
	/* Receive control for frames above 1,500 bytes, and transmit control. */
	u32 rx_control_jumbo;
	u32 tx_control;
	/* An emulator's model of the card may not cut TCP rightly: Tern does it there. */
	bool is_cut_by_tern_if_emulated;
	/* To the state after power-on, with all interrupts masked and the link set up. 0 or -EIO. */
	int (*reset)(struct e1000 *card);
	/* After reset, ring addresses are set: what must be before the card may use them. 0 or -EIO. */
	int (*open_queues)(struct e1000 *card);
	/* Puts what comes before the frame in the ring, and returns the command for each of its pieces. */
	u64 (*begin_frame)(struct e1000 *card, const struct nic_frame *frame);
};

struct e1000 {
	struct nic nic;
	const struct e1000_model *model;
	u8 *regs;
	bool has_msix;

	struct e1000_rx *rx;
	struct nic_buffer *rx_buffer[E1000_RX_RING];
	u32 rx_next;
	u32 rx_unshown;          /* fresh buffers behind the card's tail */

	struct e1000_tx *tx;
	u8 (*tx_header)[NIC_HEADER_MAX];
	void *tx_owner[E1000_TX_RING]; /* at the last descriptor of its frame */
	u16 tx_last[E1000_TX_RING];    /* at the first descriptor of a frame: its last one */
	u32 tx_next, tx_clean;   /* next to write, next to take back */
	u32 tx_shown;            /* the card's tail */
	struct e1000_tx context; /* the one in force */
};

static inline struct e1000 *e1000_of(struct nic *nic) { return container_of(nic, struct e1000, nic); }

static inline u32 reg_read(const struct e1000 *card, u32 reg) { return mmio_read32(card->regs + reg); }
static inline void reg_write(struct e1000 *card, u32 reg, u64 value)
{
	mmio_write32(card->regs + reg, (u32)value);
}

/* --- e1000_ring.c --- */

/* Memory for both rings; 0 or -ENOMEM, and then nothing is taken. */
int e1000_ring_create(struct e1000 *card);
void e1000_ring_destroy(struct e1000 *card);
/* Fills the receive ring with fresh buffers: once, when the pool is there. */
void e1000_ring_fill(struct e1000 *card);
/*
 * After a reset of the card: all receive buffers are the card's again, all that was to be sent
 * is given back to its owners. Returns how many frames were not sent.
 */
u32 e1000_ring_rewind(struct e1000 *card);
/* Tells the card where the rings are, and then how much of them is its own. */
void e1000_ring_show(struct e1000 *card);
void e1000_ring_show_tails(struct e1000 *card);

/* A descriptor for a model's begin_frame. */
void e1000_tx_put(struct e1000 *card, u64 word0, u64 word1);
/* A context descriptor, unless the same one is in force. */
void e1000_tx_put_context(struct e1000 *card, struct e1000_tx context);
/* begin_frame of 8254x and 82574, and of 82576 (igb.c). */
u64 e1000_begin_frame(struct e1000 *card, const struct nic_frame *frame);
u64 igb_begin_frame(struct e1000 *card, const struct nic_frame *frame);

bool e1000_has_room(struct nic *nic, unsigned frames, unsigned pieces, u32 bytes);
void e1000_send(struct nic *nic, const struct nic_frame *frame);
void e1000_kick(struct nic *nic);
void e1000_reclaim(struct nic *nic);
unsigned e1000_receive(struct nic *nic, unsigned budget);

/* --- e1000_card.c --- */

/* A card of the model: takes and registers it. 0 or negative errno, which was said. */
int e1000_probe(struct pci_device *pci, const struct e1000_model *model);
/* For a model's reset: waits until all bits of mask in reg are as in value. 0 or -EIO. */
int e1000_await(const struct e1000 *card, u32 reg, u64 mask, u64 value);
/* Sets RST and waits for the end of it: the heart of a model's reset. 0 or -EIO. */
int e1000_reset_mac(struct e1000 *card);
/* For PCI Express (82574 4.6.1, 82576 5.2.3.3): before a reset, no access to memory is under way. */
void e1000_stop_master(struct e1000 *card);

int e1000_start(struct nic *nic);
int e1000_restart(struct nic *nic);
void e1000_set_irq(struct nic *nic, bool is_on);
bool e1000_is_link_up(struct nic *nic);
void e1000_update_stats(struct nic *nic);

/* The operations that all models have. */
#define E1000_OPS \
	.start = e1000_start, .restart = e1000_restart, .has_room = e1000_has_room, .send = e1000_send, \
	.kick = e1000_kick, .reclaim = e1000_reclaim, .receive = e1000_receive, \
	.is_link_up = e1000_is_link_up, .update_stats = e1000_update_stats
