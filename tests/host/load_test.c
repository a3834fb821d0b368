/* SPDX-License-Identifier: BSD-2-Clause */
/* Loading a guest: what memory and CPU look like after, and hostile kernel files. */
/* SOURCES: vmm/load.c vmm/load_linux.c vmm/load_pvh.c vmm/gmem.c vmm/track.c arch/nested.c arch/vcpu_state.c
 * kernel/bootfile.c kernel/page.c kernel/page_map.c kernel/heap.c kernel/panic.c kernel/log.c kernel/fmt.c
 * kernel/clock.c kernel/str.c tests/host/fake/hv_fake.c */
#include <sanitizer/asan_interface.h>

#include "tests/host/fake/machine.h"
#include "tests/host/fake/memory.h"
#include "tests/host/fake/hv_fake.h"
#include "kernel/bootfile.h"
#include "kernel/errno.h"
#include "vmm/acpi_tables.h"
#include "vmm/load.h"
#include "vmm/load_image.h"

#define ARENA (256 * MIB)
#define FILES 0x8000000ull /* where in the arena the boot files lie */
#define RAM (64 * MIB)
#define RSDP 0xe0000ull

static struct vm vm;
static struct vcpu vcpu;
static struct vcpu_state loaded;

void vcpu_load(struct vcpu *which, const struct vcpu_state *state)
{
	assert_ptr_equal(which, &vcpu);
	loaded = *state;
}

int acpi_tables_load(struct vm *which, gpa_t *rsdp)
{
	(void)which;
	*rsdp = GPA(RSDP);
	return 0;
}

static u8 *file_data[2];

/* Two boot files, "kernel" and "initrd". */
static void put_files(u64 kernel_bytes, u64 initrd_bytes)
{
	static struct boot_info info;
	struct boot_file *file = phys_to_virt(HPA(FILES));

	file_data[0] = phys_to_virt(HPA(FILES + 0x10000));
	file_data[1] = phys_to_virt(HPA(FILES + 0x2000000));
	__asan_unpoison_memory_region(file_data[0], 0x1000000);
	__asan_poison_memory_region(file_data[0] + ALIGN_UP(kernel_bytes, 8ull), 0x20000);
	file[0] = (struct boot_file){ "kernel", FILES + 0x10000, kernel_bytes };
	file[1] = (struct boot_file){ "initrd", FILES + 0x2000000, initrd_bytes };
	info = (struct boot_info){ .file = FILES, .file_count = 2 };
	boot_files_init(&info);
}

/* Cuts the file; the sanitizer watches over what is beyond its end. */
static void set_kernel_bytes(u64 bytes)
{
	((struct boot_file *)phys_to_virt(HPA(FILES)))[0].bytes = bytes;
	__asan_poison_memory_region(file_data[0] + ALIGN_UP(bytes, 8ull), 0x20000);
}

static int setup(void **state)
{
	(void)state;
	fake_memory_map(ARENA);
	fake_memory_add(0, FILES, BOOT_MEM_USABLE);
	assert_int_equal(page_init(&fake_boot_info), 0);
	fake_hv_init();
	memset(&vm, 0, sizeof(vm));
	vm.config = (struct vm_config){ .name = "t", .kernel = "kernel", .cmdline = "console=ttyS0 quiet",
					.ram_bytes = RAM, .vcpu_count = 1 };
	vcpu = (struct vcpu){ .vm = &vm };
	vm.vcpu[0] = &vcpu;
	assert_int_equal(gmem_init(&vm.gmem, RAM), 0);
	assert_true(gmem_scrub(&vm.gmem, ~0ull));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	gmem_fini(&vm.gmem);
	return 0;
}

static u64 read64(u64 gpa)
{
	u64 value = 0;

	assert_int_equal(gmem_read(&vm.gmem, GPA(gpa), &value, 8), 0);
	return value;
}

static u32 read32(u64 gpa) { return (u32)read64(gpa); }

/* --- Linux --- */

#define KERNEL_AT 0x1000000ull
#define SETUP_BYTES (5 * 512ull)

static void put32(u8 *at, u32 value) { memcpy(at, &value, 4); }
static void put64(u8 *at, u64 value) { memcpy(at, &value, 8); }

/* A bzImage of protocol 2.15 with 1 MiB of "code" that begins with a mark. */
static u64 make_bzimage(void)
{
	u8 *k;
	u64 bytes = SETUP_BYTES + MIB;

	put_files(bytes, 0);
	k = file_data[0];
	memset(k, 0, bytes);
	k[0x1f1] = 4;
	k[0x1fe] = 0x55, k[0x1ff] = 0xaa;
	k[0x201] = 0x66;
	memcpy(k + 0x202, "HdrS", 4);
	k[0x206] = 0x0f, k[0x207] = 0x02;
	k[0x211] = 1;
	put32(k + 0x22c, 0x7fffffff);
	put32(k + 0x230, 0x200000);
	k[0x234] = 1;
	k[0x236] = 1;
	put32(k + 0x238, 2047);
	put64(k + 0x258, KERNEL_AT);
	put32(k + 0x260, 8 * MIB);
	put64(k + SETUP_BYTES, 0x1122334455667788);
	put64(k + bytes - 8, 0x8877665544332211);
	return bytes;
}

static int load(const char **why)
{
	*why = "";
	return load_guest(&vm, why);
}

static void linux_is_ready_to_run(void **state)
{
	u64 bytes = make_bzimage();
	const char *why;
	char line[64];

	(void)state;
	assert_int_equal(load(&why), 0);
	assert_int_equal(read64(KERNEL_AT), 0x1122334455667788);
	assert_int_equal(read64(KERNEL_AT + bytes - SETUP_BYTES - 8), 0x8877665544332211);
	assert_int_equal(loaded.rip, KERNEL_AT + 0x200);
	assert_int_equal(loaded.gpr[RSI], LOAD_BOOT_PARAMS);
	assert_int_equal(loaded.efer, EFER_LME | EFER_LMA);
	assert_false(loaded.rflags & RFLAGS_IF);
	assert_int_equal(read32(LOAD_BOOT_PARAMS + 0x202), 0x53726448);
	assert_int_equal(read64(LOAD_BOOT_PARAMS + 0x210) & 0xff, 0xff);
	assert_int_equal(read64(LOAD_BOOT_PARAMS + 0x70), RSDP);
	assert_int_equal(read32(LOAD_BOOT_PARAMS + 0x228), LOAD_CMDLINE);
	gmem_read(&vm.gmem, GPA(LOAD_CMDLINE), line, sizeof(line));
	assert_string_equal(line, "console=ttyS0 quiet");
}

/* Follows the page tables by hand: all of 4 GiB is mapped to itself. */
static void linux_finds_memory_mapped_to_itself(void **state)
{
	const char *why;

	(void)state;
	make_bzimage();
	assert_int_equal(load(&why), 0);
	for (u64 va = 0; va < 4 * GIB; va += 0x12345678) {
		u64 pml4e = read64(loaded.cr3 + 8 * (va >> 39));
		u64 pdpte = read64((pml4e & ~0xfffull) + 8 * (va >> 30 & 511));
		u64 pde = read64((pdpte & ~0xfffull) + 8 * (va >> 21 & 511));

		assert_int_equal(pml4e & 3, 3);
		assert_int_equal(pdpte & 0x83, 3);
		assert_int_equal(pde & 0x83, 0x83);
		assert_int_equal(pde & ~0x1fffffull, ALIGN_DOWN(va, 2 * MIB));
	}
}

static void the_memory_map_is_sorted_and_within_ram(void **state)
{
	struct vm_config config = { .ram_bytes = 5 * GIB };
	struct load_range range[LOAD_RANGES_MAX];
	unsigned count = load_memory_map(&config, range);
	u64 usable = 0;

	(void)state;
	assert_true(count <= LOAD_RANGES_MAX);
	for (unsigned i = 0; i < count; i++) {
		assert_true(i == 0 || range[i].base >= range[i - 1].base + range[i - 1].bytes);
		usable += range[i].type == LOAD_E820_RAM ? range[i].bytes : 0;
	}
	/* All but the hole that a PC has below 1 MiB. */
	assert_int_equal(usable, 5 * GIB - (MIB - LOAD_LOW_END));
	assert_int_equal(range[count - 1].base, GMEM_HIGH_BASE);
	assert_int_equal(range[count - 1].bytes, 2 * GIB);
}

static void the_initrd_is_high_or_below_the_kernel(void **state)
{
	const char *why;

	(void)state;
	make_bzimage();
	put_files(SETUP_BYTES + MIB, 5 * MIB + 123);
	memset(file_data[1], 0x5a, 5 * MIB + 123);
	str_copy(vm.config.initrd, sizeof(vm.config.initrd), "initrd");
	assert_int_equal(load(&why), 0);
	assert_int_equal(read32(LOAD_BOOT_PARAMS + 0x218), RAM - 5 * MIB - PAGE_BYTES);
	assert_int_equal(read32(LOAD_BOOT_PARAMS + 0x21c), 5 * MIB + 123);
	assert_int_equal(read64(RAM - 5 * MIB - PAGE_BYTES), 0x5a5a5a5a5a5a5a5a);

	/* The kernel needs all that is above it. */
	put32(file_data[0] + 0x260, (u32)(RAM - KERNEL_AT));
	assert_int_equal(load(&why), 0);
	assert_int_equal(read32(LOAD_BOOT_PARAMS + 0x218), KERNEL_AT - 5 * MIB - PAGE_BYTES);

	put_files(SETUP_BYTES + MIB, 16 * MIB);
	put32(file_data[0] + 0x260, (u32)(RAM - KERNEL_AT));
	assert_int_equal(load(&why), -ENOSPC);
	assert_string_equal(why, "kernel and initrd do not fit in the VM's memory");

	/* The kernel's own limit. */
	put_files(SETUP_BYTES + MIB, MIB);
	put32(file_data[0] + 0x260, 8 * MIB);
	put32(file_data[0] + 0x22c, 0x1ffffff);
	assert_int_equal(load(&why), 0);
	assert_int_equal(read32(LOAD_BOOT_PARAMS + 0x218), 31 * MIB);
}

static void linux_that_cannot_be_started_is_refused(void **state)
{
	const char *why;

	(void)state;
	make_bzimage();
	file_data[0][0x236] = 0;
	assert_int_equal(load(&why), -EOPNOTSUPP);
	make_bzimage();
	put32(file_data[0] + 0x260, (u32)RAM);
	assert_int_equal(load(&why), -ENOMEM);
	make_bzimage();
	assert_string_equal(why, "this kernel needs mem=80M at least");
	put64(file_data[0] + 0x258, ~0ull << 21);
	assert_int_equal(load(&why), -EINVAL);
	make_bzimage();
	put32(file_data[0] + 0x230, 3);
	assert_int_equal(load(&why), -EINVAL);
	make_bzimage();
	put32(file_data[0] + 0x238, 4);
	assert_int_equal(load(&why), -E2BIG);
	make_bzimage();
	file_data[0][0x1f1] = 0xff;
	set_kernel_bytes(0x10000);
	assert_int_equal(load(&why), -EINVAL);
	str_copy(vm.config.kernel, sizeof(vm.config.kernel), "nowhere");
	assert_int_equal(load(&why), -ENOENT);
}

/* --- PVH --- */

struct elf {
	u8 ident[16];
	u16 type, machine;
	u32 version;
	u64 entry, phoff, shoff;
	u32 flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
	struct {
		u32 type, flags;
		u64 offset, vaddr, paddr, filesz, memsz, align;
	} ph[3];
	struct {
		u32 name_bytes, data_bytes, type;
		char name[4];
		u32 entry;
	} note;
	u8 code[64];
};

static struct elf *make_elf(void)
{
	struct elf *elf;

	put_files(sizeof(*elf), 0);
	elf = (struct elf *)file_data[0];
	*elf = (struct elf){
		.ident = { 0x7f, 'E', 'L', 'F', 2, 1, 1 }, .type = 2, .machine = 62, .phoff = 64, .phentsize = 56,
		.phnum = 2,
		.ph = {
			{ .type = 1, .offset = offsetof(struct elf, code), .paddr = 0x200000, .filesz = 64, .memsz = 0x3000 },
			{ .type = 4, .offset = offsetof(struct elf, note), .filesz = sizeof(elf->note) },
		},
		.note = { 4, 4, 18, "Xen", 0x200010 },
	};
	memset(elf->code, 0xcc, sizeof(elf->code));
	return elf;
}

static void pvh_is_ready_to_run(void **state)
{
	const char *why;
	u64 list;

	(void)state;
	make_elf();
	put_files(sizeof(struct elf), 5000);
	str_copy(vm.config.initrd, sizeof(vm.config.initrd), "initrd");
	memset(gmem_page(&vm.gmem, 0x202), 0xee, PAGE_BYTES);
	assert_int_equal(load(&why), 0);
	assert_int_equal(read64(0x200000), 0xcccccccccccccccc);
	assert_int_equal(read64(0x202ff8), 0); /* bss is cleared */
	assert_int_equal(loaded.rip, 0x200010);
	assert_int_equal(loaded.gpr[RBX], LOAD_START_INFO);
	assert_int_equal(loaded.cr0, CR0_PE | CR0_ET);
	assert_int_equal(loaded.segment[SEG_CS].attributes & 0x4000, 0x4000);
	assert_int_equal(read32(LOAD_START_INFO), 0x336ec578);
	assert_int_equal(read32(LOAD_START_INFO + 12), 1);
	list = read64(LOAD_START_INFO + 16);
	assert_int_equal(read64(list), RAM - 2 * PAGE_BYTES);
	assert_int_equal(read64(list + 8), 5000);
	assert_int_equal(read64(LOAD_START_INFO + 24), LOAD_CMDLINE);
	assert_int_equal(read64(LOAD_START_INFO + 32), RSDP);
	assert_int_equal(read32(LOAD_START_INFO + 48), 4);
}

static void damaged_elf_files_are_refused(void **state)
{
	struct elf *elf = make_elf();
	const char *why;

	(void)state;
	elf->ph[0].offset = ~0ull;
	assert_int_equal(load(&why), -EINVAL);
	elf = make_elf();
	elf->ph[0].paddr = RAM;
	assert_int_equal(load(&why), -EINVAL);
	elf = make_elf();
	elf->ph[0].paddr = LOAD_IMAGES - PAGE_BYTES;
	assert_int_equal(load(&why), -EINVAL);
	elf = make_elf();
	elf->ph[0].memsz = ~0ull;
	assert_int_equal(load(&why), -EINVAL);
	elf = make_elf();
	elf->ph[0].filesz = elf->ph[0].memsz + 1;
	assert_int_equal(load(&why), -EINVAL);
	elf = make_elf();
	elf->note.entry = 0x203000;
	assert_int_equal(load(&why), -EINVAL);
	elf = make_elf();
	elf->note.type = 17;
	assert_int_equal(load(&why), -EINVAL);
	assert_string_equal(why, "the kernel is an ELF file without a PVH entry");
	elf = make_elf();
	elf->note.name_bytes = ~0u;
	assert_int_equal(load(&why), -EINVAL);
	elf = make_elf();
	elf->phoff = ~0ull - 10;
	assert_int_equal(load(&why), -EINVAL);
	elf = make_elf();
	elf->ph[0].type = 2;
	assert_int_equal(load(&why), -EINVAL);
}

/* A segment without memory is nothing, wherever it says that it lies. */
static void an_empty_segment_is_not_read(void **state)
{
	struct elf *elf = make_elf();
	const char *why;

	(void)state;
	elf->phnum = 3;
	elf->ph[2].type = 1;
	elf->ph[2].offset = 1ull << 40;
	elf->ph[2].paddr = 0x300000;
	elf->ph[2].filesz = MIB;
	assert_int_equal(load(&why), 0);
	assert_int_equal(read64(0x200000), 0xcccccccccccccccc);
}

/* Any damage and any length: a reason, or a guest whose state a CPU can enter with. */
static void hostile_files_are_survived(void **state)
{
	u64 x = 88172645463325252ull;

	(void)state;
	for (unsigned i = 0; i < 3000; i++) {
		u64 bytes = i % 2 ? make_bzimage() : (make_elf(), sizeof(struct elf));
		u64 header = i % 2 ? 0x270 : sizeof(struct elf);
		const char *why;

		for (unsigned n = 0; n < 1 + i % 5; n++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			file_data[0][(i % 2 ? 0x1f1 : 0) + x % (header - (i % 2 ? 0x1f1 : 0))] = (u8)(x >> 40);
		}
		if (x >> 63)
			set_kernel_bytes((x >> 8) % bytes);
		if (load(&why))
			assert_true(why[0]);
		else
			assert_int_equal(vcpu_state_check(&loaded, &hv->limits, &why), 0);
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static void capitals_count_only_between_two_files(void **state)
{
	static struct boot_info info;
	struct boot_file *file = phys_to_virt(HPA(FILES));
	u64 bytes;

	(void)state;
	file[0] = (struct boot_file){ "TERN.CONF", FILES, 1 };
	file[1] = (struct boot_file){ "tern.conf", FILES, 2 };
	info = (struct boot_info){ .file = FILES, .file_count = 1 };
	boot_files_init(&info);
	assert_non_null(boot_file_find("tern.conf", &bytes));
	assert_int_equal(bytes, 1);
	assert_null(boot_file_find("tern.con", &bytes));
	assert_null(boot_file_find("tern.conf2", &bytes));
	info.file_count = 2;
	boot_files_init(&info);
	assert_non_null(boot_file_find("tern.conf", &bytes));
	assert_int_equal(bytes, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(linux_is_ready_to_run),
		TEST(linux_finds_memory_mapped_to_itself),
		TEST(the_memory_map_is_sorted_and_within_ram),
		TEST(the_initrd_is_high_or_below_the_kernel),
		TEST(linux_that_cannot_be_started_is_refused),
		TEST(pvh_is_ready_to_run),
		TEST(damaged_elf_files_are_refused),
		TEST(an_empty_segment_is_not_read),
		TEST(hostile_files_are_survived),
		TEST(capitals_count_only_between_two_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
