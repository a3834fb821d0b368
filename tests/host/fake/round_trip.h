/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What every back end's links to struct vcpu_state must hold: each byte belongs to exactly one, and
 * none is lost on the way in and out. The test gives its back end.
 */
#pragma once

#include "tests/host/fake/busy_state.h"

static const struct back_end {
	bool (*cover)(unsigned index, struct state_cover *cover);
	void (*clear)(void); /* the vCPU is as if it had never run */
	void (*load)(const struct vcpu_state *state);
	void (*save)(struct vcpu_state *state);
	u64 sysenter_cs;     /* bits of it that are kept */
} back_end;

static void every_byte_is_covered_once(void **state)
{
	static const char *by[sizeof(struct vcpu_state)];
	struct state_cover cover;

	(void)state;
	for (unsigned i = 0; back_end.cover(i, &cover); i++) {
		assert_true(cover.offset + cover.bytes <= sizeof(struct vcpu_state));
		for (u32 at = cover.offset; at < cover.offset + cover.bytes; at++) {
			if (by[at])
				fail_msg("byte %u is covered by %s and by %s", at, by[at], cover.by);
			by[at] = cover.by;
		}
	}
	for (u32 at = 0; at < sizeof(struct vcpu_state); at++) {
		if (!by[at])
			fail_msg("byte %u of struct vcpu_state is covered by nothing", at);
	}
}

/* Members that vmm keeps are left alone by save, so they are given to it. */
static void expect_round_trip(const struct vcpu_state *in)
{
	struct vcpu_state out;
	const char *why;

	assert_int_equal(vcpu_state_check(in, &limits, &why), 0);
	assert_null(why);
	back_end.clear();
	memset(&out, 0xee, sizeof(out));
	out.tsc_adjust = in->tsc_adjust;
	out.activity = in->activity;
	out.nmi_pending = in->nmi_pending;
	back_end.load(in);
	back_end.save(&out);
	assert_memory_equal(in, &out, sizeof(out));
}

static void load_then_save_is_identity(void **state)
{
	struct vcpu_state s = busy_state();

	(void)state;
	expect_round_trip(&s);
	s.event = (struct vcpu_event){ 0 };
	s.interrupt_shadow = 1;
	expect_round_trip(&s);
	s.interrupt_shadow = 0;
	s.nmi_blocked = 0;
	s.event = (struct vcpu_event){ .is_valid = 1, .vector = 2, .type = EVENT_NMI };
	expect_round_trip(&s);
	s.event = (struct vcpu_event){ .is_valid = 1, .vector = 0x31, .type = EVENT_EXTERNAL };
	expect_round_trip(&s);
	vcpu_state_reset(&s);
	expect_round_trip(&s);
}

/* Some bits of segments have no meaning; TSC_ADJUST is vmm's. */
static bool may_be_dropped(u32 at)
{
	bool is_segment = at >= offsetof(struct vcpu_state, segment) && at < offsetof(struct vcpu_state, star);
	bool is_sysenter_cs = at / 8 == offsetof(struct vcpu_state, sysenter_cs) / 8;

	return is_segment || at / 8 == offsetof(struct vcpu_state, tsc_adjust) / 8 ||
	       (is_sysenter_cs && !(back_end.sysenter_cs >> 8 * (at % 8) & 0xff));
}

/* A change of any byte that load takes in shows in what save gives out. */
static void no_byte_is_dropped(void **state)
{
	struct vcpu_state s = busy_state(), before, after;

	(void)state;
	s.event = (struct vcpu_event){ 0 };
	memset(&before, 0, sizeof(before));
	memset(&after, 0, sizeof(after));
	back_end.clear();
	back_end.load(&s);
	back_end.save(&before);
	for (u32 at = 0; at < offsetof(struct vcpu_state, event); at++) {
		if (may_be_dropped(at))
			continue;
		((u8 *)&s)[at] ^= 1;
		back_end.load(&s);
		back_end.save(&after);
		((u8 *)&s)[at] ^= 1;
		if (memcmp(&before, &after, sizeof(after)) == 0)
			fail_msg("byte %u is lost", at);
	}
}
