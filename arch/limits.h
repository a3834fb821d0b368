/* SPDX-License-Identifier: BSD-2-Clause */
/* What CPUID says of a guest's limits, the same way for every vendor. */
#pragma once

#include "arch/hv.h"

/* Fills xcr0, cr4, efer, mxcsr_mask, spec_ctrl, physical_bits, has_huge_pages; the rest is a back end's. */
void limits_read(struct hv_limits *limits);
/* RDTSCP or RDPID, so IA32_TSC_AUX exists. */
bool cpu_has_tsc_aux(void);
/* Indirect branch prediction barrier: IA32_PRED_CMD exists. */
bool cpu_has_ibpb(void);
/* XSAVE, with no more state than struct vcpu_state has room for; else *why says so. */
bool cpu_has_xsave_that_fits(const char **why);
