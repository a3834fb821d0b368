/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * 82576 ("igb"): advanced descriptors, queues that are enabled one by one, and a second set of
 * interrupt registers for MSI-X. One queue each way is used, and one MSI-X entry.
 * Seen in QEMU's model only so far, never on metal.
 */
#include "arch/pci.h"
#include "kernel/errno.h"
#include "net/e1000_card.h"
#include "net/packet.h"

#define EICR_ENTRY0 BIT(0)

/* --- The PHY -------------------------------------------------------------------------- */

/* 82576 4.7.1: SMBI, which a read takes, keeps other software out, and SWESMBI firmware. */
static int take_semaphore(struct e1000 *card)
{
	if (e1000_await(card, IGB_SWSM, SWSM_SMBI, 0))
		return -EBUSY;
	reg_write(card, IGB_SWSM, reg_read(card, IGB_SWSM) | SWSM_SWESMBI);
	if (e1000_await(card, IGB_SWSM, SWSM_SWESMBI, SWSM_SWESMBI) == 0)
		return 0;
	reg_write(card, IGB_SWSM, 0);
	return -EBUSY;
}

static void change_sync(struct e1000 *card, u64 clear, u64 set)
{
	reg_write(card, IGB_SW_FW_SYNC, (reg_read(card, IGB_SW_FW_SYNC) & ~clear) | set);
	reg_write(card, IGB_SWSM, reg_read(card, IGB_SWSM) & ~(SWSM_SMBI | SWSM_SWESMBI));
}

/* Lets the PHY negotiate the link anew. A PHY that firmware keeps to itself is left alone. */
static void negotiate_link(struct e1000 *card)
{
	unsigned port = reg_read(card, E1000_STATUS) & STATUS_LAN_ID ? 1 : 0;

	if (take_semaphore(card))
		return;
	if (reg_read(card, IGB_SW_FW_SYNC) & SYNC_FW_PHY(port)) {
		change_sync(card, 0, 0);
		return;
	}
	change_sync(card, 0, SYNC_SW_PHY(port));
	reg_write(card, E1000_MDIC, MDIC_WRITE | MDIC_PHY | MDIC_REGISTER(PHY_CONTROL) |
					    PHY_CONTROL_NEGOTIATE | PHY_CONTROL_RESTART);
	e1000_await(card, E1000_MDIC, MDIC_READY, MDIC_READY);
	/* Without the semaphore the bit stays ours, which harms nobody but firmware's own PHY access. */
	if (take_semaphore(card) == 0)
		change_sync(card, SYNC_SW_PHY(port), 0);
}

/* --- Start ---------------------------------------------------------------------------- */

static int reset(struct e1000 *card)
{
	u64 control;

	e1000_stop_master(card);
	reg_write(card, IGB_EIMC, ~0u);
	if (e1000_reset_mac(card))
		return -EIO;
	e1000_await(card, E1000_EECD, EECD_AUTO_RD, EECD_AUTO_RD);
	reg_write(card, IGB_EIMC, ~0u);
	reg_write(card, IGB_EICR, ~0u);
	reg_write(card, E1000_CTRL_EXT, reg_read(card, E1000_CTRL_EXT) | CTRL_EXT_DRV_LOAD);
	control = reg_read(card, E1000_CTRL) & ~(CTRL_MASTER_OFF | CTRL_LRST | CTRL_FRCSPD | CTRL_FRCDPX |
						 CTRL_ILOS | CTRL_PHY_RST);
	reg_write(card, E1000_CTRL, control | CTRL_SLU);
	if (!(reg_read(card, E1000_STATUS) & STATUS_LU))
		negotiate_link(card);
	return 0;
}

/* 82576 4.5.9, 4.5.10: a queue's tail may move only when the queue says that it is enabled. */
static int enable_queue(struct e1000 *card, u32 queue)
{
	u32 control = queue + QUEUE_CONTROL;

	reg_write(card, control, reg_read(card, control) | QUEUE_CONTROL_ENABLE);
	return e1000_await(card, control, QUEUE_CONTROL_ENABLE, QUEUE_CONTROL_ENABLE);
}

static int open_queues(struct e1000 *card)
{
	reg_write(card, IGB_RX_QUEUE + QUEUE_SPLIT, SRRCTL_ADVANCED | SRRCTL_KIB(card->nic.buffer_bytes / KIB));
	/* 82576 8.10.16: with CRC and a VLAN tag. */
	reg_write(card, IGB_RLPML, card->nic.mtu + ETHERNET_BYTES + 4u + 4u);
	reg_write(card, IGB_EITR0, 0);
	if (card->has_msix) {
		reg_write(card, IGB_GPIE, GPIE_MULTIPLE_MSIX | GPIE_PBA);
		reg_write(card, IGB_EIAC, EICR_ENTRY0);
		reg_write(card, IGB_EIAM, 0);
		reg_write(card, IGB_IVAR_MISC, IGB_IVAR_OTHER(0));
		reg_write(card, E1000_IMS, INT_LSC);
	}
	if (enable_queue(card, IGB_RX_QUEUE))
		return -EIO;
	return enable_queue(card, IGB_TX_QUEUE);
}

/* --- Use ------------------------------------------------------------------------------ */

u64 igb_begin_frame(struct e1000 *card, const struct nic_frame *frame)
{
	u64 command = TX_CMD_DEXT | TX_ADV_DATA | TX_CMD_IFCS;
	u64 ip = frame->ip_offset, tcp = frame->tcp_offset;
	u64 paylen = frame->payload_bytes;
	struct e1000_tx context;

	if (tcp) {
		context.word[0] = (tcp - ip) | ip << TX_ADV_MACLEN;
		context.word[1] = TX_CMD_DEXT | TX_ADV_CONTEXT | TX_ADV_IPV4 | TX_ADV_TCP;
		if (frame->segment_bytes)
			context.word[1] |= (frame->header_bytes - tcp) << TX_ADV_L4LEN |
					   (u64)frame->segment_bytes << TX_ADV_MSS;
		e1000_tx_put_context(card, context);
		command |= TX_POPTS_TXSM;
	}
	/* 82576 7.2.2.3.11: what the card cuts is counted without its headers. */
	if (frame->segment_bytes)
		command |= TX_POPTS_IXSM | TX_ADV_CMD_TSE;
	else
		paylen += frame->header_bytes;
	return command | paylen << TX_ADV_PAYLEN;
}

static void set_irq(struct nic *nic, bool is_on)
{
	struct e1000 *card = e1000_of(nic);

	if (!card->has_msix) {
		e1000_set_irq(nic, is_on);
		return;
	}
	if (!is_on) {
		reg_write(card, IGB_EIMC, ~0u);
		return;
	}
	reg_write(card, E1000_ICR, ~0u);
	reg_write(card, IGB_EICR, ~0u);
	/* Frames that are out interrupt only when somebody waits for room. */
	reg_write(card, IGB_IVAR0, IGB_IVAR0_RX(0) | (nic->is_tx_waiting ? IGB_IVAR0_TX(0) : 0));
	reg_write(card, IGB_EIMS, EICR_ENTRY0);
}

static const struct e1000_model model = {
	.ops = { .driver = "igb", E1000_OPS, .set_irq = set_irq },
	.rx = &e1000_rx_extended,
	.rx_queue = IGB_RX_QUEUE,
	.tx_queue = IGB_TX_QUEUE,
	.rx_control_jumbo = RCTL_LPE,
	.tx_control = TCTL_EN | TCTL_PSP | TCTL_CT(15),
	.reset = reset,
	.open_queues = open_queues,
	.begin_frame = igb_begin_frame,
};

static int probe(struct pci_device *pci) { return e1000_probe(pci, &model); }

static const struct pci_id ids[] = {
	{ 0x8086, 0x10c9 }, /* 82576, copper */
	{ 0x8086, 0x10e8 }, /* 82576, four ports */
	{ 0x8086, 0x1526 }, /* 82576, four ports (ET2) */
	{ 0x8086, 0x150a }, /* 82576NS */
	{ 0, 0 },
};

PCI_DRIVER(igb_driver) = {
	.name = "igb",
	.ids = ids,
	.probe = probe,
};
