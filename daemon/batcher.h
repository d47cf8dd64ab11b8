/* SPDX-License-Identifier: MIT */
/*
 * batcher.h - what goes to the device next.
 *
 * Role:   cuts slices from the waiting jobs into one batch whose predicted time stays within `batch-bound`.
 * In:     the scheduler's order, the cost model, the bound. Out: a filled struct batch.
 * Thread: loop. Pure: no clock, no I/O. Called when the device can take a batch, never earlier.
 */
#ifndef DAEMON_BATCHER_H
#define DAEMON_BATCHER_H

#include "daemon/cost.h"
#include "daemon/device.h"
#include "daemon/scheduler.h"

struct batcher_limits {
        uint64_t bound_ns;     /* `batch-bound`; a single row may be longer and is then a batch of its own */
        uint64_t granule_rows; /* struct device */
};

/*
 * Fills `ret_batch` from the job that is next and counts its slices into the job; a job with no rows left leaves
 * the scheduler. False when nothing waits; then ret_batch is untouched.
 */
bool batcher_compose(struct scheduler *scheduler, const struct cost_model *cost,
                     const struct batcher_limits *limits, struct batch *ret_batch);

#endif
