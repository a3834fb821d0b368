/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio over PCI: initialization (3.1.1) and split virtqueues (2.6), with notification
 * suppression by event index (2.6.7) where offered, else by flags.
 */
#include "net/virtio.h"

#include "arch/cpu.h"
#include "arch/pci.h"
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "net/nic.h"

/* 4.1.4: vendor capabilities. */
enum { CAP_COMMON = 1, CAP_NOTIFY = 2, CAP_ISR = 3, CAP_DEVICE = 4 };
#define CAP_TYPE 3
#define CAP_BAR 4
#define CAP_OFFSET 8
#define CAP_LENGTH 12
#define CAP_NOTIFY_STEP 16
#define COMMON_BYTES 56

/* 4.1.4.3: struct virtio_pci_common_cfg. */
enum {
	COMMON_DEVICE_FEATURE_SELECT = 0,
	COMMON_DEVICE_FEATURE = 4,
	COMMON_DRIVER_FEATURE_SELECT = 8,
	COMMON_DRIVER_FEATURE = 12,
	COMMON_CONFIG_VECTOR = 16,
	COMMON_STATUS = 20,
	COMMON_QUEUE_SELECT = 22,
	COMMON_QUEUE_SIZE = 24,
	COMMON_QUEUE_VECTOR = 26,
	COMMON_QUEUE_ENABLE = 28,
	COMMON_QUEUE_NOTIFY = 30,
	COMMON_QUEUE_DESC = 32,
	COMMON_QUEUE_DRIVER = 40,
	COMMON_QUEUE_DEVICE = 48,
};
#define NO_VECTOR 0xffff

/* 2.1: device status. */
enum {
	STATUS_ACKNOWLEDGE = 1,
	STATUS_DRIVER = 2,
	STATUS_DRIVER_OK = 4,
	STATUS_FEATURES_OK = 8,
	STATUS_FAILED = 128,
};

struct virtq_desc {
	u64 address;
	u32 bytes;
	u16 flags;
	u16 next;
};
_Static_assert(sizeof(struct virtq_desc) == 16, "virtio 1.1, 2.6.5");
#define DESC_NEXT 1
#define DESC_WRITE 2
#define AVAIL_NO_INTERRUPT 1
#define USED_NO_NOTIFY 1

/* Places within the rings, in u16 steps (avail) and bytes (used). */
#define AVAIL_FLAGS 0
#define AVAIL_INDEX 1
#define AVAIL_RING 2
#define USED_FLAGS 0
#define USED_INDEX 2
#define USED_RING 4
#define USED_ENTRY_BYTES 8

#define RESET_NS (100 * NS_PER_MS)

/* --- Initialization ------------------------------------------------------------------- */

/* The registers of one kind, if they lie in their BAR. */
static u8 *map_capability(const struct pci_device *pci, unsigned at, u32 bytes_min)
{
	u8 bar = pci_read8(pci, at + CAP_BAR);
	u32 offset = pci_read32(pci, at + CAP_OFFSET), bytes = pci_read32(pci, at + CAP_LENGTH);
	u8 *base;

	if (bar >= PCI_BAR_COUNT || bytes < bytes_min || (u64)offset + bytes > pci->bar[bar].bytes)
		return NULL;
	base = pci_map_bar(pci, bar);
	return base ? base + offset : NULL;
}

static void find_registers(struct virtio_device *device)
{
	struct pci_device *pci = device->pci;
	unsigned at = 0;

	/* 4.1.4: of several of one kind, the first that is usable. */
	while ((at = pci_find_capability(pci, PCI_CAP_VENDOR, at))) {
		switch (pci_read8(pci, at + CAP_TYPE)) {
		case CAP_COMMON:
			if (!device->common)
				device->common = map_capability(pci, at, COMMON_BYTES);
			break;
		case CAP_NOTIFY:
			if (device->notify)
				break;
			device->notify = map_capability(pci, at, 2);
			device->notify_step = pci_read32(pci, at + CAP_NOTIFY_STEP);
			break;
		case CAP_ISR:
			if (!device->isr)
				device->isr = map_capability(pci, at, 1);
			break;
		case CAP_DEVICE:
			if (!device->config)
				device->config = map_capability(pci, at, 1);
			break;
		}
	}
}

static u8 status(const struct virtio_device *device) { return mmio_read8(device->common + COMMON_STATUS); }

static void add_status(struct virtio_device *device, u8 bits)
{
	mmio_write8(device->common + COMMON_STATUS, (u8)(status(device) | bits));
}

void virtio_reset(struct virtio_device *device)
{
	u64 until = clock_now_ns() + RESET_NS;

	/* 4.1.4.3.2: the driver waits until the status reads 0. */
	mmio_write8(device->common + COMMON_STATUS, 0);
	while (status(device) != 0 && clock_now_ns() < until)
		cpu_pause();
}

static u64 offered_features(const struct virtio_device *device)
{
	u64 features = 0;

	for (u32 word = 0; word < 2; word++) {
		mmio_write32(device->common + COMMON_DEVICE_FEATURE_SELECT, word);
		features |= (u64)mmio_read32(device->common + COMMON_DEVICE_FEATURE) << (32 * word);
	}
	return features;
}

int virtio_start(struct virtio_device *device, struct pci_device *pci, u64 wanted)
{
	device->pci = pci;
	find_registers(device);
	if (!device->common || !device->notify || !device->isr)
		return -ENODEV;
	virtio_reset(device);
	add_status(device, STATUS_ACKNOWLEDGE);
	add_status(device, STATUS_DRIVER);
	device->features = offered_features(device) & (wanted | BIT(VIRTIO_F_VERSION_1));
	if (!(device->features & BIT(VIRTIO_F_VERSION_1)))
		goto failed;
	for (u32 word = 0; word < 2; word++) {
		mmio_write32(device->common + COMMON_DRIVER_FEATURE_SELECT, word);
		mmio_write32(device->common + COMMON_DRIVER_FEATURE, (u32)(device->features >> (32 * word)));
	}
	add_status(device, STATUS_FEATURES_OK);
	if (!(status(device) & STATUS_FEATURES_OK))
		goto failed;
	mmio_write16(device->common + COMMON_CONFIG_VECTOR, NO_VECTOR);
	return 0;

failed:
	add_status(device, STATUS_FAILED);
	return -EOPNOTSUPP;
}

void virtio_ready(struct virtio_device *device) { add_status(device, STATUS_DRIVER_OK); }
void virtio_acknowledge(struct virtio_device *device) { mmio_read8(device->isr); }

static void write_address(u8 *at, u64 dma)
{
	/* 4.1.3.1: 64-bit fields are written as two halves. */
	mmio_write32(at, (u32)dma);
	mmio_write32(at + 4, (u32)(dma >> 32));
}

static int take_memory(struct virtqueue *queue)
{
	u32 avail_at = queue->size * (u32)sizeof(struct virtq_desc);
	u32 used_at = ALIGN_UP(avail_at + 6 + 2u * queue->size, 8u);
	u8 *memory = heap_alloc(used_at + 6 + USED_ENTRY_BYTES * (size_t)queue->size);

	queue->token = heap_alloc(queue->size * sizeof(void *));
	if (!memory || !queue->token) {
		heap_free(memory);
		heap_free(queue->token);
		return -ENOMEM;
	}
	queue->desc = (void *)memory;
	queue->avail = (void *)(memory + avail_at);
	queue->used_event = queue->avail + AVAIL_RING + queue->size;
	queue->used = memory + used_at;
	queue->avail_event = (void *)(memory + used_at + USED_RING + USED_ENTRY_BYTES * (size_t)queue->size);
	for (u16 i = 0; i < queue->size; i++)
		queue->desc[i].next = (u16)(i + 1);
	queue->free_count = queue->size;
	return 0;
}

int virtqueue_create(struct virtqueue *queue, struct virtio_device *device, u16 index, u16 max)
{
	u8 *common = device->common;
	u16 offered, vector = device->has_msix ? 0 : NO_VECTOR;

	mmio_write16(common + COMMON_QUEUE_SELECT, index);
	offered = mmio_read16(common + COMMON_QUEUE_SIZE);
	/* 2.6: a power of two; 0: there is no such queue. */
	if (offered == 0 || (offered & (offered - 1)))
		return -ENODEV;
	*queue = (struct virtqueue){ .device = device, .index = index, .size = MIN(offered, max) };
	queue->mask = (u16)(queue->size - 1);
	if (take_memory(queue))
		return -ENOMEM;
	mmio_write16(common + COMMON_QUEUE_SIZE, queue->size);
	mmio_write16(common + COMMON_QUEUE_VECTOR, vector);
	if (mmio_read16(common + COMMON_QUEUE_VECTOR) != vector)
		return -ENOSPC; /* 4.1.5.1.2.2: the device has no room for the mapping */
	write_address(common + COMMON_QUEUE_DESC, nic_dma((void *)queue->desc));
	write_address(common + COMMON_QUEUE_DRIVER, nic_dma((void *)queue->avail));
	write_address(common + COMMON_QUEUE_DEVICE, nic_dma((void *)queue->used));
	queue->notify = device->notify + (u64)mmio_read16(common + COMMON_QUEUE_NOTIFY) * device->notify_step;
	virtqueue_set_irq(queue, false);
	mmio_write16(common + COMMON_QUEUE_ENABLE, 1);
	return 0;
}

/* --- The rings ------------------------------------------------------------------------ */

void virtqueue_add(struct virtqueue *queue, const struct virtio_piece *pieces, u16 count, bool is_in,
		   void *token)
{
	u16 first = queue->free_first, at = first;
	u16 flags = is_in ? DESC_WRITE : 0;

	for (u16 i = 0; i < count; i++) {
		volatile struct virtq_desc *desc = &queue->desc[at];

		desc->address = pieces[i].dma;
		desc->bytes = pieces[i].bytes;
		desc->flags = (u16)(i + 1 < count ? flags | DESC_NEXT : flags);
		at = desc->next; /* free descriptors are linked the same way */
	}
	queue->free_first = at;
	queue->free_count = (u16)(queue->free_count - count);
	queue->token[first] = token;
	queue->avail[AVAIL_RING + (queue->next_avail & queue->mask)] = first;
	queue->next_avail++;
}

static void free_chain(struct virtqueue *queue, u16 first)
{
	u16 last = first;
	u16 count = 1;

	while (queue->desc[last].flags & DESC_NEXT) {
		last = queue->desc[last].next;
		count++;
	}
	queue->desc[last].next = queue->free_first;
	queue->free_first = first;
	queue->free_count = (u16)(queue->free_count + count);
}

void *virtqueue_pop(struct virtqueue *queue, u32 *bytes)
{
	const volatile u8 *entry;
	void *token = NULL;
	u32 id;

	while (!token) {
		if (*(const volatile u16 *)(queue->used + USED_INDEX) == queue->next_used)
			return NULL;
		barrier(); /* x86 reads in order: the entry after the index */
		entry = queue->used + USED_RING + USED_ENTRY_BYTES * (size_t)(queue->next_used & queue->mask);
		id = *(const volatile u32 *)entry;
		*bytes = *(const volatile u32 *)(entry + 4);
		queue->next_used++;
		if (id >= queue->size || !queue->token[id]) {
			queue->bad_count++;
			continue;
		}
		token = queue->token[id];
		queue->token[id] = NULL;
		free_chain(queue, (u16)id);
	}
	/* 2.6.7: with event indices the next interrupt is asked for by naming the next entry. */
	if (queue->is_irq_on)
		*queue->used_event = queue->next_used;
	return token;
}

static bool has_event_index(const struct virtqueue *queue)
{
	return queue->device->features & BIT(VIRTIO_F_EVENT_IDX);
}

void virtqueue_kick(struct virtqueue *queue)
{
	u16 before = queue->shown_avail, now = queue->next_avail;
	bool is_wanted;

	if (before == now)
		return;
	barrier(); /* x86 writes in order: the ring before the index */
	queue->avail[AVAIL_INDEX] = now;
	queue->shown_avail = now;
	mfence(); /* 2.6.7.1: the index is visible before the device's wish is read */
	if (has_event_index(queue))
		/* 2.6.7.2: the device's index lies in [before, now). */
		is_wanted = (u16)(now - *queue->avail_event - 1) < (u16)(now - before);
	else
		is_wanted = !(*(volatile u16 *)(queue->used + USED_FLAGS) & USED_NO_NOTIFY);
	if (is_wanted)
		mmio_write16(queue->notify, queue->index);
}

void virtqueue_set_irq(struct virtqueue *queue, bool is_on)
{
	queue->is_irq_on = is_on;
	if (has_event_index(queue))
		/* Off: an entry that was passed just now, so it takes 65,536 chains to come there again. */
		*queue->used_event = (u16)(is_on ? queue->next_used : queue->next_used - 1);
	else
		queue->avail[AVAIL_FLAGS] = is_on ? 0 : AVAIL_NO_INTERRUPT;
	if (is_on)
		mfence(); /* before the caller looks at the used ring again */
}
