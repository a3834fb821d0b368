/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which steps of hardening a CPU needs. Sources: Intel, "Software Security Guidance" and SDM 4
 * table 2-2 (IA32_ARCH_CAPABILITIES); AMD, "Software Techniques for Managing Speculation on AMD
 * Processors", its bulletins named below, and APM 2 3.2.9.
 */
#include "arch/harden.h"

#include "kernel/string.h"

/* IA32_ARCH_CAPABILITIES */
#define CAP_RDCL_NO BIT(0)
#define CAP_IBRS_ALL BIT(1)
#define CAP_SKIP_L1D_FLUSH BIT(3)
#define CAP_MDS_NO BIT(5)
#define CAP_PSCHANGE_MC_NO BIT(6)
#define CAP_TAA_NO BIT(8)
#define CAP_BHI_NO BIT(20)
#define CAP_PBRSB_NO BIT(24)
#define CAP_RFDS_NO BIT(27)
#define CAP_RFDS_CLEAR BIT(28)

/* CPUID 7.0 EBX, EDX; 7.2 EDX */
#define HAS_RTM BIT(11)
#define HAS_MD_CLEAR BIT(10)
#define HAS_IBRS_IBPB BIT(26)
#define HAS_STIBP BIT(27)
#define HAS_L1D_FLUSH BIT(28)
#define HAS_SSBD BIT(31)
#define HAS_BHI_CTRL BIT(4)

/* CPUID 80000008H EBX */
#define HAS_AMD_IBPB BIT(12)
#define HAS_AMD_IBRS BIT(14)
#define HAS_AMD_STIBP BIT(15)
#define AMD_IBRS_ALWAYS_ON BIT(16)
#define HAS_AMD_SSBD BIT(24)
#define AMD_BTC_NO BIT(29)

/* CPUID 80000021H EAX, ECX */
#define HAS_VERW_CLEAR BIT(5)
#define HAS_AUTO_IBRS BIT(8)
#define HAS_IBPB_BRTYPE BIT(28) /* IBPB reaches return predictions, on Zen 3 and later */
#define AMD_SRSO_NO BIT(29)
#define HAS_SPEC_REDUCE BIT(31)
#define AMD_TSA_SQ_NO BIT(1)
#define AMD_TSA_L1_NO BIT(2)

#define SPEC_CTRL_IBRS BIT(0)
#define SPEC_CTRL_BHI_DIS_S BIT(10)

#define MICROCODE "; update the firmware or its microcode"

/* Cores that do not speculate so, and say nothing of it (Intel's table of affected processors). */
static bool is_simple_core(const struct harden_profile *p)
{
	static const u8 bonnell[] = { 0x1c, 0x26, 0x27, 0x35, 0x36 };

	for (unsigned i = 0; i < ARRAY_COUNT(bonnell); i++) {
		if (p->family == 6 && p->model == bonnell[i])
			return true;
	}
	return false;
}

static void put(struct harden_plan *plan, unsigned step, bool is_on, const char *why)
{
	if (is_on)
		plan->steps |= 1u << step;
	plan->why[step] = why;
}

static bool has_ibpb(const struct harden_profile *p)
{
	return (p->leaf7_edx & HAS_IBRS_IBPB) || (p->ext8_ebx & HAS_AMD_IBPB);
}

static bool has_ibrs(const struct harden_profile *p)
{
	return (p->leaf7_edx & HAS_IBRS_IBPB) || (p->ext8_ebx & HAS_AMD_IBRS);
}

static bool has_spec_ctrl(const struct harden_profile *p)
{
	return (p->leaf7_edx & (HAS_IBRS_IBPB | HAS_STIBP | HAS_SSBD)) ||
	       (p->ext8_ebx & (HAS_AMD_IBRS | HAS_AMD_STIBP | HAS_AMD_SSBD));
}

static bool has_enhanced_ibrs(const struct harden_profile *p)
{
	return p->vendor == HARDEN_INTEL && has_ibrs(p) && (p->capabilities & CAP_IBRS_ALL);
}

static bool has_auto_ibrs(const struct harden_profile *p)
{
	return p->vendor == HARDEN_AMD && (p->ext21_eax & HAS_AUTO_IBRS);
}

static void decide_switch(const struct harden_profile *p, struct harden_plan *plan)
{
	if (has_ibpb(p))
		put(plan, HARDEN_IBPB_SWITCH, true, "one vCPU's branch history must not steer another's");
	else
		put(plan, HARDEN_IBPB_SWITCH, false, "this CPU has no barrier for branch prediction" MICROCODE);
}

/* --- before entry: what a guest could read --- */

/* CVE-2018-3646. The command must run before each entry: any exit may bring secrets into the cache. */
static void decide_l1d(const struct harden_profile *p, struct harden_plan *plan)
{
	const unsigned step = HARDEN_L1D_FLUSH;

	if (p->vendor != HARDEN_INTEL || is_simple_core(p))
		put(plan, step, false, "not a CPU with L1TF");
	else if (p->capabilities & CAP_RDCL_NO)
		put(plan, step, false, "the CPU says that it has no L1TF");
	else if (p->capabilities & CAP_SKIP_L1D_FLUSH)
		put(plan, step, false, "the hypervisor beneath does it");
	else if (p->leaf7_edx & HAS_L1D_FLUSH)
		put(plan, step, true, "L1TF: a guest could read what Tern left in the L1 data cache");
	else
		put(plan, step, false, "L1TF, but this CPU has no command for it" MICROCODE);
}

/* MDS (CVE-2018-12126 and others), TAA (CVE-2019-11135), RFDS (CVE-2023-28746), TSA (AMD-SB-7029). */
static const char *why_buffers(const struct harden_profile *p)
{
	if (p->vendor == HARDEN_AMD)
		return (p->ext21_eax & HAS_VERW_CLEAR) &&
			       (p->ext21_ecx & (AMD_TSA_SQ_NO | AMD_TSA_L1_NO)) !=
				       (AMD_TSA_SQ_NO | AMD_TSA_L1_NO) ?
			       "TSA: a guest could infer what Tern loaded and stored" : NULL;
	if (p->vendor != HARDEN_INTEL || is_simple_core(p))
		return NULL;
	if (!(p->capabilities & CAP_MDS_NO))
		return "MDS: a guest could read what Tern left in store, fill and load buffers";
	if (!(p->capabilities & CAP_TAA_NO) && (p->leaf7_ebx & HAS_RTM))
		return "TAA: a guest could read buffers through aborted transactions";
	if ((p->capabilities & CAP_RFDS_CLEAR) && !(p->capabilities & CAP_RFDS_NO))
		return "RFDS: a guest could read what Tern left in register files";
	return NULL;
}

static void decide_verw(const struct harden_profile *p, struct harden_plan *plan)
{
	const char *why = why_buffers(p);
	const bool clears = p->vendor == HARDEN_AMD || (p->leaf7_edx & HAS_MD_CLEAR) ||
			    (p->capabilities & CAP_RFDS_CLEAR);

	if (!why)
		put(plan, HARDEN_VERW, false, "not a CPU with MDS, TAA, RFDS or TSA");
	else if (clears)
		put(plan, HARDEN_VERW, true, why);
	else
		put(plan, HARDEN_VERW, false, "MDS, but VERW does not clear buffers on this CPU" MICROCODE);
}

/* --- after exit: what a guest could steer --- */

/*
 * Branch type confusion (AMD-SB-1037) and speculative return stack overflow (AMD-SB-7005): only a
 * barrier keeps a guest's history from Tern's returns, as Tern's returns are plain ones.
 */
static void decide_barrier(const struct harden_profile *p, struct harden_plan *plan)
{
	const bool is_amd = p->vendor == HARDEN_AMD;
	const bool is_confused = is_amd && p->family >= 0x15 && p->family <= 0x18 && !(p->ext8_ebx & AMD_BTC_NO);
	const bool overflows = is_amd && p->family >= 0x17 && p->family <= 0x1a && !(p->ext21_eax & AMD_SRSO_NO);

	put(plan, HARDEN_SPEC_REDUCE, false, "not a CPU that offers it");
	if (!is_confused && !overflows)
		put(plan, HARDEN_IBPB_EXIT, false, "not a CPU with BTC or SRSO");
	else if (!is_confused && (p->ext21_eax & HAS_SPEC_REDUCE)) {
		put(plan, HARDEN_IBPB_EXIT, false, "prediction is reduced instead");
		put(plan, HARDEN_SPEC_REDUCE, true, "SRSO: a guest's history must not steer Tern's returns");
	} else if (has_ibpb(p))
		put(plan, HARDEN_IBPB_EXIT, true, is_confused ?
		    "BTC: a guest's history could steer any branch of Tern's, returns too" :
		    "SRSO: a guest's history could steer Tern's returns");
	else
		put(plan, HARDEN_IBPB_EXIT, false, "needed, but this CPU has no barrier" MICROCODE);
	if ((plan->steps & 1u << HARDEN_IBPB_EXIT) && p->family >= 0x19 && !(p->ext21_eax & HAS_IBPB_BRTYPE))
		plan->exposed = "SRSO: this CPU's barrier leaves predictions of returns" MICROCODE;
}

/* Spectre v2: IA32_SPEC_CTRL or EFER.AIBRSE restrict what a guest trained to the guest. */
static void decide_ibrs(const struct harden_profile *p, struct harden_plan *plan)
{
	const bool has_barrier = plan->steps & 1u << HARDEN_IBPB_EXIT;
	const bool is_set_once = has_enhanced_ibrs(p) || (p->ext8_ebx & AMD_IBRS_ALWAYS_ON);
	bool wants_ibrs = has_ibrs(p) && !has_auto_ibrs(p) && !has_barrier;

	put(plan, HARDEN_AUTO_IBRS, has_auto_ibrs(p),
	    has_auto_ibrs(p) ? "a guest's branch history must not steer Tern" : "not a CPU that offers it");
	plan->spec_ctrl = wants_ibrs ? SPEC_CTRL_IBRS : 0;
	if (has_enhanced_ibrs(p) && !(p->capabilities & CAP_BHI_NO) && (p->leaf7_2_edx & HAS_BHI_CTRL))
		plan->spec_ctrl |= SPEC_CTRL_BHI_DIS_S;
	put(plan, HARDEN_IBRS_EXIT, wants_ibrs && !is_set_once, wants_ibrs && !is_set_once ?
	    "IBRS counts for a CPU without its enhanced form only if written after each exit" :
	    wants_ibrs ? "enhanced IBRS holds once it is set" : "IBRS is not what protects this CPU");
	wants_ibrs = has_spec_ctrl(p) && !p->has_virtual_spec_ctrl && !(plan->steps & 1u << HARDEN_IBRS_EXIT);
	put(plan, HARDEN_SPEC_CTRL, wants_ibrs, wants_ibrs ? "guest and Tern each have their own" :
	    has_spec_ctrl(p) ? "it is switched in another way" : "this CPU has none");
	if (!has_ibrs(p) && !has_auto_ibrs(p) && !has_barrier)
		plan->exposed = "nothing keeps a guest's branch history from Tern's indirect branches" MICROCODE;
}

static void decide_rsb(const struct harden_profile *p, struct harden_plan *plan)
{
	const char *by_ibrs = "enhanced IBRS keeps a guest's calls from Tern's returns";

	if (has_auto_ibrs(p)) {
		/* APM 2 3.1.7: an exit clears the return predictor. */
		put(plan, HARDEN_RSB_FILL, false, "AutoIBRS clears the return predictor at each exit");
		put(plan, HARDEN_RSB_ONE, false, "AutoIBRS clears the return predictor at each exit");
	} else if (!has_enhanced_ibrs(p)) {
		put(plan, HARDEN_RSB_FILL, true, "a guest's calls must not predict Tern's returns");
		put(plan, HARDEN_RSB_ONE, false, "all entries are filled");
	} else {
		bool is_post_barrier = !(p->capabilities & CAP_PBRSB_NO);

		put(plan, HARDEN_RSB_FILL, false, by_ibrs);
		put(plan, HARDEN_RSB_ONE, is_post_barrier, is_post_barrier ?
		    "PBRSB: the first return after an exit could be a guest's" : by_ibrs);
	}
}

/* CVE-2022-0001. The sequence is that for cores before Alder Lake; those from there on have the bit. */
static void decide_bhb(const struct harden_profile *p, struct harden_plan *plan)
{
	if (!has_enhanced_ibrs(p))
		put(plan, HARDEN_BHB_CLEAR, false, "not a CPU with BHI");
	else if (p->capabilities & CAP_BHI_NO)
		put(plan, HARDEN_BHB_CLEAR, false, "the CPU says that it has no BHI");
	else if (plan->spec_ctrl & SPEC_CTRL_BHI_DIS_S)
		put(plan, HARDEN_BHB_CLEAR, false, "BHI_DIS_S in IA32_SPEC_CTRL does it");
	else
		put(plan, HARDEN_BHB_CLEAR, true, "BHI: a guest's history could choose among Tern's own targets");
}

/* What no step covers. */
static void decide_warnings(const struct harden_profile *p, struct harden_plan *plan)
{
	if (p->vendor != HARDEN_INTEL || is_simple_core(p))
		return;
	if (p->has_threads && (~p->capabilities & (CAP_RDCL_NO | CAP_MDS_NO)))
		plan->threads = "with L1TF or MDS one hyper-thread can read what the other one handles; switch "
				"hyper-threading off in the firmware if guests do not trust each other";
	if (!(p->capabilities & CAP_PSCHANGE_MC_NO))
		plan->pages = "a guest that changes the size of a page while it executes it can stop this machine "
			      "(CVE-2018-12207); run guests that would not, or use a newer CPU";
}

void harden_decide(const struct harden_profile *profile, struct harden_plan *plan)
{
	*plan = (struct harden_plan){ 0 };
	decide_switch(profile, plan);
	decide_l1d(profile, plan);
	decide_verw(profile, plan);
	decide_barrier(profile, plan);
	decide_ibrs(profile, plan);
	decide_rsb(profile, plan);
	decide_bhb(profile, plan);
	decide_warnings(profile, plan);
}

/* SDM 2B NOP: the forms of one instruction; JMP where there would be many. */
void harden_site_clear(u8 *start, u32 bytes)
{
	static const u8 nop[] = { 0x0f, 0x1f, 0x84, 0x00, 0x00, 0x00, 0x00, 0x00 };
	u32 at = 0;

	if (bytes > 4 * sizeof(nop)) {
		u32 distance = bytes - 5;

		start[0] = 0xe9;
		memcpy(start + 1, &distance, 4);
		at = 5;
	}
	for (; at + sizeof(nop) <= bytes; at += sizeof(nop))
		memcpy(start + at, nop, sizeof(nop));
	memset(start + at, 0x90, bytes - at);
}
