/* SPDX-License-Identifier: BSD-2-Clause */
#include "arch/state_link.h"

#include "kernel/string.h"

static const struct state_link common_links[] = {
	STATE_LINK(IN_VCPU, struct hv_vcpu, gpr, gpr),
	STATE_LINK(IN_VCPU, struct hv_vcpu, rip, rip),
	STATE_LINK(IN_VCPU, struct hv_vcpu, rflags, rflags),
	STATE_LINK(IN_LIVE, struct live, xcr0, xcr0),
	STATE_LINK(IN_LIVE, struct live, dr, dr),
	STATE_LINK(IN_LIVE, struct live, tsc_aux, tsc_aux),
};

static const struct state_cover common_covers[] = {
	{ "xsave", STATE_MEMBER(xsave) },
	/* hv.h: what vmm keeps itself. */
	{ "vmm", STATE_MEMBER(tsc_adjust) },
	{ "vmm", STATE_MEMBER(activity) },
	{ "vmm", STATE_MEMBER(nmi_pending) },
	{ "reserved", STATE_MEMBER(reserved) },
};

static struct live *live_of(const struct state_table *table, struct hv_vcpu *hv)
{
	return (struct live *)((u8 *)hv + table->live);
}

static u8 *link_at(const struct state_table *table, struct hv_vcpu *hv, const struct state_link *link)
{
	return (link->side == IN_LIVE ? (u8 *)live_of(table, hv) : (u8 *)hv) + link->here;
}

static void link_save(const struct state_table *table, struct hv_vcpu *hv, const struct state_link *link,
		      struct vcpu_state *state)
{
	u8 *to = (u8 *)state + link->state;

	if (link->side == IN_HARDWARE)
		table->get(hv, link, to);
	else
		memcpy(to, link_at(table, hv, link), link->bytes);
}

static void link_load(const struct state_table *table, struct hv_vcpu *hv, const struct state_link *link,
		      const struct vcpu_state *state)
{
	const u8 *from = (const u8 *)state + link->state;

	if (link->side == IN_HARDWARE)
		table->set(hv, link, from);
	else
		memcpy(link_at(table, hv, link), from, link->bytes);
}

void state_table_save(const struct state_table *table, struct hv_vcpu *hv, struct vcpu_state *state)
{
	for (unsigned i = 0; i < ARRAY_COUNT(common_links); i++)
		link_save(table, hv, &common_links[i], state);
	for (unsigned i = 0; i < table->link_count; i++)
		link_save(table, hv, &table->link[i], state);
	for (unsigned i = 0; i < table->pair_count; i++)
		table->pair[i].save(hv, state);
	memcpy(state->xsave, live_of(table, hv)->xsave, sizeof(state->xsave));
	if (!vcpu_is_64bit(state))
		state->rip = (u32)state->rip;
	memset(state->reserved, 0, sizeof(state->reserved));
}

void state_table_load(const struct state_table *table, struct hv_vcpu *hv,
		      const struct vcpu_state *state)
{
	for (unsigned i = 0; i < ARRAY_COUNT(common_links); i++)
		link_load(table, hv, &common_links[i], state);
	for (unsigned i = 0; i < table->link_count; i++)
		link_load(table, hv, &table->link[i], state);
	for (unsigned i = 0; i < table->pair_count; i++)
		table->pair[i].load(hv, state);
	memcpy(live_of(table, hv)->xsave, state->xsave, sizeof(state->xsave));
}

static struct state_cover cover_of(const struct state_link *link)
{
	return (struct state_cover){ link->name, link->state, link->bytes };
}

bool state_table_cover(const struct state_table *table, unsigned index, struct state_cover *cover)
{
	if (index < ARRAY_COUNT(common_links)) {
		*cover = cover_of(&common_links[index]);
		return true;
	}
	index -= ARRAY_COUNT(common_links);
	if (index < ARRAY_COUNT(common_covers)) {
		*cover = common_covers[index];
		return true;
	}
	index -= ARRAY_COUNT(common_covers);
	if (index < table->link_count) {
		*cover = cover_of(&table->link[index]);
		return true;
	}
	index -= table->link_count;
	if (index >= table->pair_count * ARRAY_COUNT(table->pair->member))
		return false;

	const struct state_pair *by = &table->pair[index / ARRAY_COUNT(by->member)];
	unsigned member = index % ARRAY_COUNT(by->member);

	*cover = (struct state_cover){ by->name, by->member[member].offset, by->member[member].bytes };
	return true;
}

/* An injected NMI blocks NMIs, and the neutral form says only "injected". */
void state_save_event(const struct hv_vcpu *hv, const struct hv_event *queued,
		      struct vcpu_state *state)
{
	state->event = (struct vcpu_event){ 0 };
	state->interrupt_shadow = hv->has_shadow && !hv->is_event_queued;
	state->nmi_blocked = hv->is_nmi_blocked;
	if (!hv->is_event_queued)
		return;
	state->event.is_valid = 1;
	state->event.vector = queued->vector;
	state->event.type = (u8)queued->type;
	if (queued->has_error_code) {
		state->event.has_error_code = 1;
		state->event.error_code = queued->error_code;
	}
	if (queued->type == EVENT_NMI)
		state->nmi_blocked = 0;
}

bool state_load_event(struct hv_vcpu *hv, const struct vcpu_state *state, struct hv_event *event)
{
	hv->is_event_queued = false;
	hv->has_shadow = state->interrupt_shadow;
	hv->is_nmi_blocked = state->nmi_blocked;
	*event = (struct hv_event){
		.type = state->event.type,
		.vector = state->event.vector,
		.has_error_code = state->event.has_error_code,
		.error_code = state->event.error_code,
		.address = state->cr2,
	};
	return state->event.is_valid;
}
