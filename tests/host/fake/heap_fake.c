/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/host/fake/heap_fake.h"

#include <stdlib.h>

struct fake_heap fake_heap;

void *heap_alloc(size_t bytes)
{
	void *object;

	if (bytes == 0 || bytes > 2 * MIB || fake_heap.fail_in == 1)
		return NULL;
	if (fake_heap.fail_in)
		fake_heap.fail_in--;
	object = aligned_alloc(16, ALIGN_UP(bytes, 16ul));
	if (!object)
		return NULL;
	for (size_t i = 0; i < ALIGN_UP(bytes, 16ul); i++)
		((u8 *)object)[i] = 0;
	fake_heap.objects++;
	return object;
}

void heap_free(void *object)
{
	if (!object)
		return;
	fake_heap.objects--;
	free(object);
}
