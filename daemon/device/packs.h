/* SPDX-License-Identifier: MIT */
/*
 * packs.h - weights in the form that the CPU's kernels read.
 *
 * Role:   memory for residents, packed: made when a batch first needs it, kept as long as there is room. Who finds none
 *         takes the place of whoever was not used for longest; what a batch inside needs stays.
 * In:     residents of batches; a word when one goes. Out: memory, to be filled by whoever computes first.
 * Thread: loop, but for `is_filled` and the bytes: they belong to whoever computes a batch that has taken the pack.
 * Owns:   the memory.
 */
#ifndef DAEMON_DEVICE_PACKS_H
#define DAEMON_DEVICE_PACKS_H

#include "daemon/product.h"

#include <uv.h>

struct pack {
        struct resident *resident; /* borrowed: tells us before it goes; NULL once it has gone */
        uint8_t *bytes;            /* owned */
        uint64_t n_bytes;
        bool is_filled;
        unsigned n_users;         /* batches inside */
        TAILQ_ENTRY(pack) by_use; /* packs::by_use, while it has a resident */
        uv_work_t work;           /* gives back a large one's pages, which takes milliseconds */
};

struct packs {
        uv_loop_t *loop; /* borrowed: outlives us */
        uint64_t most_bytes, used_bytes;
        TAILQ_HEAD(, pack) by_use; /* owned; the one that was not used for longest is first */
};

void packs_init(struct packs *packs, uv_loop_t *loop, uint64_t most_bytes);

/* None may be in use. Large ones go in the loop's next turns. */
void packs_deinit(struct packs *packs);

/*
 * The pack of a resident, of n_bytes, kept until it is given back. NULL: there is no room, or no memory; its B is then
 * packed on the way.
 */
struct pack *packs_take(struct packs *packs, struct resident *resident, uint64_t n_bytes);

/* For each take; NULL is allowed. */
void packs_give_back(struct packs *packs, struct pack *pack);

/* The resident is about to go. */
void packs_forget(struct packs *packs, struct resident *resident);

#endif
