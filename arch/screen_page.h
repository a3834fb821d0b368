/* SPDX-License-Identifier: BSD-2-Clause */
/* The page on the machine's screen: who this is, how it does, what to type next, the log's end. */
#pragma once

/* From now on the page is kept up to date by a timer of CPU 0. Last at start; nothing without a screen. */
void screen_page_start(void);
