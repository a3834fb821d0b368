/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Refuse early: would this host run the offered guest? Asked before any page is sent, and
 * by migrate check. Every reason is a sentence with a code.
 */
#pragma once

#include "migrate/wire.h"

struct vm;

struct compat {
	struct wire_reason reason[WIRE_REASONS_MAX];
	u32 count;
};

void compat_add(struct compat *compat, const char *code, const char *format, ...) PRINTF_LIKE(3, 4);
/*
 * Describes the VM in the words of an offer; entries has room for WIRE_DEVICES_MAX. False: it has
 * too many devices.
 */
bool compat_offer(struct vm *vm, struct wire_offer *offer, struct wire_device_entry *entries);
/* bytes: of the whole payload. Adds all that would block the move; the offer may be anything. */
void compat_check(struct compat *compat, const struct wire_offer *offer, u32 bytes);
/* The VM that was made from the offer has exactly the offered devices. */
void compat_check_devices(struct compat *compat, struct vm *vm, const struct wire_offer *offer);
