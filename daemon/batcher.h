/* SPDX-License-Identifier: MIT */
/*
 * batcher.h - what goes to the device next.
 *
 * Role:   cuts slices from the waiting jobs into one batch whose predicted time stays within `batch-bound`, stacks
 *         those that share their B, and fills what would be padding.
 * In:     the scheduler's order, the cost model, what the device makes of shapes. Out: a filled struct batch.
 * Thread: loop. Pure: no clock, no I/O; time is an argument. Called when the device can take a batch, never earlier.
 *
 * - Jobs are taken in the scheduler's order until one does not fit as a whole; that one is cut.
 * - A group is taken as a whole. One that would not fit into what is left waits for the next batch; one that fits into
 *   no batch is a group no longer: its jobs are taken one by one.
 * - BULK does not lengthen a batch of other classes. But whatever rows of a stack would be padding are given to jobs
 *   that wait with the same weights, whatever their class or turn: they cost nothing.
 * - A job that would not be done in time is not begun: it ends with DEADLINE.
 */
#ifndef DAEMON_BATCHER_H
#define DAEMON_BATCHER_H

#include "daemon/cost.h"
#include "daemon/device.h"
#include "daemon/scheduler.h"

struct batcher {
        uint64_t bound_ns; /* `batch-bound`; one row, or the rows that a device pads it to, may be longer */
        bool stacks;       /* slices of the same B are computed as one product */
        uint64_t granule_rows; /* these six: struct device */
        struct device_padding padding;
        size_t stacks_max;
        uint64_t (*block_rows)(const struct product *product);
        double (*work_macs)(const struct product *product, uint64_t rows);
        double (*share)(const struct product *product, uint64_t rows);
};

/* What was composed besides the batch. */
struct batcher_report {
        uint64_t jobs;         /* with rows in it */
        uint64_t rows_stacked; /* rows that share a stack with another job's */
        double macs; /* multiply-adds that somebody asked for; the batch's stacks say what they become */
        struct cost_work work; /* the work of them, by class */
};

/* Multiply-adds that a device makes of `rows` rows of such a product. */
double batcher_padded_macs(const struct batcher *batcher, const struct product *product, uint64_t rows);

/* Predicted device time of a job by itself, without what a submission costs. */
double batcher_job_ns(const struct batcher *batcher, const struct cost_model *cost,
                      const struct product *product, uint64_t rows);

/*
 * Fills `ret_batch` and counts its slices into their jobs; jobs with no rows left leave the scheduler. Jobs that end
 * instead (job_end_early has been called, the scheduler has let go of them) are put on `ended`. False when nothing is
 * left to do; then ret_batch and ret_report hold nothing.
 */
bool batcher_compose(const struct batcher *batcher, struct scheduler *scheduler,
                     const struct cost_model *cost, uint64_t now_ns, struct job_list *ended,
                     struct batch *ret_batch, struct batcher_report *ret_report);

#endif
