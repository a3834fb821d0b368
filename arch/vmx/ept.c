/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Extended page tables, SDM 3C 29.3.2: read 0, write 1, execute 2; a leaf has its memory type in
 * 5:3, large in 7; accessed 8 and dirty 9 where the EPT pointer asks for them. A leaf does not
 * ignore the guest's PAT (bit 6): its type is combined with write-back, as on AMD (29.3.7.2).
 */
#include "arch/vmx/vmx.h"

const struct nested_format vmx_nested_format = {
	.present = BIT(0) | BIT(2),
	.write = BIT(1),
	.accessed = BIT(8),
	.dirty = BIT(9),
	.large = BIT(7),
	.memory_wb = MEMORY_TYPE_WB << 3,
	.address_mask = BITS(51, 12),
};

u64 vmx_ept_pointer(const struct nested *nested)
{
	return nested->root.value | EPTP_WB | EPTP_WALK_4 | (vmx_controls.has_dirty_bits ? EPTP_AD : 0);
}

void vmx_load_pdptes(const struct vmx_vcpu *vcpu, u64 cr3)
{
	hpa_t hpa;
	bool is_mapped = nested_walk(vcpu->nested, GPA(cr3 & BITS(31, 5)), &hpa, NULL, NULL);

	/* 32 bytes, aligned to as many: in one page. What is not there is not present. */
	for (unsigned i = 0; i < 4; i++) {
		u64 value = is_mapped ? ((const u64 *)phys_to_virt(hpa))[i] : 0;

		vmwrite((enum vmcs_field)(GUEST_PDPTE + 2 * i), value);
	}
}
