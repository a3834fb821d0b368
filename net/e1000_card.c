/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A card of the family: found, reset, started, watched.
 *
 * An interrupt masks all; the service unmasks what it waits for when the rings are empty.
 * Reading or writing the cause register makes the card drop a pin.
 */
#include "net/e1000_card.h"

#include "arch/pci.h"
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/log.h"
#include "kernel/string.h"

#define RX_BUFFERS_PLAIN 1536 /* a ring full, and a receive window of frames held by the stack */
#define RX_BUFFERS_JUMBO 384
#define AWAIT_NS (20 * NS_PER_MS)

int e1000_await(const struct e1000 *card, u32 reg, u64 mask, u64 value)
{
	u64 until = clock_now_ns() + AWAIT_NS;

	while ((reg_read(card, reg) & mask) != value) {
		if (clock_now_ns() > until)
			return -EIO;
		cpu_pause();
	}
	return 0;
}

void e1000_stop_master(struct e1000 *card)
{
	reg_write(card, E1000_CTRL, reg_read(card, E1000_CTRL) | CTRL_MASTER_OFF);
	/* A card that does not come to rest is reset all the same: that is what a reset is for. */
	e1000_await(card, E1000_STATUS, STATUS_MASTER, 0);
}

int e1000_reset_mac(struct e1000 *card)
{
	reg_write(card, E1000_IMC, ~0u);
	reg_write(card, E1000_CTRL, reg_read(card, E1000_CTRL) | CTRL_RST);
	/* 13.4.1: RST clears itself; the EEPROM's address is loaded again. */
	if (e1000_await(card, E1000_CTRL, CTRL_RST, 0))
		return -EIO;
	reg_write(card, E1000_IMC, ~0u);
	reg_read(card, E1000_ICR);
	return 0;
}

/* Rings are made and empty. What the card does from here on, it does at once. */
static int run(struct e1000 *card)
{
	const struct e1000_model *model = card->model;
	u64 rx_control = RCTL_EN | RCTL_BAM | RCTL_SECRC;
	int err;

	for (u32 i = 0; i < 128; i++)
		reg_write(card, E1000_MTA + 4 * i, 0);
	e1000_ring_show(card);
	err = model->open_queues(card);
	if (err)
		return err;
	e1000_ring_show_tails(card);
	reg_write(card, E1000_RXCSUM, RXCSUM_IPOFL | RXCSUM_TUOFL);
	if (card->nic.mtu > 1500)
		rx_control |= model->rx_control_jumbo;
	/* Written once: QEMU's e1000 takes no frame for a second after each change of this register. */
	reg_write(card, E1000_RCTL, rx_control);
	reg_write(card, E1000_TCTL, model->tx_control);
	return 0;
}

int e1000_start(struct nic *nic)
{
	struct e1000 *card = e1000_of(nic);
	bool is_jumbo = nic->mtu > 1500;
	int err = nic_pool_create(nic, is_jumbo ? RX_BUFFERS_JUMBO : RX_BUFFERS_PLAIN, is_jumbo ? 16384 : 2048);

	if (err)
		return err;
	nic->rx_ring = (u16)(is_jumbo ? E1000_RX_RING_JUMBO : E1000_RX_RING);
	e1000_ring_fill(card);
	return run(card);
}

int e1000_restart(struct nic *nic)
{
	struct e1000 *card = e1000_of(nic);
	int err = card->model->reset(card);

	/* After the reset, which ends all of the card's accesses to memory. */
	nic->stats.tx_drop_card += e1000_ring_rewind(card);
	return err ? err : run(card);
}

void e1000_set_irq(struct nic *nic, bool is_on)
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

bool e1000_is_link_up(struct nic *nic) { return reg_read(e1000_of(nic), E1000_STATUS) & STATUS_LU; }

void e1000_update_stats(struct nic *nic)
{
	struct e1000 *card = e1000_of(nic);

	nic->stats.rx_drop_card += reg_read(card, E1000_MPC);
	nic->stats.rx_drop_damaged += reg_read(card, E1000_CRCERRS);
	nic->stats.rx_drop_length += reg_read(card, E1000_RLEC);
}

static int read_mac(struct e1000 *card)
{
	u32 low = reg_read(card, E1000_RAL0), high = reg_read(card, E1000_RAH0);

	if (!(high & RAH_AV))
		return -EIO;
	memcpy(card->nic.mac, &low, 4);
	memcpy(card->nic.mac + 4, &high, 2);
	return 0;
}

/* CPUID 1: ECX bit 31 is never set on metal. */
static bool is_emulated(void) { return cpuid(1, 0).ecx & BIT(31); }

static void describe(struct e1000 *card, const struct e1000_model *model, const struct pci_device *pci)
{
	struct nic *nic = &card->nic;

	card->model = model;
	nic->ops = &model->ops;
	nic->mtu_max = NIC_MTU_MAX;
	nic->has_cutter = true;
	nic->can_cut = !(model->is_cut_by_tern_if_emulated && is_emulated());
	nic->can_sum = true;
	nic->rx_ring = E1000_RX_RING;
	nic->tx_ring = E1000_TX_RING;
	str_copy(nic->location, sizeof(nic->location), pci->name);
}

static void take_irq(struct e1000 *card, struct pci_device *pci)
{
	struct nic *nic = &card->nic;

	nic->has_irq = pci_irq_request(pci, 0, nic_interrupt, nic) >= 0;
	nic->irq_kind = nic->has_irq ? pci_irq_kind(pci) : "polled";
	card->has_msix = nic->has_irq && strcmp(nic->irq_kind, "msi-x") == 0;
}

int e1000_probe(struct pci_device *pci, const struct e1000_model *model)
{
	struct e1000 *card = heap_alloc(sizeof(*card));
	int err = -ENOMEM;

	if (!card)
		return err;
	describe(card, model, pci);
	pci_enable(pci);
	card->regs = pci_map_bar(pci, 0);
	if (!card->regs)
		goto disable;
	err = e1000_ring_create(card);
	if (err)
		goto disable;
	err = model->reset(card);
	if (!err)
		err = read_mac(card);
	if (!err)
		err = nic_register(&card->nic);
	if (err)
		goto destroy_rings;
	take_irq(card, pci);
	return 0;

destroy_rings:
	e1000_ring_destroy(card);
disable:
	pci_disable(pci);
	heap_free(card);
	log_warn("%s %s: not usable: %s", model->ops.driver, pci->name, errno_name(err));
	return err;
}
