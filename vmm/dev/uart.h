/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's serial port COM1. vm->lock is held. */
#pragma once

#include "vmm/device.h"

extern const struct device_type uart_type;

/* The console has room again or has input; nothing happens while the device is stopped. */
void uart_poll(struct device *dev);
/* A byte for the guest that does not come from its port. False: the guest has left too many untaken. */
bool uart_feed(struct device *dev, u8 byte);
