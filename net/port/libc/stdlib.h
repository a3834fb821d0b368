/* SPDX-License-Identifier: BSD-2-Clause */
/* What lwIP means by <stdlib.h>: its heap is Tern's (net/port/sys.c). */
#pragma once

#include <stddef.h>

void *lwip_port_alloc(size_t bytes);
void lwip_port_free(void *object);

#define malloc(bytes) lwip_port_alloc(bytes)
#define calloc(count, bytes) lwip_port_alloc((size_t)(count) * (bytes)) /* the heap gives zeroes */
#define free(object) lwip_port_free(object)

/* netif_name_to_index alone asks, and nobody calls that. */
static inline int atoi(const char *text)
{
	int value = 0;

	while (*text >= '0' && *text <= '9')
		value = value * 10 + (*text++ - '0');
	return value;
}
