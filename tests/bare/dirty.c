/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dirty tracking on the (emulated) bare machine, by each method that its CPU has. All of Tern but
 * net/ and migrate/ is linked with this. Prints as tests/guest do.
 *
 * Two vCPUs and the door write the number of the round into random pages, each into a word of its
 * own. The oracle, after the idea of Linux's dirty_log_test: a page is reported in the round it
 * was written or in the next. A vCPU that has counted two writes since the round began holds no
 * older number any more, so when the collection of round k begins all that is written from then on is
 * k. Hence for a page with the value v after it:
 *   v < k: collection v or v + 1 is over and must have reported it, and none since then need to;
 *   reported by collection k: written since the one before began, so v >= k - 1. What was only about
 *   to be written when its vCPU was called out may be reported too: one page a vCPU and round.
 * At the end, with all vCPUs stopped, what was read whenever a page was reported is what memory holds.
 */
#include "tests/bare/dirty_guest.h"

#include "arch/cpu.h"
#include "arch/hv.h"
#include "kernel/bits.h"
#include "kernel/clock.h"
#include "kernel/fmt.h"
#include "kernel/heap.h"
#include "kernel/machine.h"
#include "kernel/panic.h"
#include "kernel/sched.h"
#include "kernel/string.h"
#include "migrate/migrate.h"
#include "net/net.h"
#include "vmm/vm.h"

#define VCPUS 2
#define DOOR_WORD 7          /* of a page; the vCPUs have the first ones */
#define DOOR_WRITES 40
#define WRITES 1500          /* each vCPU and round */
#define ROUNDS 130           /* times DATA_PAGES: more than 10^6 looks at a page */
#define RECORDED_ROUNDS 12
#define PATIENCE_NS (120 * NS_PER_SEC)
#define FIRST_PAGE (DATA / PAGE_BYTES)
#define PAGES (GUEST_RAM / PAGE_BYTES)
#define CHUNKS (GUEST_RAM / LARGE_PAGE_BYTES)

extern const char dirty_guest_start[], dirty_guest_counted[], dirty_guest_free[], dirty_guest_end[];

/* What the oracle knows of a page of DATA. */
struct page_facts {
	u64 last_reported;  /* round */
	u64 copy;           /* the value read then */
};

static u64 passed, failed;
static struct vm *vm;
static struct page_facts *facts;
static u64 *map, *model;
static u64 door_random;
static bool is_late;

static void say(const char *format, ...) PRINTF_LIKE(1, 2);
static void say(const char *format, ...)
{
	char text[160];
	va_list args;

	va_start(args, format);
	fmt_vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	machine->console_write(text, strlen(text));
}

static void expect(const char *method, const char *name, u64 expected, u64 got)
{
	bool is_right = expected == got;

	passed += is_right;
	failed += !is_right;
	if (is_right)
		say("PASS %s: %s\n", method, name);
	else
		say("FAIL %s: %s: expected %llu, got %llu\n", method, name, (unsigned long long)expected,
		    (unsigned long long)got);
}

static u64 next_random(u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	return *state ^= *state << 17;
}

static u64 random_page(u64 *state) { return next_random(state) >> 20 & (DATA_PAGES - 1); }
static u64 seed(u64 round, unsigned vcpu) { return 0x2545f4914f6cdd1dull * (2 * round + vcpu + 1); }

/* --- the guest --- */

/* One to one in pages of 2 MiB, accessed and dirty already: the CPU has nothing to write there. */
static void make_guest_memory(void)
{
	u64 *table = gmem_page(&vm->gmem, PAGE_TABLES / PAGE_BYTES);

	for (u64 page = 0; page < PAGES; page++)
		memset(gmem_page(&vm->gmem, page), 0, PAGE_BYTES);
	table[0] = (PAGE_TABLES + PAGE_BYTES) | 0x23;
	table = gmem_page(&vm->gmem, PAGE_TABLES / PAGE_BYTES + 1);
	table[0] = (PAGE_TABLES + 2 * PAGE_BYTES) | 0x23;
	table = gmem_page(&vm->gmem, PAGE_TABLES / PAGE_BYTES + 2);
	for (u64 i = 0; i < CHUNKS; i++)
		table[i] = i * LARGE_PAGE_BYTES | 0xe3;
	memcpy(gmem_page(&vm->gmem, CODE / PAGE_BYTES), dirty_guest_start,
	       (size_t)(dirty_guest_end - dirty_guest_start));
}

static void make_vm(void)
{
	struct vm_config config = { .name = "dirty", .ram_bytes = GUEST_RAM, .vcpu_count = VCPUS };
	const char *why = "";

	if (vm_create_incoming(&vm, &config, &why))
		panic("no guest: %s", why);
	make_guest_memory();
}

/* The vCPU is parked; it begins at label with its registers as dirty_guest.S wants them. */
static void set_vcpu(struct vcpu *vcpu, const char *label, u64 random, u64 count)
{
	struct vcpu_state *state = heap_alloc(sizeof(*state));

	assert_or_panic(state != NULL);
	vcpu_state_reset(state);
	state->cr0 = CR0_PG | CR0_PE | CR0_NE | CR0_ET;
	state->cr3 = PAGE_TABLES;
	state->cr4 = CR4_PAE;
	state->efer = EFER_LME | EFER_LMA;
	state->rip = CODE + (u64)(label - dirty_guest_start);
	for (unsigned i = 0; i <= SEG_GS; i++)
		state->segment[i] = (struct vcpu_segment){ .limit = ~0u, .attributes = 0xc093, .selector = 16 };
	state->segment[SEG_CS].attributes = 0xa09b;
	state->segment[SEG_CS].selector = 8;
	state->segment[SEG_LDTR].attributes = SEG_ATTR_UNUSABLE;
	state->gpr[R8] = random;
	state->gpr[R9] = count;
	state->gpr[RDI] = 8 * vcpu->index;
	state->activity = VCPU_ACTIVE;
	vcpu_load(vcpu, state);
	heap_free(state);
}

static void go(void)
{
	vm->state = VM_RUNNING;
	vm_go(vm);
}

/* This CPU's loop: on a machine with one CPU the vCPUs run in it. */
static void wait_until(bool (*is_done)(u64 wanted), u64 wanted)
{
	u64 end_ns = clock_now_ns() + PATIENCE_NS;

	while (!is_done(wanted) && !is_late) {
		sched_turn();
		is_late = clock_now_ns() > end_ns;
	}
	assert_or_panic(!vm->want_kill);
}

static bool is_halted(u64 unused)
{
	(void)unused;
	return vm_is_halted(vm);
}

static void stop(void)
{
	vm_halt(vm);
	wait_until(is_halted, 0);
	vm_settle(vm);
	vm->state = VM_STUNNED;
}

static bool is_at_hlt(u64 unused)
{
	bool all = true;

	(void)unused;
	for (u32 i = 0; i < VCPUS; i++)
		all &= __atomic_load_n(&vm->vcpu[i]->activity, __ATOMIC_RELAXED) == VCPU_HALTED;
	return all;
}

/* The count of writes of the vCPU that made the fewest. */
static bool have_written(u64 wanted)
{
	u64 count[VCPUS];

	gmem_read(&vm->gmem, GPA(COUNTERS), count, sizeof(count));
	for (u32 i = 0; i < VCPUS; i++)
		if (count[i] < wanted)
			return false;
	return true;
}

static void door_writes(u64 page, unsigned word, u64 value)
{
	gmem_write(&vm->gmem, GPA(page * PAGE_BYTES + 8 * word), &value, sizeof(value));
}

static void arm_all(void)
{
	assert_or_panic(!track_start(vm));
	for (u64 chunk = 0; chunk < CHUNKS; chunk++)
		assert_or_panic(!track_arm(vm, chunk));
	gmem_flush_vcpus(vm);
}

static u64 collect(void)
{
	memset(map, 0, BITMAP_WORDS(PAGES) * sizeof(u64));
	return track_collect(vm, map);
}

/* --- a recorded workload: exactly the pages that a model of it writes --- */

static void play_round(u64 round)
{
	memset(model, 0, BITMAP_WORDS(PAGES) * sizeof(u64));
	door_writes(ROUND / PAGE_BYTES, 0, round);
	for (u32 i = 0; i < VCPUS; i++) {
		u64 random = seed(round, i);

		set_vcpu(vm->vcpu[i], dirty_guest_counted, random, WRITES);
		for (u64 n = 0; n < WRITES; n++)
			bitmap_set(model, FIRST_PAGE + random_page(&random));
	}
	go();
	for (u64 n = 0; n < DOOR_WRITES; n++) {
		u64 page = FIRST_PAGE + random_page(&door_random);

		door_writes(page, DOOR_WORD, round);
		bitmap_set(model, page);
	}
	wait_until(is_at_hlt, 0);
	stop();
}

static void test_recorded(const char *method)
{
	u64 pages = 0, wrong = 0;

	door_random = seed(0, 0);
	arm_all();
	for (u64 round = 1; round <= RECORDED_ROUNDS; round++) {
		play_round(round);
		collect();
		for (u64 page = FIRST_PAGE; page < PAGES; page++) {
			wrong += bitmap_test(map, page) != bitmap_test(model, page);
			pages += bitmap_test(model, page);
		}
	}
	expect(method, "a recorded workload dirties what its model does", 0, wrong);
	say("NOTE %s: recorded: %llu pages\n", method, (unsigned long long)pages);
	track_stop(vm);
}

/* --- the oracle --- */

static u64 page_value(u64 page)
{
	const u64 *word = gmem_page(&vm->gmem, FIRST_PAGE + page);
	u64 value = __atomic_load_n(&word[DOOR_WORD], __ATOMIC_RELAXED);

	for (unsigned i = 0; i < VCPUS; i++) {
		u64 mine = __atomic_load_n(&word[i], __ATOMIC_RELAXED);

		value = MAX(value, mine);
	}
	return value;
}

struct verdict {
	u64 looks, reports, missed, early;
};

static void judge(struct verdict *verdict, u64 round)
{
	for (u64 page = 0; page < DATA_PAGES; page++) {
		struct page_facts *fact = &facts[page];
		u64 value = page_value(page);

		verdict->looks++;
		if (bitmap_test(map, FIRST_PAGE + page)) {
			verdict->reports++;
			verdict->early += value + 1 < round;
			fact->last_reported = round;
			fact->copy = value;
		}
		verdict->missed += value < round && fact->last_reported < value;
	}
}

static void play_free_round(u64 round)
{
	door_writes(ROUND / PAGE_BYTES, 0, round);
	for (u64 n = 0; n < DOOR_WRITES; n++)
		door_writes(FIRST_PAGE + random_page(&door_random), DOOR_WORD, round);
	/* Not to the end of what they write in this round: the collection meets writers at work. */
	wait_until(have_written, (round - 1) * WRITES + WRITES / 4);
}

/* Nothing is left out: the copies are what memory holds. */
static u64 differing_copies(void)
{
	u64 count = 0;

	for (u64 page = 0; page < DATA_PAGES; page++)
		count += page_value(page) != facts[page].copy;
	return count;
}

static void judge_cost(const char *method, const struct track_cost *cost)
{
	say("NOTE %s: %llu pages reported, %llu exits, %llu log entries, %llu table entries\n", method,
	    (unsigned long long)cost->dirty_pages, (unsigned long long)cost->exits,
	    (unsigned long long)cost->log_entries, (unsigned long long)cost->entries);
	if (!strcmp(method, "log"))
		expect(method, "at most an exit for 256 dirtied pages", 1, cost->exits * 256 <= cost->dirty_pages);
	else if (!strcmp(method, "bits"))
		expect(method, "no exit for a dirtied page", 0, cost->exits);
	else
		expect(method, "at most an exit for a dirtied page", 1, cost->exits <= cost->dirty_pages);
}

static void test_oracle(const char *method)
{
	struct verdict verdict = { 0 };

	make_guest_memory();
	memset(facts, 0, DATA_PAGES * sizeof(*facts));
	for (u32 i = 0; i < VCPUS; i++)
		set_vcpu(vm->vcpu[i], dirty_guest_free, seed(0, i), WRITES);
	door_writes(ROUND / PAGE_BYTES, 0, 1);
	arm_all();
	go();
	for (u64 round = 1; round <= ROUNDS && !is_late; round++) {
		play_free_round(round);
		collect();
		judge(&verdict, round);
	}
	stop();
	collect();
	judge(&verdict, ROUNDS + 1);
	expect(method, "no written page is missed", 0, verdict.missed);
	expect(method, "no page is reported that nobody wrote", 1, verdict.early <= VCPUS * ROUNDS);
	expect(method, "10^6 looks at a page and more", 1, verdict.looks >= 1000000);
	expect(method, "what was read of reported pages is what memory holds", 0, differing_copies());
	say("NOTE %s: %llu looks, %llu reports, %llu of them early\n", method, (unsigned long long)verdict.looks,
	    (unsigned long long)verdict.reports, (unsigned long long)verdict.early);
	judge_cost(method, &vm->gmem.track.cost);
	track_stop(vm);
}

/* --- all of it --- */

static void test_method(const char *method)
{
	const struct nested *nested = &vm->gmem.nested;
	u64 large = nested->leaf_count[PAGE_2M], tables = nested->table_pages;

	if (track_use(method)) {
		say("NOTE %s: this CPU has it not\n", method);
		return;
	}
	test_recorded(method);
	test_oracle(method);
	expect(method, "it was in time", 0, is_late);
	expect(method, "pages are large again", large, nested->leaf_count[PAGE_2M]);
	expect(method, "and none is small", 0, nested->leaf_count[PAGE_4K]);
	expect(method, "no table is left over", tables, nested->table_pages);
	is_late = false;
}

static void run_all(void)
{
	struct page_stats before, after;
	struct heap_stats heap_before, heap_after;

	page_get_stats(&before);
	heap_get_stats(&heap_before);
	facts = heap_alloc(DATA_PAGES * sizeof(*facts));
	map = heap_alloc(BITMAP_WORDS(PAGES) * sizeof(u64));
	model = heap_alloc(BITMAP_WORDS(PAGES) * sizeof(u64));
	assert_or_panic(facts && map && model);
	say("NOTE the method of this host: %s (%s)\n", track_chosen_name(), track_chosen_why());
	make_vm();
	for (unsigned i = 0; track_method_nth(i); i++)
		test_method(track_method_nth(i));
	vm_destroy(vm);
	heap_free(facts);
	heap_free(map);
	heap_free(model);
	heap_get_stats(&heap_after);
	page_get_stats(&after);
	expect("all", "no object is left over", heap_before.objects, heap_after.objects);
	/* The heap may keep pages for its small classes. */
	expect("all", "no page is left over", 1, before.free_bytes - after.free_bytes <= 8 * PAGE_BYTES);
}

/* In place of the other parts, called by kernel/main.c in this order. */
void net_init(void) { }

void migrate_init(void)
{
	if (hv)
		run_all();
	else
		expect("all", hv_missing, 1, 0);
	say("DONE %llu %llu\n", (unsigned long long)passed, (unsigned long long)failed);
}
