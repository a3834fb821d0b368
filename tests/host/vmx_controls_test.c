/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From capability MSRs to control words: a whole CPU gets what is asked for and no more; each thing
 * that Tern needs is named when it is missing; what is optional is done without.
 */
/* SOURCES: arch/vmx/controls.c */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "arch/msr_list.h"
#include "arch/regs.h"
#include "tests/host/fake/vmx.h"

u8 *direct_map;
static u8 map_page[PAGE_BYTES];
void *page_alloc_zeroed(void) { return map_page; }
u64 vmx_ept_pointer(const struct nested *nested) { return nested->root.value; }

void msr_list_each(void (*pass)(void *map, u32 msr, u32 may), void *map)
{
	pass(map, 0x175, MSR_MAY_READ | MSR_MAY_WRITE);
	pass(map, 0xc0000100, MSR_MAY_READ | MSR_MAY_WRITE);
	pass(map, 0x49, MSR_MAY_WRITE);
}

#define ALL_MAY 0xffffffff00000000ull

/* Everything may be set; what must be is what SDM 3D A.3 to A.5 reserve as 1 with the TRUE MSRs. */
static const struct vmx_caps whole = {
	.pin = ALL_MAY | 0x16,
	.primary = ALL_MAY | 0x04006172,
	.secondary = ALL_MAY,
	.exit = ALL_MAY | 0x36dfb,
	.entry = ALL_MAY | 0x11fb,
	.ept_vpid = 0xf0106f34141,
	.has_rdtscp = true,
	.has_invpcid = true,
};

static void a_whole_cpu_gets_what_is_asked_for(void **state)
{
	struct vmx_controls controls;

	(void)state;
	assert_null(vmx_controls_compute(&whole, &controls));
	assert_int_equal(controls.pin, 0x16 | 0x29);
	assert_int_equal(controls.primary,
			 0x04006172 | PRIMARY_TSC_OFFSETTING | PRIMARY_HLT | PRIMARY_MWAIT | PRIMARY_RDPMC |
				 PRIMARY_TPR_SHADOW | PRIMARY_IO | PRIMARY_MSR_BITMAPS | PRIMARY_MONITOR |
				 PRIMARY_SECONDARY);
	assert_int_equal(controls.secondary,
			 SECONDARY_EPT | SECONDARY_RDTSCP | SECONDARY_VPID | SECONDARY_WBINVD |
				 SECONDARY_UNRESTRICTED | SECONDARY_PAUSE_LOOP | SECONDARY_INVPCID |
				 SECONDARY_TSC_SCALING);
	assert_int_equal(controls.exit, 0x36dfb | 0x3c0204);
	assert_int_equal(controls.entry, 0x11fb | 0xc004);
	assert_true(controls.has_vpid && controls.has_log && controls.has_tsc_scaling && controls.has_dirty_bits);
	assert_true(controls.has_invept_single && controls.has_invvpid_single && controls.has_pause_loop);
}

#define CAP(member) offsetof(struct vmx_caps, member)
#define MAY_NOT(member, bit, name) { CAP(member), (u64)(bit) << 32, 0, name }
#define MUST(member, bit, name) { CAP(member), 0, bit, name }

static const struct {
	size_t offset;
	u64 clear, set;
	const char *name;
} lacks[] = {
	MAY_NOT(pin, PIN_INTERRUPT_EXITING, "exits for the host's interrupts"),
	MAY_NOT(pin, PIN_NMI_EXITING, "exits for NMIs"),
	MAY_NOT(pin, PIN_VIRTUAL_NMIS, "virtual NMIs"),
	MAY_NOT(primary, PRIMARY_INTERRUPT_WINDOW, "interrupt-window exiting"),
	MAY_NOT(primary, PRIMARY_NMI_WINDOW, "NMI-window exiting"),
	MAY_NOT(primary, PRIMARY_RDTSC, "RDTSC exiting"),
	MAY_NOT(primary, PRIMARY_TPR_SHADOW, "a TPR shadow"),
	MAY_NOT(primary, PRIMARY_MSR_BITMAPS, "MSR bitmaps"),
	MAY_NOT(primary, PRIMARY_SECONDARY, "secondary controls"),
	MAY_NOT(secondary, SECONDARY_EPT, "nested paging (EPT)"),
	MAY_NOT(secondary, SECONDARY_UNRESTRICTED, "unrestricted guests (real mode)"),
	MAY_NOT(secondary, SECONDARY_WBINVD, "WBINVD exiting"),
	MAY_NOT(secondary, SECONDARY_RDTSCP, "RDTSCP for guests"),
	MAY_NOT(secondary, SECONDARY_INVPCID, "INVPCID for guests"),
	MAY_NOT(exit, EXIT_HOST_64, "a 64-bit host"),
	MAY_NOT(exit, EXIT_SAVE_EFER, "saving of EFER"),
	MAY_NOT(exit, EXIT_LOAD_PAT, "loading of PAT"),
	MAY_NOT(entry, ENTRY_GUEST_LMA, "64-bit guests"),
	MAY_NOT(entry, ENTRY_LOAD_EFER, "loading of EFER"),
	MUST(primary, PRIMARY_INTERRUPT_WINDOW, "interrupt-window exiting"),
	MUST(primary, PRIMARY_CR3_LOAD, "a CR3 that the guest loads by itself"),
	MUST(primary, PRIMARY_INVLPG, "INVLPG without exits"),
	MUST(primary, PRIMARY_CR8_LOAD, "CR8 writes without exits"),
	MUST(primary, PRIMARY_MOV_DR, "debug registers that the guest loads by itself"),
	{ CAP(ept_vpid), EPT_CAP_WALK_4, 0, "EPT of four levels in write-back memory" },
	{ CAP(ept_vpid), EPT_CAP_WB, 0, "EPT of four levels in write-back memory" },
	{ CAP(ept_vpid), EPT_CAP_2M, 0, "EPT with 2 MiB pages" },
	{ CAP(ept_vpid), EPT_CAP_INVEPT, 0, "INVEPT" },
	{ CAP(ept_vpid), EPT_CAP_INVEPT_ALL, 0, "INVEPT" },
};

static void what_is_missing_is_named(void **state)
{
	(void)state;
	for (unsigned i = 0; i < ARRAY_COUNT(lacks); i++) {
		struct vmx_controls controls;
		struct vmx_caps caps = whole;
		u64 *cap = (u64 *)((u8 *)&caps + lacks[i].offset);
		const char *missing;

		*cap = (*cap & ~lacks[i].clear) | lacks[i].set;
		missing = vmx_controls_compute(&caps, &controls);
		if (!missing)
			fail_msg("accepted without %s", lacks[i].name);
		assert_string_equal(missing, lacks[i].name);
	}
}

static void the_optional_is_done_without(void **state)
{
	struct vmx_controls controls;
	struct vmx_caps caps = whole;

	(void)state;
	caps.has_rdtscp = caps.has_invpcid = false;
	caps.secondary = (SECONDARY_EPT | SECONDARY_UNRESTRICTED | SECONDARY_WBINVD) << 32;
	caps.ept_vpid = EPT_CAP_WALK_4 | EPT_CAP_WB | EPT_CAP_2M | EPT_CAP_INVEPT | EPT_CAP_INVEPT_ALL;
	assert_null(vmx_controls_compute(&caps, &controls));
	assert_int_equal(controls.secondary, SECONDARY_EPT | SECONDARY_UNRESTRICTED | SECONDARY_WBINVD);
	assert_false(controls.has_vpid || controls.has_log || controls.has_tsc_scaling || controls.has_dirty_bits);
	assert_false(controls.has_invept_single || controls.has_invvpid_single || controls.has_pause_loop);

	caps = whole;
	caps.ept_vpid &= ~EPT_CAP_AD; /* a log without dirty bits would log nothing */
	assert_null(vmx_controls_compute(&caps, &controls));
	assert_false(controls.has_log || controls.has_dirty_bits);
	caps = whole;
	caps.ept_vpid &= ~VPID_CAP_INVVPID; /* a VPID that cannot be invalidated is of no use */
	assert_null(vmx_controls_compute(&caps, &controls));
	assert_false(controls.has_vpid || (controls.secondary & SECONDARY_VPID));
}

/* SDM 3C 25.6.9: four maps of 1 KiB, a set bit exits. */
static void the_msr_map_is_the_list(void **state)
{
	unsigned clear = 0;

	(void)state;
	direct_map = map_page;
	assert_int_equal(vmx_controls_init(), 0);
	assert_int_equal(map_page[0x175 / 8], 0xff & ~(1 << 0x175 % 8));
	assert_int_equal(map_page[2048 + 0x175 / 8], 0xff & ~(1 << 0x175 % 8));
	assert_int_equal(map_page[1024 + 0x100 / 8], 0xfe);
	assert_int_equal(map_page[3072 + 0x100 / 8], 0xfe);
	assert_int_equal(map_page[0x49 / 8], 0xff);
	assert_int_equal(map_page[2048 + 0x49 / 8], 0xff & ~(1 << 0x49 % 8));
	for (unsigned i = 0; i < sizeof(map_page); i++)
		clear += 8 - (unsigned)__builtin_popcount(map_page[i]);
	assert_int_equal(clear, 5);
}

/* All that the entry will go by is written: no field of a new VMCS has a value by itself. */
static void a_new_vmcs_is_filled(void **state)
{
	static const struct nested nested = { .root = HPA(0x5000) };

	(void)state;
	vcpu_clear();
	assert_null(vmx_controls_compute(&whole, &vmx_controls));
	memset(fake_vmcs, 0xee, sizeof(fake_vmcs));
	vcpu.nested = &nested;
	vmx_controls_setup(&vcpu);
	assert_int_equal(fake_vmcs[PIN_CONTROLS], vmx_controls.pin);
	assert_int_equal(fake_vmcs[PRIMARY_CONTROLS], vmx_controls.primary);
	assert_int_equal(fake_vmcs[SECONDARY_CONTROLS], vmx_controls.secondary);
	assert_int_equal(fake_vmcs[EPT_POINTER], 0x5000);
	assert_int_equal(fake_vmcs[VMCS_LINK], ~0ull);
	assert_int_equal(fake_vmcs[EXCEPTION_BITMAP], BIT(1) | BIT(17) | BIT(18));
	assert_int_equal(fake_vmcs[GUEST_PML_INDEX], PML_INDEX_EMPTY);
	assert_int_equal(fake_vmcs[TSC_MULTIPLIER], BIT(48));
	assert_int_equal(fake_vmcs[CR0_MASK], CR0_NE | CR0_CD | CR0_NW);
	assert_true(fake_vmcs[CR4_MASK] & CR4_VMXE);
	for (unsigned field = EXIT_MSR_STORE_COUNT; field <= ENTRY_EVENT; field += 2)
		assert_int_not_equal(fake_vmcs[field], 0xeeeeeeeeeeeeeeee);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_whole_cpu_gets_what_is_asked_for),
		cmocka_unit_test(what_is_missing_is_named),
		cmocka_unit_test(the_optional_is_done_without),
		cmocka_unit_test(the_msr_map_is_the_list),
		cmocka_unit_test(a_new_vmcs_is_filled),
	};

	return cmocka_run_group_tests_name("vmx_controls", tests, NULL, NULL);
}
