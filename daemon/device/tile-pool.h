/* SPDX-License-Identifier: MIT */
/*
 * tile-pool.h - several threads for one product.
 *
 * Role:   whoever computes a product cut into tiles gets help with them: all take the next tile until none is left, the
 *         caller too. What is small is never shared: waking somebody would take longer.
 * In:     a plan. Out: C, when tile_pool_run returns.
 * Thread: any one at a time calls; the helpers are our own, and wait here alone.
 * Owns:   the helpers and their scratch.
 */
#ifndef DAEMON_DEVICE_TILE_POOL_H
#define DAEMON_DEVICE_TILE_POOL_H

#include "daemon/kernel/kernel.h"

struct tile_pool;

/* `threads` with the caller, at least 2. Returns 0 or -errno. */
int tile_pool_new(unsigned threads, struct tile_pool **ret_pool);

/* Nothing may run. Joins the helpers, which are idle. Returns NULL; NULL is allowed. */
struct tile_pool *tile_pool_free(struct tile_pool *pool);

/* How many threads pay for so many multiply-adds: 1 for a NULL pool. */
unsigned tile_pool_threads(const struct tile_pool *pool, double macs);

/* Computes the whole plan, made for more than one thread. `scratch` is the caller's, of kernel_scratch_bytes(). */
void tile_pool_run(struct tile_pool *pool, const struct kernel_plan *plan, void *scratch);

#endif
