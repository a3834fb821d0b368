/* SPDX-License-Identifier: BSD-2-Clause */
/* See hv_fake.h. The entry format is no vendor's, so that nothing relies on one. */
#include "tests/host/fake/hv_fake.h"

#include <stdlib.h>

#include "arch/regs.h"
#include "kernel/errno.h"
#include "kernel/panic.h"
#include "kernel/string.h"

void (*fake_guest)(struct fake_vcpu *vcpu, struct hv_exit *exit);
void (*fake_on_park)(void);
unsigned fake_vcpu_count;

struct hv_ops *hv;
const char *hv_missing;

static const struct nested_format fake_format = {
	.present = BIT(0) | BIT(4),
	.write = BIT(3),
	.accessed = BIT(6),
	.dirty = BIT(2),
	.large = BIT(8),
	.memory_wb = BIT(10),
	.address_mask = BITS(51, 12),
};

static int fake_probe(const char **why)
{
	(void)why;
	return 0;
}

static int fake_cpu_enable(const char **why)
{
	(void)why;
	return 0;
}

static void fake_cpu_disable(void) { }

static void take_out_of_state(struct fake_vcpu *vcpu)
{
	const struct vcpu_state *state = &vcpu->state;

	memcpy(vcpu->hv.gpr, state->gpr, sizeof(state->gpr));
	vcpu->hv.rip = state->rip;
	vcpu->hv.rflags = state->rflags;
	vcpu->hv.has_shadow = state->interrupt_shadow;
	vcpu->hv.is_nmi_blocked = state->nmi_blocked;
	vcpu->hv.is_event_queued = state->event.is_valid;
}

static void put_into_state(struct fake_vcpu *vcpu)
{
	struct vcpu_state *state = &vcpu->state;

	memcpy(state->gpr, vcpu->hv.gpr, sizeof(state->gpr));
	state->rip = vcpu->hv.rip;
	state->rflags = vcpu->hv.rflags;
	state->interrupt_shadow = vcpu->hv.has_shadow && !vcpu->hv.is_event_queued;
	state->nmi_blocked = vcpu->hv.is_nmi_blocked;
	if (!vcpu->hv.is_event_queued)
		state->event = (struct vcpu_event){ 0 };
}

static int fake_vcpu_init(struct hv_vcpu **out, const struct nested *nested)
{
	struct fake_vcpu *vcpu = calloc(1, sizeof(*vcpu));

	if (!vcpu)
		return -ENOMEM;
	vcpu->nested = nested;
	vcpu->is_parked = true;
	vcpu_state_reset(&vcpu->state);
	take_out_of_state(vcpu);
	fake_vcpu_count++;
	*out = &vcpu->hv;
	return 0;
}

static void fake_vcpu_fini(struct hv_vcpu *hv)
{
	fake_vcpu_count--;
	free(fake_vcpu(hv));
}

static void fake_enter(struct hv_vcpu *hv, struct hv_exit *exit)
{
	struct fake_vcpu *vcpu = fake_vcpu(hv);

	if (vcpu->want_flush || vcpu->nested_generation != vcpu->nested->generation)
		memset(vcpu->tlb_dirty, 0, sizeof(vcpu->tlb_dirty));
	vcpu->want_flush = false;
	vcpu->nested_generation = vcpu->nested->generation;
	if (vcpu->want_log && !vcpu->is_logging)
		vcpu->log_count = 0;
	vcpu->is_logging = vcpu->want_log;
	vcpu->is_parked = false;
	vcpu->enter_count++;
	hv->exit_count++;
	hv->is_event_queued = false;
	memset(exit, 0, sizeof(*exit));
	exit->reason = HV_EXIT_HLT;
	exit->insn_len = 1;
	if (fake_guest)
		fake_guest(vcpu, exit);
}

static void fake_inject(struct hv_vcpu *hv, const struct hv_event *event)
{
	struct fake_vcpu *vcpu = fake_vcpu(hv);

	assert_or_panic(!hv->is_event_queued);
	vcpu->injected = *event;
	vcpu->inject_count++;
	vcpu->state.event = (struct vcpu_event){
		.is_valid = 1,
		.vector = event->vector,
		.type = (u8)event->type,
		.has_error_code = event->has_error_code,
		.error_code = event->error_code,
	};
	if (event->type == EVENT_EXCEPTION && event->vector == 14)
		vcpu->state.cr2 = event->address;
	hv->is_event_queued = true;
}

static void fake_skip(struct hv_vcpu *hv, u8 insn_len)
{
	fake_vcpu(hv)->skip_count++;
	hv->rip += insn_len;
	hv->has_shadow = false;
}

static void fake_mode(const struct hv_vcpu *hv, struct hv_mode *mode)
{
	const struct vcpu_state *state = &container_of(hv, struct fake_vcpu, hv)->state;
	u32 cs = state->segment[SEG_CS].attributes;

	*mode = (struct hv_mode){
		.cr0 = state->cr0,
		.cr3 = state->cr3,
		.cr4 = state->cr4,
		.efer = state->efer,
		.xcr0 = state->xcr0,
		.cpl = (u8)((state->segment[SEG_SS].attributes & SEG_ATTR_DPL) >> SEG_ATTR_DPL_SHIFT),
		.code_bits = vcpu_is_64bit(state) ? 64 : cs & SEG_ATTR_DB ? 32 : 16,
	};
	for (unsigned i = 0; i < SEG_COUNT; i++)
		mode->base[i] = state->segment[i].base;
}

static void fake_set_xcr0(struct hv_vcpu *hv, u64 xcr0) { fake_vcpu(hv)->state.xcr0 = xcr0; }

static void fake_park(struct hv_vcpu *hv)
{
	if (fake_on_park)
		fake_on_park();
	fake_vcpu(hv)->is_parked = true;
	fake_vcpu(hv)->park_count++;
}

static void fake_save(struct hv_vcpu *hv, struct vcpu_state *state)
{
	struct fake_vcpu *vcpu = fake_vcpu(hv);
	u64 tsc_adjust = state->tsc_adjust;
	u32 activity = state->activity;
	u8 nmi_pending = state->nmi_pending;

	put_into_state(vcpu);
	*state = vcpu->state;
	state->tsc_adjust = tsc_adjust;
	state->activity = activity;
	state->nmi_pending = nmi_pending;
}

static void fake_load(struct hv_vcpu *hv, const struct vcpu_state *state)
{
	const char *why;

	assert_or_panic(vcpu_state_check(state, &fake_ops.limits, &why) == 0);
	fake_vcpu(hv)->state = *state;
	take_out_of_state(fake_vcpu(hv));
	fake_vcpu(hv)->want_flush = true;
}

static u64 fake_tsc_aux(const struct hv_vcpu *hv) { return container_of(hv, struct fake_vcpu, hv)->state.tsc_aux; }

static void fake_set_tsc(struct hv_vcpu *hv, u64 offset, u64 ratio, bool trap)
{
	struct fake_vcpu *vcpu = fake_vcpu(hv);

	vcpu->tsc_offset = offset;
	vcpu->tsc_ratio = ratio;
	vcpu->is_tsc_trapped = trap;
}

static void fake_flush(struct hv_vcpu *hv)
{
	fake_vcpu(hv)->want_flush = true;
	fake_vcpu(hv)->flush_count++;
}

static void fake_log_start(struct hv_vcpu *hv) { fake_vcpu(hv)->want_log = true; }
static void fake_log_stop(struct hv_vcpu *hv) { fake_vcpu(hv)->want_log = false; }

static void fake_log_drain(struct hv_vcpu *hv, void (*found)(void *context, u64 gfn), void *context)
{
	struct fake_vcpu *vcpu = fake_vcpu(hv);

	for (unsigned i = 0; i < vcpu->log_count; i++)
		found(context, vcpu->log[i]);
	vcpu->log_count = 0;
}

/*
 * The page's host address, with accessed and dirty bits set on the way and the log kept; NULL: an
 * exit. A write that was cached as allowed and dirty is asked no more.
 */
static u8 *guest_walk(struct fake_vcpu *vcpu, u64 gpa, bool is_write)
{
	const struct nested_format *format = vcpu->nested->format;
	u64 *table = phys_to_virt(vcpu->nested->root);
	bool is_cached = gpa / PAGE_BYTES < FAKE_TLB_PAGES && bitmap_test(vcpu->tlb_dirty, gpa / PAGE_BYTES);

	/* A full log is seen before the access, SDM 3C 29.3.6. */
	if (is_write && !is_cached && vcpu->is_logging && vcpu->log_count == FAKE_LOG_ENTRIES)
		return NULL;
	for (unsigned level = 3;; level--) {
		u64 *entry = &table[gpa >> (12 + 9 * level) & 511];

		if ((*entry & format->present) != format->present)
			return NULL;
		if (is_write && !is_cached && !(*entry & format->write))
			return NULL;
		if (!is_cached)
			*entry |= format->accessed;
		if (level > 0 && !(*entry & format->large)) {
			table = phys_to_virt(HPA(*entry & format->address_mask));
			continue;
		}
		if (is_write && !is_cached) {
			if (vcpu->is_logging && !(*entry & format->dirty))
				vcpu->log[vcpu->log_count++] = gpa / PAGE_BYTES;
			*entry |= format->dirty;
			if (gpa / PAGE_BYTES < FAKE_TLB_PAGES)
				bitmap_set(vcpu->tlb_dirty, gpa / PAGE_BYTES);
		}
		u64 offset = gpa & ((PAGE_BYTES << (9 * level)) - 1);

		return (u8 *)phys_to_virt(HPA(*entry & format->address_mask)) + offset;
	}
}

bool fake_guest_try_write(struct fake_vcpu *vcpu, struct hv_exit *exit, gpa_t gpa, const void *from, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		u8 *at = guest_walk(vcpu, gpa.value + i, true);

		if (at) {
			*at = ((const u8 *)from)[i];
			continue;
		}
		*exit = (struct hv_exit){ .reason = HV_EXIT_NESTED_FAULT };
		exit->nested.gpa = GPA(gpa.value + i);
		exit->nested.is_write = true;
		if (vcpu->is_logging && vcpu->log_count == FAKE_LOG_ENTRIES)
			exit->reason = HV_EXIT_LOG_FULL;
		return false;
	}
	return true;
}

bool fake_guest_write(struct fake_vcpu *vcpu, gpa_t gpa, const void *from, size_t bytes)
{
	struct hv_exit exit;

	return fake_guest_try_write(vcpu, &exit, gpa, from, bytes);
}

bool fake_guest_read(struct fake_vcpu *vcpu, gpa_t gpa, void *to, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++) {
		const u8 *at = guest_walk(vcpu, gpa.value + i, false);

		if (!at)
			return false;
		((u8 *)to)[i] = *at;
	}
	return true;
}

struct hv_ops fake_ops = {
	.name = "fake",
	.probe = fake_probe,
	.cpu_enable = fake_cpu_enable,
	.cpu_disable = fake_cpu_disable,
	.vcpu_init = fake_vcpu_init,
	.vcpu_fini = fake_vcpu_fini,
	.enter = fake_enter,
	.inject = fake_inject,
	.skip = fake_skip,
	.mode = fake_mode,
	.set_xcr0 = fake_set_xcr0,
	.park = fake_park,
	.save = fake_save,
	.load = fake_load,
	.tsc_aux = fake_tsc_aux,
	.set_tsc = fake_set_tsc,
	.flush = fake_flush,
	.log_start = fake_log_start,
	.log_stop = fake_log_stop,
	.log_drain = fake_log_drain,
	.nested = &fake_format,
};

void fake_hv_init(void)
{
	fake_ops.limits = (struct hv_limits){
		.xcr0 = BITS(2, 0),
		.cr4 = BITS(11, 0) | CR4_PCIDE | CR4_FSGSBASE | CR4_OSXSAVE | CR4_SMEP | CR4_SMAP,
		.efer = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE,
		.tsc_ratio_max = 0,
		.physical_bits = 40,
		.mxcsr_mask = 0xffff,
		.has_dirty_bits = true,
		.has_dirty_log = true,
	};
	hv = &fake_ops;
	hv_missing = NULL;
	fake_guest = NULL;
}
