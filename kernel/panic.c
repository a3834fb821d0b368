/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The last message. Uses no lock, no heap and no log, since any of them may be what is
 * broken; a panic inside a panic stops at once.
 */
#include "kernel/panic.h"
#include "kernel/fmt.h"
#include "kernel/machine.h"

static u32 panics;

void panic(const char *format, ...)
{
	static char text[512]; /* not on the stack, which may be what overflowed */
	va_list args;
	int bytes;

	if (__atomic_fetch_add(&panics, 1, __ATOMIC_SEQ_CST) != 0)
		machine->halt();

	machine->stop_others();
	bytes = fmt_snprintf(text, sizeof(text), "\r\n*** Tern panic on CPU %u: ", machine->cpu_id());
	machine->console_write(text, (size_t)bytes);
	va_start(args, format);
	bytes = fmt_vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	machine->console_write(text, MIN((size_t)bytes, sizeof(text) - 1));
	machine->console_write("\r\n", 2);
	machine->dump();
	machine->halt();
}
