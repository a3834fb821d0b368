/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's machine: which devices it has, in which order. CPU 0. */
#pragma once

#include "kernel/types.h"

struct vm;

/*
 * Attaches all devices of the platform, reset and stopped. Time and the console are there already.
 * The order is also that of the records of a move. 0 or negative errno; vm_detach_all undoes part or all.
 */
int platform_attach(struct vm *vm);

/* The ACPI power button, vm->lock held. */
void platform_power_button(struct vm *vm);
