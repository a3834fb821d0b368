/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Somebody at Tern's console, for tests of the shell: what is typed, the port it goes through, and
 * the screen of a small terminal that shows what comes back, so that tests speak of what one
 * reads, not of escape codes. Variables instead of a clock and a service loop.
 */
#pragma once

#include "kernel/types.h"

#define ROWS 400
#define COLUMNS 1200

struct service;
struct shell;

extern struct shell *shell;
extern struct service *console;         /* the shell's service */
extern u64 now_ns;

extern char typed[20000];               /* what the port has received */
extern size_t typed_count, typed_read;
extern char sent[6 * 1024 * 1024];      /* what it has sent, */
extern size_t sent_count, shown;        /* and how much of that is on the screen */
extern size_t port_room;                /* what the port takes a call */

extern char screen[ROWS][COLUMNS];
extern unsigned row, column, bells;

/* For a group's setup: memory, and the shell of host1. */
int terminal_start(void **state);
/* The service as long as it has something to do. */
void run(void);
/* Types, and lets it run. */
void type(const char *text);
void type_bytes(const char *bytes, size_t count);
/* A line as one reads it: blanks at the end are not seen. */
const char *line_at(unsigned at);
void clear_screen(void);
/* The lines that a command prints, as one text, its end included; and the prompt must be back. */
const char *answer_of(const char *command);
