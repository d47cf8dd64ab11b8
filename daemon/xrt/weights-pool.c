/* SPDX-License-Identifier: MIT */
/* weights-pool.c - see weights-pool.h. */
#include "daemon/xrt/weights-pool.h"

/* One may have a quarter: then a few that take turns do not drive each other out. */
#define SHARE_MAX 4

void weights_pool_init(struct weights_pool *pool, uint64_t size_bytes, uint64_t most_bytes)
{
        assert(size_bytes <= most_bytes);
        assert(size_bytes % WEIGHTS_ALIGN == 0 && most_bytes % WEIGHTS_ALIGN == 0);
        *pool = (struct weights_pool){.size_bytes = size_bytes, .most_bytes = most_bytes};
        TAILQ_INIT(&pool->by_place);
        TAILQ_INIT(&pool->by_use);
}

/* Into the first gap that is large enough. */
static bool gap_take(struct weights_pool *pool, struct weights_item *item, uint64_t bytes)
{
        struct weights_item *next;
        uint64_t offset = 0;

        TAILQ_FOREACH(next, &pool->by_place, by_place) {
                if (next->offset - offset >= bytes)
                        break;
                offset = next->offset + next->bytes;
        }
        if (!next && pool->size_bytes - offset < bytes)
                return false;
        item->is_placed = true;
        item->offset = offset;
        item->bytes = bytes;
        if (next)
                TAILQ_INSERT_BEFORE(next, item, by_place);
        else
                TAILQ_INSERT_TAIL(&pool->by_place, item, by_place);
        TAILQ_INSERT_TAIL(&pool->by_use, item, by_use);
        return true;
}

/* The one that was not used for longest and that nobody needs; NULL: all are needed. */
static struct weights_item *idlest(const struct weights_pool *pool)
{
        struct weights_item *item;

        TAILQ_FOREACH(item, &pool->by_use, by_use)
                if (item->n_users == 0)
                        break;
        return item;
}

/* Whether there would be a gap if all that nobody needs had gone: then it is worth that they go. */
static bool could_fit(const struct weights_pool *pool, uint64_t bytes)
{
        const struct weights_item *item;
        uint64_t offset = 0;

        TAILQ_FOREACH(item, &pool->by_place, by_place) {
                if (item->n_users == 0)
                        continue;
                if (item->offset - offset >= bytes)
                        return true;
                offset = item->offset + item->bytes;
        }
        return pool->size_bytes - offset >= bytes;
}

int weights_pool_place(struct weights_pool *pool, struct weights_item *item, uint64_t bytes)
{
        assert(!item->is_placed && bytes > 0 && bytes % WEIGHTS_ALIGN == 0);
        if (bytes > pool->most_bytes / SHARE_MAX)
                return WEIGHTS_POOL_E_FULL;
        if (gap_take(pool, item, bytes))
                return 0;
        if (pool->size_bytes < pool->most_bytes)
                return WEIGHTS_POOL_E_SMALL;
        if (!could_fit(pool, bytes))
                return WEIGHTS_POOL_E_FULL;
        do
                weights_pool_remove(pool, idlest(pool));
        while (!gap_take(pool, item, bytes));
        return 0;
}

void weights_pool_use(struct weights_pool *pool, struct weights_item *item)
{
        assert(item->is_placed);
        item->n_users++;
        TAILQ_REMOVE(&pool->by_use, item, by_use);
        TAILQ_INSERT_TAIL(&pool->by_use, item, by_use);
}

void weights_pool_leave(struct weights_item *item)
{
        assert(item->n_users > 0);
        item->n_users--;
}

void weights_pool_remove(struct weights_pool *pool, struct weights_item *item)
{
        if (!item->is_placed)
                return;
        assert(item->n_users == 0);
        TAILQ_REMOVE(&pool->by_place, item, by_place);
        TAILQ_REMOVE(&pool->by_use, item, by_use);
        item->is_placed = false;
}

uint64_t weights_pool_next_bytes(const struct weights_pool *pool)
{
        return MIN(pool->size_bytes * 2, pool->most_bytes);
}
