/* SPDX-License-Identifier: MIT */
/*
 * weights-pool.h - which packed weights lie where in the weights object.
 *
 * Role:   ranges of argument 1's buffer object. Who finds no room takes the place of whoever was not used for longest;
 *         what a batch inside needs stays.
 * Thread: main.
 * Owns:   nothing: items are embedded in what they belong to. Bytes are moved by residents.c.
 */
#ifndef DAEMON_XRT_WEIGHTS_POOL_H
#define DAEMON_XRT_WEIGHTS_POOL_H

#include "proto/base.h"

#include <sys/queue.h>

#define WEIGHTS_ALIGN 4096 /* where a resident B may begin */

/* Zeroed is one that has no place. */
struct weights_item {
        bool is_placed;
        uint64_t offset, bytes;
        unsigned n_users;                   /* batches inside that need it where it is */
        TAILQ_ENTRY(weights_item) by_place; /* weights_pool::by_place */
        TAILQ_ENTRY(weights_item) by_use;   /* weights_pool::by_use */
};

TAILQ_HEAD(weights_items, weights_item);

struct weights_pool {
        uint64_t size_bytes, most_bytes; /* that it has, and may have */
        struct weights_items by_place;   /* by offset */
        struct weights_items by_use;     /* the one that was not used for longest is first */
};

/* Positive results. */
enum {
        WEIGHTS_POOL_E_SUCCESS = 0,
        WEIGHTS_POOL_E_SMALL, /* there is no room, but there could be: grow, and ask again */
        WEIGHTS_POOL_E_FULL, /* all that could go is needed, or it is more than one may have: a quarter of the most */
};

/* Both sizes are multiples of WEIGHTS_ALIGN. */
void weights_pool_init(struct weights_pool *pool, uint64_t size_bytes, uint64_t most_bytes);
/* Finds a place for an item that has none: `bytes`, a multiple of WEIGHTS_ALIGN. Others lose theirs if need be. */
int weights_pool_place(struct weights_pool *pool, struct weights_item *item, uint64_t bytes);
/* It has a place, and keeps it until the same number of calls to leave. */
void weights_pool_use(struct weights_pool *pool, struct weights_item *item);
void weights_pool_leave(struct weights_item *item);
/* Nothing where it has no place. Nobody may need it. */
void weights_pool_remove(struct weights_pool *pool, struct weights_item *item);
/* What it should have next: twice what it has, or the most. */
uint64_t weights_pool_next_bytes(const struct weights_pool *pool);

#endif
