/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest program that the lab watches from outside.
 *
 *   pulse MIB RATE
 *
 * Fills MIB MiB with words that follow from their place, then for ever:
 *   - writes RATE pages a second, round and round, counting in each page's first word;
 *   - verifies some pages every millisecond, so that a full pass is a matter of seconds
 *     and none holds the pulse up;
 *   - prints a line a millisecond: "P <number> <us since start> <longest stall in us>",
 *     and after each full pass "V <passes> ok" or "V <passes> BAD page <page>".
 *
 * A number missing or seen twice, a clock that steps, a page that changed: all show.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { PAGE_WORDS = 512, VERIFY_PER_MS = 8 };

struct memory {
	uint64_t *word;
	uint64_t page_count;
	uint64_t written; /* pages written since the fill, round and round */
	uint64_t verify_next;
	uint64_t passes;
};

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000ll + t.tv_nsec / 1000;
}

/* splitmix64 of the word's place: no two pages are alike and none compresses. */
static uint64_t expected(uint64_t page, unsigned index)
{
	uint64_t z = (page * PAGE_WORDS + index + 1) * 0x9e3779b97f4a7c15ull;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
	return z ^ (z >> 31);
}

static void fill(struct memory *memory)
{
	for (uint64_t page = 0; page < memory->page_count; page++) {
		uint64_t *word = memory->word + page * PAGE_WORDS;

		word[0] = 0;
		for (unsigned i = 1; i < PAGE_WORDS; i++)
			word[i] = expected(page, i);
	}
}

static int is_intact(const struct memory *memory, uint64_t page)
{
	const uint64_t *word = memory->word + page * PAGE_WORDS;
	uint64_t count = memory->written / memory->page_count + (page < memory->written % memory->page_count);

	if (word[0] != count)
		return 0;
	for (unsigned i = 1; i < PAGE_WORDS; i++)
		if (word[i] != expected(page, i))
			return 0;
	return 1;
}

static void say(const char *line, int bytes)
{
	if (write(1, line, (size_t)bytes) < 0)
		return; /* the line is full: a missing number tells */
}

static void verify_some(struct memory *memory)
{
	char line[80];

	if (!memory->page_count)
		return;
	for (int i = 0; i < VERIFY_PER_MS; i++) {
		uint64_t page = memory->verify_next++;

		if (!is_intact(memory, page)) {
			say(line, snprintf(line, sizeof(line), "V %llu BAD page %llu\n",
					   (unsigned long long)memory->passes, (unsigned long long)page));
			sleep(1);
		}
		if (memory->verify_next == memory->page_count) {
			memory->verify_next = 0;
			memory->passes++;
			say(line, snprintf(line, sizeof(line), "V %llu ok\n", (unsigned long long)memory->passes));
		}
	}
}

static void dirty_some(struct memory *memory, uint64_t wanted)
{
	for (int budget = 256; memory->written < wanted && budget; budget--, memory->written++)
		memory->word[memory->written % memory->page_count * PAGE_WORDS]++;
}

static void run(struct memory *memory, double rate)
{
	int64_t start = now_us(), last = start, next = start, stall = 0;
	unsigned long long number = 0;
	char line[80];

	for (;;) {
		int64_t now = now_us();

		if (now - last > stall)
			stall = now - last;
		last = now;
		if (memory->page_count)
			dirty_some(memory, (uint64_t)((double)(now - start) / 1e6 * rate));
		if (now < next)
			continue;
		say(line, snprintf(line, sizeof(line), "P %llu %lld %lld\n", number++,
				   (long long)(now - start), (long long)stall));
		stall = 0;
		next = now + 1000;
		verify_some(memory);
	}
}

int main(int argc, char **argv)
{
	struct memory memory = { .page_count = argc > 1 ? strtoull(argv[1], NULL, 10) * 256 : 0 };
	double rate = argc > 2 ? atof(argv[2]) : 0;

	memory.word = mmap(NULL, (memory.page_count + 1) * 4096, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory.word == MAP_FAILED) {
		printf("pulse: no memory for %s MiB\n", argv[1]);
		return 1;
	}
	fill(&memory);
	printf("FILLED %llu pages\n", (unsigned long long)memory.page_count);
	fflush(stdout);
	run(&memory, rate);
}
