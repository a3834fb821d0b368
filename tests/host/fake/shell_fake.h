/* SPDX-License-Identifier: BSD-2-Clause */
/* What was printed since fake_shell_clear: text, and JSON as "key=value " words with its brackets.
 */
#pragma once

#include "kernel/shell.h"

extern char fake_shell_text[16384], fake_shell_json[16384];

void fake_shell_clear(void);
