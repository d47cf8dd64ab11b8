/* SPDX-License-Identifier: MIT */
/*
 * arenas.h - the arenas of a connection, and the memory handed out from them.
 *
 * Role:   asks the daemon for arenas as they are needed, maps them, lends pieces of them out, gives empty
 *         ones back.
 * In:     sizes; the daemon's answers.
 * Out:    memory that the daemon sees too, and the (arena, offset) by which it knows a pointer.
 * Thread: the client's.
 * Owns:   the mappings. They last until the arena is empty and returned, or the client is closed: a lost
 *         connection takes no memory away from the program.
 * Never:  reads or writes arena memory; runs callbacks while it waits for the daemon.
 *
 * Sizes. The first arena has ARENAS_FIRST_BYTES, every further one twice the size of the one before; what
 * needs more than that gets an arena of its own. When the daemon is out of room, one that is just large
 * enough will do. One empty arena of at most ARENAS_SPARE_BYTES_MAX is kept, the largest such, so that a
 * program which takes and frees memory in turns does not make the daemon make and clear an arena each time;
 * larger ones go back at once, as their memory counts against all of the user's programs.
 */
#ifndef CLIENT_ARENAS_H
#define CLIENT_ARENAS_H

#include <sys/queue.h>

#include "proto/message.h"

#define ARENAS_FIRST_BYTES     ((uint64_t)16 << 20)
#define ARENAS_SPARE_BYTES_MAX ((uint64_t)64 << 20)

struct arena;
struct npumm_client;

struct arenas {
        TAILQ_HEAD(, arena) list; /* arena::link; oldest first */
        uint32_t n_arenas; /* of the list, also those that come or go. The daemon counts the same, but for one
                              that it could not be told to take back, as memory ran out */
};

void arenas_init(struct arenas *arenas);

/* Unmaps everything. The connection must have ended. */
void arenas_deinit(struct arenas *arenas);

/*
 * Lends out `size_bytes` (not 0). Waits for the daemon, CLIENT_ANSWER_TIMEOUT_MS at most, when no arena has
 * room. Returns 0, -errno or an npumm_status; npumm_text() explains.
 */
int arenas_alloc(struct npumm_client *client, uint64_t size_bytes, uint8_t **ret_memory);

/* Takes back what arenas_alloc() has lent; false: it has not. NULL is fine. */
bool arenas_free(struct npumm_client *client, const void *memory);

/* Where `size_bytes` (not 0) from `memory` on lie. */
enum arenas_where {
        ARENAS_OUTSIDE = 0, /* in no arena */
        ARENAS_INSIDE, /* within one piece that is lent out: *ret_arena and *ret_offset_bytes say where */
        ARENAS_ASTRAY, /* begins in an arena, but not in such a piece, or runs beyond it */
};
enum arenas_where arenas_find(const struct npumm_client *client, const void *memory, uint64_t size_bytes,
                              uint32_t *ret_arena, uint64_t *ret_offset_bytes);

#endif
