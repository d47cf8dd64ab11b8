/* SPDX-License-Identifier: MIT */
/* packs.c - see packs.h. */
#include "daemon/device/packs.h"

#include <sys/mman.h>

/* One may have a quarter: then a few that take turns do not drive each other out. */
#define SHARE_MAX 4

/* Large ones are read from end to end for each row of A: whole pages of 2 MiB spare the walk through page tables. */
#define HUGE_BYTES ((uint64_t)2 << 20)
#define LINE_BYTES ((uint64_t)64)

static uint64_t whole(uint64_t n_bytes, uint64_t align)
{
        return (n_bytes + align - 1) / align * align;
}

void packs_init(struct packs *packs, uv_loop_t *loop, uint64_t most_bytes)
{
        *packs = (struct packs){.loop = loop, .most_bytes = most_bytes};
        TAILQ_INIT(&packs->by_use);
}

void packs_deinit(struct packs *packs)
{
        struct pack *pack;

        while ((pack = TAILQ_FIRST(&packs->by_use))) {
                assert(pack->n_users == 0);
                packs_forget(packs, pack->resident);
        }
        assert(packs->used_bytes == 0);
}

static struct pack *pack_new(uint64_t n_bytes)
{
        const uint64_t align = n_bytes >= HUGE_BYTES ? HUGE_BYTES : LINE_BYTES;
        _cleanup_(freep) struct pack *pack = calloc(1, sizeof *pack);

        if (!pack)
                return NULL;
        pack->bytes = aligned_alloc(align, whole(n_bytes, align));
        if (!pack->bytes)
                return NULL;
        if (align == HUGE_BYTES) /* where the kernel knows them; without them it is only slower */
                (void)madvise(pack->bytes, whole(n_bytes, align), MADV_HUGEPAGE);
        pack->n_bytes = n_bytes;
        return steal(&pack);
}

static void free_work(uv_work_t *work)
{
        free(container_of(work, struct pack, work)->bytes);
}

static void free_done(uv_work_t *work, int status)
{
        (void)status; /* never cancelled */
        free(container_of(work, struct pack, work));
}

static void pack_end(struct packs *packs, struct pack *pack)
{
        packs->used_bytes -= pack->n_bytes;
        if (pack->n_bytes >= HUGE_BYTES && uv_queue_work(packs->loop, &pack->work, free_work, free_done) == 0)
                return;
        free(pack->bytes);
        free(pack);
}

/* Takes the places of those that nobody needs until there is room; false: there cannot be enough. */
static bool room_make(struct packs *packs, uint64_t n_bytes)
{
        uint64_t room_bytes = packs->most_bytes - packs->used_bytes;
        struct pack *pack;

        if (room_bytes >= n_bytes)
                return true;
        TAILQ_FOREACH(pack, &packs->by_use, by_use)
                room_bytes += pack->n_users == 0 ? pack->n_bytes : 0;
        if (room_bytes < n_bytes)
                return false;
        pack = TAILQ_FIRST(&packs->by_use);
        while (pack && packs->most_bytes - packs->used_bytes < n_bytes) {
                struct pack *next = TAILQ_NEXT(pack, by_use);

                if (pack->n_users == 0)
                        packs_forget(packs, pack->resident);
                pack = next;
        }
        return packs->most_bytes - packs->used_bytes >= n_bytes;
}

struct pack *packs_take(struct packs *packs, struct resident *resident, uint64_t n_bytes)
{
        struct pack *pack = resident->pack;

        if (!pack) {
                if (n_bytes > packs->most_bytes / SHARE_MAX || !room_make(packs, n_bytes))
                        return NULL;
                pack = pack_new(n_bytes);
                if (!pack)
                        return NULL;
                packs->used_bytes += n_bytes;
                pack->resident = resident;
                resident->pack = pack;
        } else {
                TAILQ_REMOVE(&packs->by_use, pack, by_use);
        }
        TAILQ_INSERT_TAIL(&packs->by_use, pack, by_use);
        pack->n_users++;
        return pack;
}

void packs_give_back(struct packs *packs, struct pack *pack)
{
        if (!pack)
                return;
        assert(pack->n_users > 0);
        pack->n_users--;
        if (pack->n_users == 0 && !pack->resident)
                pack_end(packs, pack);
}

/* A batch may still be inside of which the job that held the resident is done. */
void packs_forget(struct packs *packs, struct resident *resident)
{
        struct pack *pack = steal(&resident->pack);

        if (!pack)
                return;
        TAILQ_REMOVE(&packs->by_use, pack, by_use);
        pack->resident = NULL;
        if (pack->n_users == 0)
                pack_end(packs, pack);
}
