/* SPDX-License-Identifier: MIT */
/*
 * weights.h - B that stays: matrices that clients load once and name in many jobs.
 *
 * Role:   makes the daemon's own copy of a matrix, row-major and adjacent however its client stored it; shares it
 *         among all who load an equal one as the same user; keeps it for a while when nobody holds it any more.
 * In:     bytes in an arena, or such as arrive in the copy itself. Out: references, for handles and jobs.
 * Thread: loop. Copying, hashing and unmapping run on libuv's pool, the first two in pieces of tens of milliseconds;
 *         what they work on belongs to the pool alone meanwhile.
 * Owns:   the copies, their memory, their charges.
 * Never:  decides anything by memory that a client can write to: what is hashed and compared is the copy.
 *
 * Design notes
 * - Equal are copies of the same user with the same shape and the same BLAKE2b-256 of shape, type and bytes. Users
 *   share nothing: who loads a matrix would learn whether somebody else has it. Equal matrices that are loaded at the
 *   same time are copies of their own until they are hashed.
 * - A copy is charged to its user before it is made: one of QUOTA_WEIGHTS, and QUOTA_BYTES for its whole pages. That is
 *   all, because devices that compute from row-major memory need no other form. A device that makes a form of its own
 *   (resident::is_packed) charges for that when it makes it, and gives it up in `forget_fn`.
 * - Kept copies stay charged, at most `kept_bytes_max` for each user, and are the first to go when a charge of any kind
 *   for bytes or weights would be refused (quota::room_fn): the user's own over the user's limit, anybody's over the
 *   limit of all together, in either case those that were let go of first, unless their room would come too late.
 * - A charge ends when its pages are free, as with arenas. But room must be there at once, so copies on their way out
 *   are discharged early as long as they are no more than WEIGHTS_LEAVING_BYTES_MAX together, or `kept_bytes_max` if
 *   that is more: by so much may memory exceed what is charged, for the time that the pool needs.
 * - A client may leave thousands of handles and of copies. The loop takes them a piece at a time: the pool unmaps
 *   a piece, then the loop finishes those and lets go of the next few, which are the pool's next piece.
 */
#ifndef DAEMON_WEIGHTS_H
#define DAEMON_WEIGHTS_H

#include "daemon/arena.h"
#include "daemon/product.h"
#include "daemon/stats.h"

#define WEIGHTS_LEAVING_BYTES_MAX UINT64_C(67108864)
#define WEIGHTS_HASH_BYTES        32

struct weights;
struct weights_user;

TAILQ_HEAD(weights_list, weights);

/* Copies that nobody holds, those that were let go of first in front. */
struct weights_kept {
        struct weights_list list; /* owned */
        uint64_t n, n_bytes;
};

/* Who holds a copy, or a load of one. Embedded in what is to end: see weights_end_holders. */
struct weights_holder {
        void (*end_fn)(struct weights_holder *holder); /* lets go, and ends all of it */
        TAILQ_ENTRY(weights_holder) link;              /* the owner's, or weights_set::holders */
};

TAILQ_HEAD(weights_holder_list, weights_holder);

/* What the weights of one daemon share; owned by the daemon. */
struct weights_set {
        uv_loop_t *loop;            /* borrowed: outlives us */
        struct quota *quota;        /* borrowed: same */
        struct stats *stats;        /* borrowed: same */
        uint64_t kept_bytes_max;    /* for each user */
        struct region_set *regions; /* borrowed: outlives us; NULL: no other process is given any */
        /* Before a copy's memory goes, so that a device can let go of its own form of it; or NULL. */
        void (*forget_fn)(void *userdata, struct resident *resident);
        void *forget_userdata;
        void *by_content; /* tsearch tree of the copies that can be shared, the kept ones included */
        size_t n_weights; /* in it */
        TAILQ_HEAD(, weights_user) users; /* owned; a handful on any real machine, so a list will do */
        struct weights_kept kept;         /* of all users */
        uint64_t charged_bytes; /* for all copies, those in the making and on the way out included */
        unsigned n_turns;       /* loads that are on the pool */
        uint64_t leaving_bytes; /* on the way out and discharged early */
        struct weights_holder_list holders; /* owned: to end */
        struct weights_list leaving;        /* owned: copies on the way out, to be unmapped */
        struct weights_list unmapped;       /* the pool's, while `is_unmapping` */
        bool is_unmapping;
        uv_work_t unmap_work;
};

/* One user's part of it, for as long as there is a copy. */
struct weights_user {
        uid_t uid;
        size_t n_weights; /* that point here */
        struct weights_kept kept;
        TAILQ_HEAD(, weights_load) loads; /* that wait for their turn on the pool */
        TAILQ_ENTRY(weights_user) link;   /* weights_set::users */
};

struct weights {
        struct resident resident;
        struct weights_set *set;   /* borrowed: outlives all weights */
        struct weights_user *user; /* borrowed: lives as long as its weights */
        unsigned refs;             /* 0: kept, in the making, or on the way out */
        uint8_t *memory;           /* owned mapping */
        int fd;                    /* owned: what it is a mapping of; -1: no other process is given any */
        struct region region;
        uint64_t size_bytes; /* of it: whole pages */
        uint8_t hash[WEIGHTS_HASH_BYTES];
        struct quota_charge charge, count_charge; /* QUOTA_BYTES, QUOTA_WEIGHTS */
        bool is_leaving;                          /* counted in weights_set::leaving_bytes */
        TAILQ_ENTRY(weights) user_link;           /* weights_user::kept */
        TAILQ_ENTRY(weights) set_link; /* weights_set::kept; on the way out ::leaving, ::unmapped */
        bool is_to_go;                 /* marked while room is made */
};

/* Makes room in `quota` from now on. */
void weights_set_init(struct weights_set *set, uv_loop_t *loop, struct quota *quota, struct stats *stats,
                      uint64_t kept_bytes_max);

/* Ends the holders that are left, drops what is kept, and keeps nothing any more. Memory goes in the next turns. */
void weights_set_close(struct weights_set *set);

/* Nothing may be left, nor be on the pool: the loop has run empty. */
void weights_set_deinit(struct weights_set *set);

struct weights *weights_ref(struct weights *weights);

/* The last reference gone, the copy is kept or dropped. Returns NULL; NULL is allowed. */
struct weights *weights_unref(struct weights *weights);

/* Takes over the list and ends what is in it, the first few at once, the others in the loop's next turns. */
void weights_end_holders(struct weights_set *set, struct weights_holder_list *holders);

/* Added to QUOTA_E_* where it is the number of weights that is at its limit, and not their bytes. */
enum { WEIGHTS_E_COUNT = 16 };

/*
 * Takes zeroed memory for a k x n matrix and charges it to `uid`: a copy that is the caller's alone. Returns 0, -errno,
 * QUOTA_E_* or WEIGHTS_E_COUNT + QUOTA_E_*.
 */
int weights_new(struct weights_set *set, uid_t uid, uint64_t k, uint64_t n, struct weights **ret_weights);

/* Puts weights_new's result into words. Returns false. */
bool weights_fault(const struct weights_set *set, uid_t uid, int r, struct fault *ret_fault);

/* Ends a copy that is still the caller's alone. Returns NULL; NULL is allowed. */
struct weights *weights_free(struct weights *weights);

/*
 * Consumes a copy whose bytes and hash are final. Returns a reference on it, or (*ret_is_shared) on the equal one that
 * was there; NULL when memory is short.
 */
struct weights *weights_settle(struct weights *weights, bool *ret_is_shared);

#endif
