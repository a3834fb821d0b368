/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * 82540EM and 82545EM ("e1000"), the first of the family: legacy receive descriptors, and an
 * interrupt that is a level-triggered pin (QEMU's model has no message interrupts).
 */
#include "arch/pci.h"
#include "kernel/errno.h"
#include "net/e1000_card.h"

/* 13.4.4: a word of the EEPROM, or -EIO if it does not answer. */
static int eeprom_read(struct e1000 *card, u32 index, u32 *word)
{
	reg_write(card, E1000_EERD, EERD_START | index << EERD_ADDRESS_SHIFT);
	if (e1000_await(card, E1000_EERD, EERD_DONE, EERD_DONE))
		return -EIO;
	*word = reg_read(card, E1000_EERD) >> EERD_DATA_SHIFT;
	return 0;
}

/*
 * The card loads its address from the EEPROM when it is reset (5.6.1). Bochs' model does not:
 * the words are read and the address filter is set by hand then.
 */
static int load_mac(struct e1000 *card)
{
	u32 word[3];

	if (reg_read(card, E1000_RAH0) & RAH_AV)
		return 0;
	for (u32 i = 0; i < 3; i++)
		if (eeprom_read(card, i, &word[i]))
			return -EIO;
	reg_write(card, E1000_RAL0, word[0] | word[1] << 16);
	reg_write(card, E1000_RAH0, word[2] | RAH_AV);
	return 0;
}

static int reset(struct e1000 *card)
{
	u64 control;

	if (e1000_reset_mac(card) || load_mac(card))
		return -EIO;
	control = reg_read(card, E1000_CTRL) & ~(CTRL_LRST | CTRL_ILOS | CTRL_PHY_RST);
	reg_write(card, E1000_CTRL, control | CTRL_SLU | CTRL_ASDE);
	return 0;
}

static int open_queues(struct e1000 *card)
{
	/* No delay timers: the poll is what batches. */
	reg_write(card, E1000_RDTR, 0);
	reg_write(card, E1000_RADV, 0);
	reg_write(card, E1000_ITR, 0);
	reg_write(card, E1000_TIPG, TIPG_COPPER);
	return 0;
}

static const struct e1000_model model = {
	.ops = { .driver = "e1000", E1000_OPS, .set_irq = e1000_set_irq },
	.rx = &e1000_rx_legacy,
	.rx_queue = E1000_RX_QUEUE,
	.tx_queue = E1000_TX_QUEUE,
	.rx_control_jumbo = RCTL_LPE | RCTL_BSEX | RCTL_BSIZE_16384,
	/* 13.4.33: collision threshold 15, distance 64 bytes for full duplex. */
	.tx_control = TCTL_EN | TCTL_PSP | TCTL_CT(15) | TCTL_COLD(64),
	.reset = reset,
	.open_queues = open_queues,
	.begin_frame = e1000_begin_frame,
};

static int probe(struct pci_device *pci) { return e1000_probe(pci, &model); }

static const struct pci_id ids[] = {
	{ 0x8086, 0x100e }, /* 82540EM */
	{ 0x8086, 0x100f }, /* 82545EM */
	{ 0, 0 },
};

PCI_DRIVER(e1000_driver) = {
	.name = "e1000",
	.ids = ids,
	.probe = probe,
};
