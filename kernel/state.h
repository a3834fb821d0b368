/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Brackets for structures that migrate. Between STATE_BEGIN and STATE_END a hole in a
 * structure's layout is an error, so every byte that is sent has a name.
 */
#pragma once

#define STATE_BEGIN _Pragma("GCC diagnostic push") _Pragma("GCC diagnostic error \"-Wpadded\"")
#define STATE_END _Pragma("GCC diagnostic pop")
