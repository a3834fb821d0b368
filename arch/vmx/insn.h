/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VT-x's instructions as inline functions (SDM 3C 31.3). Each that can fail says how: by CF
 * without a current VMCS, by ZF with the reason in its field INSN_ERROR (31.2).
 */
#pragma once

#include "arch/vmx/vmcs.h"
#include "kernel/panic.h"

enum vmx_result { VMX_OK, VMX_FAIL_INVALID, VMX_FAIL_VALID };

#define VMX_RESULT(is_cf, is_zf) ((is_cf) ? VMX_FAIL_INVALID : (is_zf) ? VMX_FAIL_VALID : VMX_OK)

/* The three that take the physical address of a region. */
#define VMX_DEFINE_POINTER_INSN(name) \
	static inline enum vmx_result name(hpa_t region) \
	{ \
		bool is_cf, is_zf; \
\
		__asm__ volatile(#name " %2" : "=@ccc"(is_cf), "=@ccz"(is_zf) : "m"(region.value) : "memory"); \
		return VMX_RESULT(is_cf, is_zf); \
	}
VMX_DEFINE_POINTER_INSN(vmxon)
VMX_DEFINE_POINTER_INSN(vmclear)
VMX_DEFINE_POINTER_INSN(vmptrld)
#undef VMX_DEFINE_POINTER_INSN

static inline void vmxoff(void) { __asm__ volatile("vmxoff" : : : "memory", "cc"); }

/* Of the current VMCS. A field that is not there means that we are wrong. */
static inline u64 vmread(enum vmcs_field field)
{
	bool is_failed;
	u64 value;

	__asm__ volatile("vmread %2, %1" : "=@ccbe"(is_failed), "=rm"(value) : "r"((u64)field) : "memory");
	if (UNLIKELY(is_failed))
		panic("VMREAD of field %#x fails", (unsigned)field);
	return value;
}

static inline void vmwrite(enum vmcs_field field, u64 value)
{
	bool is_failed;

	__asm__ volatile("vmwrite %1, %2" : "=@ccbe"(is_failed) : "rm"(value), "r"((u64)field) : "memory");
	if (UNLIKELY(is_failed))
		panic("VMWRITE of %#lx to field %#x fails", value, (unsigned)field);
}

enum vmx_invalidation { INVALIDATE_SINGLE = 1, INVALIDATE_ALL = 2 }; /* types of both, SDM 3C 31.3 */

static inline void invept(enum vmx_invalidation type, u64 ept_pointer)
{
	const u64 descriptor[2] = { ept_pointer, 0 };
	bool is_failed;

	__asm__ volatile("invept %1, %2" : "=@ccbe"(is_failed) : "m"(descriptor), "r"((u64)type) : "memory");
	assert_or_panic(!is_failed);
}

static inline void invvpid(enum vmx_invalidation type, u16 vpid)
{
	const u64 descriptor[2] = { vpid, 0 };
	bool is_failed;

	__asm__ volatile("invvpid %1, %2" : "=@ccbe"(is_failed) : "m"(descriptor), "r"((u64)type) : "memory");
	assert_or_panic(!is_failed);
}
