/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What panic shows: registers, and the call chain by frame pointers with names from the
 * table that the build made of the image's own symbols. Runs when anything may be
 * broken, so every address is checked before it is followed.
 */
#include "arch/backtrace.h"
#include "arch/cpu.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "arch/trap.h"
#include "kernel/fmt.h"
#include "kernel/layout.h"
#include "kernel/string.h"

#define FRAMES_MAX 32

/* Made by the build from the image's own first link, which has none of it; sorted by offset. */
struct core_symbol {
	u32 offset; /* from core_text_start */
	u32 name;   /* in symbol_names */
};
extern const u32 symbol_count __attribute__((weak));
extern const struct core_symbol symbol_table[] __attribute__((weak));
extern const char symbol_names[] __attribute__((weak));

static const struct trap_frame *trapped[CPU_MAX];

static void print(const char *format, ...) PRINTF_LIKE(1, 2);

static void print(const char *format, ...)
{
	char text[256];
	va_list args;
	int bytes;

	va_start(args, format);
	bytes = fmt_vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	machine->console_write(text, MIN((size_t)bytes, sizeof(text) - 1));
}

static bool is_text(u64 address)
{
	return address >= (u64)core_text_start && address < (u64)core_text_end;
}

/* "function+0x12" for an address of the core's text; "?" elsewhere. */
static void symbol_format(char *to, size_t size, u64 address)
{
	u32 low = 0, high, offset;

	str_copy(to, size, "?");
	if (!is_text(address) || !&symbol_count)
		return;
	high = symbol_count;
	offset = (u32)(address - (u64)core_text_start);
	/* The last symbol at or below offset. */
	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if (symbol_table[middle].offset <= offset)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return;
	fmt_snprintf(to, size, "%s+%#x", symbol_names + symbol_table[low - 1].name,
		     offset - symbol_table[low - 1].offset);
}

void backtrace_set_frame(const struct trap_frame *frame) { trapped[this_cpu()] = frame; }

static void dump_registers(const struct trap_frame *f)
{
	print("rip %016lx  cs %04lx  rflags %08lx  vector %lu error %#lx\r\n",
	      f->rip, f->cs, f->rflags,
	      f->vector, f->error);
#define ROW(a, b, c, d) \
	print("%-3s %016lx  %-3s %016lx  %-3s %016lx  %-3s %016lx\r\n", \
	      #a, f->a, #b, f->b, \
	      #c, f->c, #d, f->d)
	ROW(rax, rbx, rcx, rdx);
	ROW(rsi, rdi, rbp, rsp);
	ROW(r8, r9, r10, r11);
	ROW(r12, r13, r14, r15);
#undef ROW
}

static void print_call(u64 address)
{
	char name[96];

	symbol_format(name, sizeof(name), address);
	print("  %016lx  %s\r\n", address, name);
}

/* A frame is [saved rbp][return address]; the chain goes up the stack and ends with 0. */
static void dump_calls(u64 rbp)
{
	for (unsigned depth = 0; depth < FRAMES_MAX; depth++) {
		const u64 *frame = (const u64 *)rbp;

		if (!rbp || !IS_ALIGNED(rbp, 8) || !paging_is_readable(rbp, 16) || !is_text(frame[1]))
			return;
		print_call(frame[1]);
		if (frame[0] <= rbp)
			return;
		rbp = frame[0];
	}
	print("  ...\r\n");
}

void backtrace_dump(void)
{
	const struct trap_frame *frame = trapped[this_cpu()];

	print("cr0 %016lx  cr2 %016lx  cr3 %016lx  cr4 %016lx\r\n", read_cr0(),
	      read_cr2(), read_cr3(), read_cr4());
	if (!frame) {
		print("called from:\r\n");
		dump_calls((u64)__builtin_frame_address(0));
		return;
	}
	dump_registers(frame);
	if (stack_is_guard(read_cr2()))
		print("stack overflow: cr2 lies in the guard page below a stack\r\n");
	print("called from:\r\n");
	print_call(frame->rip);
	dump_calls(frame->rbp);
}
