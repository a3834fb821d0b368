/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The destination's copy of a guest. Counts and places come from the peer and are compared with
 * this side's own before a byte is written; digests are computed from guest memory, after the copy.
 */
#include "migrate/arrive.h"

#include "kernel/bits.h"
#include "kernel/clock.h"
#include "kernel/errno.h"
#include "kernel/heap.h"
#include "kernel/string.h"
#include "migrate/delta.h"
#include "migrate/migrate.h"
#include "net/stream.h"
#include "vmm/vm.h"
#include "vmm/vtime.h"

#define SPENT_NS (50 * NS_PER_MS)
#define FREED_AT_ONCE 64
#define ELAPSED_MAX_NS (365ull * 24 * 3600 * NS_PER_SEC)

static u64 piece_count(const struct arrival *arrival)
{
	return (arrival->digests.page_count + WIRE_ACKED_MAX - 1) / WIRE_ACKED_MAX;
}

/* --- life --- */

static struct vm *make_vm(const struct wire_offer *offer, struct compat *compat)
{
	struct vm_config *config = heap_alloc(sizeof(*config));
	const char *why = "no memory";
	struct vm *vm = NULL;
	int err = -ENOMEM;

	if (config) {
		str_copy(config->name, sizeof(config->name), offer->name);
		str_copy(config->kernel, sizeof(config->kernel), offer->kernel);
		str_copy(config->initrd, sizeof(config->initrd), offer->initrd);
		str_copy(config->cmdline, sizeof(config->cmdline), offer->cmdline);
		str_copy(config->console, sizeof(config->console), offer->console);
		config->ram_bytes = offer->ram_bytes;
		config->vcpu_count = offer->vcpu_count;
		err = vm_create_incoming(&vm, config, &why);
		heap_free(config);
	}
	if (err)
		compat_add(compat, err == -ENOMEM ? "E-NO-MEMORY" : "E-VM-REFUSED",
			   "this host cannot make the VM: %s", why ? why : errno_name(err));
	return err ? NULL : vm;
}

static int reserve(struct arrival *arrival)
{
	u64 pages = arrival->vm->gmem.page_count;

	if (digest_map_init(&arrival->digests, pages) || image_init(&arrival->image, arrival->vm))
		return -ENOMEM;
	arrival->round_map = heap_alloc(BITMAP_WORDS(pages) * sizeof(u64));
	arrival->round_pieces = heap_alloc(BITMAP_WORDS(piece_count(arrival)) * sizeof(u64));
	return arrival->round_map && arrival->round_pieces ? 0 : -ENOMEM;
}

struct arrival *arrive_create(const struct wire_hello *hello, const struct wire_offer *offer,
			      u32 bytes, struct compat *compat)
{
	struct arrival *arrival;

	compat_check(compat, offer, bytes);
	if (compat->count)
		return NULL;
	arrival = heap_alloc(sizeof(*arrival));
	if (!arrival) {
		compat_add(compat, "E-NO-MEMORY", "no memory for the move's own records");
		return NULL;
	}
	list_init(&arrival->link);
	arrival->vm = make_vm(offer, compat);
	if (arrival->vm) {
		arrival->vm->cpuid = offer->cpuid;
		memcpy(arrival->vm->id, hello->vm_id, sizeof(arrival->vm->id));
		arrival->vm->epoch = hello->epoch;
		arrival->vm->migration = arrival;
		arrival->epoch = hello->epoch;
		arrival->offer_digest = digest_mix(DIGEST_ORDINAL_OFFER,
						   digest_bytes(offer, bytes));
		str_copy(arrival->from, sizeof(arrival->from), hello->host);
		compat_check_devices(compat, arrival->vm, offer);
		arrival->record = durable_get(hello->vm_id, offer->name);
		if (!arrival->record || reserve(arrival))
			compat_add(compat, "E-NO-MEMORY", "no memory for the move's own records");
	}
	list_add_tail(&migration->arrivals, &arrival->link);
	if (!compat->count)
		return arrival;
	arrive_destroy(arrival);
	return NULL;
}

/* All but the VM. */
static void free_arrival(struct arrival *arrival)
{
	image_fini(&arrival->image);
	digest_map_fini(&arrival->digests);
	heap_free(arrival->round_map);
	heap_free(arrival->round_pieces);
	durable_put(arrival->record);
	list_remove(&arrival->link);
	heap_free(arrival);
}

bool arrive_free_some(struct arrival *arrival)
{
	if (!digest_map_fini_some(&arrival->digests, FREED_AT_ONCE))
		return false;
	free_arrival(arrival);
	return true;
}

void arrive_destroy(struct arrival *arrival)
{
	struct vm *vm = arrival->vm;

	arrival->vm = NULL;
	free_arrival(arrival);
	if (vm) {
		vm->migration = NULL;
		vm_destroy(vm);
	}
}

struct arrival *arrive_find(const u8 vm_id[16])
{
	list_for_each(arrival, &migration->arrivals, struct arrival, link)
		if (!memcmp(arrival->record->vm_id, vm_id, sizeof(arrival->record->vm_id)))
			return arrival;
	return NULL;
}

struct arrival *arrive_named(const char *name)
{
	list_for_each(arrival, &migration->arrivals, struct arrival, link)
		if (!strcmp(arrival->vm->config.name, name))
			return arrival;
	return NULL;
}

/* --- pages --- */

static bool is_range(const struct arrival *arrival, u64 first, u64 count)
{
	u64 pages = arrival->digests.page_count;

	return count > 0 && first < pages && count <= pages - first;
}

static void note_page(struct arrival *arrival, u64 index, u64 mixed)
{
	digest_map_set(&arrival->digests, index, mixed);
	bitmap_set(arrival->round_map, index);
	bitmap_set(arrival->round_pieces, index / WIRE_ACKED_MAX);
}

bool arrive_open_pages(struct arrival *arrival, const struct wire_pages *pages,
		       struct wire_reason *reason)
{
	if (!is_range(arrival, pages->first, pages->count)) {
		wire_reason_set(reason, "E-PROTOCOL",
				"the peer sent pages that the guest does not have");
		return false;
	}
	arrival->run_next = pages->first;
	arrival->run_left = pages->count;
	arrival->run_offset = 0;
	arrival->run_digest = 0;
	arrival->run_want = pages->digest;
	return true;
}

static void finish_page(struct arrival *arrival, const void *page)
{
	u64 mixed = digest_mix(arrival->run_next, digest_page(page));

	note_page(arrival, arrival->run_next, mixed);
	arrival->run_digest += mixed;
	arrival->pages_verified++;
	arrival->run_next++;
	arrival->run_left--;
	arrival->run_offset = 0;
}

bool arrive_take_pages(struct arrival *arrival, struct wire *wire, struct wire_reason *reason)
{
	while (arrival->run_left) {
		u8 *page = gmem_page(&arrival->vm->gmem, arrival->run_next);
		size_t got = wire_data(wire, page + arrival->run_offset,
				       PAGE_BYTES - arrival->run_offset);

		if (!got)
			return false;
		arrival->run_offset += (u32)got;
		if (arrival->run_offset == PAGE_BYTES)
			finish_page(arrival, page);
	}
	if (arrival->run_digest != arrival->run_want)
		wire_reason_set(reason, "E-DIGEST", "pages up to %llu are not what was sent",
				(unsigned long long)arrival->run_next - 1);
	return true;
}

bool arrive_take_delta(struct arrival *arrival, const void *payload, u32 bytes,
		       struct wire_reason *reason)
{
	const struct wire_delta *delta = payload;
	u64 mixed;
	u8 *page;

	if (!is_range(arrival, delta->page, 1) || !digest_map_has(&arrival->digests, delta->page) ||
	    bytes != sizeof(*delta) + bits_count(delta->lines) * DELTA_LINE_BYTES) {
		wire_reason_set(reason, "E-PROTOCOL",
				"the peer sent a difference that does not fit a page that it sent");
		return false;
	}
	page = gmem_page(&arrival->vm->gmem, delta->page);
	delta_scatter(page, delta + 1, delta->lines);
	mixed = digest_mix(delta->page, digest_page(page));
	note_page(arrival, delta->page, mixed);
	arrival->pages_verified++;
	if (mixed == delta->digest)
		return true;
	wire_reason_set(reason, "E-DIGEST", "page %llu is not what was sent",
			(unsigned long long)delta->page);
	return false;
}

bool arrive_take_zero(struct arrival *arrival, const struct wire_zero *zero,
		      struct wire_reason *reason)
{
	if (zero->count > WIRE_ZERO_MAX || !is_range(arrival, zero->first, zero->count)) {
		wire_reason_set(reason, "E-PROTOCOL",
				"the peer sent zero pages that the guest does not have");
		return false;
	}
	for (u64 i = zero->first; i < zero->first + zero->count; i++) {
		void *page = gmem_page(&arrival->vm->gmem, i);

		/* Most are zero already, and reading costs less than writing. */
		if (!digest_is_zero_page(page))
			memset(page, 0, PAGE_BYTES);
		arrival->pages_verified++;
		note_page(arrival, i, digest_mix(i, digest_of_zero_page()));
	}
	return true;
}

/* --- rounds --- */

static bool acknowledge_piece(struct arrival *arrival, struct wire *wire, u64 piece, u32 round)
{
	u64 first = piece * WIRE_ACKED_MAX;
	u64 count = MIN((u64)WIRE_ACKED_MAX, arrival->digests.page_count - first);
	u64 *bits = arrival->round_map + first / 64;
	size_t bytes = BITMAP_WORDS(count) * sizeof(u64);
	struct wire_acked acked = { .first = first, .count = (u32)count, .round = round };

	if (wire_put2(wire, WIRE_ACKED, &acked, sizeof(acked), bits, bytes))
		return false;
	memset(bits, 0, bytes);
	bitmap_clear(arrival->round_pieces, piece);
	return true;
}

bool arrive_end_round(struct arrival *arrival, struct wire *wire, const struct wire_round *end)
{
	struct wire_round done = { .round = end->round, .pages = arrival->digests.known_count };
	u64 pieces = piece_count(arrival), at = 0;

	while ((at = bitmap_next(arrival->round_pieces, pieces, at)) < pieces)
		if (!acknowledge_piece(arrival, wire, at, end->round))
			return false;
	if (wire_put(wire, WIRE_ROUND_DONE, &done, sizeof(done)))
		return false;
	stream_flush(wire->stream);
	/* A good moment: the source looks for what was written meanwhile. */
	if (end->round == 0)
		image_rehearse(&arrival->image, wire->scratch);
	return true;
}

/* --- hand-over --- */

static bool is_whole(const struct arrival *arrival, const struct wire_pause_state *state,
		     struct wire_reason *reason)
{
	const struct digest_map *digests = &arrival->digests;

	if (state->epoch != arrival->epoch)
		wire_reason_set(reason, "E-PROTOCOL",
				"the state is of another epoch than the offer");
	else if (state->page_count != digests->page_count ||
		 digests->known_count != digests->page_count)
		wire_reason_set(reason, "E-PROTOCOL", "only %llu of %llu pages came",
				(unsigned long long)digests->known_count,
				(unsigned long long)digests->page_count);
	else if (!image_is_complete(&arrival->image) ||
		 state->device_count != arrival->image.device_count ||
		 state->vcpu_count != arrival->image.vcpu_count)
		wire_reason_set(reason, "E-PROTOCOL",
				"the state of some device or vCPU did not come");
	else if (state->digest != digests->root + arrival->image.digest + arrival->offer_digest)
		wire_reason_set(reason, "E-DIGEST",
				"memory and state here differ from the source's");
	else
		return true;
	return false;
}

bool arrive_verify(struct arrival *arrival, const struct wire_pause_state *state,
		   struct wire_ready *ready, struct wire_reason *reason)
{
	u64 start = clock_now_ns(), verified;

	if (!is_whole(arrival, state, reason))
		return false;
	verified = clock_now_ns();
	image_apply(&arrival->image);
	*ready = (struct wire_ready){
		.epoch = state->epoch,
		.digest = state->digest,
		.verify_ns = verified - start,
		.apply_ns = clock_now_ns() - verified,
	};
	return true;
}

void arrive_start(struct arrival *arrival, u64 elapsed_ns, u64 *resume_ns, u64 *announce_ns)
{
	struct vm *vm = arrival->vm;
	u64 start = clock_now_ns(), running;

	lock_take(&vm->lock);
	vtime_add(vm, MIN(elapsed_ns, ELAPSED_MAX_NS));
	lock_give(&vm->lock);
	vm->epoch = arrival->epoch + 1;
	vm->state = VM_RUNNING;
	vm_go(vm);
	running = clock_now_ns();
	vm->migration = NULL;
	*resume_ns = running - start;
	*announce_ns = clock_now_ns() - running;
	arrival->vm = NULL;
	arrival->spent_at_ns = running + SPENT_NS;
	list_remove(&arrival->link);
	list_add_tail(&migration->spent, &arrival->link);
}
