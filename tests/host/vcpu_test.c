/* SPDX-License-Identifier: BSD-2-Clause */
/* The vCPU's loop: when it enters, what it brings in, when it waits and wakes and parks. */
/* SOURCES: vmm/vcpu.c vmm/exit.c arch/nested.c arch/vcpu_state.c kernel/page.c kernel/page_map.c kernel/heap.c
 * kernel/panic.c kernel/log.c kernel/fmt.c kernel/clock.c kernel/str.c tests/host/fake/hv_fake.c */
#include <pthread.h>
#include <unistd.h>

#include "tests/host/fake/lone_vcpu.h"

static void a_new_vcpu_stays_parked(void **state)
{
	(void)state;
	assert_true(vcpu->is_parked);
	assert_int_equal(run(), RUN_BLOCKED);
	assert_int_equal(inside()->enter_count, 0);
}

static void hlt_blocks_until_an_interrupt(void **state)
{
	(void)state;
	vcpu_unpark(vcpu);
	assert_int_equal(run(), RUN_BLOCKED);
	assert_int_equal(vcpu->activity, VCPU_HALTED);
	assert_int_equal(vcpu->hv->rip, 0x1001);
	assert_int_equal(tsc_loads, 1);
	/* Woken for nothing: it sleeps on without entering. */
	assert_int_equal(run(), RUN_BLOCKED);
	assert_int_equal(inside()->enter_count, 1);
	/* With IF clear an interrupt does not end HLT. */
	pending_vector = 0x30;
	assert_int_equal(run(), RUN_BLOCKED);
	assert_int_equal(inside()->enter_count, 1);
	vcpu->hv->rflags |= RFLAGS_IF;
	assert_int_equal(run(), RUN_BLOCKED);
	assert_int_equal(inside()->enter_count, 2);
	assert_int_equal(accepted_vector, 0x30);
	assert_int_equal(inside()->injected.vector, 0x30);
	assert_int_equal(inside()->injected.type, EVENT_EXTERNAL);
	assert_int_equal(tsc_loads, 1);
}

static void window_is_wanted(struct fake_vcpu *g) { assert_true(g->hv.want_irq_window); }

static void an_interrupt_waits_for_its_window(void **state)
{
	(void)state;
	pending_vector = 0x41;
	on_enter = window_is_wanted;
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_int_equal(accepted_vector, -1);
	vcpu->hv->rflags |= RFLAGS_IF;
	vcpu->hv->has_shadow = true;
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_int_equal(accepted_vector, -1);
	vcpu->hv->has_shadow = false;
	on_enter = NULL;
	play((struct hv_exit){ .reason = HV_EXIT_IRQ_WINDOW });
	assert_int_equal(accepted_vector, 0x41);
	assert_false(vcpu->hv->want_irq_window);
}

static void what_cr8_holds_back_is_watched(void **state)
{
	(void)state;
	blocked_vector = 0x41;
	lapic_tpr = 5;
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_true(vcpu->hv->want_cr8_exit);
	assert_int_equal(vcpu->hv->tpr, 5);
	vcpu->hv->gpr[RBX] = 3;
	play((struct hv_exit){ .reason = HV_EXIT_CR8_WRITE });
	assert_int_equal(lapic_tpr, 3);
	assert_int_equal(vcpu->hv->rip, 0x1004);
	vcpu->hv->gpr[RBX] = 0x10;
	play((struct hv_exit){ .reason = HV_EXIT_CR8_WRITE });
	assert_int_equal(inside()->injected.vector, 13);
	assert_int_equal(lapic_tpr, 3);
	blocked_vector = -1;
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_false(vcpu->hv->want_cr8_exit);
}

static void guest_sets_cr8(struct fake_vcpu *g) { g->hv.tpr = 7; }

static void cr8_written_in_the_guest_reaches_the_apic(void **state)
{
	(void)state;
	on_enter = guest_sets_cr8;
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_int_equal(lapic_tpr, 7);
}

static void nmis_come_one_at_a_time(void **state)
{
	(void)state;
	vcpu_nmi(vcpu);
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_int_equal(inside()->injected.type, EVENT_NMI);
	assert_false(vcpu->nmi_pending);
	vcpu->hv->is_nmi_blocked = true;
	vcpu_nmi(vcpu);
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_true(vcpu->nmi_pending);
	assert_true(vcpu->hv->want_nmi_window);
	vcpu->hv->is_nmi_blocked = false;
	play((struct hv_exit){ .reason = HV_EXIT_NMI_WINDOW });
	assert_false(vcpu->nmi_pending);
}

static void parking_answers_once_it_is_out(void **state)
{
	(void)state;
	vcpu_unpark(vcpu);
	vcpu_park(vcpu);
	assert_false(vcpu_is_quiet(vcpu));
	assert_int_equal(run(), RUN_BLOCKED);
	assert_true(vcpu_is_quiet(vcpu));
	assert_int_equal(inside()->enter_count, 0);
	assert_int_equal(inside()->park_count, 1);
	assert_true(service_wakes > 0);
}

/* A kick that was under way when the vCPU parked: what others do with the parked one is not disturbed. */
static void a_late_wake_does_not_touch_a_parked_vcpu(void **state)
{
	struct vcpu_state saved;

	(void)state;
	vcpu_unpark(vcpu);
	vcpu_park(vcpu);
	run();
	service_wakes = 0;
	vcpu_init_signal(vcpu);
	assert_int_equal(run(), RUN_BLOCKED);
	assert_true(vcpu_is_quiet(vcpu));
	assert_true(vcpu->init_pending);
	assert_int_equal(inside()->park_count, 1);
	assert_int_equal(service_wakes, 0);
	vcpu->index = 1; /* INIT of the boot CPU would be a reset */
	vcpu_settle(vcpu);
	vcpu_save(vcpu, &saved);
	vcpu->index = 0;
	assert_false(vcpu->init_pending);
	assert_int_equal(saved.activity, VCPU_WAIT_FOR_SIPI);
}

static void ask_to_park(struct fake_vcpu *g)
{
	(void)g;
	vcpu_park(vcpu);
}

static void parking_while_inside(void **state)
{
	(void)state;
	on_enter = ask_to_park;
	vcpu_unpark(vcpu);
	script[0] = script[1] = (struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT };
	script_count = 2;
	assert_int_equal(run(), RUN_BLOCKED);
	assert_int_equal(inside()->enter_count, 1);
	assert_true(vcpu->is_parked);
}

static pthread_t other;
static bool is_other_there;

static void *give_up(void *context)
{
	__atomic_store_n(&is_other_there, true, __ATOMIC_SEQ_CST);
	vcpu_unpark(vcpu);
	return context;
}

static void somebody_gives_up(void)
{
	pthread_create(&other, NULL, give_up, NULL);
	while (!__atomic_load_n(&is_other_there, __ATOMIC_SEQ_CST))
		;
	usleep(20000);
}

/* A move was cancelled while it halted the guest, just when the vCPU parked: it must not stay so. */
static void unparking_while_it_parks(void **state)
{
	(void)state;
	vcpu_unpark(vcpu);
	vcpu_park(vcpu);
	wakes = 0;
	fake_on_park = somebody_gives_up;
	run();
	fake_on_park = NULL;
	assert_int_equal(pthread_join(other, NULL), 0);
	assert_false(vcpu->is_parked);
	assert_false(vcpu->want_park);
	assert_int_equal(wakes, 1);
	assert_int_equal(run(), RUN_BLOCKED); /* by HLT */
	assert_int_equal(inside()->enter_count, 1);
}

static void the_own_cpu_parks_at_once(void **state)
{
	(void)state;
	vcpu_unpark(vcpu);
	fake.cpu = 0;
	vcpu_park_here(vcpu);
	assert_false(vcpu->is_parked);
	fake.cpu = 1;
	vcpu_park_here(vcpu);
	assert_true(vcpu->is_parked);
}

static void a_kick_from_its_own_exit_is_none(void **state)
{
	(void)state;
	wakes = 0;
	vcpu->runnable.is_running = true;
	vcpu_kick(vcpu);
	assert_int_equal(wakes, 0);
	fake.cpu = 0;
	vcpu_kick(vcpu);
	assert_int_equal(wakes, 1);
	vcpu->runnable.is_running = false;
	fake.cpu = 1;
	vcpu_kick(vcpu);
	assert_int_equal(wakes, 2);
}

static void is_odd_inside(struct fake_vcpu *g)
{
	assert_true(vcpu->entry_count & 1);
	assert_int_equal(g->flush_count, 1);
	assert_false(vcpu->want_flush);
}

static void a_flush_comes_before_the_entry(void **state)
{
	(void)state;
	vcpu->want_flush = true;
	on_enter = is_odd_inside;
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_int_equal(vcpu->entry_count, 2);
}

static void it_yields_when_asked_and_on_pause(void **state)
{
	(void)state;
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_int_equal(inside()->enter_count, 1);
	script[0] = (struct hv_exit){ .reason = HV_EXIT_PAUSE, .insn_len = 2 };
	script_at = 0;
	assert_int_equal(run(), RUN_AGAIN);
	assert_int_equal(vcpu->hv->rip, 0x1002);
}

/* --- other vCPUs' signals --- */

static void init_and_sipi_start_a_second_vcpu(void **state)
{
	struct vcpu *second;
	struct vcpu_state saved;

	(void)state;
	vm.config.vcpu_count = 2;
	assert_int_equal(vcpu_create(&vm, 1), 0);
	second = vm.vcpu[1];
	vcpu_unpark(second);
	assert_int_equal(second->runnable.run(&second->runnable), RUN_BLOCKED);
	assert_int_equal(fake_vcpu(second->hv)->enter_count, 0);
	vcpu_init_signal(second);
	vcpu_sipi(second, 0x9a);
	second->runnable.run(&second->runnable);
	assert_int_equal(fake_vcpu(second->hv)->enter_count, 1);
	vcpu_save(second, &saved);
	assert_int_equal(saved.segment[SEG_CS].base, 0x9a000);
	assert_int_equal(saved.segment[SEG_CS].selector, 0x9a00);
	assert_int_equal(saved.rip, 1); /* the HLT there was carried out */
	/* Running: a SIPI is ignored. */
	vcpu_sipi(second, 0x11);
	second->runnable.run(&second->runnable);
	vcpu_save(second, &saved);
	assert_int_equal(saved.segment[SEG_CS].base, 0x9a000);
	/* A signal that comes with a park is in the state that is saved. */
	vcpu_init_signal(second);
	vcpu_park(second);
	second->runnable.run(&second->runnable);
	vcpu_save(second, &saved);
	assert_int_equal(saved.activity, VCPU_WAIT_FOR_SIPI);
	vcpu_destroy(second);
	vm.config.vcpu_count = 1;
}

static void init_of_the_boot_cpu_resets_the_machine(void **state)
{
	(void)state;
	vcpu_init_signal(vcpu);
	play((struct hv_exit){ .reason = HV_EXIT_HOST_INTERRUPT });
	assert_true(vm.want_reset);
}

static void state_goes_through_save_and_load(void **state)
{
	struct vcpu_state one, two;

	(void)state;
	vcpu->tsc_adjust = 77;
	vcpu->nmi_pending = true;
	vcpu->activity = VCPU_HALTED;
	memset(&one, 0, sizeof(one));
	memset(&two, 0, sizeof(two));
	vcpu_save(vcpu, &one);
	vcpu->tsc_adjust = 0;
	vcpu->nmi_pending = false;
	vcpu->activity = VCPU_ACTIVE;
	vcpu_load(vcpu, &one);
	assert_true(vcpu->want_tsc_load);
	vcpu_save(vcpu, &two);
	assert_memory_equal(&one, &two, sizeof(one));
	assert_int_equal(two.activity, VCPU_HALTED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_new_vcpu_stays_parked),
		TEST(hlt_blocks_until_an_interrupt),
		TEST(an_interrupt_waits_for_its_window),
		TEST(what_cr8_holds_back_is_watched),
		TEST(cr8_written_in_the_guest_reaches_the_apic),
		TEST(nmis_come_one_at_a_time),
		TEST(parking_answers_once_it_is_out),
		TEST(a_late_wake_does_not_touch_a_parked_vcpu),
		TEST(parking_while_inside),
		TEST(unparking_while_it_parks),
		TEST(the_own_cpu_parks_at_once),
		TEST(a_kick_from_its_own_exit_is_none),
		TEST(a_flush_comes_before_the_entry),
		TEST(it_yields_when_asked_and_on_pause),
		TEST(init_and_sipi_start_a_second_vcpu),
		TEST(init_of_the_boot_cpu_resets_the_machine),
		TEST(state_goes_through_save_and_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
