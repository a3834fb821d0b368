/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio device of the host, by PCI, and its split virtqueues. Section numbers: virtio 1.1.
 *
 * Modern interface only (VERSION_1); transitional devices have it too. The device is
 * trusted as hardware is, but ids that it returns are checked before they index anything.
 */
#pragma once

#include "kernel/types.h"

struct pci_device;

#define VIRTIO_F_EVENT_IDX 29
#define VIRTIO_F_VERSION_1 32

struct virtio_device {
	struct pci_device *pci;
	u8 *common;        /* 4.1.4.3 */
	u8 *notify;        /* 4.1.4.4 */
	u8 *isr;           /* 4.1.4.5 */
	u8 *config;        /* 4.1.4.6; NULL: none */
	u32 notify_step;
	u64 features;      /* negotiated */
	bool has_msix;
};

/* One piece of memory, by its physical address. */
struct virtio_piece {
	u64 dma;
	u32 bytes;
};

/*
 * 2.6: the driver writes descriptors and the available ring, the device the used ring.
 *
 *   desc[size] | avail: flags idx ring[size] used_event | used: flags idx ring[size] avail_event
 */
struct virtqueue {
	struct virtio_device *device;
	u16 index, size;
	u16 mask;          /* size - 1: sizes are powers of two */
	volatile struct virtq_desc *desc;
	volatile u16 *avail, *used_event;
	volatile u8 *used;
	volatile u16 *avail_event;
	u8 *notify;
	void **token;      /* by first descriptor of a chain: what virtqueue_pop gives back */
	u16 free_first, free_count;
	u16 next_avail;    /* to be published */
	u16 shown_avail;   /* published */
	u16 next_used;     /* to be taken */
	bool is_irq_on;
	u64 bad_count;     /* ids that made no sense */
};

/* Finds the registers, resets the device and agrees on features (wanted & offered). 0 or negative errno. */
int virtio_start(struct virtio_device *device, struct pci_device *pci, u64 wanted);
/* Sets up queue index with at most max entries; 0 or negative errno. */
int virtqueue_create(struct virtqueue *queue, struct virtio_device *device, u16 index, u16 max);
/* The device may use its queues from here on. */
void virtio_ready(struct virtio_device *device);
/* Gives up: the device will not touch memory any more. */
void virtio_reset(struct virtio_device *device);
/* Reads, and thereby takes back, the interrupt pin. */
void virtio_acknowledge(struct virtio_device *device);

/* Queues a chain; the caller has checked free_count >= count. is_in: the device writes. */
void virtqueue_add(struct virtqueue *queue, const struct virtio_piece *pieces, u16 count, bool is_in,
		   void *token);
/* The token of a chain that the device is done with, or NULL. *bytes: what it wrote. */
void *virtqueue_pop(struct virtqueue *queue, u32 *bytes);
/* Publishes what was added and notifies the device if it wants that. */
void virtqueue_kick(struct virtqueue *queue);
/* Whether the device shall interrupt for the next chain that it is done with. */
void virtqueue_set_irq(struct virtqueue *queue, bool is_on);
