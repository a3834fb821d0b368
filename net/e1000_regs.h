/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The 8254x family's registers and descriptors, as far as e1000.c uses them.
 * Sections: PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual (317453, rev 4.0).
 */
#pragma once

#include "kernel/bits.h"

/* 13.4: registers, offsets in BAR 0. */
enum {
	E1000_CTRL = 0x0000,
	E1000_STATUS = 0x0008,
	E1000_EERD = 0x0014,
	E1000_ICR = 0x00c0,
	E1000_ITR = 0x00c4,
	E1000_IMS = 0x00d0,
	E1000_IMC = 0x00d8,
	E1000_RCTL = 0x0100,
	E1000_TCTL = 0x0400,
	E1000_TIPG = 0x0410,
	E1000_RDBAL = 0x2800,
	E1000_RDBAH = 0x2804,
	E1000_RDLEN = 0x2808,
	E1000_RDH = 0x2810,
	E1000_RDT = 0x2818,
	E1000_RDTR = 0x2820,
	E1000_RADV = 0x282c,
	E1000_TDBAL = 0x3800,
	E1000_TDBAH = 0x3804,
	E1000_TDLEN = 0x3808,
	E1000_TDH = 0x3810,
	E1000_TDT = 0x3818,
	E1000_CRCERRS = 0x4000, /* statistics: cleared by reading */
	E1000_MPC = 0x4010,
	E1000_RLEC = 0x4040,
	E1000_RXCSUM = 0x5000,
	E1000_MTA = 0x5200,     /* 128 words */
	E1000_RAL0 = 0x5400,
	E1000_RAH0 = 0x5404,
};

#define CTRL_LRST BIT(3)
#define CTRL_ASDE BIT(5)
#define CTRL_SLU BIT(6)
#define CTRL_ILOS BIT(7)
#define CTRL_RST BIT(26)
#define CTRL_PHY_RST BIT(31)

#define STATUS_LU BIT(1)

#define EERD_START BIT(0)
#define EERD_DONE BIT(4)
#define EERD_ADDRESS_SHIFT 8
#define EERD_DATA_SHIFT 16

#define INT_TXDW BIT(0)
#define INT_LSC BIT(2)
#define INT_RXDMT0 BIT(4)
#define INT_RXO BIT(6)
#define INT_RXT0 BIT(7)

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

/* 3.2.3: receive descriptor. */
struct e1000_rx {
	u64 address;
	u16 length;
	u16 checksum;
	u8 status;
	u8 errors;
	u16 special;
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
