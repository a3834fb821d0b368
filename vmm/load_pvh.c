/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ELF file with a PVH entry: Xen's docs/misc/pvh.pandoc ("x86/HVM direct boot ABI") and
 * public/arch-x86/hvm/start_info.h. The guest starts in 32-bit protected mode without paging,
 * EBX pointing to hvm_start_info.
 */
#include "kernel/errno.h"
#include "kernel/string.h"
#include "vmm/load_image.h"

#include "arch/cpu.h"

#define ELF_MAGIC 0x464c457fu
#define ELF_MACHINE_X86_64 62
#define ELF_LOAD 1
#define ELF_NOTE 4
#define NOTE_PHYS32_ENTRY 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
#define PHDRS_MAX 64

struct elf_header {
	u32 magic;
	u8 class, data, ident_version, abi[9];
	u16 type, machine;
	u32 version;
	u64 entry, phoff, shoff;
	u32 flags;
	u16 ehsize, phentsize, phnum, shentsize, shnum, shstrndx;
};
_Static_assert(sizeof(struct elf_header) == 64, "ELF-64 object file format, figure 2");

struct elf_phdr {
	u32 type, flags;
	u64 offset, vaddr, paddr, filesz, memsz, align;
};
_Static_assert(sizeof(struct elf_phdr) == 56, "ELF-64 object file format, figure 6");

struct elf_note {
	u32 name_bytes, data_bytes, type;
};

struct hvm_module {
	u64 paddr, bytes, cmdline, reserved;
};

struct hvm_memory {
	u64 base, bytes;
	u32 type, reserved;
};

struct hvm_start_info {
	u32 magic, version, flags, module_count;
	u64 module_list, cmdline, rsdp, memory_map;
	u32 memory_count, reserved;
};
_Static_assert(sizeof(struct hvm_start_info) == 56, "start_info.h, version 1");

#define START_INFO_MAGIC 0x336ec578u

/* hvm_start_info and what it points to, as they lie in guest memory. */
struct start_block {
	struct hvm_start_info info;
	struct hvm_module module;
	struct hvm_memory memory[LOAD_RANGES_MAX];
};

/* --- reading the file --- */

static bool file_has(const struct load_file *file, u64 offset, u64 bytes)
{
	return offset <= file->bytes && bytes <= file->bytes - offset;
}

static void read_header(const struct load_file *file, struct elf_header *header)
{
	memcpy(header, file->data, sizeof(*header));
}

/* The caller has checked that the table lies in the file. */
static void read_phdr(const struct load_file *file, const struct elf_header *header, u32 i,
		      struct elf_phdr *phdr)
{
	memcpy(phdr, file->data + header->phoff + i * sizeof(*phdr), sizeof(*phdr));
}

static bool pvh_is_mine(const struct load_file *kernel)
{
	struct elf_header header;

	if (kernel->bytes < sizeof(header))
		return false;
	read_header(kernel, &header);
	return header.magic == ELF_MAGIC && header.class == 2 && header.data == 1 &&
	       header.machine == ELF_MACHINE_X86_64;
}

/* Looks in one note segment for the entry. Names and contents are padded to 4 bytes. */
static bool note_find_entry(const struct load_file *file, const struct elf_phdr *phdr, u32 *entry)
{
	u64 at = phdr->offset, end = phdr->offset + phdr->filesz;
	struct elf_note note;

	if (!file_has(file, phdr->offset, phdr->filesz))
		return false;
	while (end - at >= sizeof(note)) {
		u64 name = at + sizeof(note), data, next;

		memcpy(&note, file->data + at, sizeof(note));
		data = name + ALIGN_UP((u64)note.name_bytes, 4);
		next = data + ALIGN_UP((u64)note.data_bytes, 4);
		if (data + note.data_bytes > end)
			return false;
		if (note.type == NOTE_PHYS32_ENTRY && note.name_bytes == 4 && note.data_bytes >= 4 &&
		    !memcmp(file->data + name, "Xen", 4)) {
			memcpy(entry, file->data + data, sizeof(*entry));
			return true;
		}
		if (next > end)
			return false;
		at = next;
	}
	return false;
}

static bool find_entry(const struct load_file *file, const struct elf_header *header, u32 *entry)
{
	for (u32 i = 0; i < header->phnum; i++) {
		struct elf_phdr phdr;

		read_phdr(file, header, i, &phdr);
		if (phdr.type == ELF_NOTE && note_find_entry(file, &phdr, entry))
			return true;
	}
	return false;
}

/* A segment must lie in the file and in RAM above the first MiB. */
static bool is_segment_good(const struct load_job *job, const struct elf_phdr *phdr)
{
	return file_has(&job->kernel, phdr->offset, phdr->filesz) && phdr->filesz <= phdr->memsz &&
	       phdr->paddr >= LOAD_IMAGES && phdr->paddr <= job->low_ram_bytes &&
	       phdr->memsz <= job->low_ram_bytes - phdr->paddr;
}

static int check_segments(struct load_job *job, const struct elf_header *header, u64 *base, u64 *end)
{
	*base = ~0ull;
	*end = 0;
	for (u32 i = 0; i < header->phnum; i++) {
		struct elf_phdr phdr;

		read_phdr(&job->kernel, header, i, &phdr);
		if (phdr.type != ELF_LOAD || !phdr.memsz)
			continue;
		if (!is_segment_good(job, &phdr))
			return load_fail(job, -EINVAL,
					 "a segment of the kernel lies outside of the file or the VM's memory");
		*base = MIN(*base, phdr.paddr);
		*end = MAX(*end, phdr.paddr + phdr.memsz);
	}
	return *end ? 0 : load_fail(job, -EINVAL, "the kernel has nothing to load");
}

static int pvh_prepare(struct load_job *job)
{
	struct elf_header header;
	u64 base, end;
	u32 entry;
	int err;

	read_header(&job->kernel, &header);
	if (header.phentsize != sizeof(struct elf_phdr) || !header.phnum || header.phnum > PHDRS_MAX ||
	    !file_has(&job->kernel, header.phoff, header.phnum * sizeof(struct elf_phdr)))
		return load_fail(job, -EINVAL, "the kernel's program headers are damaged");
	if (!find_entry(&job->kernel, &header, &entry))
		return load_fail(job, -EINVAL, "the kernel is an ELF file without a PVH entry");
	err = check_segments(job, &header, &base, &end);
	if (err)
		return err;
	if (entry < base || entry >= end)
		return load_fail(job, -EINVAL, "the kernel's PVH entry lies outside of its segments");
	return load_place_initrd(job, base, ALIGN_UP(end, PAGE_BYTES), 4 * GIB);
}

/* --- writing memory and state --- */

static int put_zeros(struct vm *vm, u64 gpa, u64 bytes)
{
	static const u8 zeros[PAGE_BYTES];
	int err = 0;

	while (!err && bytes) {
		u64 piece = MIN(bytes, sizeof(zeros));

		err = gmem_write(&vm->gmem, GPA(gpa), zeros, piece);
		gpa += piece;
		bytes -= piece;
	}
	return err;
}

static int put_segments(struct vm *vm, const struct load_job *job, const struct elf_header *header)
{
	int err = 0;

	for (u32 i = 0; !err && i < header->phnum; i++) {
		struct elf_phdr phdr;

		read_phdr(&job->kernel, header, i, &phdr);
		if (phdr.type != ELF_LOAD || !phdr.memsz) /* what check_segments did not look at */
			continue;
		err = gmem_write(&vm->gmem, GPA(phdr.paddr), job->kernel.data + phdr.offset, phdr.filesz);
		if (!err)
			err = put_zeros(vm, phdr.paddr + phdr.filesz, phdr.memsz - phdr.filesz);
	}
	return err;
}

static int put_start_info(struct vm *vm, const struct load_job *job)
{
	struct load_range range[LOAD_RANGES_MAX];
	struct start_block block = { 0 };
	unsigned count = load_memory_map(job->config, range);

	for (unsigned i = 0; i < count; i++)
		block.memory[i] = (struct hvm_memory){ range[i].base, range[i].bytes, range[i].type, 0 };
	block.module = (struct hvm_module){ .paddr = job->initrd_gpa, .bytes = job->initrd.bytes };
	block.info = (struct hvm_start_info){
		.magic = START_INFO_MAGIC, .version = 1, .module_count = job->initrd.bytes != 0,
		.module_list = LOAD_START_INFO + offsetof(struct start_block, module),
		.cmdline = LOAD_CMDLINE, .rsdp = job->rsdp.value,
		.memory_map = LOAD_START_INFO + offsetof(struct start_block, memory), .memory_count = count,
	};
	return gmem_write(&vm->gmem, GPA(LOAD_START_INFO), &block, sizeof(block));
}

static void set_state(u32 entry, struct vcpu_state *state)
{
	const struct vcpu_segment code = { .selector = 0x8, .limit = ~0u, .attributes = 0xc09b };
	const struct vcpu_segment data = { .selector = 0x10, .limit = ~0u, .attributes = 0xc093 };

	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		state->segment[i] = i == SEG_CS ? code : data;
	state->segment[SEG_TR] = (struct vcpu_segment){ .limit = 0x67, .attributes = 0x8b };
	state->cr0 = CR0_PE | CR0_ET;
	state->cr4 = 0;
	state->gpr[RBX] = LOAD_START_INFO;
	state->rip = entry;
	state->rflags = RFLAGS_FIXED;
}

static int pvh_put(struct vm *vm, const struct load_job *job, struct vcpu_state *state)
{
	struct elf_header header;
	u32 entry = 0;
	int err;

	read_header(&job->kernel, &header);
	find_entry(&job->kernel, &header, &entry);
	err = put_segments(vm, job, &header);
	if (!err)
		err = put_start_info(vm, job);
	if (!err)
		set_state(entry, state);
	return err;
}

const struct load_protocol load_pvh = {
	.name = "PVH", .is_mine = pvh_is_mine, .prepare = pvh_prepare, .put = pvh_put,
};
