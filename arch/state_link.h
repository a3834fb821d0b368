/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A back end's vCPU to struct vcpu_state and back. One table of links drives both directions; what
 * needs thought is in pairs of named functions, listed with the members that they cover. What every
 * back end keeps in struct hv_vcpu and struct live is linked here: general registers, rip, rflags,
 * XCR0, debug registers 0 to 3, TSC_AUX and the XSAVE area. The rest is the back end's to list.
 */
#pragma once

#include "arch/hv.h"
#include "arch/live.h"

/* The other end, here: an offset in struct live or in the back end's vCPU, or what get and set know. */
enum link_side { IN_LIVE, IN_VCPU, IN_HARDWARE };

struct state_link {
	u16 state, here, bytes;
	u8 side;
	const char *name;
};

#define SAME_SIZE(a, b) (sizeof(char[sizeof(a) == sizeof(b) ? 1 : -1]) * sizeof(a))
#define STATE_LINK(side, type, member, here) \
	{ offsetof(struct vcpu_state, member), offsetof(type, here), \
	  SAME_SIZE(((struct vcpu_state *)0)->member, ((type *)0)->here), side, #member }

struct state_pair {
	const char *name;
	void (*save)(struct hv_vcpu *hv, struct vcpu_state *state);
	void (*load)(struct hv_vcpu *hv, const struct vcpu_state *state);
	struct {
		u32 offset, bytes;
	} member[4];
};

#define STATE_MEMBER(name) offsetof(struct vcpu_state, name), sizeof(((struct vcpu_state *)0)->name)

struct state_table {
	const struct state_link *link;
	const struct state_pair *pair;
	unsigned link_count, pair_count;
	u32 live; /* offset of struct live in the back end's vCPU, whose first member is struct hv_vcpu */
	void (*get)(struct hv_vcpu *hv, const struct state_link *link, void *to);
	void (*set)(struct hv_vcpu *hv, const struct state_link *link, const void *from);
};

/* Links first, then pairs, each in the table's order. What is live must have been released. */
void state_table_save(const struct state_table *table, struct hv_vcpu *hv, struct vcpu_state *state);
void state_table_load(const struct state_table *table, struct hv_vcpu *hv,
		      const struct vcpu_state *state);
/* What the index-th link or member of a pair covers, or false at the end. */
bool state_table_cover(const struct state_table *table, unsigned index, struct state_cover *cover);

/*
 * What waits to be injected, for a back end's pair: event, interrupt_shadow and nmi_blocked. queued
 * counts while hv->is_event_queued.
 */
void state_save_event(const struct hv_vcpu *hv, const struct hv_event *queued,
		      struct vcpu_state *state);
/* True: *event is to be injected. */
bool state_load_event(struct hv_vcpu *hv, const struct vcpu_state *state, struct hv_event *event);
