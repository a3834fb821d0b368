/* SPDX-License-Identifier: BSD-2-Clause */
/* lwIP includes <stdio.h> for diagnostics that are switched off. */
#pragma once
