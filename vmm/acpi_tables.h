/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's ACPI tables, written when a VM starts. */
#pragma once

#include "kernel/types.h"

struct vm;

/* Where they are: the area in which a PC's firmware keeps them, reserved in the guest's memory map. */
#define ACPI_TABLES_GPA 0xe0000ull
#define ACPI_TABLES_BYTES 0x20000ull

/* Writes all tables for vm->config.vcpu_count vCPUs. 0, or -EFAULT when the guest has no memory there. */
int acpi_tables_load(struct vm *vm, gpa_t *rsdp);
