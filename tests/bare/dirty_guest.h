/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory as dirty.c and dirty_guest.S see it. */
#pragma once

#define CODE 0x10000
#define PAGE_TABLES 0x20000
#define ROUND 0x30000     /* written through the door */
#define COUNTERS 0x31000  /* writes made, a word a vCPU */
#define DATA 0x2000000
#define DATA_PAGES 8192
#define GUEST_RAM 0x4000000
