/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's configuration, tern.conf: "key = value" in sections [host], [nic NAME],
 * [peer NAME], [vm NAME]; '#' starts a comment. A wrong line is reported with its number and
 * does not stop the boot. Read once, on CPU 0; the text is kept.
 */
#pragma once

#include "kernel/types.h"

/* Parses text (need not end with NUL). Reports each wrong line by log_warn. Returns the number of wrong lines. */
unsigned config_parse(const char *text, size_t bytes);

/* How many lines were wrong, and what was said of the first; NULL: none. */
const char *config_first_wrong(unsigned *count);

/* Value or NULL. name is NULL for [host]. */
const char *config_get(const char *section, const char *name, const char *key);
/* The line that sets the key, or with key NULL that opens the section; 0: there is none. */
unsigned config_line(const char *section, const char *name, const char *key);
/* The index-th section of a kind ("nic", "peer", "vm"), or NULL at the end. */
const char *config_name(const char *section, unsigned index);
/* All keys of one section in file order; false at the end. */
bool config_entry(const char *section, const char *name, unsigned index, const char **key, const char **value);
