/* SPDX-License-Identifier: MIT */
/* arena.c - see arena.h. */
#include "daemon/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

/* Both charges or neither. */
static int charge_both(struct arena *arena, struct quota *quota, uid_t uid, uint64_t size_bytes)
{
        int r = quota_charge(quota, uid, QUOTA_BYTES, size_bytes, &arena->charge);

        if (r != 0)
                return r;
        r = quota_charge(quota, uid, QUOTA_ARENAS, 1, &arena->count_charge);
        if (r != 0)
                quota_discharge(&arena->charge);
        return r > 0 ? ARENA_E_COUNT + r : r;
}

static void discharge_both(struct arena *arena)
{
        quota_discharge(&arena->charge);
        quota_discharge(&arena->count_charge);
}

int arena_new(struct arena_set *set, uid_t uid, uint64_t size_bytes, struct arena **ret_arena)
{
        _cleanup_(freep) struct arena *arena = NULL;
        uint64_t whole_bytes;
        int r;

        if (!checked_align(size_bytes, (uint64_t)sysconf(_SC_PAGESIZE), &whole_bytes))
                whole_bytes = UINT64_MAX; /* more than any limit, which then has a name */
        arena = calloc(1, sizeof *arena);
        if (!arena)
                return -ENOMEM;
        r = charge_both(arena, set->quota, uid, whole_bytes);
        if (r != 0)
                return r;
        r = shared_memory_open("npumm-arena", whole_bytes, &arena->fd, &arena->memory);
        if (r < 0) {
                discharge_both(arena);
                return r;
        }
        if (!region_add(set->regions, &arena->region, arena->memory, whole_bytes, arena->fd, true)) {
                (void)munmap(arena->memory, whole_bytes);
                (void)close(arena->fd);
                discharge_both(arena);
                return -ENOMEM;
        }
        arena->set = set;
        arena->refs = 1;
        arena->size_bytes = whole_bytes;
        set->n_arenas++;
        *ret_arena = steal(&arena);
        return 0;
}

bool arena_fault(const struct arena_set *set, uid_t uid, int r, struct fault *ret_fault)
{
        const bool is_count = r > ARENA_E_COUNT;

        return quota_fault(set->quota, uid, is_count ? QUOTA_ARENAS : QUOTA_BYTES,
                           is_count ? r - ARENA_E_COUNT : r, ret_fault);
}

struct arena *arena_ref(struct arena *arena)
{
        assert(arena->refs > 0);
        arena->refs++;
        return arena;
}

/* On the pool. Punching works under the seals (they forbid only a change of size) and frees every page, also
 * those that a client still maps. */
static void arena_end_work(uv_work_t *work)
{
        struct arena *arena = container_of(work, struct arena, end_work);

        if (arena->is_punched)
                (void)fallocate(arena->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                                (off_t)arena->size_bytes);
        (void)munmap(arena->memory, arena->size_bytes);
        (void)close(arena->fd);
}

static void arena_end_done(uv_work_t *work, int status)
{
        struct arena *arena = container_of(work, struct arena, end_work);

        (void)status; /* never cancelled */
        discharge_both(arena);
        arena->set->n_arenas--;
        if (arena->gone_fn)
                arena->gone_fn(arena->gone_userdata);
        free(arena);
}

static void arena_end(struct region *region)
{
        struct arena *arena = container_of(region, struct arena, region);
        int r;

        /* What was never handed out goes with its mapping. Punching waits for whoever writes to the memfd. */
        arena->is_punched = arena->is_shared && !(arena->set->stopping && !arena->gone_fn);
        r = uv_queue_work(arena->set->loop, &arena->end_work, arena_end_work, arena_end_done);
        assert(r == 0); /* fails only without a function to run */
}

struct arena *arena_unref(struct arena *arena)
{
        if (!arena)
                return NULL;
        assert(arena->refs > 0);
        if (--arena->refs > 0)
                return NULL;
        region_end(arena->set->regions, &arena->region, arena_end);
        return NULL;
}
