/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions that Tern carries out, and the guest's page tables: each form against what the
 * CPU that runs the tests does, faults in the middle of strings, and bytes that make no sense.
 */
/* SOURCES: vmm/insn.c vmm/insn_string.c vmm/alu.c vmm/walk.c vmm/gmem.c vmm/track.c arch/nested.c arch/vcpu_state.c
 * kernel/page.c kernel/page_map.c kernel/heap.c kernel/panic.c kernel/log.c kernel/fmt.c kernel/clock.c
 * kernel/str.c tests/host/fake/hv_fake.c
 * third_party/zydis/src/Decoder.c third_party/zydis/src/DecoderData.c third_party/zydis/src/MetaInfo.c
 * third_party/zydis/src/Register.c third_party/zydis/src/SharedData.c */
#include "tests/host/fake/machine.h"
#include "tests/host/fake/memory.h"
#include "tests/host/fake/hv_fake.h"
#include "kernel/errno.h"
#include "vmm/insn.h"
#include "vmm/insn_decode.h"
#include "vmm/vm.h"
#include "vmm/walk.h"

#define ARENA (64 * MIB)
#define RAM (16 * MIB)
#define TABLES 0x100000ull
#define CODE 0x200000ull
#define DEVICE 0xfe000000ull

static struct vm vm;
static struct vcpu vcpu;
static struct vcpu_state state;

/* --- a device of one register, and what vm.c and vcpu.c would do --- */

static u64 device_value, device_address;
static unsigned device_reads, device_writes;
static u8 device_size;
static bool was_killed;
static char killed_why[128];
static u64 pf_address;
static u32 pf_code;
static unsigned pf_count;

u64 bus_mmio_read(struct vcpu *who, u64 gpa, u8 size)
{
	(void)who;
	device_reads++;
	device_address = gpa;
	device_size = size;
	return device_value & BITS(size * 8u - 1, 0);
}

void bus_mmio_write(struct vcpu *who, u64 gpa, u8 size, u64 value)
{
	(void)who;
	device_writes++;
	device_address = gpa;
	device_size = size;
	device_value = value & BITS(size * 8u - 1, 0);
}

u64 bus_port_read(struct vcpu *who, u16 port, u8 size)
{
	return bus_mmio_read(who, port, size);
}

void bus_port_write(struct vcpu *who, u16 port, u8 size, u64 value) { bus_mmio_write(who, port, size, value); }

void vm_kill(struct vm *who, const char *why, u64 value)
{
	(void)who, (void)value;
	was_killed = true;
	str_copy(killed_why, sizeof(killed_why), why);
}

void vcpu_inject_pf(struct vcpu *who, u64 address, u32 error_code)
{
	(void)who;
	pf_address = address;
	pf_code = error_code;
	pf_count++;
}

/* --- a guest in 64-bit mode: 4 GiB mapped to itself in 2 MiB pages, but for page tables at 2 MiB..4 MiB --- */

static void put64(u64 gpa, u64 value) { assert_int_equal(gmem_write(&vm.gmem, GPA(gpa), &value, 8), 0); }
static u64 get64(u64 gpa)
{
	u64 value;

	assert_int_equal(gmem_read(&vm.gmem, GPA(gpa), &value, 8), 0);
	return value;
}

#define PT (TABLES + 6 * PAGE_BYTES) /* maps 2 MiB..4 MiB by 4 KiB pages */
#define PTE(va) (PT + ((va) >> 12 & 511) * 8)

static int setup(void **unused)
{
	(void)unused;
	fake_memory_init(ARENA);
	fake_hv_init();
	memset(&vm, 0, sizeof(vm));
	vm.config.vcpu_count = 1;
	assert_int_equal(gmem_init(&vm.gmem, RAM), 0);
	assert_true(gmem_scrub(&vm.gmem, ~0ull));
	vcpu = (struct vcpu){ .vm = &vm };
	vm.vcpu[0] = &vcpu;
	assert_int_equal(hv->vcpu_init(&vcpu.hv, &vm.gmem.nested), 0);
	vcpu_state_reset(&state);
	for (unsigned i = 0; i < SEG_COUNT; i++)
		state.segment[i].base = 0;
	state.segment[SEG_CS].attributes = 0xa09b;
	state.segment[SEG_SS].attributes = 0xc093;
	state.cr0 = CR0_PE | CR0_PG | CR0_WP;
	state.cr4 = CR4_PAE;
	state.efer = EFER_LME | EFER_LMA | EFER_NXE;
	state.cr3 = TABLES;
	put64(TABLES, (TABLES + PAGE_BYTES) | 3);
	for (u64 gib = 0; gib < 4; gib++) {
		put64(TABLES + PAGE_BYTES + gib * 8, (TABLES + (2 + gib) * PAGE_BYTES) | 3);
		for (u64 i = 0; i < 512; i++)
			put64(TABLES + (2 + gib) * PAGE_BYTES + i * 8, (gib * GIB + i * 2 * MIB) | 0x83);
	}
	put64(TABLES + 2 * PAGE_BYTES + 8, PT | 3);
	for (u64 i = 0; i < 512; i++)
		put64(PT + i * 8, (2 * MIB + i * PAGE_BYTES) | 3);
	device_reads = device_writes = pf_count = 0;
	device_value = 0;
	was_killed = false;
	return 0;
}

static int teardown(void **unused)
{
	(void)unused;
	hv->vcpu_fini(vcpu.hv);
	gmem_fini(&vm.gmem);
	return 0;
}

/* Runs the bytes at CODE through Tern. */
static void run(const u8 *bytes, size_t count)
{
	state.rip = CODE;
	hv->load(vcpu.hv, &state);
	assert_int_equal(gmem_write(&vm.gmem, GPA(CODE), bytes, count), 0);
	insn_mmio(&vcpu, DEVICE, true);
	hv->save(vcpu.hv, &state);
}

#define RUN(...) run((const u8[]){ __VA_ARGS__ }, sizeof((const u8[]){ __VA_ARGS__ }))

/* --- forms --- */

static void a_store_reaches_the_device_with_its_width(void **unused)
{
	(void)unused;
	state.gpr[RAX] = 0x1122334455667788;
	RUN(0x88, 0x07); /* mov [rdi], al */
	assert_int_equal(device_size, 1);
	assert_int_equal(device_value, 0x88);
	RUN(0x88, 0x27); /* mov [rdi], ah */
	assert_int_equal(device_value, 0x77);
	RUN(0x66, 0x89, 0x07);
	assert_int_equal(device_value, 0x7788);
	RUN(0x89, 0x07);
	assert_int_equal(device_value, 0x55667788);
	RUN(0x48, 0x89, 0x07);
	assert_int_equal(device_value, 0x1122334455667788);
	RUN(0x48, 0xc7, 0x07, 0xff, 0xff, 0xff, 0xff); /* mov qword [rdi], -1: sign-extended */
	assert_true(device_value == ~0ull);
	assert_int_equal(state.rip, CODE + 7);
	state.gpr[R15] = 0x42;
	RUN(0x45, 0x88, 0x3e); /* mov [r14], r15b */
	assert_int_equal(device_value, 0x42);
	assert_int_equal(device_reads, 0);
	assert_int_equal(device_writes, 7);
}

static void a_load_changes_what_it_should(void **unused)
{
	(void)unused;
	device_value = 0x8899aabbccddeeff;
	state.gpr[RAX] = 0x1111111111111111;
	RUN(0x8a, 0x07);
	assert_int_equal(state.gpr[RAX], 0x11111111111111ff);
	RUN(0x66, 0x8b, 0x07);
	assert_int_equal(state.gpr[RAX], 0x111111111111eeff);
	RUN(0x8b, 0x07);
	assert_int_equal(state.gpr[RAX], 0xccddeeff);
	RUN(0x48, 0x8b, 0x07);
	assert_int_equal(state.gpr[RAX], 0x8899aabbccddeeff);
	RUN(0x0f, 0xb6, 0x07); /* movzx eax, byte */
	assert_int_equal(state.gpr[RAX], 0xff);
	RUN(0x48, 0x0f, 0xbf, 0x07); /* movsx rax, word */
	assert_int_equal(state.gpr[RAX], 0xffffffffffffeeff);
	RUN(0x48, 0x63, 0x07); /* movsxd */
	assert_int_equal(state.gpr[RAX], 0xffffffffccddeeff);
	assert_int_equal(device_writes, 0);
}

/* Result and flags of five operations, against the CPU that runs this. */
static void arithmetic_is_the_cpus(void **unused)
{
	static const u64 values[] = { 0, 1, 2, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000,
				      0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~0ull, 0x123456789abcdef0 };

	(void)unused;
#define AGAINST_CPU(op, text, type, a, b) \
	do { \
		type value = (type)(a), other = (type)(b); \
		u64 flags, rflags = 2; \
		u64 result = alu(op, a, b, sizeof(type), &rflags); \
\
		__asm__(text " %2, %0; pushfq; pop %1" : "+r"(value), "=r"(flags) : "r"(other) : "cc"); \
		assert_int_equal(result, (u64)value); \
		if (op == ALU_ADD || op == ALU_SUB) \
			assert_int_equal(rflags & 0x8d5, flags & 0x8d5); \
		else \
			assert_int_equal(rflags & 0x8c5, flags & 0x8c5); \
	} while (0)
	for (unsigned i = 0; i < ARRAY_COUNT(values); i++) {
		for (unsigned j = 0; j < ARRAY_COUNT(values); j++) {
			AGAINST_CPU(ALU_ADD, "add", u8, values[i], values[j]);
			AGAINST_CPU(ALU_ADD, "add", u16, values[i], values[j]);
			AGAINST_CPU(ALU_ADD, "add", u32, values[i], values[j]);
			AGAINST_CPU(ALU_ADD, "add", u64, values[i], values[j]);
			AGAINST_CPU(ALU_SUB, "sub", u8, values[i], values[j]);
			AGAINST_CPU(ALU_SUB, "sub", u16, values[i], values[j]);
			AGAINST_CPU(ALU_SUB, "sub", u32, values[i], values[j]);
			AGAINST_CPU(ALU_SUB, "sub", u64, values[i], values[j]);
			AGAINST_CPU(ALU_AND, "and", u32, values[i], values[j]);
			AGAINST_CPU(ALU_OR, "or", u64, values[i], values[j]);
			AGAINST_CPU(ALU_XOR, "xor", u16, values[i], values[j]);
		}
	}
}

static void read_modify_write_does_both(void **unused)
{
	(void)unused;
	device_value = 0xf0;
	RUN(0x83, 0x0f, 0x0f); /* or dword [rdi], 15 */
	assert_int_equal(device_value, 0xff);
	state.gpr[RCX] = 0x0f;
	RUN(0xf0, 0x21, 0x0f); /* lock and [rdi], ecx */
	assert_int_equal(device_value, 0x0f);
	RUN(0x0f, 0xba, 0x2f, 0x07); /* bts dword [rdi], 7 */
	assert_int_equal(device_value, 0x8f);
	assert_false(state.rflags & 1);
	RUN(0x0f, 0xba, 0x37, 0x00); /* btr */
	assert_int_equal(device_value, 0x8e);
	assert_true(state.rflags & 1);
	state.gpr[RAX] = 0x55;
	RUN(0x87, 0x07); /* xchg [rdi], eax */
	assert_int_equal(device_value, 0x55);
	assert_int_equal(state.gpr[RAX], 0x8e);
	RUN(0xf7, 0x1f); /* neg */
	assert_int_equal(device_value, 0xffffffab);
	RUN(0x39, 0x07); /* cmp: reads only */
	assert_int_equal(device_value, 0xffffffab);
	assert_int_equal(device_reads, 7);
	assert_int_equal(device_writes, 6);
}

static void an_unknown_instruction_ends_the_vm_with_its_bytes(void **unused)
{
	(void)unused;
	RUN(0x0f, 0x11, 0x07); /* movups [rdi], xmm0 */
	assert_true(was_killed);
	assert_non_null(strstr(killed_why, "0f1107"));
	assert_int_equal(state.rip, CODE);
	was_killed = false;
	RUN(0x0f, 0x0b);
	assert_true(was_killed);
}

static void an_instruction_at_the_end_of_what_is_mapped(void **unused)
{
	const u8 bytes[] = { 0x89, 0x07 };

	(void)unused;
	put64(PTE(CODE + PAGE_BYTES), 0);
	state.rip = CODE + PAGE_BYTES - 2;
	state.gpr[RAX] = 0x1234;
	hv->load(vcpu.hv, &state);
	gmem_write(&vm.gmem, GPA(CODE + PAGE_BYTES - 2), bytes, 2);
	insn_mmio(&vcpu, DEVICE, true);
	assert_false(was_killed);
	assert_int_equal(device_value, 0x1234);
}

/* --- strings --- */

static void a_string_stops_where_it_faults(void **unused)
{
	(void)unused;
	device_value = 0xabcd;
	state.gpr[RSI] = DEVICE;
	state.gpr[RDI] = 0x203000 - 8;
	state.gpr[RCX] = 10;
	put64(PTE(0x203000), 0);
	RUN(0xf3, 0xa5); /* rep movsd */
	assert_int_equal(pf_count, 1);
	assert_int_equal(pf_address, 0x203000);
	assert_int_equal(pf_code, WALK_WRITE);
	assert_int_equal(state.gpr[RCX], 8);
	assert_int_equal(state.gpr[RDI], 0x203000);
	assert_int_equal(state.rip, CODE);
	put64(PTE(0x203000), 0x203003);
	RUN(0xf3, 0xa5);
	assert_int_equal(state.gpr[RCX], 0);
	assert_int_equal(state.rip, CODE + 2);
	assert_int_equal(get64(0x203000), 0x0000abcd0000abcd);
	/* As the CPU would have done it. */
	assert_int_equal(get64(PTE(0x203000)) & 0x60, 0x60);
}

static void a_long_string_is_done_in_pieces(void **unused)
{
	unsigned exits = 0;

	(void)unused;
	state.gpr[RDI] = DEVICE;
	state.gpr[RAX] = 0x77;
	state.gpr[RCX] = 1000;
	do {
		RUN(0xf3, 0xaa); /* rep stosb */
		exits++;
	} while (state.rip == CODE && exits < 100);
	assert_int_equal(device_writes, 1000);
	assert_int_equal(state.gpr[RDI], DEVICE + 1000);
	assert_in_range(exits, 2, 10);
}

static void strings_go_backwards(void **unused)
{
	(void)unused;
	state.rflags |= BIT(10);
	state.gpr[RDI] = DEVICE + 8;
	state.gpr[RCX] = 3;
	RUN(0xf3, 0xab); /* rep stosd */
	assert_int_equal(state.gpr[RDI], DEVICE + 8 - 12);
	assert_int_equal(device_address, DEVICE);
}

static void port_strings(void **unused)
{
	const u8 bytes[] = { 0xf3, 0x6c }; /* rep insb */

	(void)unused;
	device_value = 0x5a;
	state.gpr[RDX] = 0x3f8;
	state.gpr[RDI] = 0x204ffe;
	state.gpr[RCX] = 4;
	state.rip = CODE;
	hv->load(vcpu.hv, &state);
	gmem_write(&vm.gmem, GPA(CODE), bytes, 2);
	insn_string_io(&vcpu);
	hv->save(vcpu.hv, &state);
	assert_int_equal(device_reads, 4);
	assert_int_equal(device_address, 0x3f8);
	assert_int_equal(get64(0x204ffe) & 0xffffffff, 0x5a5a5a5a);
	assert_int_equal(state.rip, CODE + 2);
	/* A page that cannot be written: the port is not read. */
	put64(PTE(0x205000), 0x205001);
	state.gpr[RDI] = 0x205000;
	state.gpr[RCX] = 1;
	state.rip = CODE;
	hv->load(vcpu.hv, &state);
	insn_string_io(&vcpu);
	assert_int_equal(device_reads, 4);
	assert_int_equal(pf_code, WALK_WRITE | WALK_PRESENT);
}

/* --- page tables --- */

static int translate(u64 linear, struct walk_access access, u64 *gpa, u32 *code)
{
	struct hv_mode mode;
	gpa_t out = GPA(0);
	int err;

	hv->load(vcpu.hv, &state);
	hv->mode(vcpu.hv, &mode);
	err = walk_translate(&vm.gmem, &mode, linear, access, &out, code);
	*gpa = out.value;
	return err;
}

static void rights_are_the_cpus(void **unused)
{
	const struct walk_access read = { 0 }, write = { .is_write = true }, user = { .is_user = true };
	const struct walk_access fetch = { .is_fetch = true };
	u32 code = 0;
	u64 gpa;

	(void)unused;
	assert_int_equal(translate(0x206123, read, &gpa, &code), 0);
	assert_int_equal(gpa, 0x206123);
	assert_int_equal(get64(PTE(0x206000)) & 0x60, 0x20);
	assert_int_equal(translate(0x206123, write, &gpa, &code), 0);
	assert_int_equal(get64(PTE(0x206000)) & 0x60, 0x60);
	assert_int_equal(translate(0x206123, user, &gpa, &code), -EFAULT);
	assert_int_equal(code, WALK_PRESENT | WALK_USER);
	put64(PTE(0x206000), 0x206001);
	assert_int_equal(translate(0x206123, write, &gpa, &code), -EFAULT);
	state.cr0 &= ~CR0_WP;
	assert_int_equal(translate(0x206123, write, &gpa, &code), 0);
	put64(PTE(0x206000), 0x206003 | BIT(63));
	assert_int_equal(translate(0x206123, fetch, &gpa, &code), -EFAULT);
	assert_int_equal(code, WALK_PRESENT | WALK_FETCH);
	put64(PTE(0x206000), 0);
	assert_int_equal(translate(0x206123, read, &gpa, &code), -EFAULT);
	assert_int_equal(code, 0);
	/* A large page, a table outside of RAM. */
	assert_int_equal(translate(DEVICE + 5, read, &gpa, &code), 0);
	assert_int_equal(gpa, DEVICE + 5);
	put64(TABLES + 2 * PAGE_BYTES + 8, 0xfe000003);
	assert_int_equal(translate(0x206123, read, &gpa, &code), -EIO);
}

static void smap_keeps_out_of_user_pages(void **unused)
{
	struct walk_access read = { 0 };
	u32 code;
	u64 gpa;

	(void)unused;
	for (u64 level = 0; level < 3; level++)
		put64(TABLES + level * PAGE_BYTES + (level == 2 ? 8 : 0),
		      get64(TABLES + level * PAGE_BYTES + (level == 2 ? 8 : 0)) | 4);
	put64(PTE(0x206000), 0x206007);
	assert_int_equal(translate(0x206000, read, &gpa, &code), 0);
	state.cr4 |= CR4_SMAP;
	assert_int_equal(translate(0x206000, read, &gpa, &code), -EFAULT);
	read.is_ac_set = true;
	assert_int_equal(translate(0x206000, read, &gpa, &code), 0);
}

static void older_paging_modes(void **unused)
{
	const struct walk_access write = { .is_write = true };
	u32 code, entry;
	u64 gpa;

	(void)unused;
	/* 32-bit: a directory, a table; and a 4 MiB page above 4 GiB by PSE-36. */
	state.efer = 0;
	state.cr4 = CR4_PSE;
	state.cr3 = 0x300000;
	state.segment[SEG_CS].attributes = 0xc09b;
	entry = 0x301003;
	gmem_write(&vm.gmem, GPA(0x300000 + 4), &entry, 4);
	entry = 0x777003;
	gmem_write(&vm.gmem, GPA(0x301000 + 4 * 3), &entry, 4);
	entry = 0x00802083;
	gmem_write(&vm.gmem, GPA(0x300000 + 8), &entry, 4);
	assert_int_equal(translate(0x403abc, write, &gpa, &code), 0);
	assert_int_equal(gpa, 0x777abc);
	assert_int_equal(translate(0x812345, write, &gpa, &code), 0);
	assert_int_equal(gpa, 0x100812345);
	/* PAE: four pointers without rights, 2 MiB page. */
	state.cr4 = CR4_PAE;
	state.cr3 = 0x302020;
	put64(0x302020 + 8, 0x303001);
	put64(0x303000 + 8 * 5, 0x600083);
	assert_int_equal(translate(0x40a54321, write, &gpa, &code), 0);
	assert_int_equal(gpa, 0x654321);
	assert_int_equal(get64(0x303000 + 8 * 5) & 0x60, 0x60);
	assert_int_equal(get64(0x302020 + 8), 0x303001);
	/* None. */
	state.cr0 = CR0_PE;
	assert_int_equal(translate(0xfee00020, write, &gpa, &code), 0);
	assert_int_equal(gpa, 0xfee00020);
}

/* Whatever lies at RIP: carried out, a fault, or the end of the VM; never a step outside (the sanitizers watch). */
static void random_bytes_are_survived(void **unused)
{
	u64 x = 88172645463325252ull;

	(void)unused;
	for (unsigned i = 0; i < 60000; i++) {
		u8 bytes[16];

		for (unsigned n = 0; n < sizeof(bytes); n++) {
			x ^= x << 13, x ^= x >> 7, x ^= x << 17;
			bytes[n] = (u8)(x >> 32);
		}
		for (unsigned n = 0; n < GPR_COUNT; n++)
			state.gpr[n] = (x >> n) % RAM;
		state.gpr[RCX] %= 64;
		run(bytes, sizeof(bytes));
		if (i % 2)
			insn_string_io(&vcpu);
		insn_length(&vcpu);
		if (i % 100 == 0) {
			teardown(NULL);
			setup(NULL);
		}
	}
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_store_reaches_the_device_with_its_width),
		TEST(a_load_changes_what_it_should),
		TEST(arithmetic_is_the_cpus),
		TEST(read_modify_write_does_both),
		TEST(an_unknown_instruction_ends_the_vm_with_its_bytes),
		TEST(an_instruction_at_the_end_of_what_is_mapped),
		TEST(a_string_stops_where_it_faults),
		TEST(a_long_string_is_done_in_pieces),
		TEST(strings_go_backwards),
		TEST(port_strings),
		TEST(rights_are_the_cpus),
		TEST(smap_keeps_out_of_user_pages),
		TEST(older_paging_modes),
		TEST(random_bytes_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
