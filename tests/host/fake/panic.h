/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A panic for host tests that need no other machine: it ends the process with its own
 * status. Included by the test's own file, once, instead of linking kernel/panic.c.
 */
#pragma once

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/panic.h"

#define FAKE_PANIC_STATUS 42

static bool fake_panic_is_quiet;

void panic(const char *format, ...)
{
	va_list args;

	if (!fake_panic_is_quiet) {
		va_start(args, format);
		vfprintf(stderr, format, args);
		va_end(args);
		fputc('\n', stderr);
	}
	_exit(FAKE_PANIC_STATUS);
}

/* True if act() panics. It runs in a process of its own, so that held locks do not matter. */
static inline bool fake_panics(void (*act)(void))
{
	int status;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child == 0) {
		fake_panic_is_quiet = true;
		act();
		_exit(0);
	}
	return waitpid(child, &status, 0) == child && WIFEXITED(status) &&
	       WEXITSTATUS(status) == FAKE_PANIC_STATUS;
}
