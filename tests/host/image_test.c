/* SPDX-License-Identifier: BSD-2-Clause */
/* VM to records and back: the round trip, and what a lying peer may send instead. */
/* SOURCES: migrate/image.c migrate/digest.c kernel/str.c tests/host/fake/heap_fake.c */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/hv.h"
#include "kernel/errno.h"
#include "migrate/image.h"
#include "tests/host/fake/heap_fake.h"
#include "vmm/device.h"
#include "vmm/vm.h"

#define RECORDS_MAX 16
#define VCPUS 2

/* --- around image.c --- */

static struct hv_ops the_hv;
struct hv_ops *hv = &the_hv;

/* The wire: records as they were put. */
static struct record {
	u32 type;
	u32 bytes;
	u8 payload[8192];
} records[RECORDS_MAX];
static u32 record_count;

size_t wire_record_bytes(size_t payload_bytes) { return 8 + ALIGN_UP(payload_bytes, 8ul); }

int wire_put2(struct wire *wire, u32 type, const void *a, size_t a_bytes, const void *b,
	      size_t b_bytes)
{
	struct record *record = &records[record_count++];

	(void)wire;
	memset(record, 0, sizeof(*record));
	record->type = type;
	record->bytes = (u32)ALIGN_UP(a_bytes + b_bytes, 8ul);
	memcpy(record->payload, a, a_bytes);
	memcpy(record->payload + a_bytes, b, b_bytes);
	return 0;
}

void wire_reason_set(struct wire_reason *reason, const char *code, const char *format, ...)
{
	(void)format;
	snprintf(reason->code, sizeof(reason->code), "%s", code);
}

static struct vcpu_state states[2][VCPUS];
static u32 loads;

void vcpu_save(struct vcpu *vcpu, struct vcpu_state *state)
{
	*state = states[vcpu->vm->epoch][vcpu->index];
}

void vcpu_load(struct vcpu *vcpu, const struct vcpu_state *state)
{
	states[vcpu->vm->epoch][vcpu->index] = *state;
	loads++;
}

int vcpu_state_check(const struct vcpu_state *state, const struct hv_limits *limits,
		     const char **why)
{
	(void)limits;
	*why = "RFLAGS";
	return state->rflags & 2 ? 0 : -EINVAL;
}

static int check(const void *state) { return *(const u8 *)state == 0xee ? -EINVAL : 0; }
static void reset(struct device *dev) { (void)dev; }

static const struct device_type types[] = {
	{ .name = "clock", .version = 2, .state_bytes = 24, .check = check, .reset = reset },
	{ .name = "port", .version = 1, .state_bytes = 31, .check = check, .reset = reset },
	{ .name = "fifteen_letters",
	  .version = 9,
	  .state_bytes = 5000,
	  .check = check,
	  .reset = reset },
};

static struct vm vms[2];
static struct device devices[2][4];
static u8 device_state[2][4][5000];
static struct vcpu vcpus[2][VCPUS];

/* VM 0 has something to say; VM 1 is a shell of the same kind. */
static int setup(void **state)
{
	static const u32 type_of[] = { 0, 1, 1, 2 };

	(void)state;
	srand(1);
	record_count = loads = 0;
	for (u32 v = 0; v < 2; v++) {
		vms[v] = (struct vm){ .config = { .vcpu_count = VCPUS }, .epoch = v };
		list_init(&vms[v].devices);
		for (u32 d = 0; d < 4; d++) {
			devices[v][d] = (struct device){ .type = &types[type_of[d]],
							 .vm = &vms[v],
							 .instance = d == 2,
							 .state = device_state[v][d] };
			list_add_tail(&vms[v].devices, &devices[v][d].link);
			for (u32 i = 0; i < 5000; i++)
				device_state[v][d][i] = v ? 0xaa : (u8)(rand() % 200);
		}
		for (u32 c = 0; c < VCPUS; c++) {
			vcpus[v][c] = (struct vcpu){ .vm = &vms[v], .index = c };
			vms[v].vcpu[c] = &vcpus[v][c];
			states[v][c] = (struct vcpu_state){ .rflags = 2,
							    .rip = v ? 0 : 0x1000 + c };
		}
	}
	return 0;
}

static u64 send_vm_0(void)
{
	static struct vcpu_state scratch;
	u64 digest = 0;

	assert_int_equal(image_send(&vms[0], NULL, &scratch, &digest), 0);
	return digest;
}

static bool take(struct image *image, const struct record *record, struct wire_reason *reason)
{
	/* Exactly as long as it is, so that the sanitizer sees a read past the end. */
	u8 *payload = malloc(record->bytes);
	bool is_good;

	memcpy(payload, record->payload, record->bytes);
	is_good = record->type == WIRE_DEVICE
			  ? image_take_device(image, payload, record->bytes, reason)
			  : image_take_vcpu(image, payload, record->bytes, reason);
	free(payload);
	return is_good;
}

static void what_was_sent_is_what_is_loaded(void **state)
{
	struct image image;
	struct wire_reason reason;
	u64 digest = send_vm_0(), bytes = 0;

	(void)state;
	assert_int_equal(record_count, 4 + VCPUS);
	for (u32 i = 0; i < record_count; i++)
		bytes += wire_record_bytes(records[i].bytes);
	assert_int_equal(bytes, image_wire_bytes(&vms[0]));
	assert_int_equal(image_init(&image, &vms[1]), 0);
	for (u32 i = 0; i < record_count; i++) {
		assert_false(image_is_complete(&image));
		assert_true(take(&image, &records[i], &reason));
	}
	assert_true(image_is_complete(&image));
	assert_true(image.digest == digest);
	/* Nothing has reached the VM yet. */
	assert_int_equal(device_state[1][0][0], 0xaa);
	assert_int_equal(loads, 0);
	image_apply(&image);
	for (u32 d = 0; d < 4; d++)
		assert_memory_equal(device_state[1][d], device_state[0][d],
				    devices[1][d].type->state_bytes);
	for (u32 d = 0; d < 3; d++)
		assert_int_equal(device_state[1][d][devices[1][d].type->state_bytes], 0xaa);
	for (u32 c = 0; c < VCPUS; c++)
		assert_memory_equal(&states[1][c], &states[0][c], sizeof(states[0][c]));
	image_fini(&image);
	assert_int_equal(fake_heap.objects, 0);
}

static void every_bit_of_state_is_in_the_digest(void **state)
{
	u64 first = send_vm_0();

	(void)state;
	for (u32 i = 0; i < 31; i++) {
		device_state[0][1][i] ^= 1;
		record_count = 0;
		assert_true(send_vm_0() != first);
		device_state[0][1][i] ^= 1;
	}
	/* Two like devices that change places are another machine. */
	memcpy(device_state[0][3] + 100, device_state[0][1], 31);
	memcpy(device_state[0][1], device_state[0][2], 31);
	memcpy(device_state[0][2], device_state[0][3] + 100, 31);
	record_count = 0;
	assert_true(send_vm_0() != first);
}

/* Any record in any wrong place, or changed in its head, is refused, and the VM stays as it was. */
static void what_does_not_fit_is_refused(void **state)
{
	(void)state;
	send_vm_0();
	for (u32 change = 0; change < 9; change++)
		for (u32 victim = 0; victim < record_count; victim++) {
			struct record bad = records[victim];
			struct image image;
			struct wire_reason reason;
			bool is_vcpu = bad.type == WIRE_VCPU;

			assert_int_equal(image_init(&image, &vms[1]), 0);
			for (u32 i = 0; i < victim; i++)
				assert_true(take(&image, &records[i], &reason));
			switch (change) {
			case 0: bad.bytes += 8; break;
			case 1: bad.bytes -= 8; break;
			case 2: bad.payload[0] ^= 1; break;                     /* name, or index */
			case 3:
				bad.payload[is_vcpu ? 4 : 16] ^= 1;
				break; /* bytes, or instance */
			case 4: bad.payload[is_vcpu ? 5 : 20] ^= 1; break;      /* version */
			case 5: bad.payload[is_vcpu ? 6 : 22] ^= 1; break;      /* bytes */
			case 6: bad = records[(victim + 1) % record_count]; break;
			case 7: /* a state that check refuses */
				if (is_vcpu)
					((struct vcpu_state *)(bad.payload + 8))->rflags = 0;
				else
					bad.payload[24] = 0xee;
				break;
			default: /* once more */
				assert_true(take(&image, &bad, &reason));
				break;
			}
			assert_false(take(&image, &bad, &reason));
			assert_true(!strcmp(reason.code, "E-DEVICE-STATE") ||
				    !strcmp(reason.code, "E-VCPU-STATE"));
			assert_false(change < 8 && image_is_complete(&image));
			assert_int_equal(device_state[1][0][0], 0xaa);
			image_fini(&image);
		}
	assert_int_equal(loads, 0);
}

static void the_list_says_what_is_there(void **state)
{
	struct wire_device_entry list[8];

	(void)state;
	assert_int_equal(image_list(&vms[0], list, 8), 4);
	assert_string_equal(list[0].name, "clock");
	assert_int_equal(list[2].instance, 1);
	assert_string_equal(list[3].name, "fifteen_letters");
	assert_int_equal(list[3].bytes, 5000);
	assert_int_equal(image_list(&vms[0], list, 3), 0);
}

static void no_memory_leaves_nothing(void **state)
{
	struct image image;

	(void)state;
	for (u64 fail = 1; fail <= 2; fail++) {
		fake_heap_fail_after(fail);
		assert_int_equal(image_init(&image, &vms[1]), -ENOMEM);
		assert_int_equal(fake_heap.objects, 0);
	}
	fake_heap_fail_after(0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		T(what_was_sent_is_what_is_loaded),
		T(every_bit_of_state_is_in_the_digest),
		T(what_does_not_fit_is_refused),
		T(the_list_says_what_is_there),
		T(no_memory_leaves_nothing),
	};

	return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
