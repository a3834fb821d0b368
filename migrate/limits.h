/* SPDX-License-Identifier: BSD-2-Clause */
/* The limits that an operator sets a move: stun=5ms rate=1G. Pure. */
#pragma once

struct send_options;

/*
 * Takes the values that are given, all or none of them: NULL, or the text that is not a limit (and nothing
 * is changed). stun: 100us to 60s, a plain number is ms. rate: bits per second, 1M at least.
 */
const char *limits_parse(struct send_options *options, const char *stun, const char *rate);
