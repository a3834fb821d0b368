/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A back end on plain memory, for host tests of vmm/ and migrate/. Its guest is a C function of
 * the test: enter() calls it, and it answers with an exit. Guest memory is reached by
 * fake_guest_write and fake_guest_read, which walk the nested tables, set accessed and dirty
 * bits, keep a small log of what they dirty and cache translations until a flush, so that a
 * forgotten flush loses writes here too.
 *
 * Link tests/host/fake/hv_fake.c, arch/nested.c and arch/vcpu_state.c; call fake_hv_init.
 */
#pragma once

#include "arch/hv.h"

#define FAKE_LOG_ENTRIES 8
#define FAKE_TLB_PAGES (64 * 1024) /* cached translations: of the first 256 MiB; above, none */

struct fake_vcpu {
	struct hv_vcpu hv;           /* first */
	struct vcpu_state state;     /* all but gpr, rip, rflags, shadow and NMI blocking, which are in hv */
	const struct nested *nested;
	u64 nested_generation;
	bool want_flush;
	u64 tlb_dirty[FAKE_TLB_PAGES / 64]; /* writes to these pages set no bit */
	bool want_log, is_logging;   /* asked for, and since the last entry so */
	u64 log[FAKE_LOG_ENTRIES];   /* gfns */
	unsigned log_count;
	u64 tsc_offset, tsc_ratio;
	bool is_tsc_trapped;
	bool is_parked;
	struct hv_event injected;    /* the last one */
	u64 inject_count, enter_count, flush_count, skip_count, park_count;
};

/* The guest: called by enter() with *exit zeroed. NULL: every entry ends with HV_EXIT_HLT. */
extern void (*fake_guest)(struct fake_vcpu *vcpu, struct hv_exit *exit);
/* Called by park() before it is done; NULL: nothing happens. */
extern void (*fake_on_park)(void);
extern unsigned fake_vcpu_count; /* made and not yet freed */
extern struct hv_ops fake_ops;

/* hv becomes the fake one, with limits that a test may change after. */
void fake_hv_init(void);

static inline struct fake_vcpu *fake_vcpu(struct hv_vcpu *hv) { return container_of(hv, struct fake_vcpu, hv); }

/*
 * As the guest's CPU does it. From fake_guest. False: the guest must leave with the exit that was
 * filled in, a nested fault or (writes) a full log, and try again when it is answered.
 */
bool fake_guest_try_write(struct fake_vcpu *vcpu, struct hv_exit *exit, gpa_t gpa, const void *from, size_t bytes);
/* Without an exit: false means that there would be one. */
bool fake_guest_write(struct fake_vcpu *vcpu, gpa_t gpa, const void *from, size_t bytes);
bool fake_guest_read(struct fake_vcpu *vcpu, gpa_t gpa, void *to, size_t bytes);
