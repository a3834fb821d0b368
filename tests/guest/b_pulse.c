/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest to be watched from outside while it moves, small enough for a slow emulator. It says
 * what tests/lab/guest/pulse.c says, in the same words, without a Linux under it.
 *
 *   cmdline="mib=8 rate=200 period=5"
 *
 * Fills mib MiB with words that follow from their place; then each period (in ms) writes its
 * share of rate pages a second, verifies a few pages, prints "P number us stall" and sleeps; after
 * each full pass "V passes ok" or "V passes BAD page N".
 */
#include "vmm/selftest/lib.h"

#define PATTERN 0x2000000ull /* where the pages begin; the image is below */
#define VECTOR 0x40
#define LVT_TSC_DEADLINE (2u << 17)

enum { PAGE_WORDS = 512, PAGE_SHIFT_WORDS = 9, VERIFY_PER_PULSE = 8 };

static u64 mib = 8, rate, period_ms = 5;
static u64 khz, start_tsc, page_count, written, verify_next, passes;

static u64 *page_words(u64 page) { return (u64 *)PATTERN + (page << PAGE_SHIFT_WORDS); }
static u64 now_us(void) { return (rdtsc() - start_tsc) * 1000 / khz; }

/* splitmix64 of the word's place: no two pages are alike and none compresses. */
static u64 expected(u64 page, unsigned index)
{
	u64 z = ((page << PAGE_SHIFT_WORDS) + index + 1) * 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

/* "name=123" in the command line changes the value. */
static void option(const char *line, const char *name, u64 *value)
{
	for (; *line; line++) {
		const char *at = line, *wanted = name;

		while (*wanted && *at == *wanted)
			at++, wanted++;
		if (*wanted)
			continue;
		for (*value = 0; *at >= '0' && *at <= '9'; at++)
			*value = *value * 10 + (u64)(*at - '0');
		return;
	}
}

static void fill(void)
{
	for (u64 page = 0; page < page_count; page++) {
		u64 *word = page_words(page);

		word[0] = 0;
		for (unsigned i = 1; i < PAGE_WORDS; i++)
			word[i] = expected(page, i);
	}
}

static bool is_intact(u64 page)
{
	const u64 *word = page_words(page);

	if (word[0] != written / page_count + (page < written % page_count))
		return false;
	for (unsigned i = 1; i < PAGE_WORDS; i++)
		if (word[i] != expected(page, i))
			return false;
	return true;
}

static void verify_some(void)
{
	for (unsigned i = 0; i < VERIFY_PER_PULSE; i++) {
		bool is_good = is_intact(verify_next);

		if (!is_good) {
			print("V ");
			print_number(passes);
			print(" BAD page ");
			print_number(verify_next);
			print("\n");
		}
		if (++verify_next < page_count)
			continue;
		verify_next = 0;
		passes++;
		print("V ");
		print_number(passes);
		print(" ok\n");
	}
}

static void on_timer(struct interrupt_frame *frame)
{
	(void)frame;
	lapic_write(LAPIC_EOI, 0);
}

/* One in the past fires at once, so that a sleep ends in any case (SDM 3A 11.5.4.1). */
static void sleep_until(u64 us)
{
	wrmsr(0x6e0, start_tsc + us * khz / 1000);
	while (now_us() < us)
		__asm__ volatile("sti; hlt; cli" : : : "memory");
}

static void pulse(u64 number, u64 us, u64 stall)
{
	print("P ");
	print_number(number);
	print(" ");
	print_number(us);
	print(" ");
	print_number(stall);
	print("\n");
}

static void run(void)
{
	u64 last = now_us(), next = last;

	for (u64 number = 0;; number++) {
		u64 now = now_us();

		for (u64 wanted = now * rate / 1000000; written < wanted; written++)
			page_words(written % page_count)[0]++;
		pulse(number, now, now - last);
		last = now;
		verify_some();
		next = MAX(next + period_ms * 1000, now);
		sleep_until(next);
	}
}

void guest_main(const struct start_info *info)
{
	const char *line = (const char *)info->cmdline;

	option(line, "mib=", &mib);
	option(line, "rate=", &rate);
	option(line, "period=", &period_ms);
	page_count = mib * 256;
	khz = cpuid(0x40000010, 0).eax;
	start_tsc = rdtsc();
	interrupts_init();
	interrupt_set(VECTOR, on_timer);
	lapic_enable();
	lapic_write(LAPIC_LVT_TIMER, LVT_TSC_DEADLINE | VECTOR);
	fill();
	print("FILLED ");
	print_number(page_count);
	print(" pages\n");
	run();
}
