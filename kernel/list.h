/* SPDX-License-Identifier: BSD-2-Clause */
/* Intrusive doubly linked list: a ring with a head that holds no element. */
#pragma once

#include "kernel/types.h"

struct list {
	struct list *next;
	struct list *prev;
};

#define LIST_HEAD_INIT(name) { &(name), &(name) }

static inline void list_init(struct list *head)
{
	head->next = head;
	head->prev = head;
}

static inline bool list_is_empty(const struct list *head) { return head->next == head; }

static inline void list_insert_before(struct list *where, struct list *item)
{
	item->next = where;
	item->prev = where->prev;
	where->prev->next = item;
	where->prev = item;
}

static inline void list_add_tail(struct list *head, struct list *item) { list_insert_before(head, item); }
static inline void list_add_head(struct list *head, struct list *item) { list_insert_before(head->next, item); }

/* Takes item out of its list and leaves it an empty list of its own, so removing twice is harmless. */
static inline void list_remove(struct list *item)
{
	item->prev->next = item->next;
	item->next->prev = item->prev;
	list_init(item);
}

#define list_entry(ptr, type, member) container_of(ptr, type, member)
#define list_first(head, type, member) \
	(list_is_empty(head) ? (type *)NULL : list_entry((head)->next, type, member))
#define list_for_each(pos, head, type, member) \
	for (type *pos = list_entry((head)->next, type, member); &pos->member != (head); \
	     pos = list_entry(pos->member.next, type, member))
/* The body may remove pos. */
#define list_for_each_safe(pos, head, type, member) \
	for (type *pos = list_entry((head)->next, type, member), \
		  *pos##_next = list_entry(pos->member.next, type, member); \
	     &pos->member != (head); \
	     pos = pos##_next, pos##_next = list_entry(pos->member.next, type, member))
