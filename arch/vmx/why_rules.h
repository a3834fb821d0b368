/* SPDX-License-Identifier: BSD-2-Clause */
/* Shared by why.c and why_guest.c: a rule, and the questions that many rules ask. */
#pragma once

#include "arch/regs.h"
#include "arch/vmx/vmcs.h"
#include "arch/vmx/why.h"

/* Sections of the SDM that end a rule's words. */
#define SDM_CONTROLS " (SDM 3C 27.2.1.1)"
#define SDM_EXITS " (SDM 3C 27.2.1.2)"
#define SDM_ENTRIES " (SDM 3C 27.2.1.3)"
#define SDM_HOST_CONTROL " (SDM 3C 27.2.2)"
#define SDM_HOST_SEGMENTS " (SDM 3C 27.2.3)"
#define SDM_HOST_SIZE " (SDM 3C 27.2.4)"
#define SDM_GUEST_CONTROL " (SDM 3C 27.3.1.1)"
#define SDM_GUEST_SEGMENTS " (SDM 3C 27.3.1.2)"
#define SDM_GUEST_TABLES " (SDM 3C 27.3.1.3)"
#define SDM_GUEST_RIP " (SDM 3C 27.3.1.4)"
#define SDM_GUEST_OTHER " (SDM 3C 27.3.1.5)"
#define SDM_GUEST_PDPTES " (SDM 3C 27.3.1.6)"

/* Controls and bits that Tern never sets, beside those of vmcs.h (25.6 to 25.8). */
#define PIN_PREEMPTION_TIMER BIT(6)
#define PRIMARY_IO_BITMAPS BIT(25)
#define PRIMARY_TRAP_FLAG BIT(27)
#define SECONDARY_APIC_ACCESSES BIT(0)
#define SECONDARY_X2APIC BIT(4)
#define SECONDARY_APIC_REGISTERS BIT(8)
#define SECONDARY_INTERRUPT_DELIVERY BIT(9)
#define EXIT_SAVE_PREEMPTION_TIMER BIT(22)
#define ENTRY_TO_SMM BIT(10)
#define ENTRY_DEACTIVATE_DUAL BIT(11)
#define INFO_RESERVED BITS(30, 12)
#define BASIC_ANY_ERROR_CODE BIT(56) /* SDM 3D A.1 */
#define MISC_ZERO_LENGTH BIT(30)     /* SDM 3D A.6 */

/* Types of injected events, 25.8.3; enum event_type has those that Tern injects. */
enum {
	INFO_EXTERNAL = 0,
	INFO_NMI = 2,
	INFO_EXCEPTION = 3,
	INFO_SOFTWARE_INTERRUPT = 4,
	INFO_PRIVILEGED_EXCEPTION = 5,
	INFO_SOFTWARE_EXCEPTION = 6,
	INFO_OTHER = 7,
};

struct rule {
	bool is_broken;
	const char *why;
};

static inline const char *first_broken(const struct rule *rules, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		if (rules[i].is_broken)
			return rules[i].why;
	}
	return NULL;
}

/* SDM 3D A.2: low half of the MSR says what must be 1, high half what may be. */
static inline bool is_allowed(u32 controls, u64 capability)
{
	return !(~controls & (u32)capability) && !(controls & ~(u32)(capability >> 32));
}

/* SDM 3D A.7: 1 in FIXED0 must be 1, 0 in FIXED1 must be 0. */
static inline bool is_fixed(u64 value, u64 fixed0, u64 fixed1)
{
	return !(~value & fixed0) && !(value & ~fixed1);
}

/* Secondary controls count only if the primary ones say so. */
static inline bool has(const struct vmx_entry_fields *f, u64 secondary)
{
	return (f->primary & PRIMARY_SECONDARY) && (f->secondary & secondary);
}

static inline bool is_physical(const struct vmx_entry_fields *f, u64 address)
{
	return f->physical_bits > 63 || !(address >> f->physical_bits);
}

static inline bool is_page(const struct vmx_entry_fields *f, u64 address)
{
	return !(address & 0xfff) && is_physical(f, address);
}

static inline bool is_canonical(const struct vmx_entry_fields *f, u64 address)
{
	unsigned spare = 64u - f->linear_bits;

	return (u64)((s64)(address << spare) >> spare) == address;
}

static inline u32 info_type(const struct vmx_entry_fields *f) { return f->entry_info >> 8 & 7; }
static inline u32 info_vector(const struct vmx_entry_fields *f) { return f->entry_info & 0xff; }

/* why_guest.c: the first rule of SDM 3C 27.3 that the guest's state breaks, or NULL. */
const char *why_guest(const struct vmx_entry_fields *fields);
