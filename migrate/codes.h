/* SPDX-License-Identifier: BSD-2-Clause */
/* The stable words for what can go wrong with a move; "help errors" lists them. */
#pragma once

struct error_code;

/*
 * The code by its word; for an unknown one, which a peer of another version may send, a general
 * one.
 */
const struct error_code *migrate_code(const char *word);
