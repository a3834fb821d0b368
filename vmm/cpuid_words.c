/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Feature bits that a guest may see, by name: an allow-list, since for a bit that is not
 * here Tern would have to virtualize what it stands for. Names are those of Linux' /proc/cpuinfo.
 */
#include "vmm/cpuid_words.h"
#include "kernel/string.h"

const struct cpuid_word cpuid_words[CPUID_WORD_COUNT] = {
	{ 1, 0, ECX, "sse3 pclmulqdq - - - - - - - ssse3 - - fma cx16 - - - pcid - sse4_1 sse4_2 +x2apic movbe "
		     "popcnt +tsc_deadline_timer aes xsave - avx f16c rdrand +hypervisor" },
	{ 1, 0, EDX, "fpu vme de pse tsc msr pae mce cx8 +apic - sep mtrr pge mca cmov pat pse36 - clflush - - - "
		     "mmx fxsr sse sse2 ss" },
	{ 6, 0, EAX, "- - +arat" },
	{ 7, 0, EBX, "fsgsbase +tsc_adjust - bmi1 - avx2 - smep bmi2 erms invpcid - - - - - avx512f avx512dq "
		     "rdseed adx smap avx512ifma - clflushopt clwb - - - avx512cd sha_ni avx512bw avx512vl" },
	{ 7, 0, ECX, "- avx512vbmi umip pku - - avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni avx512_bitalg - "
		     "avx512_vpopcntdq - - - - - - - rdpid" },
	{ 7, 0, EDX, "- - avx512_4vnniw avx512_4fmaps fsrm - - - avx512_vp2intersect - md_clear - - - serialize "
		     "- - - - - - - - - - - spec_ctrl stibp - - - spec_ctrl_ssbd" },
	{ 7, 1, EAX, "- - - - avx_vnni avx512_bf16 - - - - fzrm fsrs fsrc" },
	{ 0xd, 1, EAX, "xsaveopt - xgetbv1" },
	{ 0x80000001, 0, ECX, "lahf_lm - - - cr8_legacy abm sse4a misalignsse 3dnowprefetch - - xop - - - - fma4 - - - "
			      "- tbm topoext" },
	{ 0x80000001, 0, EDX, "fpu vme de pse tsc msr pae mce cx8 +apic - syscall mtrr pge mca cmov pat pse36 - - nx "
			      "- mmxext mmx fxsr fxsr_opt pdpe1gb rdtscp - lm 3dnowext 3dnow" },
	{ 0x80000008, 0, EBX, "clzero - xsaveerptr - - - - - - wbnoinvd - - ibpb - ibrs amd_stibp - - - - - - - - "
			      "amd_ssbd" },
	{ 0x80000021, 0, EAX, "- - lfence_rdtsc - - - null_sel_clr_base" },
};

size_t cpuid_bit_name(const struct cpuid_word *word, unsigned n, const char **name)
{
	const char *at = word->bits;
	size_t length;

	for (;; at++) {
		const char *end = strchr(at, ' ');

		length = end ? (size_t)(end - at) : strlen(at);
		if (!n--)
			break;
		at += length;
		if (!*at) {
			*name = "-";
			return 1;
		}
	}
	*name = at;
	return length;
}

u32 *cpuid_entry_reg(struct cpuid_entry *entry, enum cpuid_reg reg)
{
	u32 *const regs[] = { &entry->eax, &entry->ebx, &entry->ecx, &entry->edx };

	return regs[reg];
}

struct cpuid_entry *cpuid_find(const struct cpuid_policy *policy, u32 function, u32 index)
{
	for (u32 i = 0; i < policy->count; i++) {
		const struct cpuid_entry *entry = &policy->leaf[i];

		if (entry->function == function && entry->index == index)
			return (struct cpuid_entry *)entry;
	}
	return NULL;
}
