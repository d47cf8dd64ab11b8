/* SPDX-License-Identifier: MIT */
/*
 * mappings.h - memory that the daemon has given to the worker to work in.
 *
 * Role:   number of a region -> where it is mapped. Arenas of clients, and weights.
 * In:     WIRE_REGION and WIRE_FORGET.
 * Thread: main.
 * Owns:   the mappings. Reading and writing what is in them is for those inside the gate.
 */
#ifndef DAEMON_XRT_MAPPINGS_H
#define DAEMON_XRT_MAPPINGS_H

#include "daemon/xrt/fault.h"
#include "daemon/xrt/weights-pool.h"

struct mapping {
        uint64_t id;
        uint8_t *bytes; /* owned: mapped */
        uint64_t size_bytes;
        bool is_writable;
        uint64_t k, n;              /* of the B that it holds, where that stays; */
        struct weights_item packed; /* and what is packed of it: the pool's */
};

/* Zeroed is empty. */
struct mappings {
        struct mapping **mappings; /* owned, and each of them: by number */
        size_t n, n_room;
};

/* Maps it; the descriptor stays the caller's. */
int mappings_add(struct mappings *mappings, const struct wire_region *message, int fd,
                 struct xrt_fault *ret_fault);
/* NULL: there is none of this number. */
struct mapping *mappings_find(const struct mappings *mappings, uint64_t id);
/* Unmaps it; its packed form must have left the pool. */
void mappings_remove(struct mappings *mappings, struct mapping *mapping);
void mappings_deinit(struct mappings *mappings);

#endif
