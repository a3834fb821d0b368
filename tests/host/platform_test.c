/* SPDX-License-Identifier: BSD-2-Clause */
/* ACPI fixed hardware and tables, reset ports, the KVM clock: what the guest finds beside the old PC. */
/* SOURCES: kernel/timer.c kernel/clock.c vmm/bus.c vmm/device.c vmm/irq.c vmm/vtime.c vmm/msr.c
 * arch/guest_cpu.c vmm/platform.c
 * vmm/dev/acpi_pm.c vmm/dev/apic_bus.c vmm/dev/calendar.c vmm/dev/device_timer.c vmm/dev/ioapic.c
 * vmm/dev/kvmclock.c vmm/dev/lapic.c vmm/dev/lapic_timer.c vmm/dev/pci.c vmm/dev/pic.c vmm/dev/pit.c
 * vmm/dev/reset.c vmm/dev/rtc.c vmm/dev/uart.c vmm/acpi_tables.c */
#include <stdio.h>
#include <unistd.h>

#include "tests/host/fake/vm.h"
#include "vmm/acpi_tables.h"
#include "vmm/dev/acpi_pm.h"

#define SCI_VECTOR 0x59
#define SYSTEM_TIME 0x4b564d01
#define WALL_CLOCK 0x4b564d00

static struct fake_vm *f;

static int setup(void **state)
{
	(void)state;
	fake_time_init(2500000);
	f = fake_vm_new(3);
	fake_enable_apic(f, 0);
	fake_ioapic_write(f, 0x10 + 2 * IRQ_SCI, SCI_VECTOR | 0x8000);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	fake_vm_destroy(f);
	return timer_armed_count() != 0;
}

static void wait_ns(u64 ns) { fake_run_until(fake_now_ns() + ns, NULL, NULL); }

/* --- Fixed hardware --- */

static void power_button_raises_the_sci(void **state)
{
	(void)state;
	assert_int_equal(guest_in(f, 0x604, 2), 1); /* SCI_EN */
	platform_power_button(&f->vm);
	assert_int_equal(guest_take(f, 0), -1); /* not enabled */
	assert_int_equal(guest_in(f, 0x600, 2), 0x100);
	guest_out(f, 0x602, 2, 0x100);
	assert_int_equal(guest_take(f, 0), SCI_VECTOR);
	guest_out(f, 0x600, 2, 0x001); /* another bit: still high */
	fake_eoi(f, 0);
	assert_int_equal(guest_take(f, 0), SCI_VECTOR);
	guest_out(f, 0x600, 2, 0x100);
	fake_eoi(f, 0);
	assert_int_equal(guest_take(f, 0), -1);
	assert_int_equal(guest_in(f, 0x602, 2), 0x100);
	assert_int_equal(guest_in(f, 0x600, 4), 0x1000000);
}

static void enable_register_by_bytes(void **state)
{
	(void)state;
	guest_out(f, 0x603, 1, 0x01);
	guest_out(f, 0x602, 1, 0x20);
	assert_int_equal(guest_in(f, 0x602, 2), 0x120);
	assert_int_equal(guest_in(f, 0x603, 1), 0x01);
	guest_out(f, 0x602, 2, 0);
}

static void soft_off_only_with_type_and_enable(void **state)
{
	(void)state;
	guest_out(f, 0x604, 2, 5 << 10);
	assert_false(f->vm.want_poweroff);
	guest_out(f, 0x604, 2, 1 << 13 | 3 << 10);
	assert_false(f->vm.want_poweroff);
	guest_out(f, 0x604, 2, 1 << 13 | 5 << 10);
	assert_true(f->vm.want_poweroff);
}

static void pm_timer_is_vm_time(void **state)
{
	u32 first, second;

	(void)state;
	wait_ns(1234);
	first = (u32)guest_in(f, 0x608, 4);
	wait_ns(NS_PER_SEC);
	second = (u32)guest_in(f, 0x608, 4);
	assert_in_range(second - first, 3579545, 3579546);
	assert_int_equal(timer_armed_count(), 0);
	/* It stands still while the VM does. */
	fake_vm_stop(f);
	fake_tsc += 2500000000;
	fake_vm_start(f);
	assert_in_range((u32)guest_in(f, 0x608, 4) - second, 0, 1);
	assert_int_equal(guest_in(f, 0x609, 1), (u8)(guest_in(f, 0x608, 4) >> 8));
}

static void pm_timer_carry_is_an_event(void **state)
{
	(void)state;
	guest_out(f, 0x602, 2, 1);
	wait_ns(599 * NS_PER_SEC);
	assert_int_equal(guest_take(f, 0), -1);
	wait_ns(2 * NS_PER_SEC); /* 2^31 / 3.579545 MHz = 599.9 s */
	assert_int_equal(guest_take(f, 0), SCI_VECTOR);
	guest_out(f, 0x600, 2, 1);
	guest_out(f, 0x602, 2, 0);
	fake_eoi(f, 0);
	assert_int_equal(guest_take(f, 0), -1);
}

/* --- Reset --- */

static void each_way_to_reset(void **state)
{
	static const struct { u16 port; u8 value; bool resets; } ways[] = {
		{ 0xcf9, 0x02, false }, { 0xcf9, 0x06, true }, { 0x92, 0x02, false }, { 0x92, 0x01, true },
		{ 0x64, 0xd1, false }, { 0x64, 0xff, false }, { 0x64, 0xfe, true }, { 0x60, 0xfe, false },
		{ 0x80, 0xfe, false },
	};

	(void)state;
	for (u32 i = 0; i < ARRAY_COUNT(ways); i++) {
		f->vm.want_reset = false;
		guest_out8(f, ways[i].port, ways[i].value);
		assert_int_equal(f->vm.want_reset, ways[i].resets);
	}
	/* A 32-bit access to PCI's address port is not a write to CF9h. */
	f->vm.want_reset = false;
	guest_out(f, 0xcf8, 4, 0xffffffff);
	assert_false(f->vm.want_reset);
	assert_int_equal(guest_in8(f, 0x64), 0xff);
	assert_int_equal(guest_in8(f, 0x92), 0x01);
}

static u32 config(u32 address)
{
	guest_out(f, 0xcf8, 4, address);
	return (u32)guest_in(f, 0xcfc, 4);
}

static void pci_has_a_host_bridge_and_no_more(void **state)
{
	(void)state;
	guest_out(f, 0xcf8, 4, 0xffffffff);
	assert_int_equal(guest_in(f, 0xcf8, 4), 0x80fffffc);
	assert_int_equal(config(0x80000008) >> 16, 0x0600);
	assert_int_equal(config(0x8000000c), 0);
	assert_int_equal(guest_in(f, 0xcfe, 2), 0);
	config(0x80000000);
	assert_int_equal(guest_in(f, 0xcfe, 2), 0x0008);
	assert_int_equal(config(0x00000000), 0xffffffff); /* not enabled */
	for (u32 slot = 1; slot < 32; slot++)
		assert_int_equal(config(0x80000000 | slot << 11), 0xffffffff);
	assert_int_equal(config(0x80000100), 0xffffffff);
	assert_int_equal(config(0x80010000), 0xffffffff);
	assert_int_equal(guest_in8(f, 0xcf8), 0xff);
}

/* --- KVM clock --- */

struct pvclock {
	u32 version, pad;
	u64 tsc, ns;
	u32 mul;
	s8 shift;
	u8 flags, pad2[2];
};

/* As msr.rst tells the guest to do it. */
static u64 pvclock_ns(u32 vcpu, u64 gpa)
{
	struct pvclock clock;
	u64 tsc = vtime_tsc_now(&f->vm) + f->vcpus[vcpu].tsc_adjust, delta;

	memcpy(&clock, f->ram + gpa, sizeof(clock));
	assert_int_equal(clock.version & 1, 0);
	assert_int_equal(clock.flags, 1);
	delta = tsc - clock.tsc;
	delta = clock.shift >= 0 ? delta << clock.shift : delta >> -clock.shift;
	return (u64)((unsigned __int128)delta * clock.mul >> 32) + clock.ns;
}

static void kvm_clock_is_vm_time(void **state)
{
	u32 version;

	(void)state;
	f->vcpus[2].tsc_adjust = 987654321;
	assert_true(guest_wrmsr(f, 0, SYSTEM_TIME, 0x1000 | 1));
	assert_true(guest_wrmsr(f, 2, SYSTEM_TIME, 0x1040 | 1));
	for (u32 i = 0; i < 5; i++) {
		wait_ns(NS_PER_SEC + 12345);
		assert_int_equal(pvclock_ns(0, 0x1000), vtime_now_ns(&f->vm));
		assert_int_equal(pvclock_ns(2, 0x1040), vtime_now_ns(&f->vm));
	}
	/* After a pause the numbers are new, the version too, and time has not jumped. */
	memcpy(&version, f->ram + 0x1000, 4);
	fake_vm_stop(f);
	fake_tsc += 777777777;
	fake_vm_start(f);
	assert_int_not_equal(*(u32 *)(f->ram + 0x1000), version);
	wait_ns(1000);
	assert_int_equal(pvclock_ns(0, 0x1000), vtime_now_ns(&f->vm));
	assert_in_range(vtime_now_ns(&f->vm), 5 * NS_PER_SEC, 5 * NS_PER_SEC + 100000);
}

static void kvm_clock_goes_on_when_the_tsc_is_written(void **state)
{
	u32 version;

	(void)state;
	assert_true(guest_wrmsr(f, 1, SYSTEM_TIME, 0x1001));
	wait_ns(NS_PER_SEC);
	memcpy(&version, f->ram + 0x1000, 4);
	assert_true(guest_wrmsr(f, 1, 0x10, 0)); /* IA32_TSC */
	assert_int_not_equal(*(u32 *)(f->ram + 0x1000), version);
	assert_int_equal(pvclock_ns(1, 0x1000), vtime_now_ns(&f->vm));
	wait_ns(NS_PER_SEC);
	assert_true(guest_wrmsr(f, 1, 0x3b, 1ull << 40)); /* IA32_TSC_ADJUST */
	assert_int_equal(pvclock_ns(1, 0x1000), vtime_now_ns(&f->vm));
	/* Nothing is written for a vCPU that has switched its clock off. */
	assert_true(guest_wrmsr(f, 1, SYSTEM_TIME, 0));
	memcpy(&version, f->ram + 0x1000, 4);
	assert_true(guest_wrmsr(f, 1, 0x10, 0));
	assert_int_equal(*(u32 *)(f->ram + 0x1000), version);
}

static void kvm_clock_off_and_bad_addresses(void **state)
{
	u64 value;

	(void)state;
	assert_false(guest_wrmsr(f, 0, SYSTEM_TIME, FAKE_RAM_BYTES | 1));
	assert_false(guest_wrmsr(f, 0, SYSTEM_TIME, (FAKE_RAM_BYTES - 16) | 1));
	assert_false(guest_wrmsr(f, 0, SYSTEM_TIME, ~0ull));
	assert_false(guest_wrmsr(f, 0, SYSTEM_TIME, 0x1003));
	assert_true(guest_wrmsr(f, 0, SYSTEM_TIME, 0x1001));
	assert_true(guest_rdmsr(f, 0, SYSTEM_TIME, &value));
	assert_int_equal(value, 0x1001);
	assert_true(guest_wrmsr(f, 0, SYSTEM_TIME, 0));
	memset(f->ram, 0xaa, sizeof(f->ram));
	fake_vm_stop(f);
	fake_vm_start(f);
	for (u32 i = 0; i < 64; i++)
		assert_int_equal(f->ram[0x1000 + i], 0xaa);
}

static void wall_clock(void **state)
{
	u32 wall[3];

	(void)state;
	wait_ns(5 * NS_PER_SEC);
	assert_true(guest_wrmsr(f, 0, WALL_CLOCK, 0x3000));
	memcpy(wall, f->ram + 0x3000, sizeof(wall));
	assert_int_equal(wall[0] & 1, 0);
	assert_int_equal(wall[1], 1700000000); /* at VM time 0 */
	assert_int_equal(wall[2], 0);
	assert_false(guest_wrmsr(f, 0, WALL_CLOCK, FAKE_RAM_BYTES - 8));
}

/* --- ACPI tables --- */

static u8 sum(const void *bytes, u32 count)
{
	u8 total = 0;

	for (u32 i = 0; i < count; i++)
		total = (u8)(total + ((const u8 *)bytes)[i]);
	return total;
}

static u32 get32(u64 gpa)
{
	u32 value;

	memcpy(&value, f->ram + gpa, 4);
	return value;
}

static u64 get64(u64 gpa) { return get32(gpa) | (u64)get32(gpa + 4) << 32; }

static void expect_table(u64 gpa, const char *signature)
{
	assert_memory_equal(f->ram + gpa, signature, 4);
	assert_int_equal(sum(f->ram + gpa, get32(gpa + 4)), 0);
	assert_in_range(gpa, ACPI_TABLES_GPA, ACPI_TABLES_GPA + ACPI_TABLES_BYTES - get32(gpa + 4));
}

static void tables_are_linked_and_sum_up(void **state)
{
	gpa_t rsdp;
	u64 xsdt, rsdt, fadt, madt, dsdt;

	(void)state;
	assert_int_equal(acpi_tables_load(&f->vm, &rsdp), 0);
	assert_memory_equal(f->ram + rsdp.value, "RSD PTR ", 8);
	assert_int_equal(rsdp.value % 16, 0);
	assert_int_equal(sum(f->ram + rsdp.value, 20), 0);
	assert_int_equal(sum(f->ram + rsdp.value, 36), 0);
	rsdt = get32(rsdp.value + 16);
	xsdt = get64(rsdp.value + 24);
	expect_table(rsdt, "RSDT");
	expect_table(xsdt, "XSDT");
	for (u32 i = 0; i < 2; i++)
		assert_int_equal(get32(rsdt + 36 + 4 * i), get64(xsdt + 36 + 8 * i));
	fadt = get64(xsdt + 36);
	madt = get64(xsdt + 44);
	expect_table(fadt, "FACP");
	expect_table(madt, "APIC");
	dsdt = get64(fadt + 140);
	assert_int_equal(dsdt, get32(fadt + 40));
	expect_table(dsdt, "DSDT");
	assert_memory_equal(f->ram + get32(fadt + 36), "FACS", 4);
	assert_int_equal(get32(fadt + 36) % 64, 0);
	assert_int_equal(get32(fadt + 56), ACPI_PM_EVENT_PORT);
	assert_int_equal(get32(fadt + 64), ACPI_PM_CONTROL_PORT);
	assert_int_equal(get32(fadt + 76), ACPI_PM_TIMER_PORT);
}

static void madt_names_each_vcpu(void **state)
{
	gpa_t rsdp;
	u64 madt, at;
	u32 count[8] = { 0 };

	(void)state;
	assert_int_equal(acpi_tables_load(&f->vm, &rsdp), 0);
	madt = get64(get64(rsdp.value + 24) + 44);
	for (at = madt + 44; at < madt + get32(madt + 4); at += f->ram[at + 1]) {
		assert_in_range(f->ram[at], 0, 7);
		assert_int_not_equal(f->ram[at + 1], 0);
		if (f->ram[at] == 0)
			assert_int_equal(f->ram[at + 3], count[0]);
		count[f->ram[at]]++;
	}
	assert_int_equal(at, madt + get32(madt + 4));
	assert_int_equal(count[0], 3);
	assert_int_equal(count[1], 1);
	assert_int_equal(count[2], 2);
	assert_int_equal(count[4], 1);
}

/* ACPICA's disassembler reads all of them without a complaint. */
static void iasl_reads_the_tables(void **state)
{
	static const char *const names[] = { "facp", "apic", "dsdt" };
	char path[64], command[320];
	gpa_t rsdp;
	u64 table[3];

	(void)state;
	assert_int_equal(acpi_tables_load(&f->vm, &rsdp), 0);
	table[0] = get64(get64(rsdp.value + 24) + 36);
	table[1] = get64(get64(rsdp.value + 24) + 44);
	table[2] = get64(table[0] + 140);
	for (u32 i = 0; i < 3; i++) {
		FILE *file;

		snprintf(path, sizeof(path), "/tmp/tern-%d-%s", (int)getpid(), names[i]);
		file = fopen(path, "wb");
		assert_non_null(file);
		assert_int_equal(fwrite(f->ram + table[i], 1, get32(table[i] + 4), file), get32(table[i] + 4));
		fclose(file);
		snprintf(command, sizeof(command), "iasl -d %s >%s.log 2>&1 && ! grep -iE 'warning|error' %s.log", path,
			 path, path);
		assert_int_equal(system(command), 0);
		snprintf(command, sizeof(command), "rm -f %s %s.log %s.dsl", path, path, path);
		assert_int_equal(system(command), 0);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(power_button_raises_the_sci),
		TEST(enable_register_by_bytes),
		TEST(soft_off_only_with_type_and_enable),
		TEST(pm_timer_is_vm_time),
		TEST(pm_timer_carry_is_an_event),
		TEST(each_way_to_reset),
		TEST(pci_has_a_host_bridge_and_no_more),
		TEST(kvm_clock_is_vm_time),
		TEST(kvm_clock_goes_on_when_the_tsc_is_written),
		TEST(kvm_clock_off_and_bad_addresses),
		TEST(wall_clock),
		TEST(tables_are_linked_and_sum_up),
		TEST(madt_names_each_vcpu),
		TEST(iasl_reads_the_tables),
	};

	return cmocka_run_group_tests_name("platform", tests, NULL, NULL);
}
