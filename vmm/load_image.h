/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by vmm/load.c and the two boot protocols.
 *
 * The guest's first MiB:
 *
 *   0x00001000  GDT
 *   0x00006000  hvm_start_info, its module list and memory map (PVH)
 *   0x00007000  boot_params (Linux)
 *   0x00009000  page tables, 6 pages (Linux)
 *   0x00020000  command line
 *   0x0009fc00  reserved: extended BIOS data area
 *   0x000e0000  reserved: ACPI tables
 *   0x00100000  images
 */
#pragma once

#include "vmm/vm.h"

#define LOAD_GDT 0x1000ull
#define LOAD_START_INFO 0x6000ull
#define LOAD_BOOT_PARAMS 0x7000ull
#define LOAD_PAGE_TABLES 0x9000ull
#define LOAD_CMDLINE 0x20000ull
#define LOAD_LOW_END 0x9fc00ull
#define LOAD_ROM 0xe0000ull
#define LOAD_IMAGES 0x100000ull

struct load_file {
	const u8 *data;
	u64 bytes;
};

/* What vmm/load.c found before a protocol takes over. */
struct load_job {
	const struct vm_config *config;
	struct load_file kernel;
	struct load_file initrd;   /* bytes 0: none */
	u64 low_ram_bytes;
	gpa_t rsdp;                /* 0: no ACPI tables */
	u64 initrd_gpa;            /* chosen by load_place_initrd */
	const char **why;
};

/* E820's types of memory. */
enum { LOAD_E820_RAM = 1, LOAD_E820_RESERVED = 2 };
struct load_range {
	u64 base;
	u64 bytes;
	u32 type;
};
#define LOAD_RANGES_MAX 6
/* The guest's memory map, sorted; returns the count. */
unsigned load_memory_map(const struct vm_config *config, struct load_range range[LOAD_RANGES_MAX]);

/* *job->why = text; returns err. */
int load_fail(const struct load_job *job, int err, const char *text);
/*
 * Chooses where the initrd goes: as high as limit and RAM allow, but above image_end; else below
 * the image. 0 or -ENOSPC.
 */
int load_place_initrd(struct load_job *job, u64 image_base, u64 image_end, u64 limit);

/* One protocol. prepare checks everything and fills in the job; put writes memory and the first state. */
struct load_protocol {
	const char *name;
	bool (*is_mine)(const struct load_file *kernel);
	int (*prepare)(struct load_job *job);
	int (*put)(struct vm *vm, const struct load_job *job, struct vcpu_state *state);
};

extern const struct load_protocol load_linux, load_pvh;
