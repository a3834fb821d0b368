/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Linux by its 64-bit boot protocol: Linux Documentation/arch/x86/boot.rst ("The real-mode
 * kernel header", "64-bit boot protocol") and zero-page.rst. Offsets are the documents' own.
 */
#include "kernel/errno.h"
#include "kernel/fmt.h"
#include "kernel/string.h"
#include "vmm/load_image.h"

#include "arch/cpu.h"

/* Offsets in the file and in boot_params alike, from 0x1f1 on. */
enum {
	SETUP_SECTS = 0x1f1,
	BOOT_FLAG = 0x1fe,
	JUMP_LENGTH = 0x201,
	HEADER_MAGIC = 0x202,
	VERSION = 0x206,
	TYPE_OF_LOADER = 0x210,
	LOADFLAGS = 0x211,
	RAMDISK_IMAGE = 0x218,
	RAMDISK_SIZE = 0x21c,
	CMD_LINE_PTR = 0x228,
	INITRD_ADDR_MAX = 0x22c,
	KERNEL_ALIGNMENT = 0x230,
	RELOCATABLE = 0x234,
	XLOADFLAGS = 0x236,
	CMDLINE_SIZE = 0x238,
	PREF_ADDRESS = 0x258,
	INIT_SIZE = 0x260,
	HEADER_END = 0x268,
	/* boot_params only */
	ACPI_RSDP_ADDR = 0x070,
	E820_ENTRIES = 0x1e8,
	E820_TABLE = 0x2d0,
};

#define BOOT_PARAMS_BYTES 4096
#define VERSION_64BIT 0x020c      /* 2.12: xloadflags */
#define LOADED_HIGH BIT(0)
#define XLF_KERNEL_64 BIT(0)
#define LOADER_UNDEFINED 0xff
#define ENTRY_64 0x200            /* from the start of the protected-mode code */
#define SECTOR 512ull

#define PTE_PRESENT_WRITE 3ull
#define PTE_LARGE BIT(7)
#define IDENTITY_GIB 4            /* the kernel, boot_params and the command line must be mapped */

static u32 get32(const struct load_file *file, u32 offset)
{
	u32 value;

	memcpy(&value, file->data + offset, sizeof(value));
	return value;
}

static u16 get16(const struct load_file *file, u32 offset) { return (u16)get32(file, offset); }
static u64 get64(const struct load_file *file, u32 offset)
{
	return get32(file, offset) | (u64)get32(file, offset + 4) << 32;
}

static bool linux_is_mine(const struct load_file *kernel)
{
	return kernel->bytes >= HEADER_END && get32(kernel, HEADER_MAGIC) == 0x53726448 && /* "HdrS" */
	       get16(kernel, BOOT_FLAG) == 0xaa55;
}

/* Bytes of the real-mode part, which the 64-bit protocol does not use. */
static u64 setup_bytes(const struct load_file *kernel)
{
	u8 sectors = kernel->data[SETUP_SECTS];

	return ((sectors ? sectors : 4) + 1) * SECTOR;
}

/* Where the kernel wants to be; it would move itself there if it were put lower. */
static u64 load_address(const struct load_file *kernel) { return get64(kernel, PREF_ADDRESS); }

static int check_header(struct load_job *job)
{
	const struct load_file *kernel = &job->kernel;
	u32 alignment = get32(kernel, KERNEL_ALIGNMENT);

	if (get16(kernel, VERSION) < VERSION_64BIT || !(get16(kernel, XLOADFLAGS) & XLF_KERNEL_64) ||
	    !(kernel->data[LOADFLAGS] & LOADED_HIGH))
		return load_fail(job, -EOPNOTSUPP,
				 "the kernel has no 64-bit entry (Linux 3.8 and later, x86-64, do)");
	if (setup_bytes(kernel) + ENTRY_64 >= kernel->bytes || HEADER_END > setup_bytes(kernel))
		return load_fail(job, -EINVAL, "the kernel file is cut short");
	if (!alignment || (alignment & (alignment - 1)) || !IS_ALIGNED(load_address(kernel), alignment))
		return load_fail(job, -EINVAL, "the kernel's header is damaged: alignment");
	if (strnlen(job->config->cmdline, VM_CMDLINE_MAX) > get32(kernel, CMDLINE_SIZE))
		return load_fail(job, -E2BIG, "the command line is longer than the kernel takes");
	return 0;
}

static int linux_prepare(struct load_job *job)
{
	const struct load_file *kernel = &job->kernel;
	int err = check_header(job);
	static char need[64]; /* *why outlives this call; CPU 0 only */
	u64 base, bytes, ram = job->low_ram_bytes;

	if (err)
		return err;
	base = load_address(kernel);
	bytes = MAX((u64)get32(kernel, INIT_SIZE), kernel->bytes - setup_bytes(kernel));
	if (base < LOAD_IMAGES || base > GMEM_LOW_MAX)
		return load_fail(job, -EINVAL, "the kernel's header is damaged: address");
	if (base > ram || bytes > ram - base) {
		fmt_snprintf(need, sizeof(need), "this kernel needs mem=%lluM at least",
			     (unsigned long long)(ALIGN_UP(base + bytes, 2 * MIB) / MIB));
		return load_fail(job, -ENOMEM, need);
	}
	return load_place_initrd(job, base, base + bytes, (u64)get32(kernel, INITRD_ADDR_MAX) + 1);
}

static void put32(u8 *page, u32 offset, u32 value) { memcpy(page + offset, &value, sizeof(value)); }
static void put64(u8 *page, u32 offset, u64 value) { memcpy(page + offset, &value, sizeof(value)); }

static void put_e820(u8 *page, const struct vm_config *config)
{
	struct load_range range[LOAD_RANGES_MAX];
	unsigned count = load_memory_map(config, range);

	for (unsigned i = 0; i < count; i++) {
		put64(page, E820_TABLE + i * 20, range[i].base);
		put64(page, E820_TABLE + i * 20 + 8, range[i].bytes);
		put32(page, E820_TABLE + i * 20 + 16, range[i].type);
	}
	page[E820_ENTRIES] = (u8)count;
}

/* Fresh but for the setup header, which is the file's up to the end that it declares. */
static int put_boot_params(struct vm *vm, const struct load_job *job)
{
	u8 page[BOOT_PARAMS_BYTES] = { 0 };
	u64 end = HEADER_MAGIC + job->kernel.data[JUMP_LENGTH];

	memcpy(page + SETUP_SECTS, job->kernel.data + SETUP_SECTS, MIN(end, E820_TABLE - 1ull) - SETUP_SECTS);
	page[TYPE_OF_LOADER] = LOADER_UNDEFINED;
	put32(page, RAMDISK_IMAGE, (u32)job->initrd_gpa);
	put32(page, RAMDISK_SIZE, (u32)job->initrd.bytes);
	put32(page, CMD_LINE_PTR, (u32)LOAD_CMDLINE);
	put64(page, ACPI_RSDP_ADDR, job->rsdp.value);
	put_e820(page, job->config);
	return gmem_write(&vm->gmem, GPA(LOAD_BOOT_PARAMS), page, sizeof(page));
}

/* One to one, in 2 MiB pages: PML4, PDPT, then a directory for each GiB. */
static int put_page_tables(struct vm *vm)
{
	u64 table[512];
	int err;

	memset(table, 0, sizeof(table));
	table[0] = (LOAD_PAGE_TABLES + PAGE_BYTES) | PTE_PRESENT_WRITE;
	err = gmem_write(&vm->gmem, GPA(LOAD_PAGE_TABLES), table, sizeof(table));
	for (u64 i = 0; i < IDENTITY_GIB; i++)
		table[i] = (LOAD_PAGE_TABLES + (2 + i) * PAGE_BYTES) | PTE_PRESENT_WRITE;
	if (!err)
		err = gmem_write(&vm->gmem, GPA(LOAD_PAGE_TABLES + PAGE_BYTES), table, sizeof(table));
	for (u64 gib = 0; !err && gib < IDENTITY_GIB; gib++) {
		for (u64 i = 0; i < 512; i++)
			table[i] = (gib * GIB + i * LARGE_PAGE_BYTES) | PTE_PRESENT_WRITE | PTE_LARGE;
		err = gmem_write(&vm->gmem, GPA(LOAD_PAGE_TABLES + (2 + gib) * PAGE_BYTES), table,
				 sizeof(table));
	}
	return err;
}

/* Selectors 0x10 (code, 64-bit) and 0x18 (data), flat, as the protocol demands. */
static int put_gdt(struct vm *vm)
{
	static const u64 gdt[] = { 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff };

	return gmem_write(&vm->gmem, GPA(LOAD_GDT), gdt, sizeof(gdt));
}

static void set_state(const struct load_job *job, struct vcpu_state *state)
{
	const struct vcpu_segment code = { .selector = 0x10, .limit = ~0u, .attributes = 0xa09b };
	const struct vcpu_segment data = { .selector = 0x18, .limit = ~0u, .attributes = 0xc093 };

	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		state->segment[i] = i == SEG_CS ? code : data;
	state->gdtr = (struct vcpu_table){ .base = LOAD_GDT, .limit = 31 };
	state->cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG;
	state->cr4 = CR4_PAE;
	state->efer = EFER_LME | EFER_LMA;
	state->cr3 = LOAD_PAGE_TABLES;
	state->gpr[RSI] = LOAD_BOOT_PARAMS;
	state->rip = load_address(&job->kernel) + ENTRY_64;
	state->rflags = RFLAGS_FIXED;
}

static int linux_put(struct vm *vm, const struct load_job *job, struct vcpu_state *state)
{
	const struct load_file *kernel = &job->kernel;
	int err = gmem_write(&vm->gmem, GPA(load_address(kernel)), kernel->data + setup_bytes(kernel),
			     kernel->bytes - setup_bytes(kernel));

	if (!err)
		err = put_boot_params(vm, job);
	if (!err)
		err = put_page_tables(vm);
	if (!err)
		err = put_gdt(vm);
	if (!err)
		set_state(job, state);
	return err;
}

const struct load_protocol load_linux = {
	.name = "Linux 64-bit", .is_mine = linux_is_mine, .prepare = linux_prepare, .put = linux_put,
};
