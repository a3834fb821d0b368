/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines to vectors: the IO-APIC (82093AA), the pair of 8259s, and who wins at the vCPU. */
/* SOURCES: kernel/timer.c kernel/clock.c vmm/bus.c vmm/device.c vmm/irq.c vmm/vtime.c vmm/platform.c
 * vmm/dev/acpi_pm.c vmm/dev/apic_bus.c vmm/dev/calendar.c vmm/dev/device_timer.c vmm/dev/ioapic.c
 * vmm/dev/kvmclock.c vmm/dev/lapic.c vmm/dev/lapic_timer.c vmm/dev/pci.c vmm/dev/pic.c vmm/dev/pit.c
 * vmm/dev/reset.c vmm/dev/rtc.c vmm/dev/uart.c */
#include "tests/host/fake/vm.h"

#define LEVEL 0x8000u
#define MASKED 0x10000u
#define REMOTE_IRR 0x4000u

static struct fake_vm *f;

static int setup(void **state)
{
	(void)state;
	fake_time_init(1000000);
	f = fake_vm_new(2);
	fake_enable_apic(f, 0);
	fake_enable_apic(f, 1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_destroy(f);
	return timer_armed_count() != 0;
}

static void set_pin(unsigned pin, u32 low, u8 dest)
{
	fake_ioapic_write(f, 0x11 + 2 * pin, (u32)dest << 24);
	fake_ioapic_write(f, 0x10 + 2 * pin, low);
}

static u32 get_pin(unsigned pin) { return fake_ioapic_read(f, 0x10 + 2 * pin); }

/* --- IO-APIC --- */

static void identity(void **state)
{
	(void)state;
	assert_int_equal(fake_ioapic_read(f, 1), 0x170020);
	fake_ioapic_write(f, 0, 0xffffffff);
	assert_int_equal(fake_ioapic_read(f, 0), 0x0f000000);
	assert_int_equal(get_pin(5), MASKED);
	assert_int_equal(fake_ioapic_read(f, 0x40), 0);
	assert_int_equal(fake_ioapic_read(f, 0xff), 0);
}

static void an_edge_sends_once(void **state)
{
	(void)state;
	set_pin(5, 0x61, 1);
	fake_line(f, 5, true);
	assert_int_equal(guest_take(f, 0), -1);
	assert_int_equal(guest_take(f, 1), 0x61);
	fake_eoi(f, 1);
	fake_line(f, 5, true);
	assert_int_equal(guest_take(f, 1), -1);
	fake_line(f, 5, false);
	fake_line(f, 5, true);
	assert_int_equal(guest_take(f, 1), 0x61);
}

static void an_edge_on_a_masked_pin_is_lost(void **state)
{
	(void)state;
	set_pin(5, 0x61 | MASKED, 0);
	fake_line(f, 5, true);
	set_pin(5, 0x61, 0);
	assert_int_equal(guest_take(f, 0), -1);
}

static void a_level_sends_again_until_it_falls(void **state)
{
	(void)state;
	set_pin(9, 0x61 | LEVEL, 0);
	fake_line(f, 9, true);
	assert_int_equal(get_pin(9), 0x61 | LEVEL | REMOTE_IRR);
	assert_int_equal(guest_take(f, 0), 0x61);
	assert_int_equal(guest_read32(f, 0, XAPIC(0x1b0)), 2); /* TMR: vector 0x61 is level */
	fake_line(f, 9, false);
	fake_line(f, 9, true); /* remote IRR is still set: nothing new */
	fake_eoi(f, 0);
	assert_int_equal(guest_take(f, 0), 0x61);
	fake_line(f, 9, false);
	fake_eoi(f, 0);
	assert_int_equal(guest_take(f, 0), -1);
	assert_int_equal(get_pin(9), 0x61 | LEVEL);
}

static void a_level_waits_behind_the_mask(void **state)
{
	(void)state;
	set_pin(9, 0x61 | LEVEL | MASKED, 0);
	fake_line(f, 9, true);
	assert_int_equal(guest_take(f, 0), -1);
	set_pin(9, 0x61 | LEVEL, 0);
	assert_int_equal(guest_take(f, 0), 0x61);
}

static void remote_irr_can_be_cleared_by_hand(void **state)
{
	(void)state;
	set_pin(9, 0x61 | LEVEL, 0);
	fake_line(f, 9, true);
	guest_take(f, 0);
	fake_line(f, 9, false);
	guest_write32(f, 0, 0xfec00040, 0x61); /* the EOI register of version 0x20 */
	assert_int_equal(get_pin(9), 0x61 | LEVEL);
	fake_line(f, 9, true);
	assert_int_equal(get_pin(9) & REMOTE_IRR, REMOTE_IRR);
	set_pin(9, 0x61 | MASKED, 0); /* made an edge for a moment */
	set_pin(9, 0x61 | LEVEL | MASKED, 0);
	assert_int_equal(get_pin(9) & REMOTE_IRR, 0);
}

static void other_delivery_modes(void **state)
{
	(void)state;
	set_pin(5, 0x400, 1);
	fake_line(f, 5, true);
	assert_int_equal(fake_count(f, EVENT_NMI_SIGNAL, 0), 1);
	assert_int_equal(f->event[0].vcpu, 1);
	/* Lowest priority among all: vCPU 0 is busy. */
	guest_write32(f, 0, XAPIC(0x80), 0x20);
	set_pin(6, 0x161, 0xff);
	fake_line(f, 6, true);
	assert_int_equal(guest_take(f, 1), 0x61);
}

static void irq_0_is_pin_2(void **state)
{
	(void)state;
	set_pin(2, 0x61, 0);
	set_pin(0, 0x71, 0);
	fake_line(f, IRQ_TIMER, true);
	assert_int_equal(guest_take(f, 0), 0x61);
	fake_eoi(f, 0);
	assert_int_equal(guest_take(f, 0), -1);
}

/* --- PIC --- */

static void init_pics(u8 icw4)
{
	static const u16 port[2] = { 0x20, 0xa0 };

	for (u32 i = 0; i < 2; i++) {
		guest_out8(f, port[i], 0x11);
		guest_out8(f, port[i] + 1, i ? 0x28 : 0x20);
		guest_out8(f, port[i] + 1, i ? 2 : 4);
		guest_out8(f, port[i] + 1, icw4);
		guest_out8(f, port[i] + 1, 0);
	}
	guest_write32(f, 0, XAPIC(0x350), 0x700); /* LINT0: ExtINT */
}

static void pic_priorities_and_eoi(void **state)
{
	(void)state;
	init_pics(1);
	fake_line(f, 4, true);
	assert_int_equal(guest_take(f, 1), -1); /* wired to vCPU 0 */
	assert_int_equal(guest_take(f, 0), 0x24);
	fake_line(f, 7, true);
	assert_int_equal(guest_take(f, 0), -1); /* lower priority waits */
	fake_line(f, 1, true);
	assert_int_equal(guest_take(f, 0), 0x21);
	guest_out8(f, 0x20, 0x0b);
	assert_int_equal(guest_in8(f, 0x20), 0x12); /* ISR */
	guest_out8(f, 0x20, 0x20);
	guest_out8(f, 0x20, 0x64); /* specific, input 4 */
	assert_int_equal(guest_take(f, 0), 0x27);
	guest_out8(f, 0x20, 0x0a);
	assert_int_equal(guest_in8(f, 0x20), 0); /* IRR: edges are taken */
}

static void slave_through_the_cascade(void **state)
{
	(void)state;
	init_pics(1);
	fake_line(f, 14, true);
	fake_line(f, 10, true);
	assert_int_equal(guest_take(f, 0), 0x2a);
	guest_out8(f, 0xa0, 0x20);
	assert_int_equal(guest_take(f, 0), -1); /* the master has input 2 in service */
	guest_out8(f, 0x20, 0x20);
	assert_int_equal(guest_take(f, 0), 0x2e);
}

static void masked_edges_are_kept(void **state)
{
	(void)state;
	init_pics(1);
	guest_out8(f, 0x21, 0x10);
	fake_line(f, 4, true);
	assert_int_equal(guest_take(f, 0), -1);
	guest_out8(f, 0x21, 0);
	assert_int_equal(guest_take(f, 0), 0x24);
}

static void requests_that_vanish_are_spurious(void **state)
{
	(void)state;
	init_pics(1);
	fake_line(f, 4, true);
	fake_line(f, 4, false);
	assert_int_equal(guest_take(f, 0), -1);
	/* By polling: no request gives bit 7 clear. */
	guest_out8(f, 0x20, 0x0c);
	assert_int_equal(guest_in8(f, 0x20), 0);
	fake_line(f, 4, true);
	guest_out8(f, 0x20, 0x0c);
	assert_int_equal(guest_in8(f, 0x20), 0x84);
	assert_int_equal(guest_take(f, 0), -1); /* it was acknowledged by the poll */
}

static void level_inputs_ask_again(void **state)
{
	(void)state;
	init_pics(1);
	guest_out8(f, 0x4d0, 0xff);
	assert_int_equal(guest_in8(f, 0x4d0), 0xf8); /* 0 to 2 cannot */
	fake_line(f, 5, true);
	assert_int_equal(guest_take(f, 0), 0x25);
	guest_out8(f, 0x20, 0x20);
	assert_int_equal(guest_take(f, 0), 0x25);
	fake_line(f, 5, false);
	guest_out8(f, 0x20, 0x20);
	assert_int_equal(guest_take(f, 0), -1);
}

static void automatic_eoi_rotation_and_special_mask(void **state)
{
	(void)state;
	init_pics(3);
	guest_out8(f, 0x20, 0x80); /* rotate in AEOI mode */
	fake_line(f, 3, true);
	assert_int_equal(guest_take(f, 0), 0x23);
	fake_line(f, 1, true);
	fake_line(f, 4, true);
	assert_int_equal(guest_take(f, 0), 0x24); /* 4 is highest after 3 */
	assert_int_equal(guest_take(f, 0), 0x21);
	init_pics(1);
	fake_line(f, 3, false);
	fake_line(f, 3, true);
	assert_int_equal(guest_take(f, 0), 0x23);
	fake_line(f, 6, true);
	assert_int_equal(guest_take(f, 0), -1);
	guest_out8(f, 0x21, 0x08);
	guest_out8(f, 0x20, 0x68); /* special mask: 3 is masked and holds nothing back */
	assert_int_equal(guest_take(f, 0), 0x26);
}

static void the_pic_needs_an_open_lint0(void **state)
{
	(void)state;
	init_pics(1);
	guest_write32(f, 0, XAPIC(0x350), 0x10700);
	fake_line(f, 4, true);
	assert_int_equal(guest_take(f, 0), -1);
	guest_write32(f, 0, XAPIC(0x350), 0x700);
	assert_int_equal(guest_take(f, 0), 0x24);
	guest_out8(f, 0x20, 0x20);
	/* As a virtual wire: LINT0 fixed gives its own vector at the rise of the PIC's output. */
	guest_write32(f, 0, XAPIC(0x350), 0x55);
	fake_line(f, 5, true);
	assert_int_equal(guest_take(f, 0), 0x55);
	fake_eoi(f, 0);
	/* With the APIC off the PIC is all there is. */
	assert_true(guest_wrmsr(f, 0, 0x1b, 0xfee00100));
	assert_int_equal(guest_take(f, 0), 0x25);
}

static void the_pics_interrupt_comes_first(void **state)
{
	(void)state;
	init_pics(1);
	guest_write32(f, 0, XAPIC(0x300), 0x400f1);
	fake_line(f, 4, true);
	assert_int_equal(guest_take(f, 0), 0x24);
	assert_int_equal(guest_take(f, 0), 0xf1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(identity),
		TEST(an_edge_sends_once),
		TEST(an_edge_on_a_masked_pin_is_lost),
		TEST(a_level_sends_again_until_it_falls),
		TEST(a_level_waits_behind_the_mask),
		TEST(remote_irr_can_be_cleared_by_hand),
		TEST(other_delivery_modes),
		TEST(irq_0_is_pin_2),
		TEST(pic_priorities_and_eoi),
		TEST(slave_through_the_cascade),
		TEST(masked_edges_are_kept),
		TEST(requests_that_vanish_are_spurious),
		TEST(level_inputs_ask_again),
		TEST(automatic_eoi_rotation_and_special_mask),
		TEST(the_pic_needs_an_open_lint0),
		TEST(the_pics_interrupt_comes_first),
	};

	return cmocka_run_group_tests_name("irq", tests, NULL, NULL);
}
