/* SPDX-License-Identifier: MIT */
/*
 * arena.h - sealed shared memory that operands live in.
 *
 * Role:   the daemon makes every arena, so that its size, seals and accounting are known by construction: no
 *         client can shrink it under us (SIGBUS) or pass a file of another kind. Inline operands are staged in
 *         an arena of the same kind, one a job, which is simply never handed out.
 * Thread: loop. The end of an arena (punching out and unmapping take tens of milliseconds for gigabytes) runs
 *         on libuv's pool, which then owns it alone.
 * Owns:   the memfd, the mapping, the charge for the whole size.
 * Never:  grows; holds anything that decides anything (shapes, offsets, handles).
 *
 * References: one by the client's handle, one by each job with an operand here, one by each reply that still
 * carries bytes from here. A client keeps its own mapping after release, so the last reference does not free
 * the pages by itself: they are punched out first, and only then is the uid discharged. Only when the daemon stops
 * are arenas that nobody has released left as they are: a client reads its products, and finds its operands to
 * submit again elsewhere, after BYE; the pages go with the client's mapping.
 */
#ifndef DAEMON_ARENA_H
#define DAEMON_ARENA_H

#include "daemon/quota.h"
#include "daemon/region.h"

#include <uv.h>

/* What the arenas of one daemon share; owned by the daemon. */
struct arena_set {
        uv_loop_t *loop;            /* borrowed: outlives all arenas */
        struct quota *quota;        /* borrowed: same */
        struct region_set *regions; /* borrowed: same; NULL: no other process is given any */
        size_t n_arenas;            /* alive, those on the way out included */
        bool stopping;              /* what clients still map is left to them */
};

typedef void (*arena_gone_fn)(void *userdata);

struct arena {
        struct arena_set *set; /* borrowed: outlives all arenas */
        unsigned refs;
        int fd;          /* owned */
        uint8_t *memory; /* owned mapping of the whole arena, read and write */
        uint64_t size_bytes;
        struct region region;
        struct quota_charge charge, count_charge; /* QUOTA_BYTES, QUOTA_ARENAS */
        arena_gone_fn gone_fn; /* on the loop, once the pages are free and the charge is gone; or NULL */
        void *gone_userdata;
        bool is_punched; /* at its end: whether its pages are freed under clients that still map them */
        bool is_shared;  /* handed out: a client may still map it when it ends */
        uv_work_t end_work;
};

/* Added to QUOTA_E_* where it is the number of arenas that is at its limit, and not their bytes. */
enum { ARENA_E_COUNT = 16 };

/*
 * Makes an arena of `size_bytes`, rounded up to whole pages, charged to `uid`; the caller gets the one reference.
 * Contents are zero. Returns 0, -errno, QUOTA_E_* or ARENA_E_COUNT + QUOTA_E_*.
 */
int arena_new(struct arena_set *set, uid_t uid, uint64_t size_bytes, struct arena **ret_arena);

/* Puts arena_new's result into words. Returns false. */
bool arena_fault(const struct arena_set *set, uid_t uid, int r, struct fault *ret_fault);

struct arena *arena_ref(struct arena *arena);

/* Returns NULL; NULL is allowed. */
struct arena *arena_unref(struct arena *arena);

#endif
