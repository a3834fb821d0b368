/* SPDX-License-Identifier: BSD-2-Clause */
/* A VGA in text mode, found by its registers. Boot CPU, at start. */
#pragma once

#include "kernel/types.h"

struct boot_framebuffer;

/*
 * Describes the text that a VGA shows now, kind BOOT_FRAMEBUFFER_TEXT, and takes its cursor off.
 * False: no VGA answers, or it shows graphics.
 */
bool vga_find_text(struct boot_framebuffer *to);
