/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network card: a frame in, a frame out.
 *
 * Drivers know rings and registers, not lwIP. Sending is without a copy: a frame is a
 * short header, which the driver copies into its own ring at once, and pieces of payload,
 * which stay in place until the card has sent them. Receiving hands out the buffers that
 * the card wrote to; each comes back by nic_buffer_give.
 *
 * CPU 0's network service only. A driver's interrupt handler masks the card's interrupt
 * and calls service_wake; nothing else.
 */
#pragma once

#include "kernel/types.h"

#define NIC_HEADER_MAX 128 /* Ethernet, IP and TCP: lwIP makes 94 at most */
#define NIC_PIECES_MAX 8
#define NIC_MTU_MIN 576
#define NIC_MTU_MAX 9000
#define NIC_COUNT_MAX 8
#define NIC_NAME_MAX 16

struct nic;

struct nic_piece {
	const void *data; /* in the direct map */
	u32 bytes;
};

struct nic_frame {
	const u8 *header;
	u16 header_bytes;    /* at most NIC_HEADER_MAX; for nic_send with a VLAN, VLAN_BYTES less */
	u16 vlan;            /* for nic_send: the tag to put in; 0: none. A driver sees it in the header */
	u16 tcp_offset;      /* for a driver: the TCP header; 0: checksums are right as they are */
	u16 ip_offset;       /* for a driver: the IP header, if tcp_offset is not 0 */
	/*
	 * For nic_send: how much payload the peer takes in one frame, for TCP.
	 * For a driver: the card is to cut the payload in pieces of this size; 0: it is one frame.
	 */
	u16 segment_bytes;
	u8 piece_count;
	struct nic_piece piece[NIC_PIECES_MAX];
	u32 payload_bytes;   /* sum of the pieces */
	void *owner;         /* given to nic->on_sent when the pieces are free again; NULL: nobody asks */
};

/* One receive buffer: memory that the card writes to, and the frame found in it. */
struct nic_buffer {
	struct nic_buffer *next; /* in the pool, in a batch, or the next one of a merged packet */
	struct nic *nic;
	u8 *memory;
	u64 dma;                 /* physical address of memory */
	u16 start;               /* of the valid bytes in memory */
	u16 bytes;
	bool is_sum_good;        /* the card vouches for the TCP checksum */
	u64 stack[8];            /* the holder's own words (net.c keeps a pbuf here) */
};

/* Counters, with the words that net show says. A frame that is lost is in exactly one "drop". */
#define NIC_COUNTERS(X) \
	X(rx_frames, "frames received") \
	X(rx_bytes, "bytes received") \
	X(rx_merged, "received frames merged into the one before") \
	X(rx_packets, "packets given to the stack") \
	X(rx_copied, "received frames copied since buffers ran low") \
	X(tx_frames, "frames sent") \
	X(tx_bytes, "bytes sent") \
	X(tx_packets, "packets taken from the stack") \
	X(tx_cut_by_card, "packets that the card cut to the MTU") \
	X(tx_cut_by_tern, "packets that Tern cut to the MTU") \
	X(tx_deferred, "packets put off because the ring was full") \
	X(interrupts, "interrupts") \
	X(polls, "polls") \
	X(poll_batches, "polls that found frames")
#define NIC_DROPS(X) \
	X(rx_drop_no_buffer, "receive: no memory for the frame") \
	X(rx_drop_card, "receive: lost in the card, host too slow") \
	X(rx_drop_damaged, "receive: the card found an error") \
	X(rx_drop_length, "receive: too short or too long") \
	X(rx_drop_vlan, "receive: of a VLAN that is not ours") \
	X(rx_drop_header, "receive: TCP/IP lengths contradict each other") \
	X(rx_drop_checksum, "receive: wrong TCP checksum") \
	X(tx_drop_too_long, "send: longer than the MTU and not TCP") \
	X(tx_drop_pieces, "send: too many pieces") \
	X(tx_drop_card, "send: the card reported an error")

struct nic_stats {
#define NIC_FIELD(name, words) u64 name;
	NIC_COUNTERS(NIC_FIELD)
	NIC_DROPS(NIC_FIELD)
#undef NIC_FIELD
};

struct nic_ops {
	const char *driver;
	/* Gives buffers to the card and starts it. mtu and the pool are set. 0 or negative errno. */
	int (*start)(struct nic *nic);
	/* Whether frames with so many pieces in all can be queued now. */
	bool (*has_room)(struct nic *nic, unsigned frames, unsigned pieces, u32 bytes);
	/*
	 * Resets the card and starts it again; what was to be sent is dropped, counted and given
	 * back to its owners. NULL if the card cannot.
	 */
	int (*restart)(struct nic *nic);
	/* Queues a frame for which has_room said yes; copies its header. */
	void (*send)(struct nic *nic, const struct nic_frame *frame);
	/* Shows the card what was queued since the last kick. */
	void (*kick)(struct nic *nic);
	/* Calls nic->on_sent for each owner whose frame is out; counts tx_done and tx_out. */
	void (*reclaim)(struct nic *nic);
	/* At most budget frames to nic->on_received, and fresh buffers to the card. Returns how many frames. */
	unsigned (*receive)(struct nic *nic, unsigned budget);
	/*
	 * Unmasks or masks the card's interrupt. Frames that came before the unmasking may not
	 * raise it: look at the ring once more then.
	 */
	void (*set_irq)(struct nic *nic, bool is_on);
	bool (*is_link_up)(struct nic *nic);
	/* Reads counters that the card keeps itself into stats. */
	void (*update_stats)(struct nic *nic);
};

struct nic {
	const struct nic_ops *ops;
	void *driver_data;
	char name[NIC_NAME_MAX]; /* "net0", "net1", ... in the order of their places on the bus */
	char location[16];       /* "0000:00:03.0" */
	u8 mac[6];
	u16 mtu;                 /* IP packet, 1500 or up to 9000 */
	u16 mtu_max;             /* what the card can do */
	bool has_cutter;         /* TCP segmentation by the card */
	bool can_cut;            /* and it is used */
	bool can_sum;            /* TCP checksum by the card on sending */
	bool has_irq;            /* else it is polled by a timer */
	u16 rx_ring, tx_ring;    /* entries */
	const char *irq_kind;
	struct nic_stats stats;

	/* Set by net.c. */
	void (*on_received)(struct nic *nic, struct nic_buffer *buffer);
	void (*on_sent)(struct nic *nic, void *owner);
	void *context;

	/* Receive buffers (nic.c). */
	struct nic_buffer *pool;
	struct nic_buffer *pool_free;
	u32 pool_count, pool_free_count;
	u32 buffer_bytes;        /* room in each: chosen by the driver in nic_pool_create */

	bool is_tx_waiting;      /* the ring was full: the card's interrupt must tell when it is not */
	u64 tx_queued, tx_done;  /* frames with an owner, ever: what is between is in the ring */
	u64 tx_given, tx_out;    /* frames as the driver had them, with an owner or not; likewise */
};

/* A driver found a card. Ownership stays with the driver; nic lives for ever. 0 or -ENOSPC. */
int nic_register(struct nic *nic);
/* The index-th card, or NULL. */
struct nic *nic_get(unsigned index);

/* Takes count buffers of bytes each (a power of two up to 16 KiB) from the page allocator. 0 or -ENOMEM. */
int nic_pool_create(struct nic *nic, u32 count, u32 bytes);
/* NULL when all are out. */
struct nic_buffer *nic_buffer_take(struct nic *nic);
void nic_buffer_give(struct nic_buffer *buffer);

/*
 * Sends a frame, which may be longer than the MTU if it is TCP: cuts it by the card or by
 * net/gso.c and completes the checksums. 0, or negative errno: -ENOBUFS means that the ring
 * is full now (nothing was sent, try again after reclaim), all others that it was dropped and counted.
 */
int nic_send(struct nic *nic, const struct nic_frame *frame);

/* Physical address of memory in the direct map, for a card. Panics on any other. */
u64 nic_dma(const void *va);

/* A driver's interrupt handler: context is the nic. */
void nic_interrupt(void *context);
