/* SPDX-License-Identifier: BSD-2-Clause */
/* arch/vmx/insn.h for host tests: a VMCS is an array, and invalidations are counted. */
#pragma once

#include "arch/vmx/vmcs.h"
#include "kernel/panic.h"

enum vmx_result { VMX_OK, VMX_FAIL_INVALID, VMX_FAIL_VALID };
enum vmx_invalidation { INVALIDATE_SINGLE = 1, INVALIDATE_ALL = 2 };

/* By a field's encoding. One object over all files of a test. */
__attribute__((weak)) u64 fake_vmcs[HOST_RIP + 2];
__attribute__((weak)) unsigned fake_write_count;
__attribute__((weak)) unsigned fake_invept_count[3], fake_invvpid_count[3];
__attribute__((weak)) u64 fake_invept_pointer;

static inline u64 vmread(enum vmcs_field field) { return fake_vmcs[field]; }

/* SDM 3C 25.11.2: bits 14:13 of the encoding are the width. */
static inline void vmwrite(enum vmcs_field field, u64 value)
{
	static const u64 width_mask[] = { 0xffff, ~0ull, 0xffffffff, ~0ull };

	fake_vmcs[field] = value & width_mask[FIELD((u64)field, 14, 13)];
	fake_write_count++;
}

static inline void invept(enum vmx_invalidation type, u64 ept_pointer)
{
	fake_invept_count[type]++;
	fake_invept_pointer = ept_pointer;
}

static inline void invvpid(enum vmx_invalidation type, u16 vpid)
{
	(void)vpid;
	fake_invvpid_count[type]++;
}
