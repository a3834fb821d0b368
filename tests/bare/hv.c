/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The back end on the (emulated) bare machine, without vmm/: tiny guests from hv_guest.S, and
 * what each exit, window, save and failed entry must give. Linked with kernel/, arch/ and
 * boot/ in place of the other parts; started like Tern itself. Prints as tests/guest do:
 * PASS name, FAIL name, and DONE passed failed at the end.
 */
#include "arch/cpu.h"
#include "arch/hv.h"
#include "kernel/bits.h"
#include "kernel/clock.h"
#include "kernel/fmt.h"
#include "kernel/heap.h"
#include "kernel/machine.h"
#include "kernel/panic.h"
#include "kernel/string.h"
#include "migrate/migrate.h"
#include "net/net.h"
#include "vmm/console.h"
#include "vmm/selftest.h"
#include "vmm/vm.h"

#define GUEST_CODE 0x10000u
#define PML4 0x1000u
#define PDPT 0x2000u
#define PD_LOW 0x3000u
#define PD_MMIO 0x4000u
#define GDT 0x5000u
#define IDT 0x6000u
#define PAE_PDPT 0x7000u
#define STACK 0x200000u
#define MMIO (2 * GIB)
#define IRQ_VECTOR 0x40
#define EXIT_ROUNDS 2000u

extern const char guests_start[], guests_end[], guest_touch[], guest_fills[], guest_controls[], guest_pae[];
extern const char guest_real[], guest_exits[], guest_mmio_write[];
extern const char guest_forbidden[], guest_msrs[], guest_live[], guest_spoils_live[], guest_takes_irq[];
extern const char guest_after_shadow[], guest_waits[], guest_steps[], guest_triple_fault[];
extern const char on_irq[], on_nmi[], on_gp[], on_pf[], on_db[];
extern const char *const guest_hypercalls[], *const guest_forbiddens[];

/* What differs between vendors: instructions, and the rules that a state can break. */
struct broken_rule {
	size_t offset;
	u64 bits;
	const char *rule;
};
static const struct vendor {
	const char *name;
	u8 hypercall[3], forbidden[3];
	struct broken_rule broken[4];
} vendors[] = {
	{ "AMD-V", { 0x0f, 0x01, 0xd9 }, { 0x0f, 0x01, 0xda }, { /* VMMCALL, VMLOAD */
		{ offsetof(struct vcpu_state, cr4), BIT(31), "CR4 has bits that this CPU has not" },
		{ offsetof(struct vcpu_state, efer), BIT(5), "EFER has bits that this CPU has not" },
		{ offsetof(struct vcpu_state, cr0), CR0_NW, "CR0.NW is set without CR0.CD" },
		{ offsetof(struct vcpu_state, dr7), BIT(40), "DR7 has bits above 31" },
	} },
	{ "VT-x", { 0x0f, 0x01, 0xc1 }, { 0x0f, 0x01, 0xc4 }, { /* VMCALL, VMXOFF */
		{ offsetof(struct vcpu_state, efer), BIT(5),
		  "guest EFER has bits that this CPU has not (SDM 3C 27.3.1.1)" },
		{ offsetof(struct vcpu_state, dr7), BIT(40), "guest DR7 has bits above 31 (SDM 3C 27.3.1.1)" },
		{ offsetof(struct vcpu_state, rflags), BIT(15), "guest RFLAGS has reserved bits (SDM 3C 27.3.1.4)" },
		{ offsetof(struct vcpu_state, cr3), BIT(60),
		  "guest CR3 is beyond this CPU's addresses (SDM 3C 27.3.1.1)" },
	} },
};
static const struct vendor *vendor;

static u64 passed, failed;
static hpa_t ram[2];
static u8 *memory; /* guest-physical 0 to 2 MiB */
static struct nested nested;
static struct hv_vcpu *vcpu;
static struct hv_exit last;
static struct vcpu_state *state, *other;

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

static void expect(const char *name, u64 expected, u64 got)
{
	if (expected == got) {
		passed++;
		say("PASS %s\n", name);
	} else {
		failed++;
		say("FAIL %s: expected %llx, got %llx\n", name, (unsigned long long)expected, (unsigned long long)got);
	}
}
#define expect_true(condition) expect(#condition, 1, (condition) != 0)

/* Enters until an exit that the back end does not answer itself. */
static enum hv_exit_reason enter(void)
{
	do
		hv->enter(vcpu, &last);
	while (last.reason == HV_EXIT_NONE || last.reason == HV_EXIT_HOST_INTERRUPT);
	return last.reason;
}

static void skip(void) { hv->skip(vcpu, last.insn_len); }
static u64 address_of(const char *label) { return GUEST_CODE + (u64)(label - guests_start); }

static void make_gate(u8 vector, const char *handler)
{
	u64 address = address_of(handler);
	u64 *gate = (u64 *)(memory + IDT + vector * 16);

	gate[0] = (address & 0xffff) | 8ull << 16 | 0x8e00ull << 32 | (address >> 16) << 48;
}

static void put_insns(const char *const *at, const u8 insn[3])
{
	for (; *at; at++)
		memcpy(memory + address_of(*at), insn, 3);
}

static void make_memory(void)
{
	u64 *pml4, *pdpt, *low, *mmio, *gdt;

	assert_or_panic(!nested_init(&nested, hv->nested));
	for (unsigned i = 0; i < 2; i++) {
		assert_or_panic(!page_alloc(PAGE_2M, &ram[i]));
		memset(phys_to_virt(ram[i]), 0, LARGE_PAGE_BYTES);
		assert_or_panic(!nested_map(&nested, GPA(i * LARGE_PAGE_BYTES), ram[i], PAGE_2M, NESTED_WRITE));
	}
	memory = phys_to_virt(ram[0]);
	pml4 = (u64 *)(memory + PML4);
	pdpt = (u64 *)(memory + PDPT);
	low = (u64 *)(memory + PD_LOW);
	mmio = (u64 *)(memory + PD_MMIO);
	gdt = (u64 *)(memory + GDT);
	pml4[0] = PDPT | 3;
	pdpt[0] = PD_LOW | 3;
	pdpt[MMIO / GIB] = PD_MMIO | 3;
	*(u64 *)(memory + PAE_PDPT) = PD_LOW | 1;
	for (u64 i = 0; i < 512; i++) {
		low[i] = i * LARGE_PAGE_BYTES | 0x83;
		mmio[i] = (MMIO + i * LARGE_PAGE_BYTES) | 0x83;
	}
	gdt[1] = 0x00af9b000000ffff;
	gdt[2] = 0x00cf93000000ffff;
	memcpy(memory + GUEST_CODE, guests_start, (size_t)(guests_end - guests_start));
	put_insns(guest_hypercalls, vendor->hypercall);
	put_insns(guest_forbiddens, vendor->forbidden);
	make_gate(1, on_db);
	make_gate(2, on_nmi);
	make_gate(13, on_gp);
	make_gate(14, on_pf);
	make_gate(IRQ_VECTOR, on_irq);
}

/* A fresh 64-bit CPU at the label. */
static void start(const char *label)
{
	const char *why = NULL;

	vcpu_state_reset(state);
	state->cr0 = CR0_PG | CR0_PE | CR0_NE | CR0_ET;
	state->cr3 = PML4;
	state->cr4 = CR4_PAE | CR4_OSFXSR;
	state->efer = EFER_LME | EFER_LMA | EFER_NXE;
	state->rip = address_of(label);
	state->gpr[RSP] = STACK;
	for (unsigned i = 0; i <= SEG_GS; i++)
		state->segment[i] = (struct vcpu_segment){ .limit = ~0u, .attributes = 0xc093, .selector = 16 };
	state->segment[SEG_CS].attributes = 0xa09b;
	state->segment[SEG_CS].selector = 8;
	state->segment[SEG_LDTR].attributes = SEG_ATTR_UNUSABLE;
	state->gdtr = (struct vcpu_table){ GDT, 23, 0 };
	state->idtr = (struct vcpu_table){ IDT, 0xfff, 0 };
	if (vcpu_state_check(state, &hv->limits, &why))
		say("FAIL a plain state is accepted: %s\n", why);
	hv->load(vcpu, state);
}

static u64 found_map;
static void found(void *context, u64 gfn)
{
	(void)context;
	found_map |= gfn >= 0x200 && gfn < 0x240 ? BIT(gfn - 0x200) : BIT(63);
}

static u64 harvest(void)
{
	found_map = 0;
	nested_harvest(&nested, GPA(0), 2 * LARGE_PAGE_BYTES, found, NULL);
	return found_map;
}

/* The nested walk: writes leave dirty bits, reads do not, and a cleared bit is set again after the flush. */
static void test_dirty_bits(void)
{
	hpa_t hpa;
	enum page_size size;

	assert_or_panic(!nested_arm(&nested, GPA(LARGE_PAGE_BYTES), NESTED_WATCH_DIRTY));
	start(guest_touch);
	expect("touch: exit", HV_EXIT_HLT, enter());
	skip();
	if (!hv->limits.has_dirty_bits)
		say("NOTE no dirty bits\n");
	expect("pages 3 and 5 written, 4 only read", hv->limits.has_dirty_bits ? BIT(3) | BIT(5) : 0, harvest());
	hv->flush(vcpu);
	expect("nothing since", 0, harvest());
	hv->flush(vcpu);
	expect("touch again: exit", HV_EXIT_HLT, enter());
	expect("page 5 written again", hv->limits.has_dirty_bits ? BIT(5) : 0, harvest());
	nested_disarm(&nested, GPA(LARGE_PAGE_BYTES));
	expect("a table waits for the flush", 4, nested.table_pages);
	nested_reclaim(&nested);
	expect("no table is left over", 3, nested.table_pages);
	expect_true(nested_walk(&nested, GPA(LARGE_PAGE_BYTES), &hpa, &size, NULL) && size == PAGE_2M);
	expect("merged in place", ram[1].value, hpa.value);
	start(guest_touch);
	expect("and usable", HV_EXIT_HLT, enter());
}

#define TRACKED_PAGES (2 * LARGE_PAGE_BYTES / PAGE_BYTES)

static void mark(void *context, u64 gfn)
{
	if (gfn < TRACKED_PAGES)
		bitmap_set(context, gfn);
}

/* 512 pages and those of the guest's tables: the log overflows, and knows what the dirty bits know. */
static void test_dirty_log(void)
{
	static u64 logged[BITMAP_WORDS(TRACKED_PAGES)], dirty[BITMAP_WORDS(TRACKED_PAGES)];
	unsigned full_count = 0;

	if (!hv->limits.has_dirty_log) {
		say("NOTE no hardware log of dirtied pages\n");
		return;
	}
	for (unsigned i = 0; i < 2; i++)
		assert_or_panic(!nested_arm(&nested, GPA(i * LARGE_PAGE_BYTES), NESTED_WATCH_DIRTY));
	start(guest_fills);
	hv->log_start(vcpu);
	while (enter() == HV_EXIT_LOG_FULL) {
		full_count++;
		hv->log_drain(vcpu, mark, logged);
	}
	expect("fill: exit", HV_EXIT_HLT, last.reason);
	hv->log_drain(vcpu, mark, logged);
	expect("the log was full once", 1, full_count);
	nested_harvest(&nested, GPA(0), 2 * LARGE_PAGE_BYTES, mark, dirty);
	expect("the log has what the dirty bits have", 0, (u64)memcmp(logged, dirty, sizeof(dirty)));
	expect_true(bitmap_count(dirty, TRACKED_PAGES) > 512);

	memset(logged, 0, sizeof(logged));
	hv->log_stop(vcpu);
	hv->flush(vcpu);
	start(guest_touch);
	expect("without log: exit", HV_EXIT_HLT, enter());
	hv->log_drain(vcpu, mark, logged);
	expect("nothing is logged", 0, bitmap_count(logged, TRACKED_PAGES));
	nested_disarm(&nested, GPA(0));
	nested_disarm(&nested, GPA(LARGE_PAGE_BYTES));
	nested_reclaim(&nested);
}

static void test_controls(void)
{
	struct hv_mode mode;

	start(guest_controls);
	expect("control registers: exit", HV_EXIT_HYPERCALL, enter());
	expect("CR0 as written", (state->cr0 | CR0_CD) & ~CR0_NE, vcpu->gpr[RSI]);
	expect("CR0 as before", state->cr0, vcpu->gpr[RDI]);
	expect("CR4 as written", state->cr4 ^ CR4_MCE, vcpu->gpr[R8]);
	hv->mode(vcpu, &mode);
	expect_true(mode.cr0 == state->cr0 && mode.cr4 == (state->cr4 ^ CR4_MCE) && mode.code_bits == 64);
}

/* Runs to the guest's OUT, by way of another state and back; counter is what it counts in. */
static void expect_goes_on(const char *mode, u64 count)
{
	const char *why = NULL;

	expect(mode, HV_EXIT_IO, enter());
	expect("it counts on", count, vcpu->gpr[RCX] & 0xffff);
	skip();
	hv->save(vcpu, state);
	expect("its state is accepted", 0, (u64)vcpu_state_check(state, &hv->limits, &why));
	vcpu_state_reset(other);
	hv->load(vcpu, other);
	hv->load(vcpu, state);
}

static void test_other_modes(void)
{
	start(guest_pae);
	state->cr3 = PAE_PDPT;
	state->efer = 0;
	state->segment[SEG_CS].attributes = 0xc09b;
	*(u32 *)phys_to_virt(HPA(ram[1].value + 0x4000)) = 0;
	hv->load(vcpu, state);
	expect_goes_on("PAE paging: exit", 1);
	expect_goes_on("PAE paging, after save and load: exit", 2);

	vcpu_state_reset(state);
	state->segment[SEG_CS].selector = GUEST_CODE >> 4;
	state->segment[SEG_CS].base = GUEST_CODE;
	state->rip = address_of(guest_real) - GUEST_CODE;
	state->gpr[RSP] = 0x9000;
	hv->load(vcpu, state);
	expect_goes_on("real mode: exit", 1);
	expect("its CS", GUEST_CODE >> 4, state->gpr[RBX] & 0xffff);
	expect_goes_on("real mode, after save and load: exit", 2);
}

static void test_exits(void)
{
	start(guest_exits);
	expect("out: exit", HV_EXIT_IO, enter());
	expect_true(last.io.port == 0x80 && last.io.size == 1 && !last.io.is_in && !last.io.is_string);
	expect("out imm8: length", 2, last.insn_len);
	skip();
	expect("in: exit", HV_EXIT_IO, enter());
	expect_true(last.io.port == 0x81 && last.io.size == 4 && last.io.is_in);
	skip();
	expect("outw: exit", HV_EXIT_IO, enter());
	expect_true(last.io.port == 0x3f8 && last.io.size == 2 && last.insn_len == 2);
	skip();
	expect("cpuid: exit", HV_EXIT_CPUID, enter());
	expect("cpuid: leaf", 5, vcpu->gpr[RAX]);
	skip();
	expect("hypercall: exit", HV_EXIT_HYPERCALL, enter());
	skip();
	expect("MMIO read: exit", HV_EXIT_NESTED_FAULT, enter());
	expect("MMIO read: address", MMIO, last.nested.gpa.value);
	expect_true(!last.nested.is_write && !last.nested.is_fetch && !last.nested.is_table_walk);
	hv->skip(vcpu, (u8)(address_of(guest_mmio_write) - vcpu->rip));
	expect("MMIO write: exit", HV_EXIT_NESTED_FAULT, enter());
	expect("MMIO write: address", MMIO + 4, last.nested.gpa.value);
	expect_true(last.nested.is_write);
	hv->skip(vcpu, (u8)(address_of(guest_forbidden) - vcpu->rip));
	expect("an instruction of the extension: exit", HV_EXIT_UNDEFINED, enter());
	hv->skip(vcpu, 3);
	expect("WBINVD: exit", HV_EXIT_WBINVD, enter());
	expect("RDPMC was #GP", 1, vcpu->gpr[R13]);
	hv->skip(vcpu, 2);
	expect("HLT: exit", HV_EXIT_HLT, enter());
}

static void test_msrs(void)
{
	start(guest_msrs);
	expect("unknown MSR read: exit", HV_EXIT_MSR_READ, enter());
	expect("unknown MSR read: index", 0x12345, last.msr.index);
	expect("EFER hides SVME", EFER_LME | EFER_LMA | EFER_NXE, vcpu->gpr[RBX]);
	expect("EFER.SVME and a bad PAT were #GP", 2, vcpu->gpr[R13]);
	expect("PAT keeps the good value", 0x00010406, vcpu->gpr[RSI]);
	vcpu->gpr[RAX] = 0x89abcdef;
	vcpu->gpr[RDX] = 0x1234567;
	skip();
	expect("unknown MSR write: exit", HV_EXIT_MSR_WRITE, enter());
	expect("unknown MSR write: value", 0x123456789abcdef, last.msr.value);
	skip();
	expect("after MSRs", HV_EXIT_HLT, enter());
}

/* What stays in the registers follows its vCPU: across another's run, and by save and load to another. */
static void test_live_registers(void)
{
	const u64 value = 0x1122334455667788;
	struct hv_vcpu *first = vcpu, *second;
	const char *why;

	start(guest_live);
	expect("live: exit", HV_EXIT_HYPERCALL, enter());
	skip();
	assert_or_panic(!hv->vcpu_init(&second, &nested));
	vcpu = second;
	start(guest_spoils_live);
	expect("another vCPU's run", HV_EXIT_HYPERCALL, enter());

	memset(state, 0, sizeof(*state));
	memset(other, 0, sizeof(*other));
	hv->save(first, state);
	hv->save(first, other);
	expect("saving twice gives the same", 0, (u64)memcmp(state, other, sizeof(*state)));
	expect("a saved state is accepted", 0, (u64)vcpu_state_check(state, &hv->limits, &why));
	expect("DR0 saved", value, state->dr[0]);
	expect("TSC_AUX saved", 0x77, state->tsc_aux);
	hv->load(second, state);
	hv->save(second, other);
	expect("save, load, save gives the same", 0, (u64)memcmp(state, other, sizeof(*state)));
	expect("going on elsewhere: exit", HV_EXIT_HYPERCALL, enter());
	expect("xmm3 went along", value, vcpu->gpr[RBX]);
	expect("DR0 went along", value, vcpu->gpr[RSI]);
	expect("TSC_AUX went along", 0x77, vcpu->gpr[RDI]);
	expect("TSC_AUX as RDTSCP needs it", 0x77, hv->tsc_aux(vcpu));
	hv->park(second);
	hv->vcpu_fini(second);
	vcpu = first;
}

static void test_interrupts(void)
{
	start(guest_takes_irq);
	expect("before STI: exit", HV_EXIT_HYPERCALL, enter());
	skip();
	vcpu->want_irq_window = true;
	expect("interrupt window: exit", HV_EXIT_IRQ_WINDOW, enter());
	expect("it opens after STI's shadow", address_of(guest_after_shadow), vcpu->rip);
	expect_true(!vcpu->has_shadow && (vcpu->rflags & RFLAGS_IF));
	hv->inject(vcpu, &(struct hv_event){ .type = EVENT_EXTERNAL, .vector = IRQ_VECTOR });
	expect("in the handler: exit", HV_EXIT_IO, enter());
	expect("the handler ran once", 1, vcpu->gpr[R15]);
	expect_true(!vcpu->is_event_queued);
	skip();
	expect("after the handler: exit", HV_EXIT_HYPERCALL, enter());

	start(guest_waits);
	hv->inject(vcpu, &(struct hv_event){ .type = EVENT_EXCEPTION, .vector = 14, .has_error_code = true,
					     .error_code = 6, .address = 0xabc123 });
	expect("page fault: exit", HV_EXIT_HYPERCALL, enter());
	expect("page fault: CR2", 0xabc123, vcpu->gpr[R11]);
	expect("page fault: error code", 6, vcpu->gpr[R10]);

	start(guest_steps);
	expect("stepping: exit", HV_EXIT_CPUID, enter());
	skip();
	expect("stepping: end", HV_EXIT_HLT, enter());
	expect("a trap after each of cpuid and nop", 2, vcpu->gpr[R9]);
}

/* While one NMI is handled the next waits for IRET, and the guest never sees how. */
static void test_nmi(void)
{
	start(guest_waits);
	expect("waiting: exit", HV_EXIT_HYPERCALL, enter());
	skip();
	hv->inject(vcpu, &(struct hv_event){ .type = EVENT_NMI, .vector = 2 });
	expect("in the NMI handler: exit", HV_EXIT_HYPERCALL, enter());
	expect("one NMI", 1, vcpu->gpr[R14]);
	expect_true(vcpu->is_nmi_blocked);
	skip();
	vcpu->want_nmi_window = true;
	expect("NMI window: exit", HV_EXIT_NMI_WINDOW, enter());
	vcpu->want_nmi_window = false;
	expect_true(!vcpu->is_nmi_blocked && !(vcpu->rflags & BIT(8)));
	expect("the window opens after IRET", STACK, vcpu->gpr[RSP]);
	hv->inject(vcpu, &(struct hv_event){ .type = EVENT_NMI, .vector = 2 });
	expect("the second NMI: exit", HV_EXIT_HYPERCALL, enter());
	expect("two NMIs", 2, vcpu->gpr[R14]);
	skip();
	expect("without a window: exit", HV_EXIT_HYPERCALL, enter());
	expect_true(!vcpu->is_nmi_blocked);
	expect("no debug trap was seen", 0, vcpu->gpr[R9]);
}

/* No state, however wrong, harms the host; the CPU's rule is told. */
static void test_failures(void)
{
	start(guest_triple_fault);
	expect("triple fault: exit", HV_EXIT_TRIPLE_FAULT, enter());
	for (unsigned i = 0; i < ARRAY_COUNT(vendor->broken); i++) {
		const struct broken_rule *broken = &vendor->broken[i];

		start(guest_waits);
		*(u64 *)((u8 *)state + broken->offset) |= broken->bits;
		hv->load(vcpu, state);
		expect("a broken rule: exit", HV_EXIT_ENTRY_FAILED, enter());
		say("NOTE %s\n", last.why ? last.why : "no reason is told");
		expect("the reason is told", 0, (u64)strcmp(broken->rule, last.why ? last.why : ""));
	}
	start(guest_waits);
	expect("and the vCPU still works", HV_EXIT_HYPERCALL, enter());
}

static void measure_exit(void)
{
	u64 start_ns;

	start(guest_waits);
	start_ns = clock_now_ns();
	for (unsigned i = 0; i < EXIT_ROUNDS; i++) {
		enter();
		skip();
	}
	say("NOTE a hypercall and back: %llu ns\n", (unsigned long long)((clock_now_ns() - start_ns) / EXIT_ROUNDS));
}

static void run_all(void)
{
	struct page_stats before, after;
	struct heap_stats heap_before, heap_after;

	page_get_stats(&before);
	heap_get_stats(&heap_before);
	state = heap_alloc(sizeof(*state));
	other = heap_alloc(sizeof(*other));
	assert_or_panic(state && other);
	for (unsigned i = 0; i < ARRAY_COUNT(vendors); i++) {
		if (strcmp(vendors[i].name, hv->name) == 0)
			vendor = &vendors[i];
	}
	assert_or_panic(vendor);
	make_memory();
	assert_or_panic(!hv->vcpu_init(&vcpu, &nested));
	test_dirty_bits();
	test_dirty_log();
	test_controls();
	test_other_modes();
	test_exits();
	test_msrs();
	test_live_registers();
	test_interrupts();
	test_nmi();
	test_failures();
	measure_exit();
	hv->park(vcpu);
	hv->vcpu_fini(vcpu);
	nested_fini(&nested);
	page_free(ram[0], PAGE_2M);
	page_free(ram[1], PAGE_2M);
	heap_free(state);
	heap_free(other);
	heap_get_stats(&heap_after);
	page_get_stats(&after);
	expect("no object is left over", heap_before.objects, heap_after.objects);
	/* The heap may keep pages for its small classes. */
	expect_true(before.free_bytes - after.free_bytes <= 8 * PAGE_BYTES);
}

/* In place of the other parts, called by kernel/main.c in this order. */
void net_init(void) { }
void vm_console_init(void) { }
void selftest_run(void) { }

void vm_init(void)
{
	if (hv)
		run_all();
	else
		expect(hv_missing, 1, 0);
	say("DONE %llu %llu\n", (unsigned long long)passed, (unsigned long long)failed);
}

void migrate_init(void) { }
