/* SPDX-License-Identifier: MIT */
/*
 * weights-load.h - a client's matrix on its way into the store.
 *
 * Role:   copies the matrix from where the client has it, straightens and transposes it on the way, hashes the copy,
 *         hands it to the store.
 * In:     bytes in an arena, or such as arrive in the copy itself. Out: weights, in a later turn of the loop.
 * Thread: loop; copying and hashing run on libuv's pool, in turns of tens of milliseconds, and users take turns.
 *         During a turn the load and its copy belong to the pool alone.
 * Owns:   the copy until it is handed over; a reference on the arena until it is copied.
 * Never:  hashes what a client can still write to.
 */
#ifndef DAEMON_WEIGHTS_LOAD_H
#define DAEMON_WEIGHTS_LOAD_H

#include "daemon/weights.h"

struct weights_load;

/* Where a matrix lies. The caller has checked that it lies inside the arena. */
struct weights_source {
        struct arena *arena; /* held by the load until the bytes are copied */
        uint64_t offset_bytes;
        uint64_t ld_elems;
        bool is_transposed; /* stored n x k */
};

/*
 * The end of a load: `weights` with a reference, given away; NULL: memory was short. `is_shared`: an equal copy was
 * there, and nothing is charged for this one. The arena has been let go of.
 */
typedef void (*weights_loaded_fn)(struct weights *weights, bool is_shared, void *userdata);

/*
 * Takes memory for a k x n matrix and charges it to `uid`. `source` NULL: the caller will put the bytes there, in
 * weights_load_memory. Returns 0, or what weights_new returns.
 */
int weights_load_new(struct weights_set *set, uid_t uid, uint64_t k, uint64_t n,
                     const struct weights_source *source, struct weights_load **ret_load);

/* k * n bytes, row-major and adjacent; the caller's until it starts the load. */
uint8_t *weights_load_memory(const struct weights_load *load);

/* The bytes are there. Calls `loaded_fn` in a later turn of the loop; the load is then gone. */
void weights_load_start(struct weights_load *load, weights_loaded_fn loaded_fn, void *userdata);

/*
 * Gives a load up, started or not: nobody is called, and what it holds goes as soon as the pool lets go of it. Returns
 * NULL; NULL is allowed.
 */
struct weights_load *weights_load_free(struct weights_load *load);

#endif
