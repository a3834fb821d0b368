/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers and descriptors of a family of gigabit cards, as far as Tern uses them.
 *
 * "8254x": PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual
 * (317453, rev 4.0); sections without a name are this one's. "82574": 82574 GbE Controller
 * Family Datasheet (rev 3.4). "82576": 82576EB Gigabit Ethernet Controller Datasheet (rev 2.63).
 */
#pragma once

#include "kernel/bits.h"

/* 13.4: registers, offsets in BAR 0. */
enum {
	E1000_CTRL = 0x0000,
	E1000_STATUS = 0x0008,
	E1000_EECD = 0x0010,
	E1000_EERD = 0x0014,
	E1000_CTRL_EXT = 0x0018,
	E1000_MDIC = 0x0020,
	E1000_ICR = 0x00c0,
	E1000_ITR = 0x00c4,
	E1000_IMS = 0x00d0,
	E1000_IMC = 0x00d8,
	E1000_RCTL = 0x0100,
	E1000_TCTL = 0x0400,
	E1000_TIPG = 0x0410,
	E1000_RDTR = 0x2820,
	E1000_RADV = 0x282c,
	E1000_CRCERRS = 0x4000, /* statistics: cleared by reading */
	E1000_MPC = 0x4010,
	E1000_RLEC = 0x4040,
	E1000_RXCSUM = 0x5000,
	E1000_MTA = 0x5200,     /* 128 words */
	E1000_RAL0 = 0x5400,
	E1000_RAH0 = 0x5404,
};

/* A ring's registers, offsets in its queue's block. */
enum {
	QUEUE_BASE_LOW = 0x00,
	QUEUE_BASE_HIGH = 0x04,
	QUEUE_BYTES = 0x08,
	QUEUE_SPLIT = 0x0c,   /* 82576 8.10.2: SRRCTL */
	QUEUE_HEAD = 0x10,
	QUEUE_TAIL = 0x18,
	QUEUE_CONTROL = 0x28, /* RXDCTL, TXDCTL */
};

/* Where queue 0's blocks are: 8254x and 82574, and 82576. */
enum {
	E1000_RX_QUEUE = 0x2800,
	E1000_TX_QUEUE = 0x3800,
	IGB_RX_QUEUE = 0xc000,
	IGB_TX_QUEUE = 0xe000,
};

/* 82574 10.2. */
enum {
	E1000E_IVAR = 0x00e4,
	E1000E_EXTCNF_CTRL = 0x0f00,
	E1000E_TARC0 = 0x3840,
	E1000E_RFCTL = 0x5008,
};

/* 82576 8.1.3. */
enum {
	IGB_GPIE = 0x1514,
	IGB_EIMS = 0x1524,
	IGB_EIMC = 0x1528,
	IGB_EIAC = 0x152c,
	IGB_EIAM = 0x1530,
	IGB_EICR = 0x1580,
	IGB_EITR0 = 0x1680,
	IGB_IVAR0 = 0x1700,
	IGB_IVAR_MISC = 0x1740,
	IGB_RLPML = 0x5004,
	IGB_SWSM = 0x5b50,
	IGB_SW_FW_SYNC = 0x5b5c,
};

#define CTRL_MASTER_OFF BIT(2)
#define CTRL_LRST BIT(3)
#define CTRL_ASDE BIT(5)
#define CTRL_SLU BIT(6)
#define CTRL_ILOS BIT(7)
#define CTRL_FRCSPD BIT(11)
#define CTRL_FRCDPX BIT(12)
#define CTRL_RST BIT(26)
#define CTRL_PHY_RST BIT(31)

#define STATUS_LU BIT(1)
#define STATUS_LAN_ID BIT(2) /* 82576: the second port */
#define STATUS_MASTER BIT(19)

#define EECD_AUTO_RD BIT(9)
#define CTRL_EXT_DRV_LOAD BIT(28)

/* 13.4.4; the PCI Express cards have other places for these. */
#define EERD_START BIT(0)
#define EERD_DONE BIT(4)
#define EERD_ADDRESS_SHIFT 8
#define EERD_DATA_SHIFT 16

#define INT_TXDW BIT(0)
#define INT_LSC BIT(2)
#define INT_RXDMT0 BIT(4)
#define INT_RXO BIT(6)
#define INT_RXT0 BIT(7)
#define INT_RXQ0 BIT(20)  /* 82574 10.2.4.1: with MSI-X, in place of RXT0 and TXDW */
#define INT_TXQ0 BIT(22)
#define INT_OTHER BIT(24)

/* 82574 10.2.4.9: which MSI-X entry each cause interrupts by. */
#define IVAR_VALID BIT(3)
#define IVAR_RXQ0(n) ((n) | IVAR_VALID)
#define IVAR_TXQ0(n) (((n) | IVAR_VALID) << 8)
#define IVAR_OTHER(n) (((n) | IVAR_VALID) << 16)

#define EXTCNF_CTRL_MDIO_SW BIT(5)
#define RFCTL_EXTEN BIT(15)
/* 82574 10.2.6.12, 10.2.6.13: bits that the manual wants set. */
#define E1000E_TXDCTL_ALWAYS BIT(22)
#define E1000E_TARC0_ALWAYS BIT(26)

/* 82576 8.2.4: a word to the PHY, which is number 1 */
#define MDIC_REGISTER(n) ((u32)(n) << 16)
#define MDIC_PHY (1u << 21)
#define MDIC_WRITE BIT(26)
#define MDIC_READY BIT(28)

/* IEEE 802.3 22.2.4.1: the PHY's control register, number 0 */
#define PHY_CONTROL 0
#define PHY_CONTROL_RESTART BIT(9)
#define PHY_CONTROL_NEGOTIATE BIT(12)

/* 82576 8.7.1, 8.7.4: who may use what software and firmware share */
#define SWSM_SMBI BIT(0)
#define SWSM_SWESMBI BIT(1)
#define SYNC_SW_PHY(port) BIT(1 + (port))
#define SYNC_FW_PHY(port) BIT(17 + (port))

/* 82576 8.8.10, 8.8.13, 8.8.14 */
#define GPIE_MULTIPLE_MSIX BIT(4)
#define GPIE_PBA BIT(31)
#define IGB_IVAR_VALID BIT(7)
#define IGB_IVAR0_RX(n) ((n) | IGB_IVAR_VALID)
#define IGB_IVAR0_TX(n) (((n) | IGB_IVAR_VALID) << 8)
#define IGB_IVAR_OTHER(n) (((n) | IGB_IVAR_VALID) << 8)

/* 82576 8.10.2, 8.10.8, 8.12.14 */
#define SRRCTL_KIB(n) (n)
#define SRRCTL_ADVANCED BIT(25) /* one buffer, no split */
#define QUEUE_CONTROL_ENABLE BIT(25)

#define RCTL_EN BIT(1)
#define RCTL_LPE BIT(5)
#define RCTL_BAM BIT(15)
#define RCTL_BSIZE_16384 BIT(16) /* with BSEX */
#define RCTL_BSEX BIT(25)
#define RCTL_SECRC BIT(26)

#define TCTL_EN BIT(1)
#define TCTL_PSP BIT(3)
#define TCTL_CT(n) ((u32)(n) << 4)
#define TCTL_COLD(n) ((u32)(n) << 12)

/* Table 13-77: IPGT 10, IPGR1 8, IPGR2 6 for copper. */
#define TIPG_COPPER (10 | 8 << 10 | 6 << 20)

#define RXCSUM_IPOFL BIT(8)
#define RXCSUM_TUOFL BIT(9)

#define RAH_AV BIT(31)

/*
 * Receive descriptors. Given to the card they are the same; it writes back one of two:
 *
 *   legacy    (3.2.3)           0: | address 64 |
 *                               1: | special 16 | errors 8 | status 8 | checksum 16 | length 16 |
 *   extended  (82574 7.1.5.1;   0: | hash or checksum 64 |
 *              82576 7.1.5.2)   1: | VLAN 16 | length 16 | errors 8 | (4) status 20 |
 *
 * Status and errors have the same bits in both, as far as they are named here.
 */
struct e1000_rx {
	u64 word[2];
};
_Static_assert(sizeof(struct e1000_rx) == 16, "8254x manual 3.2.3");

#define RX_DD BIT(0)
#define RX_EOP BIT(1)
#define RX_IXSM BIT(2)  /* checksums were not looked at */
#define RX_TCPCS BIT(5)
#define RX_ERROR_CE BIT(0)
#define RX_ERROR_SE BIT(1)
#define RX_ERROR_SEQ BIT(2)
#define RX_ERROR_CXE BIT(4)
#define RX_ERROR_TCPE BIT(5)
#define RX_ERROR_RXE BIT(7)
#define RX_ERROR_FRAME (RX_ERROR_CE | RX_ERROR_SE | RX_ERROR_SEQ | RX_ERROR_CXE | RX_ERROR_RXE)

/*
 * 3.3.6, 3.3.7: TCP/IP context and data descriptors.
 *
 *   context  0: | TUCSE 16 | TUCSO 8 | TUCSS 8 | IPCSE 16 | IPCSO 8 | IPCSS 8 |
 *            1: | MSS 16 | HDRLEN 8 | STA 8 | TUCMD 8 | DTYP 4 | PAYLEN 20 |
 *   data     0: | address 64 |
 *            1: | special 16 | POPTS 8 | STA 8 | DCMD 8 | DTYP 4 | DTALEN 20 |
 */
struct e1000_tx {
	u64 word[2];
};
_Static_assert(sizeof(struct e1000_tx) == 16, "8254x manual 3.3.6");

#define TX_DTYP_DATA BIT(20)
#define TX_CMD_EOP BIT(24)
#define TX_CMD_IFCS BIT(25)
#define TX_CMD_TSE BIT(26)
#define TX_CMD_RS BIT(27)
#define TX_CMD_DEXT BIT(29)
#define TX_TUCMD_TCP BIT(24)
#define TX_TUCMD_IP BIT(25)
#define TX_STA_DD BIT(32)
#define TX_POPTS_IXSM BIT(40)
#define TX_POPTS_TXSM BIT(41)

/*
 * 82576 7.2.2.2, 7.2.2.3: advanced context and data descriptors. Command, status and POPTS
 * bits are where they are above, but for TSE.
 *
 *   context  0: | (32) | VLAN 16 | MACLEN 7 | IPLEN 9 |
 *            1: | MSS 16 | L4LEN 8 | (1) IDX 3 | (4) | (8) DEXT... | DTYP 4 | (1) TUCMD 10 | (9) |
 *   data     0: | address 64 |
 *            1: | PAYLEN 18 | POPTS 6 | CC 1 | IDX 3 | STA 4 | DCMD 8 | DTYP 4 | (4) | DTALEN 16 |
 */
#define TX_ADV_CONTEXT (2u << 20)
#define TX_ADV_DATA (3u << 20)
#define TX_ADV_IPV4 BIT(10)
#define TX_ADV_TCP BIT(11)
#define TX_ADV_CMD_TSE BIT(31)
#define TX_ADV_MACLEN 9
#define TX_ADV_L4LEN 40
#define TX_ADV_MSS 48
#define TX_ADV_PAYLEN 46
