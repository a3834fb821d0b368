/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SDM 3A chapter 4: 32-bit (4.3), PAE (4.4) and 4-level (4.5) paging; access rights (4.6);
 * accessed and dirty bits (4.8). 5-level paging and protection keys' rights are not offered to
 * such accesses: CPUID hides the first, and kernels do not map device memory with the second.
 */
#include "vmm/walk.h"
#include "arch/cpu.h"
#include "arch/hv.h"
#include "kernel/errno.h"
#include "vmm/gmem.h"

#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_U BIT(2)
#define PTE_A BIT(5)
#define PTE_D BIT(6)
#define PTE_PS BIT(7)
#define PTE_NX BIT(63)

/* One of the three formats. Level 1 is the last. */
struct walk_format {
	u8 levels;
	u8 index_bits;
	u8 entry_bytes;
	u64 address_mask;
};

static const struct walk_format format_32 = { 2, 10, 4, BITS(31, 12) };
static const struct walk_format format_pae = { 3, 9, 8, BITS(51, 12) };
static const struct walk_format format_long = { 4, 9, 8, BITS(51, 12) };

/* What the entries on the way allow together. */
struct walk_rights {
	bool is_writable, is_user, is_executable;
};

static const struct walk_format *walk_format(const struct hv_mode *mode)
{
	if (mode->efer & EFER_LMA)
		return &format_long;
	return mode->cr4 & CR4_PAE ? &format_pae : &format_32;
}

/* Bits of the offset below an entry of the level. */
static unsigned level_shift(const struct walk_format *format, unsigned level)
{
	return 12 + (level - 1u) * format->index_bits;
}

static bool is_leaf(const struct walk_format *format, const struct hv_mode *mode, unsigned level, u64 entry)
{
	if (level == 1)
		return true;
	if (!(entry & PTE_PS))
		return false;
	if (format == &format_32)
		return mode->cr4 & CR4_PSE;
	return level == 2 || (level == 3 && format == &format_long);
}

/* PAE's top level has no rights bits (SDM 3A table 4-8). */
static void add_rights(struct walk_rights *rights, const struct walk_format *format,
		       unsigned level, u64 entry)
{
	if (format == &format_pae && level == 3)
		return;
	rights->is_writable &= (entry & PTE_W) != 0;
	rights->is_user &= (entry & PTE_U) != 0;
	rights->is_executable &= !(entry & PTE_NX);
}

static bool is_allowed(const struct hv_mode *mode, const struct walk_rights *rights,
		       struct walk_access access)
{
	if (access.is_user && !rights->is_user)
		return false;
	if (access.is_write && !rights->is_writable && (access.is_user || (mode->cr0 & CR0_WP)))
		return false;
	if (access.is_fetch)
		return (rights->is_executable || !(mode->efer & EFER_NXE)) &&
		       (access.is_user || !rights->is_user || !(mode->cr4 & CR4_SMEP));
	return access.is_user || !rights->is_user || !(mode->cr4 & CR4_SMAP) || access.is_ac_set;
}

static u32 fault_code(struct walk_access access, bool is_present)
{
	return (is_present ? WALK_PRESENT : 0) | (access.is_write ? WALK_WRITE : 0) |
	       (access.is_user ? WALK_USER : 0) | (access.is_fetch ? WALK_FETCH : 0);
}

/* What a leaf of the level stands for. PSE-36 (SDM 3A 4.3): bits 20:13 are address bits 39:32. */
static u64 leaf_address(const struct walk_format *format, unsigned level, u64 entry, u64 linear)
{
	u64 offset_mask = BIT(level_shift(format, level)) - 1;
	u64 base = entry & format->address_mask & ~offset_mask;

	if (format == &format_32 && level == 2)
		base |= FIELD(entry, 20, 13) << 32;
	return base | (linear & offset_mask);
}

static int mark_used(struct gmem *gmem, gpa_t at, u64 entry, u64 bits)
{
	return (entry & bits) == bits ? 0 : gmem_or32(gmem, at, (u32)bits);
}

int walk_translate(struct gmem *gmem, const struct hv_mode *mode, u64 linear, struct walk_access access,
		   gpa_t *gpa, u32 *error_code)
{
	const struct walk_format *format = walk_format(mode);
	struct walk_rights rights = { true, true, true };
	u64 table = mode->cr3 & (format == &format_pae ? BITS(31, 5) : format->address_mask);

	if (!(mode->cr0 & CR0_PG)) {
		*gpa = GPA((u32)linear);
		return 0;
	}
	for (unsigned level = format->levels;; level--) {
		u64 index = linear >> level_shift(format, level) & (BIT(format->index_bits) - 1);
		bool is_root_pae = format == &format_pae && level == 3;
		gpa_t at = GPA(table + (is_root_pae ? index & 3 : index) * format->entry_bytes);
		u64 entry = 0;

		if (gmem_read(gmem, at, &entry, format->entry_bytes))
			return -EIO;
		*error_code = fault_code(access, entry & PTE_P);
		if (!(entry & PTE_P))
			return -EFAULT;
		add_rights(&rights, format, level, entry);
		if (!is_leaf(format, mode, level, entry)) {
			if (!is_root_pae && mark_used(gmem, at, entry, PTE_A))
				return -EIO;
			table = entry & format->address_mask;
			continue;
		}
		if (!is_allowed(mode, &rights, access))
			return -EFAULT;
		*gpa = GPA(leaf_address(format, level, entry, linear));
		return mark_used(gmem, at, entry, PTE_A | (access.is_write ? PTE_D : 0)) ? -EIO : 0;
	}
}
