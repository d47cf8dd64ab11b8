/* SPDX-License-Identifier: MIT */
/*
 * poison.h - tells a C tile that was computed from one that was not.
 *
 * Role:   the last 64 bytes of every C tile, the last that the device writes of it, become a number before the run
 *         that no product reaches: INT32_MIN, K being at most 131,071.
 *         Whatever of it is there afterwards was not computed.
 * Thread: any; pure.
 */
#ifndef DAEMON_XRT_POISON_H
#define DAEMON_XRT_POISON_H

#include "daemon/npu/stream64.h"

/* Macro-tiles of all jobs. */
uint64_t poison_macro_tiles(const struct stream64_batch *batch);

/* `c`: what argument 2 holds. */
void poison_put(uint8_t *c, const struct stream64_batch *batch);

/* A tile of C: the core in row `core` of column `lane`, of the batch's macro-tile of this number. */
struct poison_tile {
        uint64_t lane, macro_tile, core;
};

/* Whether any is left; then the first such tile is in ret_tile. */
bool poison_is_left(const uint8_t *c, const struct stream64_batch *batch, struct poison_tile *ret_tile);

#endif
