/* SPDX-License-Identifier: BSD-2-Clause */
/* The 8259A pair. vm->lock is held. */
#pragma once

#include "vmm/device.h"

extern const struct device_type pic_type;

void pic_set_line(struct device *dev, unsigned irq, bool is_high);
/* The pair's output to the CPU. */
bool pic_has_interrupt(const struct device *dev);
/* The vector that an acknowledge cycle would give now. */
u8 pic_peek_vector(const struct device *dev);
/* The CPU's acknowledge cycle. */
u8 pic_acknowledge(struct device *dev);
