/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest of our own at every start, before the first prompt: proof that this CPU, this
 * firmware and this build really run guests.
 */
#pragma once

/*
 * Runs the self-test guest (vmm/selftest/guest.c) to its end, some ms, and logs what came of it. CPU 0,
 * once, with all CPUs in their loops and no other VM there. Does nothing on a machine that cannot run guests.
 */
void selftest_run(void);
