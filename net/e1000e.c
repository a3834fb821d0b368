/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * 82574L ("e1000e"): the family on PCI Express, with extended receive descriptors and MSI-X.
 * Seen in QEMU's model only so far, never on metal.
 *
 * All MSI-X causes interrupt by entry 0. Which of them do so is still up to the mask register.
 */
#include "arch/pci.h"
#include "kernel/errno.h"
#include "net/e1000_card.h"

static int reset(struct e1000 *card)
{
	u64 control;

	e1000_stop_master(card);
	/*
	 * 82574 4.6.3: software owns the MDIO interface during a reset, or manageability firmware may
	 * be cut off in the middle. Firmware that does not let go is no reason not to reset.
	 */
	reg_write(card, E1000E_EXTCNF_CTRL, reg_read(card, E1000E_EXTCNF_CTRL) | EXTCNF_CTRL_MDIO_SW);
	e1000_await(card, E1000E_EXTCNF_CTRL, EXTCNF_CTRL_MDIO_SW, EXTCNF_CTRL_MDIO_SW);
	if (e1000_reset_mac(card))
		return -EIO;
	e1000_await(card, E1000_EECD, EECD_AUTO_RD, EECD_AUTO_RD);
	reg_write(card, E1000E_EXTCNF_CTRL, reg_read(card, E1000E_EXTCNF_CTRL) & ~EXTCNF_CTRL_MDIO_SW);
	reg_write(card, E1000_CTRL_EXT, reg_read(card, E1000_CTRL_EXT) | CTRL_EXT_DRV_LOAD);
	control = reg_read(card, E1000_CTRL) &
		  ~(CTRL_MASTER_OFF | CTRL_FRCSPD | CTRL_FRCDPX | CTRL_ILOS | CTRL_PHY_RST);
	reg_write(card, E1000_CTRL, control | CTRL_SLU);
	return 0;
}

static int open_queues(struct e1000 *card)
{
	u32 tx_queue_control = E1000_TX_QUEUE + QUEUE_CONTROL;

	reg_write(card, E1000_RDTR, 0);
	reg_write(card, E1000_RADV, 0);
	reg_write(card, E1000_ITR, 0);
	reg_write(card, E1000E_RFCTL, reg_read(card, E1000E_RFCTL) | RFCTL_EXTEN);
	reg_write(card, tx_queue_control, reg_read(card, tx_queue_control) | E1000E_TXDCTL_ALWAYS);
	reg_write(card, E1000E_TARC0, reg_read(card, E1000E_TARC0) | E1000E_TARC0_ALWAYS);
	if (card->has_msix)
		reg_write(card, E1000E_IVAR, IVAR_RXQ0(0) | IVAR_TXQ0(0) | IVAR_OTHER(0));
	return 0;
}

static void set_irq(struct nic *nic, bool is_on)
{
	struct e1000 *card = e1000_of(nic);

	if (!card->has_msix) {
		e1000_set_irq(nic, is_on);
		return;
	}
	if (!is_on)
		reg_write(card, E1000_IMC, ~0u);
	/* 82574 10.2.4.1: writing ones clears; reading does so only in some states of the mask. */
	reg_write(card, E1000_ICR, ~0u);
	if (is_on)
		reg_write(card, E1000_IMS,
			  INT_RXQ0 | INT_OTHER | INT_LSC | INT_RXO | (nic->is_tx_waiting ? INT_TXQ0 : 0));
}

static const struct e1000_model model = {
	.ops = { .driver = "e1000e", E1000_OPS, .set_irq = set_irq },
	.rx = &e1000_rx_extended,
	.rx_queue = E1000_RX_QUEUE,
	.tx_queue = E1000_TX_QUEUE,
	.rx_control_jumbo = RCTL_LPE | RCTL_BSEX | RCTL_BSIZE_16384,
	.tx_control = TCTL_EN | TCTL_PSP | TCTL_CT(15) | TCTL_COLD(63),
	/* QEMU before 8.1 makes IP fragments of it, unless its own host can cut. */
	.is_cut_by_tern_if_emulated = true,
	.reset = reset,
	.open_queues = open_queues,
	.begin_frame = e1000_begin_frame,
};

static int probe(struct pci_device *pci) { return e1000_probe(pci, &model); }

static const struct pci_id ids[] = {
	{ 0x8086, 0x10d3 }, /* 82574L */
	{ 0, 0 },
};

PCI_DRIVER(e1000e_driver) = {
	.name = "e1000e",
	.ids = ids,
	.probe = probe,
};
