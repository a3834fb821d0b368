/* SPDX-License-Identifier: BSD-2-Clause */
/* Where lwIP's err_t becomes errno. */
#pragma once

#include "lwip/err.h"

/* 0 or a negative errno. */
int lwip_port_errno(err_t err);
