/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Load a guest: find the files, find the protocol that knows the kernel, let it check all,
 * then write. CPU 0 only.
 */
#include "vmm/load.h"
#include "kernel/bootfile.h"
#include "kernel/errno.h"
#include "kernel/string.h"
#include "vmm/acpi_tables.h"
#include "vmm/load_image.h"

static const struct load_protocol *const protocols[] = { &load_linux, &load_pvh };

int load_fail(const struct load_job *job, int err, const char *text)
{
	*job->why = text;
	return err;
}

unsigned load_memory_map(const struct vm_config *config, struct load_range range[LOAD_RANGES_MAX])
{
	u64 low_bytes = MIN(config->ram_bytes, GMEM_LOW_MAX);
	unsigned count = 0;

	range[count++] = (struct load_range){ 0, LOAD_LOW_END, LOAD_E820_RAM };
	range[count++] = (struct load_range){ LOAD_LOW_END, 0xa0000 - LOAD_LOW_END, LOAD_E820_RESERVED };
	range[count++] = (struct load_range){ LOAD_ROM, LOAD_IMAGES - LOAD_ROM, LOAD_E820_RESERVED };
	range[count++] = (struct load_range){ LOAD_IMAGES, low_bytes - LOAD_IMAGES, LOAD_E820_RAM };
	if (config->ram_bytes > low_bytes)
		range[count++] = (struct load_range){ GMEM_HIGH_BASE, config->ram_bytes - low_bytes,
						      LOAD_E820_RAM };
	return count;
}

int load_place_initrd(struct load_job *job, u64 image_base, u64 image_end, u64 limit)
{
	u64 top = ALIGN_DOWN(MIN(limit, job->low_ram_bytes), PAGE_BYTES);
	u64 bytes = ALIGN_UP(job->initrd.bytes, PAGE_BYTES);

	job->initrd_gpa = 0;
	if (!job->initrd.bytes)
		return 0;
	if (top >= image_end && top - image_end >= bytes)
		job->initrd_gpa = top - bytes;
	else if (image_base > LOAD_IMAGES && image_base - LOAD_IMAGES >= bytes)
		job->initrd_gpa = ALIGN_DOWN(image_base - bytes, PAGE_BYTES);
	else
		return load_fail(job, -ENOSPC, "kernel and initrd do not fit in the VM's memory");
	return 0;
}

static int find_file(const struct load_job *job, const char *name, struct load_file *file)
{
	file->data = boot_file_find(name, &file->bytes);
	return file->data ? 0 : load_fail(job, -ENOENT, "no such file on the boot volume");
}

static int job_find(struct load_job *job, const struct load_protocol **protocol)
{
	int err = find_file(job, job->config->kernel, &job->kernel);

	if (!err && job->config->initrd[0])
		err = find_file(job, job->config->initrd, &job->initrd);
	if (err)
		return err;
	for (unsigned i = 0; i < ARRAY_COUNT(protocols); i++) {
		if (!protocols[i]->is_mine(&job->kernel))
			continue;
		*protocol = protocols[i];
		return protocols[i]->prepare(job);
	}
	return load_fail(job, -EINVAL, 
			 "the kernel is neither a Linux bzImage nor an ELF file with a PVH entry");
}

static struct load_job job_of(const struct vm_config *config, const char **why)
{
	return (struct load_job){
		.config = config, .why = why, .low_ram_bytes = MIN(config->ram_bytes, GMEM_LOW_MAX),
	};
}

int load_check(const struct vm_config *config, const char **why)
{
	struct load_job job = job_of(config, why);
	const struct load_protocol *protocol;

	return job_find(&job, &protocol);
}

/* What both protocols need: initrd, command line, ACPI tables. */
static int job_put_common(struct vm *vm, struct load_job *job)
{
	int err = gmem_write(&vm->gmem, GPA(LOAD_CMDLINE), job->config->cmdline,
			     strnlen(job->config->cmdline, VM_CMDLINE_MAX - 1) + 1);

	if (!err && job->initrd.bytes)
		err = gmem_write(&vm->gmem, GPA(job->initrd_gpa), job->initrd.data, job->initrd.bytes);
	if (!err)
		err = acpi_tables_load(vm, &job->rsdp);
	return err;
}

int load_guest(struct vm *vm, const char **why)
{
	struct load_job job = job_of(&vm->config, why);
	const struct load_protocol *protocol;
	struct vcpu_state state;
	int err = job_find(&job, &protocol);

	if (err)
		return err;
	*why = "the image does not fit in the VM's memory";
	err = job_put_common(vm, &job);
	if (err)
		return err;
	vcpu_state_reset(&state);
	err = protocol->put(vm, &job, &state);
	if (!err)
		vcpu_load(vm->vcpu[0], &state);
	return err;
}
