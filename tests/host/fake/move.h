/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words of a test about moves: begin the two-host world, ask for a move, say what must be true
 * of its end. Each test ends with end_world as its teardown.
 */
#pragma once

#include "kernel/types.h"

struct receipt;
struct send;
struct send_options;

#define HOST1 0
#define HOST2 1
#define RAM (16 * MIB)
#define MANY 400000 /* turns: more than the longest wait that any move makes */

extern const struct send_options move_defaults;

/* A new world in which web1 runs on host 1. */
void start_world(void);
int end_world(void **state);

/* Begins the move of a VM to the other host. NULL, and the reason printed, if refused at once. */
struct send *move_from(u32 host, const char *name, const struct send_options *options);
/* The newest one that a host keeps. Makes it the current host. */
const struct receipt *newest_receipt(u32 host);

/* For fake_run. */
bool are_sessions_over(void);
bool is_over_on_1(void);
bool does_it_run(void);
/* One copy runs, and no session or held copy is left. */
bool is_it_settled(void);

/* web1 runs on this host as it should, and of the move nothing is left. */
void assert_runs_on(u32 host);
/* The move failed before it was given: one clear line, with the code. */
void assert_failed_with(const char *code);
